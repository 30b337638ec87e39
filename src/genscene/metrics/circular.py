"""Statistics of angles."""

import torch
from torch import Tensor


def resultant(angles: Tensor, dim: int = -1) -> Tensor:
    """Mean resultant length of angles in radians: 1 where all are equal, 0 where they cancel (Mardia & Jupp, 2.3)."""
    return torch.stack([angles.cos().mean(dim), angles.sin().mean(dim)]).norm(dim=0)


def wrapped(angles: Tensor) -> Tensor:
    """The same angles between -pi and pi."""
    return torch.atan2(angles.sin(), angles.cos())
