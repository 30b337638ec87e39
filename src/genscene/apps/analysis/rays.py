"""What a renderer does along one ray: density, transmittance, samples and their weights."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from genscene.contract import RenderOptions
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Rays, Size
from genscene.render.march import March, RaySamples
from genscene.render.volume import VolumeGenerator, render_rays

DENSE = 512  # evenly spaced distances of the curves


@dataclass(frozen=True)
class Pass:
    """The samples of one pass along a ray, and their weights, in order."""

    distances: Sequence[float]  # in world units
    weights: Sequence[float]  # sum to at most 1


@dataclass(frozen=True)
class RayProfile:
    """A ray of a picture."""

    picture: Tensor  # [3, H, W], 0 to 1
    pixel: tuple[int, int]  # row and column in the picture
    distances: Sequence[float]  # from the eye, in world units, evenly spaced in t
    density: Sequence[float]  # there, at least 0
    transmittance: Sequence[float]  # up to there, 1 to 0, by these densities
    passes: Sequence[Pass]  # coarse, then all that the picture is of; none: the renderer has others
    depth: float  # of the pixel: mean distance of what is seen, in world units


@dataclass
class Recorder:
    """Collects the samples of one of the R rays of a picture, pass by pass, from parts of all rays."""

    index: int
    found: list[RaySamples] = field(default_factory=list)  # of that ray, [1, 1, S] each
    starts: list[int] = field(default_factory=list)  # rays of the parts before, for each pass
    last: Rays | None = None  # of the part that the pass before was of
    number: int = 0  # of the pass

    def __call__(self, samples: RaySamples) -> None:
        """Take the samples of a pass along the rays of a part."""
        same = self.last is not None and self.last.origins is samples.rays.origins
        self.number, self.last = self.number + 1 if same else 0, samples.rays
        if self.number == len(self.starts):
            self.starts.append(0)
        place = self.index - self.starts[self.number]
        self.starts[self.number] += samples.t.shape[1]
        if 0 <= place < samples.t.shape[1]:
            one = slice(place, place + 1)
            rays = samples.rays[one]
            parts = (x[:, one] for x in (samples.t, samples.density, samples.weights))
            self.found.append(RaySamples(rays, *parts))


@torch.no_grad()
def profile_ray(
    generator: VolumeGenerator, w: Any, camera: Camera, pixel: tuple[int, int], options: RenderOptions
) -> RayProfile:
    """One style, one camera, row and column of a pixel -> what is along its ray.

    Curves are of the field that is seen, the fine one, at 512 distances. Raises BadInput for a pixel outside
    the picture.
    """
    (height, width), (row, column) = camera.size, pixel
    if not (0 <= row < height and 0 <= column < width):
        raise BadInput(f"pixel {column},{row}: wanted one of a picture of {width}x{height}, from 0,0")
    scene: Any = generator.bind(w)
    recorder = Recorder(ray_index(generator, camera.size, pixel))
    rendering = generator.render(scene, camera, replace(options, record=recorder))
    every, _ = generator.rays(camera)
    place = row * width + column
    rays = recorder.found[0].rays if recorder.found else every.unit()[place : place + 1]
    dense = densely(scene, rays, generator.march if recorder.found else within_box(generator, rays))
    length = float(rays.directions.norm())
    depth = rendering.depth
    passes = [Pass(*(to_list(x) for x in (length * each.t, each.weights))) for each in recorder.found]
    seen = torch.cat([dense.weights.new_zeros(1), dense.weights[0, 0, :-1]])
    return RayProfile(
        rendering.image[0].clamp(0, 1).cpu(),
        pixel,
        to_list(length * dense.t),
        to_list(dense.density),
        (1 - seen.double().cumsum(0)).clamp(0, 1).tolist(),
        passes,
        0.0 if depth is None else float(depth[0, 0, row, column]),
    )


def ray_index(generator: VolumeGenerator, size: Size, pixel: tuple[int, int]) -> int:
    """The number of the ray that a pixel is of; where a feature image is rendered, that of its pixel."""
    times = generator.side_multiple
    return (pixel[0] // times) * (size[1] // times) + pixel[1] // times


def within_box(generator: VolumeGenerator, rays: Rays) -> March:
    """The march, from where one unit ray enters the box of the scenes to where it leaves it."""
    march = generator.march
    if not generator.has_density_box or generator.bounds is None:
        return march
    half = rays.origins.new_tensor(generator.bounds)
    safe = torch.where(rays.directions.abs() < 1e-9, 1e-9, rays.directions)
    sides = torch.stack([(-half - rays.origins) / safe, (half - rays.origins) / safe])
    begin, end = float(sides.amin(dim=0).amax()), float(sides.amax(dim=0).amin())
    near, far = max(march.near, begin), min(march.far, end)
    return replace(march, near=near, far=far) if near < far else march


def densely(scene: Any, rays: Rays, march: March) -> RaySamples:
    """Evenly spaced samples of the field that is seen, along one ray of one scene."""
    found: list[RaySamples] = []
    one_pass = replace(march, samples=DENSE, fine_samples=0, last_interval=None)
    render_rays(scene, rays, one_pass, RenderOptions(record=found.append))
    return found[0]


def to_list(values: Tensor) -> list[float]:
    """A tensor of any shape -> its numbers."""
    numbers: list[float] = values.double().flatten().tolist()
    return numbers
