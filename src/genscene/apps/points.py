"""Points on the surfaces that cameras see."""

from collections.abc import Callable

import torch
from torch import Tensor

from genscene.contract import DEFAULT_OPTIONS, Generator, Rendering, RenderOptions
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Rays
from genscene.randomness import RandomStreams

RAYS = 1 << 15  # traced at once
RAYS_FOR_A_POINT = 1000  # where more are needed, the scene is taken for empty


def sample_surface(
    generator: Generator,
    cameras: Camera,
    count: int,
    opaque: float = 0.9,
    options: RenderOptions = DEFAULT_OPTIONS,
    report: Callable[[int], None] = lambda found: None,
) -> tuple[Tensor, Tensor]:
    """N points of `surface_points` where random rays of all cameras end -> [count, 3], colors [count, 3].

    report: called with the number of points that are new. Raises BadInput where fewer than one ray in a
    thousand gives a point.
    """
    randomness, traced, parts = RandomStreams([0]), 0, []
    missing = count
    while missing:
        size = min(RAYS, max(1024, 2 * missing))
        found = surface_points(generator, random_rays(cameras, randomness, size), opaque, options)
        parts.append(tuple(column[:missing] for column in found))
        missing, traced = missing - len(parts[-1][0]), traced + size
        report(len(parts[-1][0]))
        if missing and traced > RAYS_FOR_A_POINT * (count - missing) + RAYS:
            few = f"{count - missing} of {traced} rays of the photographs' cameras"
            raise BadInput(f"only {few} have an opacity above {opaque}: too few for {count} points")
    points, colors = (torch.cat(column) for column in zip(*parts, strict=True))
    return points, colors


def random_rays(cameras: Camera, randomness: RandomStreams, count: int) -> Rays:
    """Rays through random places of the pictures of random cameras -> [1, count]."""
    which, x, y = randomness.uniform(count, 3)[0].to(cameras.pose).unbind(-1)
    chosen = cameras[(which * len(cameras)).long().clamp(max=len(cameras) - 1)]
    window = torch.stack([torch.ones_like(x), x - 0.5, y - 0.5], dim=-1)  # whose only pixel's center is x, y
    rays = chosen.crop(window, (1, 1)).rays()
    return Rays(rays.origins.transpose(0, 1), rays.directions.transpose(0, 1))


@torch.no_grad()
def surface_points(
    generator: Generator, view: Camera | Rays, opaque: float = 0.9, options: RenderOptions = DEFAULT_OPTIONS
) -> tuple[Tensor, Tensor]:
    """Where the rays of a view end in the first scene -> points [N, 3] in world units, colors [N, 3], 0 to 1.

    Rays whose opacity is not above `opaque` are left out. Raises BadInput for scenes without depth.
    """
    device = next(generator.parameters()).device
    scene = generator.scene(generator.latents(RandomStreams([0], device)))
    rendering = generator.render(scene, view.to(device), options)
    points, alpha = ends_of_rays(rendering)
    visible = alpha.flatten() > opaque
    colors = rendering.image.flatten(2)[0].mT.clamp(0, 1)
    return points[0, visible].cpu(), colors[visible].cpu()


def ends_of_rays(rendering: Rendering) -> tuple[Tensor, Tensor]:
    """Where the rays of B pictures end [B, R, 3], in world units, and their opacities [B, R].

    Raises BadInput for scenes without depth.
    """
    if rendering.depth is None or rendering.alpha is None or rendering.rays is None:
        raise BadInput("the scenes of this generator have no depth: there are no points to compute")
    points = rendering.rays.unit().at(rendering.depth.flatten(2).mT)[:, :, 0]
    return points, rendering.alpha.flatten(1)
