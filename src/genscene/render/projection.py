"""Gaussians as ellipses on the picture: EWA splatting (Zwicker et al. 2002; 3D Gaussian splatting, eq. 5)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genscene.geometry.rotations import rotation
from genscene.kernels.splats import Limits, Size, extents


@dataclass(frozen=True)
class Lens:
    """C cameras of each of B scenes; pixel centers are at + 0.5."""

    viewmats: Tensor  # [B, C, 4, 4], world to camera, OpenCV axes: x right, y down, z forward
    intrinsics: Tensor  # [B, C, 3, 3], in pixels
    size: Size
    near: float
    far: float
    orthographic: bool = False


@dataclass(frozen=True)
class Splats:
    """N ellipses on each of B * C pictures, in pixels."""

    means: Tensor  # [B, C, N, 2]
    conics: Tensor  # [B, C, N, 3], (a, b, c) of the inverse covariance [[a, b], [b, c]]
    depths: Tensor  # [B, C, N], z in the camera
    shrinkage: Tensor  # [B, C, N], deviation before / after dilation
    in_depth: Tensor  # [B, C, N], between near and far, and finite


def project(
    means: Tensor, quats: Tensor, scales: Tensor, lens: Lens, dilation: float, limits: Limits
) -> Splats:
    """means [B, N, 3], quats [B, N, 4] wxyz of any length, scales [B, N, 3] -> splats, differentiable.

    dilation: added to the variances on the picture, in square pixels.
    """
    axes = rotation(normalize(quats, dim=-1)) * scales[..., None, :]  # [B, N, 3, 3], Sigma = axes axes^T
    turn, shift = lens.viewmats[..., None, :3, :3], lens.viewmats[..., None, :3, 3]
    x, y, z = ((turn * means[:, None, :, None]).sum(-1) + shift).unbind(-1)  # [B, C, N]
    in_depth = (z > lens.near) & (z < lens.far) & x.isfinite() & y.isfinite()
    x, y, depths = (torch.where(in_depth, v, other) for v, other in ((x, 0), (y, 0), (z, 1)))
    rows, centers = linearise(x, y, depths, lens, limits)
    u, v = (rows[..., None] * axes[:, None, :, None]).sum(-2).unbind(-2)  # [B, C, N, 3], along the axes
    a, b, c = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    wider_a, wider_c = a + dilation, c + dilation
    before, after = a * c - b * b, wider_a * wider_c - b * b
    in_depth = in_depth & (after > 0) & after.isfinite()
    after = torch.where(in_depth, after, 1)
    conics = torch.stack([wider_c, -b, wider_a], dim=-1) / after[..., None]
    shrinkage = (before / after).clamp(min=limits.shrinkage_min**2).sqrt()
    return Splats(centers, conics, depths, shrinkage, in_depth)


def linearise(x: Tensor, y: Tensor, z: Tensor, lens: Lens, limits: Limits) -> tuple[Tensor, Tensor]:
    """Points in the camera [B, C, N] -> slopes of the projection [B, C, N, 2, 3], and pixels."""
    axes, sides = lens.viewmats[..., None, :3, :3].unbind(-2), lens.size[::-1]  # rows [B, C, 1, 3]
    slopes, pixels = [], []
    for axis, (value, side) in enumerate(zip((x, y), sides, strict=True)):
        focal, middle = lens.intrinsics[..., None, axis, axis], lens.intrinsics[..., None, axis, 2]
        if lens.orthographic:
            pixels.append(focal * value + middle)
            slopes.append((focal[..., None] * axes[axis]).expand(*z.shape, 3))
            continue
        tangent, margin = value / z, limits.frustum_margin * side / 2
        pixels.append(focal * tangent + middle)
        tangent = tangent.clamp((-middle - margin) / focal, (side - middle + margin) / focal)
        slopes.append((focal / z)[..., None] * (axes[axis] - tangent[..., None] * axes[2]))
    return torch.stack(slopes, dim=-2), torch.stack(pixels, dim=-1)


@torch.no_grad()
def find_visible(
    splats: Splats, opacities: Tensor, size: Size, limits: Limits, least: float
) -> tuple[Tensor, Tensor]:
    """Which splats reach a pixel [B, C, N], and half sides [B, C, N, 2] of their boxes in pixels.

    least: splats whose box has no longer half side are left out.
    """
    half = extents(splats.conics, opacities, limits.alpha_min)
    ends = half.new_tensor(size[::-1])
    inside = ((splats.means + half > 0) & (splats.means - half < ends)).all(-1)
    return splats.in_depth & inside & (opacities >= limits.alpha_min) & (half.amax(-1) > least), half
