"""How much of what is generated is real, and how much of the real is generated: counted by nearest neighbours.

Precision and recall are those of Kynkaanniemi et al. 2019, density and coverage those of Naeem et al. 2020.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.metrics.feature_sets import matched

ROWS = 2048  # of distances held at once


@dataclass(frozen=True)
class Manifold:
    """Four shares; all but density lie between 0 and 1."""

    precision: float  # of fakes inside a ball around any real
    recall: float  # of reals inside a ball around any fake
    density: float  # real balls a fake lies in, on average, over the number of neighbours
    coverage: float  # of reals whose own ball holds a fake


def manifold(fake: Tensor, real: Tensor, neighbours: int = 3) -> Manifold:
    """Features [N, D], [M, D] -> shares; each ball reaches to so many neighbours in its own set."""
    matched("precision and recall", fake, real)
    balls, others = radii(real, neighbours), radii(fake, neighbours)
    held = torch.zeros_like(balls, dtype=torch.bool)  # reals whose ball holds a fake
    reached = torch.zeros_like(held)  # reals inside a ball of a fake
    precise, total = 0, 0
    for rows, apart in distances(fake, real):
        inside = apart <= balls
        precise += int(inside.any(dim=1).sum())
        total += int(inside.sum())
        held |= inside.any(dim=0)
        reached |= (apart <= others[rows, None]).any(dim=0)
    recall, coverage = (int(x.sum()) / len(real) for x in (reached, held))
    return Manifold(precise / len(fake), recall, total / (neighbours * len(fake)), coverage)


def radii(features: Tensor, neighbours: int = 3) -> Tensor:
    """Features [N, D] -> distance of each to its so many-th nearest other one [N]."""
    if neighbours < 1:
        raise BadInput(f"{neighbours} neighbours: wanted at least 1")
    if len(features) <= neighbours:
        raise BadInput(f"{neighbours} neighbours among {len(features)} features: wanted more features")
    nearest = [
        apart.topk(neighbours + 1, largest=False).values[:, -1] for _, apart in distances(features, features)
    ]
    return torch.cat(nearest)


def distances(a: Tensor, b: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Features [N, D], [M, D] -> some rows of a, and their distances [ROWS, M] to all of b, until all were there."""
    for start in range(0, len(a), ROWS):
        rows = slice(start, min(start + ROWS, len(a)))
        yield rows, torch.cdist(a[rows], b)
