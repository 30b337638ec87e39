"""Points on the surfaces that cameras see."""

import torch
from torch import Tensor

from genscene.contract import DEFAULT_OPTIONS, Generator, RenderOptions
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera
from genscene.randomness import RandomStreams


@torch.no_grad()
def surface_points(
    generator: Generator, camera: Camera, opaque: float = 0.9, options: RenderOptions = DEFAULT_OPTIONS
) -> tuple[Tensor, Tensor]:
    """Where the camera rays end in the first scene -> points [N, 3] in world units, colors [N, 3] in [0, 1].

    Rays whose opacity is not above `opaque` are left out. Raises BadInput for scenes without depth.
    """
    device = next(generator.parameters()).device
    scene = generator.scene(generator.latents(RandomStreams([0], device)))
    rendering = generator.render(scene, camera.to(device), options)
    if rendering.depth is None or rendering.alpha is None or rendering.rays is None:
        raise BadInput("the scenes of this generator have no depth: there are no points to compute")
    points = rendering.rays.unit().at(rendering.depth.flatten(2).mT)[:, :, 0]
    visible = rendering.alpha.flatten() > opaque
    colors = rendering.image.flatten(2)[0].mT.clamp(0, 1)
    return points[0, visible].cpu(), colors[visible].cpu()
