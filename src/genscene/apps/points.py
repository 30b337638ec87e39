"""Points on the surfaces that photographs' cameras see."""

import torch
from torch import Tensor

from genscene.contract import MAX_BYTES, Generator
from genscene.geometry.cameras import Camera
from genscene.randomness import RandomStreams


@torch.no_grad()
def seen_points(
    generator: Generator, camera: Camera, opaque: float = 0.9, budget: int = MAX_BYTES
) -> tuple[Tensor, Tensor]:
    """Where the rays of one camera end, and in what colour -> points [N, 3], colours [N, 3] in [0, 1].

    Rays that are stopped less than a share of their light are left out. In the scene's own world.
    """
    device = next(generator.parameters()).device
    view = camera.to(device)
    rendering = generator.render(generator.bind(generator.latents(RandomStreams([0], device))), view, budget)
    assert rendering.depth is not None
    assert rendering.alpha is not None
    rays = generator.measured(view)
    points = rays.at(rendering.depth.flatten(2).mT)[:, :, 0]
    keep = rendering.alpha.flatten() > opaque
    return points[0, keep].cpu(), rendering.image.flatten(2)[0].mT[keep].clamp(0, 1).cpu()
