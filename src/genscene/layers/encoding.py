"""Encodings of coordinates."""

import torch
from torch import Tensor


def positional(x: Tensor, octaves: int) -> Tensor:
    """sin and cos of pi 2^k x for k < octaves (NeRF, eq. 4): [..., D] -> [..., 2 * octaves * D]."""
    scales = torch.pi * 2.0 ** torch.arange(octaves, device=x.device, dtype=x.dtype)
    angles = x[..., None, :] * scales[:, None]
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)
