"""Lenses that bend straight lines: OpenCV's distortion and its fisheye, forth, back, and out of pictures."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from genscene.data.posed import Bending


@dataclass(frozen=True)
class Map:
    """For each pixel of a pinhole picture, where its colour is in the distorted one."""

    places: Tensor  # [H, W, 2], (x, y), -1 to 1 over the distorted picture, float32
    inside: Tensor  # [H, W], bool: whether that is a place the lens has seen


def distort(points: Tensor, distortion: Tensor, model: Bending) -> Tensor:
    """Points [N, 2] of the plane at depth 1 -> where the lens puts them; distortion [6], k1 k2 p1 p2 k3 k4."""
    if model == "pinhole":
        return points
    if model == "fisheye":
        radius = points.norm(dim=-1, keepdim=True)
        angle = radius.atan()
        return points * torch.where(
            radius > 1e-9, angle * _radial(angle**2, distortion) / radius.clamp_min(1e-9), 1.0
        )
    p1, p2 = distortion[2:4]
    x, y = points.unbind(-1)
    square = x**2 + y**2
    radial = _radial(square, distortion)
    return torch.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (square + 2 * x**2),
            y * radial + p1 * (square + 2 * y**2) + 2 * p2 * x * y,
        ],
        dim=-1,
    )


def straighten(points: Tensor, distortion: Tensor, model: Bending, steps: int = 20) -> Tensor:
    """The inverse of `distort`, by Newton's method: distorted points [N, 2] -> of the plane at depth 1."""
    if model == "pinhole":
        return points
    if model == "fisheye":
        bent = points.norm(dim=-1, keepdim=True)
        angle = bent
        for _ in range(steps):
            excess = angle * _radial(angle**2, distortion) - bent
            angle = angle - excess / _growth(angle, distortion).clamp_min(1e-6)
        return points * torch.where(bent > 1e-9, angle.tan() / bent.clamp_min(1e-9), 1.0)
    found = points
    for _ in range(steps):
        excess = distort(found, distortion, model) - points
        (xx, xy), (_, yy) = (row.unbind(-1) for row in _slope(found, distortion).unbind(-2))
        determinant = (xx * yy - xy * xy).clamp_min(1e-6)
        across, down = excess.unbind(-1)
        step = (
            torch.stack([yy * across - xy * down, xx * down - xy * across], dim=-1) / determinant[..., None]
        )
        found = found - step
    return found


def mapping(intrinsics: Tensor, distortion: Tensor, model: Bending, size: tuple[int, int]) -> Map:
    """The map to a pinhole picture with the same intrinsics [3, 3], in image sides, and size (height, width)."""
    height, width = size
    down, across = (torch.arange(n, dtype=torch.float64) + 0.5 for n in size)
    v, u = torch.meshgrid(down / height, across / width, indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)], dim=-1).reshape(-1, 3)
    points = (pixels @ torch.linalg.inv(intrinsics).mT)[:, :2]
    bent = distort(points, distortion, model)
    sides = bent @ intrinsics[:2, :2].mT + intrinsics[:2, 2]
    half = torch.tensor([0.5 / width, 0.5 / height], dtype=torch.float64) * (1 - 1e-6)
    inside = ((sides >= half) & (sides <= 1 - half)).all(dim=-1)  # between pixel centres: nothing is made up
    radius = points.norm(dim=-1)
    reach = _reach(distortion, float(radius.max()), model)
    inside &= radius <= reach
    return Map((2 * sides - 1).float().view(height, width, 2), inside.view(height, width))


def undistort(picture: np.ndarray, lens: Map) -> np.ndarray:
    """uint8 [H, W, C] -> the pinhole camera's picture, uint8 [H, W, C]; outside, the nearest colour of the border."""
    planes = torch.from_numpy(np.ascontiguousarray(picture)).movedim(-1, 0)[None].float()
    moved = grid_sample(
        planes, lens.places[None], mode="bilinear", padding_mode="border", align_corners=False
    )
    return moved[0].movedim(0, -1).round_().clamp_(0, 255).byte().numpy()


def _radial(square: Tensor, distortion: Tensor) -> Tensor:
    """1 + k1 s + k2 s^2 + k3 s^3 + k4 s^4 for squared radii or angles s."""
    k1, k2, _, _, k3, k4 = distortion
    return 1 + square * (k1 + square * (k2 + square * (k3 + square * k4)))


def _growth(radius: Tensor, distortion: Tensor) -> Tensor:
    """The derivative of r * radial(r^2)."""
    k1, k2, _, _, k3, k4 = distortion
    square = radius**2
    return 1 + square * (3 * k1 + square * (5 * k2 + square * (7 * k3 + square * 9 * k4)))


def _slope(points: Tensor, distortion: Tensor) -> Tensor:
    """The derivative of the perspective distortion, symmetric: [N, 2] -> [N, 2, 2]."""
    k1, k2, p1, p2, k3, k4 = distortion
    x, y = points.unbind(-1)
    square = x**2 + y**2
    radial = _radial(square, distortion)
    change = 2 * (k1 + square * (2 * k2 + square * (3 * k3 + square * 4 * k4)))
    mixed = x * y * change + 2 * p1 * x + 2 * p2 * y
    xx = radial + x**2 * change + 2 * p1 * y + 6 * p2 * x
    yy = radial + y**2 * change + 6 * p1 * y + 2 * p2 * x
    return torch.stack([torch.stack([xx, mixed], dim=-1), torch.stack([mixed, yy], dim=-1)], dim=-2)


def _reach(distortion: Tensor, farthest: float, model: Bending) -> float:
    """The radius up to which the polynomial grows; beyond, it folds back into the picture."""
    radii = torch.linspace(0, farthest, 4096, dtype=torch.float64)
    growing = _growth(radii.atan() if model == "fisheye" else radii, distortion) > 0
    return farthest if bool(growing.all()) else float(radii[growing.long().argmin()])
