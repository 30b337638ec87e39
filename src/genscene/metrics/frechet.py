"""Frechet distance between Gaussians fitted to two sets of features (FID: Heusel et al. 2017), in float64."""

from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.errors import BadInput

TOLERANCE = 1e-6  # of both traces: a negative distance within rounding is returned as 0


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of a set of features."""

    mean: Tensor  # [D]
    covariance: Tensor  # [D, D]

    @staticmethod
    def of(features: Tensor) -> "Moments":
        """Features [N, D] -> moments, the covariance divided by N - 1."""
        return RunningMoments.of(features).moments()


@dataclass(frozen=True)
class RunningMoments:
    """Sufficient statistics of a set of features: those of two sets merge into those of their union."""

    count: int
    mean: Tensor  # [D]
    scatter: Tensor  # [D, D], sum of the outer products of deviations from the mean

    @staticmethod
    def of(features: Tensor) -> "RunningMoments":
        """Features [N, D] of any dtype -> statistics in float64."""
        if features.dim() != 2 or not len(features):
            raise BadInput(f"features of shape {tuple(features.shape)}, wanted [N, D] with N at least 1")
        x = features.double()
        mean = x.mean(dim=0)
        deviations = x - mean
        return RunningMoments(len(x), mean, deviations.mT @ deviations)

    def merged(self, other: "RunningMoments") -> "RunningMoments":
        """Statistics of both sets together (Chan, Golub & LeVeque 1983, pairwise updating)."""
        count, shift = self.count + other.count, other.mean - self.mean
        between = torch.outer(shift, shift) * (self.count * other.count / count)
        mean = self.mean + shift * (other.count / count)
        return RunningMoments(count, mean, self.scatter + other.scatter + between)

    def moments(self, ddof: int = 1) -> Moments:
        """Mean, and covariance divided by N - ddof."""
        if self.count <= ddof:
            raise BadInput(f"covariance of {self.count} features, wanted at least {ddof + 1}")
        return Moments(self.mean, self.scatter / (self.count - ddof))


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mean a - mean b|^2 + tr(A) + tr(B) - 2 tr sqrt(A B), for singular covariances A, B as well."""
    if a.mean.shape != b.mean.shape:
        raise BadInput(f"Frechet distance of features of {len(a.mean)} and of {len(b.mean)} numbers")
    if not all(bool(x.isfinite().all()) for m in (a, b) for x in (m.mean, m.covariance)):
        raise BadInput("Frechet distance of moments that are not finite (nan or inf)")
    # A B has the eigenvalues of the symmetric sqrt(A) B sqrt(A), real and computed ten times faster
    eigenvalues, eigenvectors = torch.linalg.eigh(a.covariance)
    root = eigenvectors * eigenvalues.clamp_min(0).sqrt() @ eigenvectors.mT
    trace_root = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp_min(0).sqrt().sum()
    traces = a.covariance.trace() + b.covariance.trace()
    distance = float((a.mean - b.mean).square().sum() + traces - 2 * trace_root)
    return 0.0 if -TOLERANCE * float(traces) < distance < 0 else distance
