"""How alike two pictures are."""

import torch
from torch import Tensor


def psnr(error: Tensor) -> Tensor:
    """Mean squared error of numbers from 0 to 1 -> decibels."""
    return -10 * torch.log10(error.clamp_min(1e-10))
