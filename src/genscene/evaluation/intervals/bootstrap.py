"""Confidence intervals by the bootstrap (Efron 1979): the rows of a set of features are resampled."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import torch
from torch import Tensor

from genscene.evaluation.report import Interval, Score
from genscene.metrics.frechet import Moments, frechet_distance
from genscene.metrics.kernel import polynomial_kernel
from genscene.metrics.precision_recall import ball_membership
from genscene.metrics.spectrum import spectral_gap, to_decibels
from genscene.randomness import derive_seed

BLOCK = 2048  # rows of features in float64 at once
LEVEL = 0.95  # of intervals
QUANTILES_FROM = 200  # resamples; quantiles of fewer vary more than their standard deviation does
LEAST_IMAGES = 5  # of a side: of fewer, many resamples are copies of one or two images
KERNEL_SCALE = 100  # of kernel distances, as tables have them
REAL_STREAM = 0  # random stream of the real features; that of sets of N fakes is N


@dataclass(frozen=True)
class Resampling:
    """How often features are resampled."""

    count: int = 100  # for Frechet distances; cheaper scores use a multiple of it
    seed: int = 0

    def counts(self, rows: int, times: int = 1, stream: int | None = None) -> Iterator[Tensor]:
        """For `times` as many resamples, how often each of N rows is sampled -> int64 [N], whose sum is N."""
        seed = self.seed if stream is None else derive_seed(self.seed, stream)
        generator = torch.Generator().manual_seed(derive_seed(seed))
        for _ in range(times * self.count):
            yield torch.bincount(torch.randint(rows, (rows,), generator=generator), minlength=rows)

    def paired_counts(
        self, fakes: Sequence[Tensor], reals: int, times: int = 1
    ) -> Iterator[tuple[Tensor, dict[int, Tensor]]]:
        """For each resample: counts of the reals [M], and counts [N] by every size N of a set of fakes.

        Fakes of the same latent codes stay pairs, since sets of equal size are resampled by the same rows.
        """
        streams = {n: self.counts(n, times, stream=n) for n in {len(fake) for fake in fakes}}
        for counts in self.counts(reals, times, stream=REAL_STREAM):
            yield counts, {n: next(stream) for n, stream in streams.items()}


def with_intervals(scores: Sequence[Score], values: Tensor, comparable: Sequence[bool] = ()) -> list[Score]:
    """Scores of G generators with intervals, and whether each is level with the best of those comparable.

    values [G, 1 + R]: scores of the original sets and of R resamples, with the same reals for all generators,
    so that the effect of the reals cancels in differences from the best.
    """
    numbers, found = {i: score.value for i, score in enumerate(scores)}, []
    numbers = {i: numbers[i] for i, each in enumerate(comparable) if each} or numbers
    best = (min if scores[0].better == "low" else max)(numbers, key=numbers.__getitem__)
    for i, score in enumerate(scores):
        shift, interval = score.value - float(values[i, 0]), centered_interval(values[i])
        interval = Interval(interval.low + shift, interval.high + shift)
        level = i != best and centered_interval(values[i] - values[best]).contains(0)
        found.append(replace(score, interval=interval, level=level))
    return found


def centered_interval(values: Tensor) -> Interval:
    """The basic interval (Davison & Hinkley 1997, eq. 5.6) of a value and of R resamples [1 + R].

    The mean of the resamples is moved to the value: the interval is one of the expected score of sets of the
    same sizes, which includes the bias of finite sets.
    """
    estimate, resamples, count = float(values[0]), values[1:], len(values) - 1
    centered = (resamples - resamples.mean()).double()
    if count < QUANTILES_FROM:
        mean, half = float(centered.mean()), student_quantile(count - 1) * float(centered.std())
        return Interval(estimate - (mean + half), estimate - (mean - half))
    # the (R + 1) a-th smallest, and largest
    place = max(0.0, ((count + 1) * (1 - LEVEL) / 2 - 1) / (count - 1))
    low, high = centered.quantile(centered.new_tensor([place, 1 - place])).tolist()
    return Interval(estimate - high, estimate - low)


def student_quantile(freedom: int) -> float:
    """Two-sided quantile of Student's t at the level (Abramowitz & Stegun 1964, eq. 26.7.5)."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2


def resample_frechet(fakes: Sequence[Tensor], real: Tensor, how: Resampling) -> list[Tensor]:
    """Features [N, D] of every generator and [M, D] of the reals -> Frechet distances [G, 1 + R]."""
    values = [[frechet_distance(Moments.of(real), Moments.of(fake)) for fake in fakes]]
    for real_counts, counts in how.paired_counts(fakes, len(real)):
        moments = weighted_moments(real, real_counts)
        resampled = (weighted_moments(fake, counts[len(fake)]) for fake in fakes)
        values.append([frechet_distance(moments, each) for each in resampled])
    return [torch.tensor(values, dtype=torch.float64).mT]


def weighted_moments(features: Tensor, counts: Tensor) -> Moments:
    """Features [N, D], each repeated counts (int64 [N]) times -> the moments of all."""
    chosen, total = counts.nonzero()[:, 0], int(counts.sum())
    origin = features[: min(BLOCK, len(features))].double().mean(dim=0)  # near the mean: squares stay small
    sums, scatter = torch.zeros_like(origin), torch.zeros(len(origin), len(origin), dtype=torch.float64)
    for rows in chosen.split(BLOCK):
        deviations, weight = features[rows].double() - origin, counts[rows].double()[:, None]
        sums += (deviations * weight).sum(dim=0)
        deviations *= weight.sqrt()
        scatter.addmm_(deviations.mT, deviations)
    shift = sums / total
    return Moments(origin + shift, (scatter - total * torch.outer(shift, shift)) / (total - 1))


def resample_kernel(fakes: Sequence[Tensor], real: Tensor, how: Resampling) -> list[Tensor]:
    """Features [N, D] of every generator, [M, D] of the reals -> squared MMD of whole sets x 100 [G, 1 + R].

    Pairs of a row with its own copy are left out, like the diagonal in the unbiased estimate (Gretton et al.
    2012, eq. 3): they would bias the distance upwards.
    """
    counts, values = list(how.paired_counts(fakes, len(real), times=4)), []
    real_weights = _weights(each for each, _ in counts)
    within_real = _mean_within(real, real_weights)
    for fake in fakes:
        weights = _weights(each[len(fake)] for _, each in counts)
        across = _kernel_sums(fake, real, weights, real_weights) / (len(fake) * len(real))
        values.append(KERNEL_SCALE * (_mean_within(fake, weights) + within_real - 2 * across))
    return [torch.stack(values)]


def resample_precision_recall(fakes: Sequence[Tensor], real: Tensor, how: Resampling) -> list[Tensor]:
    """Features [N, D] of every generator, [M, D] of the reals -> precision and recall by fixed balls."""
    counts, _, recalled = zip(*(ball_membership(fake, real) for fake in fakes), strict=True)
    return [resample_means([each > 0 for each in counts], how), resample_means(recalled, how)]


def resample_means(values: Sequence[Tensor], how: Resampling) -> Tensor:
    """Values [N] of every generator -> their means [G, 1 + R]; sets of equal size by the same rows."""
    rows = [each.double() for each in values]
    means = [[float(x.mean()) for x in rows]]
    for _, counts in how.paired_counts(values, 1, times=20):
        means.append([float(counts[len(x)].double() @ x) / len(x) for x in rows])
    return torch.tensor(means, dtype=torch.float64).mT


def resample_spectrum(fakes: Sequence[Tensor], real: Tensor, how: Resampling) -> list[Tensor]:
    """Power spectra [N, D] of every generator, [M, D] of the reals -> spectral gaps; the reals are fixed."""
    target, gaps = to_decibels(real.double().mean(dim=0)), []
    for fake in fakes:
        counts = [torch.ones(len(fake)), *how.counts(len(fake), times=4)]
        means = (each.double() @ fake.double() / each.sum() for each in counts)
        gaps.append([spectral_gap(to_decibels(mean), target) for mean in means])
    return [torch.tensor(gaps, dtype=torch.float64)]


# of the first scores of each definition in the registry -> [G, 1 + R] each
RESAMPLE = {
    "frechet": resample_frechet,
    "kernel": resample_kernel,
    "precision_recall": resample_precision_recall,
    "spectrum": resample_spectrum,
}


def _weights(counts: Iterable[Tensor]) -> Tensor:
    """Counts [N] of R resamples -> float64 [N, 1 + R], the original set first."""
    first, *others = counts
    return torch.stack([torch.ones_like(first), first, *others], dim=1).double()


def _mean_within(x: Tensor, weights: Tensor) -> Tensor:
    """Mean kernel of features [N, D] among themselves without the diagonal, by weights [N, R] -> [R]."""
    pairs = weights.sum(dim=0).square() - weights.square().sum(dim=0)
    return _kernel_sums(x, x, weights, weights, diagonal=False) / pairs.clamp_min(1)  # 0: copies of one row


def _kernel_sums(x: Tensor, y: Tensor, left: Tensor, right: Tensor, diagonal: bool = True) -> Tensor:
    """Sums of the kernel of features [N, D], [M, D], weighted by [N, R], [M, R] -> [R]."""
    total, columns = torch.zeros(left.shape[1], dtype=torch.float64), y.double()
    for start in range(0, len(x), BLOCK):
        products = polynomial_kernel(x[start : start + BLOCK].double(), columns)
        if not diagonal:
            products.diagonal(offset=start).zero_()
        total += (left[start : start + BLOCK] * (products @ right)).sum(dim=0)
    return total
