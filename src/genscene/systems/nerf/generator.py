"""NeRF's generator: a coarse and a fine network; the coarse weights place the samples of the fine one."""

from dataclasses import dataclass, replace
from typing import Annotated

from torch import Tensor

from genscene.contract import (
    DEFAULT_OPTIONS,
    Rendering,
    RenderOptions,
    SingleSceneGenerator,
)
from genscene.geometry.cameras import Camera, PixelConvention, Rays
from genscene.geometry.priors import CameraPrior
from genscene.layers.nerf_field import FieldConfig, NeRFField
from genscene.ranges import Range, When
from genscene.render.fields.sparse import DETAILED, POINTS, Parts, skip_empty
from genscene.render.march import March
from genscene.render.volume import VolumeGenerator, render_view
from genscene.scenes import Field, SolidBackground


@dataclass(frozen=True)
class NeRFGeneratorConfig:
    """All the numbers of the generator."""

    field: FieldConfig = FieldConfig()
    # channels of the fine network's layers; 0: as many as the coarse one's
    fine_width: Annotated[int, Range(0, 65_536), When("fine_width", Range(2), "or 0")] = 0
    # layers of the fine network; 0: as many as the coarse one's
    fine_depth: Annotated[int, Range(0, 1024)] = 0
    # the coarse network's samples, and fine_samples that its weights place for the fine one; 0: one network
    # (ablation)
    march: March = March(2.0, 6.0, 64, fine_samples=128, last_interval=None, bins="equal")
    background: SolidBackground = "white"  # behind the scene
    prior: CameraPrior = CameraPrior()  # cameras around the scene, fitted to those of the photographs
    pixels: PixelConvention = "center"  # corner: rays through the pixels' upper left corners (official code)

    @property
    def fine_field(self) -> FieldConfig:
        """The fine network."""
        field = self.field
        return replace(field, width=self.fine_width or field.width, depth=self.fine_depth or field.depth)


@dataclass(frozen=True)
class CoarseFine:
    """The scene: a coarse field, and the fine one that is seen where there is one."""

    coarse: Field
    fine: Field | None
    w: Tensor  # [B, 0], codes without numbers, of B scenes that are the same

    def __call__(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points, unit directions [B, N, 3] -> colors [B, N, 3], raw density [B, N]."""
        return (self.fine or self.coarse)(points, directions)


class NeRFGenerator(SingleSceneGenerator, VolumeGenerator):
    """One scene, which is the weights of its networks."""

    def __init__(self, config: NeRFGeneratorConfig):
        super().__init__()
        self.config, self.march, self.pixels, self.prior = config, config.march, config.pixels, config.prior
        self.bounds = (config.field.extent,) * 3
        self.coarse = NeRFField(config.field)
        self.fine = NeRFField(config.fine_field) if config.march.fine_samples else None

    def bind(self, w: Tensor) -> CoarseFine:
        """w [B, 0] -> the scene, for B views."""
        return CoarseFine(self.coarse, self.fine, w)

    def measure_empty(self, scene: CoarseFine, points: int = POINTS) -> Parts[CoarseFine]:
        """The scene with the empty space of the network that is seen measured, so many points at once.

        The coarse network places the samples of the fine one, so all of its own are evaluated.
        """
        seen, like = scene.fine or scene.coarse, next(self.parameters()).new_zeros(1, 0)
        found = yield from skip_empty(seen, like, self.bounds, self.march, points=points, margin=DETAILED)
        return replace(scene, coarse=found) if scene.fine is None else replace(scene, fine=found)

    def render(
        self, scene: CoarseFine, view: Camera | Rays, options: RenderOptions = DEFAULT_OPTIONS
    ) -> Rendering:
        """The scene, B cameras or rays of one picture -> fine and coarse pictures in [0, 1], depth, alpha."""
        rays, size = self.rays(view)
        if options.background is None:
            options = replace(options, background=self.config.background)
        sample_bytes = self.sample_bytes(False)
        return render_view(scene.coarse, rays, size, self.march, options, sample_bytes, scene.fine)

    def sample_bytes(self, graph: bool) -> int:
        """Bytes that a sample takes: all activations where a graph is kept, else those of a layer."""
        field = self.config.field
        return 4 * field.width * (field.depth + 2 if graph else 5)
