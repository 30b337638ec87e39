"""Numbers of blending that all ways of computing it share."""

from dataclasses import dataclass

from genscene.errors import BadInput

TILE = 16  # pixels on each side of a tile
LEAST_ALPHA_MIN = 1e-5  # for the range of the compiled exponential


@dataclass(frozen=True)
class Limits:
    """Where splats are cut off (3D Gaussian splatting; these values: gsplat 1.6)."""

    alpha_min: float = 1 / 255  # a splat is skipped where its alpha is less
    alpha_max: float = 0.99  # the most of a splat's alpha; its gradient is 0 there
    stop: float = 1e-4  # the splat that would leave so little transmittance, or less, ends a pixel without it
    frustum_margin: float = 0.3  # half pictures beside the picture up to where perspective has its own slope
    shrinkage_min: float = 0.005  # least factor of antialiased opacities

    def __post_init__(self) -> None:
        """Raise BadInput for limits that cannot be."""
        if not LEAST_ALPHA_MIN <= self.alpha_min < self.alpha_max < 1 or not 0 <= self.stop < 1:
            raise BadInput(
                f"alpha_min {self.alpha_min:g}, alpha_max {self.alpha_max:g}, stop {self.stop:g}: "
                f"wanted {LEAST_ALPHA_MIN:g} <= alpha_min < alpha_max < 1 and 0 <= stop < 1"
            )
