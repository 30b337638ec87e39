"""Precision, recall (Kynkaanniemi et al. 2019), density, coverage (Naeem et al. 2020), and memorization."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.metrics.subsets import check_feature_sets

ROWS, COLUMNS = 2048, 8192  # of a block of distances


@dataclass(frozen=True)
class PrecisionRecall:
    """Fractions, each in [0, 1] except density, which is at least 0."""

    precision: float  # of fakes inside a ball around any real
    recall: float  # of reals inside a ball around any fake
    density: float  # mean number of real balls that a fake lies in, divided by the number of neighbors
    coverage: float  # of reals whose ball contains a fake


def precision_recall(fake: Tensor, real: Tensor, neighbors: int = 3, half: bool = False) -> PrecisionRecall:
    """Features [N, D], [M, D] -> fractions by balls to the k-th neighbor; half: float16, as in StyleGAN3."""
    counts, covered, recalled = ball_membership(fake, real, neighbors, half)
    precise, coverage, recall = (int((x > 0).sum()) / len(x) for x in (counts, covered, recalled))
    return PrecisionRecall(precise, recall, int(counts.sum()) / (neighbors * len(fake)), coverage)


def ball_membership(fake: Tensor, real: Tensor, neighbors: int = 3, half: bool = False) -> tuple[Tensor, ...]:
    """Features [N, D], [M, D] -> balls around fakes int64 [N]; balls with fakes, reals in balls bool [M]."""
    check_feature_sets("precision and recall", fake, real)
    real_radii, fake_radii = (neighbor_radii(x, neighbors, half) for x in (real, fake))
    counts, (covered, recalled) = [], torch.zeros(2, len(real), dtype=torch.bool, device=real.device)
    for rows, distances in pairwise_distances(fake, real, half):
        inside = distances <= real_radii
        counts.append(inside.sum(dim=1))
        covered |= inside.any(dim=0)
        recalled |= (distances <= fake_radii[rows, None]).any(dim=0)
    return torch.cat(counts), covered, recalled


def neighbor_radii(features: Tensor, neighbors: int = 3, half: bool = False) -> Tensor:
    """Features [N, D] -> distance of each to its k-th nearest other feature [N]."""
    if not 1 <= neighbors < len(features):
        raise BadInput(f"{neighbors} neighbors among {len(features)} features, wanted at least 1 and fewer")
    blocks = (distances for _, distances in pairwise_distances(features, features, half))
    return torch.cat([block.topk(neighbors + 1, largest=False).values[:, -1] for block in blocks])


def pairwise_distances(a: Tensor, b: Tensor, half: bool = False) -> Iterator[tuple[slice, Tensor]]:
    """Features [N, D], [M, D] -> blocks: rows of a, their Euclidean distances [ROWS, M] to b."""
    if half:
        a, b = (x.half().to(x.dtype) for x in (a, b))
    for start in range(0, len(a), ROWS):
        rows = slice(start, min(start + ROWS, len(a)))
        distances = torch.cdist(a[rows], b)
        yield rows, distances.half().to(distances.dtype) if half else distances


def nearest_neighbors(fake: Tensor, real: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """Features [M, D], [N, D] -> rows int64 [M, k] of the nearest reals, nearest first; distances [M, k]."""
    check_feature_sets("nearest neighbors", fake, real)
    if not 1 <= k <= len(real):
        raise BadInput(f"{k} neighbors among {len(real)} features, wanted 1 to {len(real)}")
    candidates: list[Tensor] = []  # in every block of reals the nearest by cdist
    for start in range(0, len(real), COLUMNS):
        part = real[start : start + COLUMNS]
        blocks = (distances for _, distances in pairwise_distances(fake, part))
        rows = [block.topk(min(k, len(part)), largest=False).indices for block in blocks]
        candidates.append(torch.cat(rows) + start)
    index = torch.cat(candidates, dim=1)
    # from differences in float64: the distance of an exact copy is 0
    exact = [(fake.double() - real[rows].double()).norm(dim=1) for rows in index.unbind(1)]
    distances, order = torch.stack(exact, dim=1).sort(dim=1, stable=True)
    return index.gather(1, order)[:, :k], distances[:, :k]


def memorization(fake: Tensor, real: Tensor, held_out: Tensor | None = None, rare: float = 0.01) -> float:
    """Fraction of fakes [M, D] as close to a real [N, D] as the closest 1 % of held-out images [H, D] are.

    About `rare` for a generator that has learned the distribution, more for one that copies. Without held-out
    images, distances between reals set the threshold, which hides copies where a set repeats itself.
    """
    unseen, k = (real, 2) if held_out is None else (held_out, 1)  # the nearest real to a real is itself
    distances = nearest_neighbors(unseen, real, k)[1][:, -1]
    if len(distances) * rare < 1:
        raise BadInput(f"memorization from {len(distances)} unseen images, wanted at least {round(1 / rare)}")
    # one of the distances, compared with <=: copies count even where reals repeat each other exactly
    threshold = distances.sort().values[int(len(distances) * rare) - 1]
    return float((nearest_neighbors(fake, real)[1][:, 0] <= threshold).double().mean())
