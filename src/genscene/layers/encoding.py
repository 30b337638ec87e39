"""Encodings of coordinates."""

import torch
from torch import Tensor


def positional(x: Tensor, octaves: int) -> Tensor:
    """sin and cos of pi 2^k x for k < octaves (NeRF, eq. 4): [..., D] -> [..., 2 * octaves * D]."""
    return waves(torch.pi * x, octaves)


def raw_positional(x: Tensor, octaves: int) -> Tensor:
    """x, then sin and cos of 2^k x for k < octaves, as NeRF's released code: [..., D] -> [..., D + 2 * octaves * D]."""
    return torch.cat([x, waves(x, octaves)], dim=-1)


def waves(x: Tensor, octaves: int) -> Tensor:
    """sin and cos of 2^k x for k < octaves: [..., D] -> [..., 2 * octaves * D]."""
    scales = 2.0 ** torch.arange(octaves, device=x.device, dtype=x.dtype)
    angles = x[..., None, :] * scales[:, None]
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def harmonics(directions: Tensor, degree: int) -> Tensor:
    """Real spherical harmonics of unit directions [..., 3] up to degree 2 -> [..., (degree + 1)^2]."""
    x, y, z = directions.unbind(-1)
    basis = [torch.full_like(x, 0.28209479177387814)]
    if degree > 0:
        basis += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    if degree > 1:
        basis += [1.0925484305920792 * x * y, -1.0925484305920792 * y * z]
        basis += [0.31539156525252005 * (2 * z * z - x * x - y * y)]
        basis += [-1.0925484305920792 * x * z, 0.5462742152960396 * (x * x - y * y)]
    return torch.stack(basis, dim=-1)
