"""OpenCV's perspective and fisheye distortion: of points, inverted, and removed from images."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from genscene.data.posed.posed_files import DistortionModel
from genscene.geometry.cameras import Size


@dataclass(frozen=True)
class UndistortMap:
    """For each pixel of a pinhole image, where to sample the distorted image."""

    grid: Tensor  # [H, W, 2], float32, (x, y) from -1 to 1 over the distorted image
    valid: Tensor  # [H, W], bool: whether the distorted image contains that position


def distort_points(points: Tensor, distortion: Tensor, model: DistortionModel) -> Tensor:
    """Points [N, 2] of the plane at depth 1 -> distorted points [N, 2]; distortion [6]: k1 k2 p1 p2 k3 k4."""
    if model == "pinhole":
        return points
    if model == "fisheye":
        radius = points.norm(dim=-1, keepdim=True)
        angle = radius.atan()
        scale = angle * _radial(angle**2, distortion) / radius.clamp_min(1e-9)
        return points * torch.where(radius > 1e-9, scale, 1.0)
    p1, p2 = distortion[2:4]
    x, y = points.unbind(-1)
    square = x**2 + y**2
    radial = _radial(square, distortion)
    distorted_x = x * radial + 2 * p1 * x * y + p2 * (square + 2 * x**2)
    distorted_y = y * radial + p1 * (square + 2 * y**2) + 2 * p2 * x * y
    return torch.stack([distorted_x, distorted_y], dim=-1)


def undistort_points(points: Tensor, distortion: Tensor, model: DistortionModel, steps: int = 20) -> Tensor:
    """Invert `distort_points` by Newton's method: distorted points [N, 2] -> points [N, 2] at depth 1."""
    if model == "pinhole":
        return points
    if model == "fisheye":
        distorted = points.norm(dim=-1, keepdim=True)
        angle = distorted
        for _ in range(steps):
            excess = angle * _radial(angle**2, distortion) - distorted
            angle = angle - excess / _radial_slope(angle, distortion).clamp_min(1e-6)
        return points * torch.where(distorted > 1e-9, angle.tan() / distorted.clamp_min(1e-9), 1.0)
    found = points
    for _ in range(steps):
        x, y = (distort_points(found, distortion, model) - points).unbind(-1)
        (xx, xy), (_, yy) = (row.unbind(-1) for row in _jacobian(found, distortion).unbind(-2))
        determinant = (xx * yy - xy * xy).clamp_min(1e-6)
        found = found - torch.stack([yy * x - xy * y, xx * y - xy * x], dim=-1) / determinant[..., None]
    return found


def undistort_map(intrinsics: Tensor, distortion: Tensor, model: DistortionModel, size: Size) -> UndistortMap:
    """The map to a pinhole image of the same intrinsics [3, 3], in image sides, and size."""
    height, width = size
    down, across = (torch.arange(n, dtype=torch.float64) + 0.5 for n in size)
    v, u = torch.meshgrid(down / height, across / width, indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)], dim=-1).reshape(-1, 3)
    points = (pixels @ torch.linalg.inv(intrinsics).mT)[:, :2]
    sides = distort_points(points, distortion, model) @ intrinsics[:2, :2].mT + intrinsics[:2, 2]
    half = torch.tensor([0.5 / width, 0.5 / height], dtype=torch.float64) * (1 - 1e-6)
    valid = ((sides >= half) & (sides <= 1 - half)).all(
        dim=-1
    )  # between pixel centres: nothing is extrapolated
    radius = points.norm(dim=-1)
    valid &= radius <= _invertible_radius(distortion, float(radius.max()), model)
    return UndistortMap((2 * sides - 1).float().view(height, width, 2), valid.view(height, width))


def undistort_image(image: np.ndarray, undistortion: UndistortMap) -> np.ndarray:
    """Distorted uint8 [H, W, C] -> pinhole uint8 [H, W, C]; outside, the border is repeated."""
    channels = torch.from_numpy(np.ascontiguousarray(image)).movedim(-1, 0)[None].float()
    grid = undistortion.grid[None]
    sampled = grid_sample(channels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled[0].movedim(0, -1).round_().clamp_(0, 255).byte().numpy()


def _radial(square: Tensor, distortion: Tensor) -> Tensor:
    """1 + k1 s + k2 s^2 + k3 s^3 + k4 s^4 for squared radii or angles s."""
    k1, k2, _, _, k3, k4 = distortion
    return 1 + square * (k1 + square * (k2 + square * (k3 + square * k4)))


def _radial_slope(radius: Tensor, distortion: Tensor) -> Tensor:
    """The derivative of r * radial(r^2) by r."""
    k1, k2, _, _, k3, k4 = distortion
    square = radius**2
    return 1 + square * (3 * k1 + square * (5 * k2 + square * (7 * k3 + square * 9 * k4)))


def _jacobian(points: Tensor, distortion: Tensor) -> Tensor:
    """The symmetric Jacobian of the perspective distortion at points [N, 2] -> [N, 2, 2]."""
    k1, k2, p1, p2, k3, k4 = distortion
    x, y = points.unbind(-1)
    square = x**2 + y**2
    radial = _radial(square, distortion)
    slope = 2 * (k1 + square * (2 * k2 + square * (3 * k3 + square * 4 * k4)))
    xy = x * y * slope + 2 * p1 * x + 2 * p2 * y
    xx = radial + x**2 * slope + 2 * p1 * y + 6 * p2 * x
    yy = radial + y**2 * slope + 6 * p1 * y + 2 * p2 * x
    return torch.stack([torch.stack([xx, xy], dim=-1), torch.stack([xy, yy], dim=-1)], dim=-2)


def _invertible_radius(distortion: Tensor, largest: float, model: DistortionModel) -> float:
    """The radius up to which the distorted radius grows, at most `largest`; beyond, the image folds over."""
    radii = torch.linspace(0, largest, 4096, dtype=torch.float64)
    growing = _radial_slope(radii.atan() if model == "fisheye" else radii, distortion) > 0
    return largest if bool(growing.all()) else float(radii[growing.long().argmin()])
