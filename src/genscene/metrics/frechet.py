"""Frechet distance between two sets of features taken as Gaussians (Heusel et al. 2017), in float64."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """What is kept of a set of features."""

    mean: Tensor  # [D]
    covariance: Tensor  # [D, D], divided by N - 1

    @staticmethod
    def of(features: Tensor) -> "Moments":
        """Features [N, D] -> their moments."""
        wide = features.double()
        return Moments(wide.mean(dim=0), torch.cov(wide.mT))


def frechet(a: Moments, b: Moments) -> float:
    """|mean a - mean b|^2 + tr(A) + tr(B) - 2 tr sqrt(A B), by the eigenvalues of A B."""
    shared = torch.linalg.eigvals(a.covariance @ b.covariance).real.clamp_min(0).sqrt().sum()
    spread = a.covariance.trace() + b.covariance.trace() - 2 * shared
    return float((a.mean - b.mean).square().sum() + spread)
