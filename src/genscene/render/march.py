"""How rays are sampled and what their densities mean; the random numbers of one rendering."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from genscene.geometry.cameras import Rays
from genscene.randomness import Randomness
from genscene.ranges import (
    Above,
    Distance,
    Factor,
    Positive,
    Range,
    Samples,
    Signed,
    When,
)

EMPTY = -1e4  # raw density of empty space: relu and softplus both make it 0
NOT_ZERO = When("inverse_depth", Range(0, open=True), "for samples that are even in 1 / distance")
TO_PLACE = When("fine_samples", Range(3), "to place the fine samples by")


@dataclass(frozen=True)
class March:
    """How rays are sampled, and what their densities mean."""

    # distance of the first sample, in lengths of the ray's direction
    near: Annotated[Distance, NOT_ZERO] = 0.88
    far: Annotated[Distance, Above("near")] = 1.12  # distance of the last sample
    samples: Annotated[Samples, TO_PLACE] = 12  # along each ray, in the first pass
    density: Literal["relu", "softplus"] = "relu"  # activation that makes raw density positive
    # of a second pass, importance-sampled by the weights of the first; 0: one pass
    fine_samples: Annotated[int, Range(0, 4096)] = 0
    gain: Factor = 1.0  # density is gain * activation(raw + shift)
    shift: Signed = 0.0  # added to raw density; negative: space is empty at first
    # length of the last interval; 1e10: whatever is there is opaque (official NeRF); None: to far
    last_interval: Positive | None = 1e10
    jitter: bool = True  # in training samples are jittered; off: evenly spaced (official NeRF: perturb 0)
    # intervals that samples are jittered in: centered on evenly spaced distances (pi-GAN); equal parts of
    # near to far (NeRF, eq. 2); between the midpoints of evenly spaced distances (official NeRF)
    bins: Literal["centered", "equal", "midpoints"] = "centered"
    inverse_depth: bool = False  # samples evenly spaced in 1 / distance
    # normalised device coordinates for forward-facing scenes: twice the focal lengths x, y in image sides
    ndc: tuple[Factor, Factor] | None = None
    # added to the weights before importance sampling, so that no bin is empty
    pdf_floor: Annotated[float, Range(1e-12, 1)] = 1e-5
    raw_depth: bool = False  # depth is the weighted sum of distances, not divided by opacity (official code)

    def with_samples(self, samples: int) -> "March":
        """Another number of samples in the first pass, and in proportion in the second."""
        return replace(
            self, samples=samples, fine_samples=self.fine_samples * samples // max(1, self.samples)
        )


@dataclass(frozen=True)
class RayNoise:
    """The random numbers of one rendering; None: deterministic."""

    jitter: Tensor | None = None  # [B, R, samples], 0 to 1, place within the bin
    importance: Tensor | None = None  # [B, R, fine_samples], 0 to 1, of the inverse CDF
    coarse_density: Tensor | None = None  # [B, R, samples], added to raw density in the first pass
    density: Tensor | None = None  # [B, R, samples + fine_samples], added to raw density in the last pass
    # [B, R, samples, F], added to the raw densities of the F fields of a composition
    fields: Tensor | None = None

    def __getitem__(self, part: slice) -> "RayNoise":
        """The random numbers of some of the rays."""
        return RayNoise(*(None if x is None else x[:, part] for x in vars(self).values()))


NO_NOISE = RayNoise()


@dataclass(frozen=True)
class RaySamples:
    """The samples of one pass along R rays of B pictures, as `RenderOptions.record` is given them."""

    rays: Rays
    t: Tensor  # [B, R, S], in lengths of the rays' directions
    density: Tensor  # [B, R, S], at least 0, per world unit; of a march in NDC per unit of these
    weights: Tensor  # [B, R, S]


def sample_ray_noise(
    randomness: Randomness, rays: int, march: March, density_noise: float = 0.0, fields: int = 0
) -> RayNoise:
    """Random numbers for R rays of each picture; density_noise: standard deviation.

    fields: of a composition, each of which has noise of its own; 0: the scene is one field.
    """
    fine = march.fine_samples
    jitter = randomness.uniform(rays, march.samples) if march.jitter else None
    importance = randomness.uniform(rays, fine) if march.jitter and fine else None
    if density_noise == 0:
        return RayNoise(jitter, importance)
    if fields:
        return RayNoise(jitter, fields=density_noise * randomness.normal(rays, march.samples, fields))
    coarse = density_noise * randomness.normal(rays, march.samples) if fine else None
    return RayNoise(jitter, importance, coarse, density_noise * randomness.normal(rays, march.samples + fine))


def interval_lengths(t: Tensor, rays: Rays, march: March) -> Tensor:
    """Distances from each of the samples t [B, R, S] to the next, in world units -> [B, R, S]."""
    last = (march.far - t[..., -1:]).clamp_min(0)  # jitter in centered bins goes beyond far
    if march.last_interval is not None:
        last = torch.full_like(last, march.last_interval)
    steps = torch.cat([t.diff(dim=-1), last], dim=-1)
    return steps * rays.directions.norm(dim=-1, keepdim=True)


def activate_density(raw: Tensor, march: March) -> Tensor:
    """Raw density -> density per world unit, of the same shape."""
    shifted = raw + march.shift
    return march.gain * (relu(shifted) if march.density == "relu" else softplus(shifted))
