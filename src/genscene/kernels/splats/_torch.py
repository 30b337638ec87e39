"""Blending of splats in plain torch, one tile after the other: the reference, and the way without numba."""

from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.kernels.splats.limits import TILE, Limits

Size = tuple[int, int]


@dataclass(frozen=True)
class SortedSplats:
    """N splats of each of P pictures, and their order by depth."""

    means: Tensor  # [P, N, 2], in pixels, whose centers are at + 0.5
    conics: Tensor  # [P, N, 3], (a, b, c) of the inverse covariance [[a, b], [b, c]]
    opacities: Tensor  # [P, N]; of the splats that are rendered, alpha_min to 1
    colors: Tensor  # [P, N, D]
    order: Tensor  # [P, N], indices of the splats, front to back
    counts: Tensor  # [P], so many of the order are rendered


def blend(splats: SortedSplats, size: Size, limits: Limits) -> tuple[Tensor, Tensor]:
    """Splats of P pictures -> colors [P, H, W, D], alpha [P, H, W]."""
    pictures = [splats.colors.new_zeros(0, *size, splats.colors.shape[-1] + 1)]
    for p, count in enumerate(splats.counts.tolist()):
        front = splats.order[p, :count]
        of_one = (splats.means, splats.conics, splats.opacities, splats.colors)
        means, conics, opacities, colors = (x[p, front] for x in of_one)
        pictures.append(blend_one(means, conics, opacities, colors, size, limits)[None])
    joint = torch.cat(pictures)
    return joint[..., :-1], joint[..., -1]


def blend_one(
    means: Tensor, conics: Tensor, opacities: Tensor, colors: Tensor, size: Size, limits: Limits
) -> Tensor:
    """Sorted splats of one picture -> colors and alpha [H, W, D + 1]."""
    height, width = size
    half = extents(conics.detach(), opacities.detach(), limits.alpha_min)
    low, high = means.detach() - half, means.detach() + half
    rows = []
    for top in range(0, height, TILE):
        bottom = min(top + TILE, height)
        in_row = ((high[:, 1] > top) & (low[:, 1] < bottom)).nonzero()[:, 0]
        tiles = []
        for left in range(0, width, TILE):
            right = min(left + TILE, width)
            near = in_row[(high[in_row, 0] > left) & (low[in_row, 0] < right)]
            ranges = (torch.arange(*ends).to(means) + 0.5 for ends in ((top, bottom), (left, right)))
            pixels = torch.stack(torch.meshgrid(*ranges, indexing="ij")[::-1], dim=-1)
            alpha = compute_alpha(means[near], conics[near], opacities[near], pixels, limits)
            tiles.append(blend_pixels(alpha, colors[near], limits).unflatten(0, pixels.shape[:2]))
        rows.append(torch.cat(tiles, dim=1))
    return torch.cat(rows)


def extents(conics: Tensor, opacities: Tensor, alpha_min: float) -> Tensor:
    """Half sides [..., N, 2] of the boxes that hold all pixels with this alpha or more, in pixels."""
    a, b, c = conics.unbind(-1)
    reach = 2 * (opacities / alpha_min).log().clamp(min=0) / (a * c - b * b)
    return (reach[..., None] * torch.stack([c, a], dim=-1)).sqrt() + 1e-3


def compute_alpha(means: Tensor, conics: Tensor, opacities: Tensor, pixels: Tensor, limits: Limits) -> Tensor:
    """N splats at pixels [h, w, 2] -> alpha [N, h * w], 0 where less than alpha_min."""
    dx, dy = (pixels.flatten(0, 1)[None] - means[:, None]).unbind(-1)  # [N, h * w]
    a, b, c = conics[:, :, None].unbind(1)
    power = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
    alpha = (opacities[:, None] * torch.exp(-power)).clamp(max=limits.alpha_max)
    return torch.where(alpha >= limits.alpha_min, alpha, 0)


def blend_pixels(alpha: Tensor, colors: Tensor, limits: Limits) -> Tensor:
    """Sorted alpha [N, P], colors [N, D] -> colors and alpha [P, D + 1] (3D Gaussian splatting, eq. 3)."""
    alpha = torch.where((1 - alpha).cumprod(0) > limits.stop, alpha, 0)
    after = torch.cat([torch.ones_like(alpha[:1].sum(0, keepdim=True)), (1 - alpha).cumprod(0)])
    return torch.cat([(alpha * after[:-1]).mT @ colors, 1 - after[-1:].mT], dim=1)
