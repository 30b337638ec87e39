"""CMMD: kernel distance between two sets of CLIP's embeddings (Jayasumana et al. 2024)."""

import torch
from torch import Tensor

from genscene.metrics.feature_sets import matched

SIGMA, SCALE = 10.0, 1000.0  # width of the kernel; what the distance is multiplied by
ROWS = 2048  # of either set at once


def cmmd(fake: Tensor, real: Tensor) -> float:
    """Embeddings [N, D], [M, D] of length 1 -> squared maximum mean discrepancy times 1000, biased: each with itself.

    The kernel is exp(-|x - y|^2 / (2 sigma^2)), sigma = 10; 0 for the same set.
    """
    matched("CMMD", fake, real)
    return SCALE * (_mean(fake, fake) + _mean(real, real) - 2 * _mean(fake, real))


def _mean(a: Tensor, b: Tensor) -> float:
    """Mean over all pairs of the kernel less 1, which cancels: the kernel is so wide that little else is left of it."""
    total = torch.zeros((), dtype=torch.float64, device=a.device)
    for i, x in enumerate(a.split(ROWS)):
        for j, y in enumerate(b.split(ROWS)):
            if a is not b or i == j:
                total += _sum(x, y)
            elif i < j:  # a set with itself: the other half is the same
                total += 2 * _sum(x, y)
    return float(total) / (len(a) * len(b))


def _sum(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.double(), y.double()
    apart = (x.square().sum(dim=1)[:, None] + y.square().sum(dim=1) - 2 * x @ y.mT).clamp_min_(0)
    return apart.mul_(-1 / (2 * SIGMA**2)).expm1_().sum()
