"""Renderings of one scene of a generator, from all sides that its cameras are on."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from genscene.apps.points import ends_of_rays
from genscene.contract import Generator, RenderOptions
from genscene.devices import require_memory
from genscene.errors import BadInput
from genscene.experiment.schedules import largest_size
from genscene.geometry.cameras import Camera, Size
from genscene.geometry.priors import CameraPrior, widened
from genscene.geometry.trajectories import through_cameras
from genscene.io.generator_file import GeneratorFile
from genscene.randomness import RandomStreams
from genscene.render.volume import VolumeGenerator
from genscene.scenes import RenderedViews
from genscene.systems.voxels.generator import VoxelsGenerator

EXACT_SAMPLES = 32  # along each ray, at least: with fewer the same place differs from view to view
UNSEEN_SEED = 1 << 40  # of the first view that a scene is not fitted to
PIXEL_BYTES = 64


def view_size(content: GeneratorFile, side: int) -> Size:
    """Height and width of views whose shorter side has so many pixels, in the shape of training's."""
    given = largest_size(content.experiment) if content.cameras is None else content.cameras.size
    height, width = (round(length * side / min(given)) for length in given)
    return height, width


def surrounding_cameras(content: GeneratorFile, count: int, unseen: int, size: Size) -> tuple[Camera, Camera]:
    """Cameras that a scene is fitted from, and some between them that it is not; BadInput without a prior.

    Of the photographs; else evenly over the angles of the prior, the others sampled.
    """
    if content.cameras is not None:
        every = through_cameras(content.cameras.reframed(size), count + unseen)
        chosen = torch.zeros(count + unseen, dtype=torch.bool)
        chosen[((torch.arange(unseen) + 0.5) * (count + unseen) / max(1, unseen)).long()] = True
        return every[~chosen], every[chosen]
    prior = content.generator.prior
    if not isinstance(prior, CameraPrior):
        raise BadInput("the scenes of this generator are pictures, without cameras")
    wide = widened(prior)
    others = wide.sample(RandomStreams(range(UNSEEN_SEED, UNSEEN_SEED + unseen)), size)
    return wide.sample(EvenNumbers(count), size), others


@dataclass(frozen=True)
class EvenNumbers:
    """Numbers that fill each dimension evenly, in place of random ones: multiples of irrational numbers.

    The R sequence: in D dimensions powers of the root of x^(D + 1) = x + 1 (Roberts 2018).
    """

    count: int

    def __len__(self) -> int:
        return self.count

    def uniform(self, *shape: int) -> Tensor:
        """In [0, 1) -> [B, *shape]."""
        dimensions, root = math.prod(shape), 2.0
        for _ in range(50):
            root = (1 + root) ** (1 / (dimensions + 1))
        factors = root ** -torch.arange(1, dimensions + 1, dtype=torch.float64)
        numbers = (0.5 + torch.arange(self.count)[:, None] * factors) % 1
        return numbers.float().view(self.count, *shape)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal -> [B, *shape]."""
        return torch.special.ndtri(self.uniform(*shape).clamp(1e-6, 1 - 1e-6))


@torch.no_grad()
def render_views(
    generator: Generator,
    scene: Any,
    cameras: Camera,
    samples: int = 0,
    report: Callable[[int], None] | None = None,
) -> RenderedViews:
    """One scene from each of B cameras; BadInput for scenes without depth.

    samples: along each ray; 0: the generator's own number, at least 32. report: called with pixels rendered.
    """
    height, width = cameras.size
    require_memory(PIXEL_BYTES * len(cameras) * height * width, f"{len(cameras)} views", "lower --views")
    options = RenderOptions(samples=samples or exact_samples(generator), background="white", progress=report)
    parts = [rendered(generator, scene, cameras[i : i + 1], options) for i in range(len(cameras))]
    image, *others = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
    centered = cameras.centered(generator.pixels) if isinstance(generator, VolumeGenerator) else cameras
    return RenderedViews(image, centered, *others)


def rendered(generator: Generator, scene: Any, camera: Camera, options: RenderOptions) -> tuple[Tensor, ...]:
    """Image, opacity, depth, and where rays end, of one view."""
    found = generator.render(scene, camera, options)
    raw = isinstance(generator, VolumeGenerator) and generator.march.raw_depth
    if raw and found.depth is not None and found.alpha is not None:
        found = replace(found, depth=found.depth / found.alpha.clamp_min(1e-5))
    points, alpha = ends_of_rays(found)
    assert found.depth is not None
    return found.image.clamp(0, 1), alpha.view_as(found.depth), found.depth, points


def exact_samples(generator: Generator) -> int:
    """The samples along a ray that are enough where the generator's own are too few, else 0.

    Voxels are sampled by their size.
    """
    if not isinstance(generator, VolumeGenerator) or isinstance(generator, VoxelsGenerator):
        return 0
    return EXACT_SAMPLES if generator.march.samples < EXACT_SAMPLES else 0
