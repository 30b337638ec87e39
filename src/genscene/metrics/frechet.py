"""Frechet distance between two sets of features taken as Gaussians (Heusel et al. 2017), in float64."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from genscene.errors import BadInput

ROUNDING = 1e-6  # of both traces: so little below 0 is 0, which the distance never is below


@dataclass(frozen=True)
class Moments:
    """What is kept of a set of features."""

    mean: Tensor  # [D]
    covariance: Tensor  # [D, D], divided by N - 1

    @staticmethod
    def of(features: Tensor) -> "Moments":
        """Features [N, D] -> their moments."""
        return Tally.of(features).moments()

    @staticmethod
    def over(batches: Iterable[Tensor]) -> "Moments":
        """Features in batches [B, D], none of them kept -> the moments of all."""
        tallies = map(Tally.of, batches)
        first = next(tallies, None)
        if first is None:
            raise BadInput("moments of no features at all")
        return reduce(Tally.merged, tallies, first).moments()


@dataclass(frozen=True)
class Tally:
    """Moments in the making: what two parts of a set must know of each other to become one."""

    count: int
    mean: Tensor  # [D]
    scatter: Tensor  # [D, D], sum of the outer products of deviations from the mean

    @staticmethod
    def of(features: Tensor) -> "Tally":
        """Features [N, D] of any precision -> their tally in float64."""
        if features.dim() != 2 or not len(features):
            raise BadInput(f"features of shape {tuple(features.shape)}, wanted [N, D] with N at least 1")
        wide = features.double()
        mean = wide.mean(dim=0)
        off = wide - mean
        return Tally(len(wide), mean, off.mT @ off)

    def merged(self, other: "Tally") -> "Tally":
        """The tally of both parts together (Chan, Golub & LeVeque 1983, pairwise updating)."""
        count, apart = self.count + other.count, other.mean - self.mean
        between = torch.outer(apart, apart) * (self.count * other.count / count)
        return Tally(count, self.mean + apart * (other.count / count), self.scatter + other.scatter + between)

    def moments(self) -> Moments:
        """Mean and covariance, the latter divided by N - 1."""
        if self.count < 2:
            raise BadInput("one feature has no covariance, wanted at least 2")
        return Moments(self.mean, self.scatter / (self.count - 1))


def frechet(a: Moments, b: Moments) -> float:
    """|mean a - mean b|^2 + tr(A) + tr(B) - 2 tr sqrt(A B), A and B singular or not.

    Equal sets are 0 but for rounding, which is cut where it would be below 0. A B has the eigenvalues of
    sqrt(A) B sqrt(A), which is symmetric: they come real and in a tenth of the time.
    """
    if a.mean.shape != b.mean.shape:
        raise BadInput(f"features of {len(a.mean)} numbers beside features of {len(b.mean)}")
    if not all(bool(x.isfinite().all()) for m in (a, b) for x in (m.mean, m.covariance)):
        raise BadInput("moments that are not finite (nan or inf) have no Frechet distance")
    values, vectors = torch.linalg.eigh(a.covariance)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.mT
    shared = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp_min(0).sqrt().sum()
    traces = a.covariance.trace() + b.covariance.trace()
    found = float((a.mean - b.mean).square().sum() + traces - 2 * shared)
    return 0.0 if -ROUNDING * float(traces) < found < 0 else found
