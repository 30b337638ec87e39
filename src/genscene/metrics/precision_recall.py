"""Nearest-neighbor metrics: precision and recall, density and coverage, memorization.

Precision and recall are those of Kynkaanniemi et al. 2019, density and coverage those of Naeem et al. 2020.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.metrics.subsets import check_feature_sets

ROWS, COLUMNS = 2048, 8192  # of a block of distances
RARE = 0.01  # quantile of unseen images that counts as memorized


@dataclass(frozen=True)
class PrecisionRecall:
    """Fractions, each in [0, 1] except density, which is at least 0."""

    precision: float  # of fakes inside a ball around any real
    recall: float  # of reals inside a ball around any fake
    density: float  # mean number of real balls that a fake lies in, divided by the number of neighbors
    coverage: float  # of reals whose ball contains a fake


def precision_recall(
    fake: Tensor, real: Tensor, neighbors: int = 3, half_precision: bool = False
) -> PrecisionRecall:
    """Features [N, D], [M, D] -> fractions; balls reach to the k-th nearest neighbor in the same set.

    half_precision: round features and distances to float16, as StyleGAN3's metrics do.
    """
    counts, covered, recalled = ball_membership(fake, real, neighbors, half_precision)
    precise, coverage, recall = (int((x > 0).sum()) / len(x) for x in (counts, covered, recalled))
    return PrecisionRecall(precise, recall, int(counts.sum()) / (neighbors * len(fake)), coverage)


def ball_membership(
    fake: Tensor, real: Tensor, neighbors: int = 3, half_precision: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Features [N, D], [M, D] -> in how many balls of reals each fake is, int64 [N]; whether the ball of each
    real contains a fake, and whether each real is in a ball of a fake, bool [M].
    """
    check_feature_sets("precision and recall", fake, real)
    real_radii, fake_radii = (neighbor_radii(x, neighbors, half_precision) for x in (real, fake))
    counts, (covered, recalled) = [], torch.zeros(2, len(real), dtype=torch.bool, device=real.device)
    for rows, distances in pairwise_distances(fake, real, half_precision):
        inside = distances <= real_radii
        counts.append(inside.sum(dim=1))
        covered |= inside.any(dim=0)
        recalled |= (distances <= fake_radii[rows, None]).any(dim=0)
    return torch.cat(counts), covered, recalled


def neighbor_radii(features: Tensor, neighbors: int = 3, half_precision: bool = False) -> Tensor:
    """Features [N, D] -> distance of each to its k-th nearest other feature [N]."""
    if not 1 <= neighbors < len(features):
        wanted = "wanted at least 1 and more features than neighbors"
        raise BadInput(f"{neighbors} neighbors among {len(features)} features, {wanted}")
    blocks = (distances for _, distances in pairwise_distances(features, features, half_precision))
    return torch.cat([block.topk(neighbors + 1, largest=False).values[:, -1] for block in blocks])


def pairwise_distances(a: Tensor, b: Tensor, half_precision: bool = False) -> Iterator[tuple[slice, Tensor]]:
    """Features [N, D], [M, D] -> blocks: rows of a, their Euclidean distances [ROWS, M] to b."""
    if half_precision:
        a, b = (x.half().to(x.dtype) for x in (a, b))
    for start in range(0, len(a), ROWS):
        rows = slice(start, min(start + ROWS, len(a)))
        distances = torch.cdist(a[rows], b)
        yield rows, distances.half().to(distances.dtype) if half_precision else distances


def nearest_neighbors(fake: Tensor, real: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """Features [M, D], [N, D] -> rows int64 [M, k] of the nearest reals, nearest first; distances [M, k].

    Distances are computed from differences in float64, so that of an exact copy is 0.
    """
    if fake.dim() != 2 or real.dim() != 2 or fake.shape[1] != real.shape[1] or not len(fake):
        shapes = f"{list(fake.shape)} among {list(real.shape)}"
        raise BadInput(f"nearest neighbors of features {shapes}, wanted [M, D] among [N, D], M at least 1")
    if not 1 <= k <= len(real):
        raise BadInput(f"{k} neighbors among {len(real)} features, wanted 1 to {len(real)}")
    index = torch.empty(len(fake), 0, dtype=torch.int64, device=fake.device)
    distances = torch.empty(len(fake), 0, dtype=torch.float64, device=fake.device)
    for start in range(0, len(real), COLUMNS):
        part = real[start : start + COLUMNS]
        blocks = pairwise_distances(fake, part)
        rows = torch.cat([block.topk(min(k, len(part)), largest=False).indices for _, block in blocks])
        exact = [(fake.double() - part[column].double()).norm(dim=1) for column in rows.unbind(1)]
        index = torch.cat([index, rows + start], dim=1)
        distances, order = torch.cat([distances, torch.stack(exact, dim=1)], dim=1).sort(dim=1, stable=True)
        distances, index = distances[:, :k], index.gather(1, order)[:, :k]
    return index, distances


def memorization(fake: Tensor, real: Tensor, held_out: Tensor | None = None, rare: float = RARE) -> float:
    """Fraction of fakes [M, D] as close to a real [N, D] as the closest 1 % of held-out images [H, D] are.

    A generator that has learned the distribution scores about `rare`, one that copies far more. Near 0 is
    no merit: the fakes are farther from the reals than photographs are. Without held-out images, distances
    between reals set the threshold, which hides copies where a set repeats itself (frames of one film).
    """
    if held_out is None:
        nearest = nearest_neighbors(real, real, 2)[1][:, 1]
    else:
        nearest = nearest_neighbors(held_out, real)[1][:, 0]
    if len(nearest) * rare < 1:
        wanted = f"wanted at least {round(1 / rare)} for a quantile of {rare:g}"
        raise BadInput(f"memorization from {len(nearest)} unseen images, {wanted}")
    # one of the distances, compared with <=: copies count even where reals repeat each other exactly
    threshold = nearest.sort().values[int(len(nearest) * rare) - 1]
    return float((nearest_neighbors(fake, real)[1][:, 0] <= threshold).double().mean())
