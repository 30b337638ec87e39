"""Splatting: the compiled loops against plain torch tiles, on a head-like shell of Gaussians."""

import math

import torch
from torch import Tensor

from benchmarks.side import Side, Work
from genscene.geometry.cameras import look_at
from genscene.render.rasterization import rasterize

SIZES = (
    6.0,
    3.0,
    1.2,
)  # standard deviations of three levels in pixels of a picture of 128, for 8192 Gaussians
FOCAL, DISTANCE = 4.2647, 2.7  # EG3D's camera


def shell(count: int, device: torch.device) -> dict[str, Tensor]:
    """So many Gaussians on an ellipsoid, in three levels of size that shrink as there are more of them."""
    numbers = torch.Generator().manual_seed(0)
    normal = torch.randn(count, 11, generator=numbers)
    directions = normal[:, :3] / normal[:, :3].norm(dim=1, keepdim=True)
    means = directions * torch.tensor([0.22, 0.28, 0.24]) * (1 + 0.03 * normal[:, 3:4])
    level = torch.tensor(SIZES)[torch.arange(count) % 3, None]
    pixel = DISTANCE / (FOCAL * 128) * math.sqrt(8192 / count)
    given = {
        "means": means,
        "quats": normal[:, 4:8],
        "scales": level * pixel * (0.4 * normal[:, 8:11]).exp(),
        "opacities": (1 + 2 * torch.randn(count, generator=numbers)).sigmoid(),
        "colors": torch.rand(count, 3, generator=numbers),
    }
    return {name: x.to(device) for name, x in given.items()}


def camera(pixels: int, device: torch.device) -> dict[str, Tensor]:
    """One camera before the head."""
    pose = look_at(torch.tensor([[0.5, 0.3, DISTANCE]]))
    intrinsics = torch.tensor([[FOCAL, 0, 0.5], [0, FOCAL, 0.5], [0, 0, 1 / pixels]]) * pixels
    return {"viewmats": torch.linalg.inv(pose).to(device), "Ks": intrinsics[None].to(device)}


def picture(side: Side, count: int, pixels: int, gradients: bool = False) -> Work:
    """One picture, with gradients of the sum of its colors by everything -> colors, or gradients."""
    given = shell(count, side.device)
    view, size = camera(pixels, side.device), {"width": pixels, "height": pixels}
    backend = "torch" if side.plain else "auto"
    if gradients:
        given = {name: x.requires_grad_() for name, x in given.items()}

    def work() -> Tensor:
        with torch.set_grad_enabled(gradients):
            image, _, _ = rasterize(**given, **view, **size, backend=backend)  # type: ignore[arg-type]
        if not gradients:
            return image
        return torch.cat(
            [g.flatten() / g.abs().max() for g in torch.autograd.grad(image.sum(), list(given.values()))]
        )

    return work
