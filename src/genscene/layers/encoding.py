"""Encodings of coordinates: Fourier features and spherical harmonics."""

from typing import Literal

import torch
from torch import Tensor

Spacing = Literal["log", "linear"]


def frequency_bands(count: int, like: Tensor, spacing: Spacing = "log") -> Tensor:
    """2^0 to 2^(count - 1), as powers of 2 or evenly spaced (official NeRF, log_sampling off) -> [count]."""
    if spacing == "linear":
        return torch.linspace(1, 2.0 ** (count - 1), count, device=like.device, dtype=like.dtype)
    return 2.0 ** torch.arange(count, device=like.device, dtype=like.dtype)


def fourier_features(x: Tensor, bands: Tensor) -> Tensor:
    """sin and cos of x [..., D] times each band [K] -> [..., 2 K D], sin and cos of a band side by side."""
    angles = x[..., None, :] * bands[:, None]
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def positional_encoding(x: Tensor, octaves: int, spacing: Spacing = "log") -> Tensor:
    """Frequencies pi 2^k, k < octaves (NeRF, eq. 4): [..., D] -> [..., 2 octaves D]."""
    return fourier_features(torch.pi * x, frequency_bands(octaves, x, spacing))


def official_encoding(x: Tensor, octaves: int, spacing: Spacing = "log") -> Tensor:
    """x, then the encoding with frequencies 2^k (official NeRF code): [..., D] -> [..., D + 2 octaves D]."""
    return torch.cat([x, fourier_features(x, frequency_bands(octaves, x, spacing))], dim=-1)


def spherical_harmonics(directions: Tensor, degree: int) -> Tensor:
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
