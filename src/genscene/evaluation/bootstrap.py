"""Confidence intervals by the bootstrap (Efron 1979): the rows of a sample are resampled with replacement."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.evaluation.report import Interval, Score
from genscene.metrics.frechet import Moments, frechet
from genscene.metrics.kid import kernel
from genscene.metrics.manifold import distances, radii
from genscene.randomness import mix

BLOCK_ROWS = 2048  # of features in float64 at once
LEVEL = 0.95
QUANTILES_FROM = (
    200  # resamples; fewer give steadier ends by their standard deviation than by their quantiles
)
REAL_STREAM = 0  # random stream of the real features; sets of N fakes use stream N


@dataclass(frozen=True)
class Resampling:
    """How often features are resampled."""

    count: int = 100  # for Frechet distances; cheaper scores use a multiple of it
    seed: int = 0


@dataclass(frozen=True)
class Resampled:
    """A score of G generators and its values on R resamples, all generators against the same resampled reals."""

    estimate: Tensor  # [G]
    resamples: Tensor  # [G, R]

    def interval(self, i: int, level: float = LEVEL) -> Interval:
        """The interval of generator i."""
        return centered_interval(float(self.estimate[i]), self.resamples[i], level)

    def difference(self, i: int, j: int, level: float = LEVEL) -> Interval:
        """The interval of the score of i minus that of j: paired, so the effect of the reals on both cancels."""
        estimate = float(self.estimate[i] - self.estimate[j])
        return centered_interval(estimate, self.resamples[i] - self.resamples[j], level)

    def attach(self, scores: Sequence[Score]) -> list[Score]:
        """Scores of G generators -> the same with intervals, and whether each is level with the best.

        The interval is shifted by the difference where a score is another estimate of the resampled quantity.
        """
        values = [score.value for score in scores]
        best = values.index(min(values) if scores[0].better == "low" else max(values))
        found = []
        for i, score in enumerate(scores):
            shift, interval = score.value - float(self.estimate[i]), self.interval(i)
            level = i != best and not excludes_zero(self.difference(i, best))
            found.append(
                replace(score, interval=Interval(interval.low + shift, interval.high + shift), level=level)
            )
        return found


def centered_interval(estimate: float, resamples: Tensor, level: float = LEVEL) -> Interval:
    """The basic interval (Davison & Hinkley 1997, eq. 5.6) of resamples [R], after their mean is moved to the estimate.

    It is an interval of the expected score of sets of the same sizes, including the bias of finite sets. Of means it
    contains that expectation about as often as its level says, and the score of one other set 0.84 times at 0.95.
    """
    low, high = _quantiles(resamples - resamples.mean(), level)
    return Interval(estimate - high, estimate - low)


def excludes_zero(difference: Interval) -> bool:
    """Whether two scores differ significantly, by the interval of their paired difference."""
    return difference.low > 0 or difference.high < 0


def student_quantile(level: float, freedom: int) -> float:
    """Two-sided quantile of Student's t (Abramowitz & Stegun 1964, eq. 26.7.5)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2


def resample_counts(rows: int, resamples: int, seed: int) -> Iterator[Tensor]:
    """For each resample, how often each of N rows is sampled -> int64 [N], whose sum is N."""
    stream = torch.Generator().manual_seed(mix(seed))
    for _ in range(resamples):
        yield torch.bincount(torch.randint(rows, (rows,), generator=stream), minlength=rows)


def bootstrap(statistic: Callable[[Tensor], float], rows: int, resamples: int, seed: int) -> Tensor:
    """A function of counts int64 [N] -> its values on resamples [R]."""
    values = [statistic(counts) for counts in resample_counts(rows, resamples, seed)]
    return torch.tensor(values, dtype=torch.float64)


def resample_frechet(fakes: Sequence[Tensor], real: Tensor, resamples: int, seed: int) -> Resampled:
    """Features [N, D] of every generator and [M, D] of the reals -> Frechet distances, in float64.

    Sets of equal size are resampled by the same rows, so that fakes of the same latent codes stay pairs.
    """
    _check(fakes, real)
    moments, values = Moments.of(real), []
    estimate = [frechet(moments, Moments.of(fake)) for fake in fakes]
    for real_counts, counts in _paired_counts([len(fake) for fake in fakes], len(real), resamples, seed):
        reals = weighted_moments(real, real_counts)
        values.append([frechet(reals, weighted_moments(fake, counts[len(fake)])) for fake in fakes])
    return Resampled(_float64(estimate), _float64(values).mT)


def weighted_moments(features: Tensor, counts: Tensor) -> Moments:
    """Features [N, D], each repeated counts (int64 [N]) times -> the moments of all."""
    chosen, total = counts.nonzero()[:, 0], int(counts.sum())
    origin = (
        features[: min(BLOCK_ROWS, len(features))].double().mean(dim=0)
    )  # near the mean: squares stay small
    sums, scatter = torch.zeros_like(origin), torch.zeros(len(origin), len(origin), dtype=torch.float64)
    for rows in chosen.split(BLOCK_ROWS):
        deviations, weight = features[rows].double() - origin, counts[rows].double()[:, None]
        sums += (deviations * weight).sum(dim=0)
        deviations *= weight.sqrt()
        scatter.addmm_(deviations.mT, deviations)
    shift = sums / total
    return Moments(origin + shift, (scatter - total * torch.outer(shift, shift)) / (total - 1))


def resample_kernel(fakes: Sequence[Tensor], real: Tensor, resamples: int, seed: int) -> Resampled:
    """Features [N, D] of every generator and [M, D] of the reals -> squared MMD of whole sets.

    Pairs of a row with its own copy are left out, as the unbiased estimate leaves out the diagonal (Gretton et al.
    2012, eq. 3): they would bias the distance upwards. Each product of features is computed once for all resamples.
    """
    _check(fakes, real)
    counts = list(_paired_counts([len(fake) for fake in fakes], len(real), resamples, seed))
    real_weights = _weights([each for each, _ in counts], len(real))
    within_real, values = _mean_within(real, real_weights), []
    for fake in fakes:
        weights = _weights([others[len(fake)] for _, others in counts], len(fake))
        across = _kernel_sums(fake, real, weights, real_weights) / (len(fake) * len(real))
        values.append(_mean_within(fake, weights) + within_real - 2 * across)
    every = torch.stack(values)
    return Resampled(every[:, 0], every[:, 1:])


def resample_means(values: Sequence[Tensor], resamples: int, seed: int) -> Resampled:
    """Values [N] of every generator, one per image -> their means; sets of equal size by the same rows."""
    lengths = [len(each) for each in values]
    if not lengths or min(lengths) < 1:
        raise BadInput(f"means of {lengths} values, wanted at least one generator and one value of each")
    rows = [each.double() for each in values]
    paired = (counts for _, counts in _paired_counts(lengths, 1, resamples, seed))
    means = [[float(counts[len(x)].double() @ x) / len(x) for x in rows] for counts in paired]
    return Resampled(_float64([float(x.mean()) for x in rows]), _float64(means).mT)


def precision_recall_indicators(fake: Tensor, real: Tensor, neighbors: int = 3) -> tuple[Tensor, Tensor]:
    """Features [N, D], [M, D] -> whether each fake is inside a real's ball [N], each real inside a fake's ball [M].

    Their means are precision and recall (Kynkaanniemi et al. 2019, eq. 2). Resampling them leaves the balls fixed.
    """
    real_radii, fake_radii = radii(real, neighbors), radii(fake, neighbors)
    precise, recalled = [], torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for rows, block in distances(fake, real):
        precise.append((block <= real_radii).any(dim=1))
        recalled |= (block <= fake_radii[rows, None]).any(dim=0)
    return torch.cat(precise), recalled


def _quantiles(resamples: Tensor, level: float) -> tuple[float, float]:
    """The (R + 1) a-th smallest and largest of resamples [R], or Student's t interval where they are few."""
    tail, count = (1 - level) / 2, len(resamples)
    if not 0 < level < 1 or (count + 1) * tail < 1 - 1e-9:
        least = "" if not 0 < level < 1 else f" and at least {round(1 / tail) - 1} resamples for it"
        raise BadInput(
            f"an interval of level {level:g} from {count} resamples, wanted a level in (0, 1){least}"
        )
    if count < QUANTILES_FROM:
        mean, half = float(resamples.double().mean()), float(resamples.double().std())
        half *= student_quantile(level, count - 1)
        return mean - half, mean + half
    place = max(0.0, ((count + 1) * tail - 1) / (count - 1))
    ends = resamples.new_tensor([place, 1 - place], dtype=torch.float64)
    low, high = resamples.double().quantile(ends).tolist()
    return low, high


def _paired_counts(
    lengths: list[int], reals: int, resamples: int, seed: int
) -> Iterator[tuple[Tensor, dict[int, Tensor]]]:
    """For each resample: counts of the reals [M], and counts [N] by every size N of a set of fakes."""
    streams = {n: resample_counts(n, resamples, mix(seed, n)) for n in set(lengths)}
    for counts in resample_counts(reals, resamples, mix(seed, REAL_STREAM)):
        yield counts, {n: next(stream) for n, stream in streams.items()}


def _weights(counts: list[Tensor], rows: int) -> Tensor:
    """Counts [N] of R resamples -> float64 [N, 1 + R], the original set first."""
    return torch.stack([torch.ones(rows, dtype=torch.int64), *counts], dim=1).double()


def _mean_within(x: Tensor, weights: Tensor) -> Tensor:
    """Mean kernel of features [N, D] among themselves without the diagonal, for each of weights [N, R] -> [R]."""
    pairs = weights.sum(dim=0).square() - weights.square().sum(dim=0)
    return _kernel_sums(x, x, weights, weights, diagonal=False) / pairs


def _kernel_sums(x: Tensor, y: Tensor, left: Tensor, right: Tensor, diagonal: bool = True) -> Tensor:
    """Sums of the kernel of features [N, D], [M, D], weighted by [N, R], [M, R] -> [R]."""
    total, columns = torch.zeros(left.shape[1], dtype=torch.float64), y.double()
    for start in range(0, len(x), BLOCK_ROWS):
        products = kernel(x[start : start + BLOCK_ROWS].double(), columns)
        if not diagonal:
            products.diagonal(offset=start).zero_()
        total += (left[start : start + BLOCK_ROWS] * (products @ right)).sum(dim=0)
    return total


def _float64(numbers: list[float] | list[list[float]]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def _check(fakes: Sequence[Tensor], real: Tensor) -> None:
    shapes = [tuple(x.shape) for x in (*fakes, real)]
    if not fakes or any(len(s) != 2 or s[0] < 2 or s[1] != shapes[-1][-1] for s in shapes):
        raise BadInput(f"sets of features of shapes {shapes}, wanted [N, D] with one D and N at least 2")
