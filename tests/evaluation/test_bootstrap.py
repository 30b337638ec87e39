"""Bootstrap intervals have the coverage that theory predicts; paired differences cancel the reals."""

import pytest
import torch
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.evaluation.intervals.bootstrap import (
    BLOCK,
    Resampling,
    centered_interval,
    resample_frechet,
    resample_kernel,
    resample_means,
    resample_precision_recall,
    student_quantile,
    weighted_moments,
    with_intervals,
)
from genscene.evaluation.report import Interval, Score
from genscene.metrics.frechet import Moments, frechet_distance
from genscene.metrics.kernel import mmd, polynomial_kernel
from genscene.metrics.precision_recall import precision_recall


def scores(better, *values):
    return [Score("x", "a score", value, better) for value in values]


def with_value(value, resamples):
    """A value before its resamples [R] -> [1 + R]."""
    return torch.cat([resamples.new_tensor([value]), resamples])


def interval(values):
    """The interval of the first generator."""
    return centered_interval(values[0])


def difference(values, i, j):
    """The interval of a paired difference of two generators."""
    return centered_interval(values[i] - values[j])


def test_rows_are_sampled_with_replacement():
    counts = torch.stack(list(Resampling(40, 1).counts(500)))
    assert (counts.sum(dim=1) == 500).all()
    assert (counts == 0).double().mean().item() == pytest.approx(0.368, abs=0.01)  # 1 / e are left out
    assert torch.equal(counts, torch.stack(list(Resampling(40, 1).counts(500))))
    assert not torch.equal(counts, torch.stack(list(Resampling(40, 2).counts(500))))


def test_the_spread_of_a_mean_is_its_standard_error():
    x = torch.randn(400, dtype=torch.float64) * 3 + 7
    found = resample_means([x], Resampling(40, seed=3))
    assert found.shape == (1, 1 + 800)
    assert found[0, 1:].std().item() == pytest.approx(x.std(correction=0).item() / 20, rel=0.1)
    width = interval(found)
    assert width.high - width.low == pytest.approx(2 * 1.96 * 3 / 20, rel=0.15)


def test_the_ends_are_quantiles_of_many_resamples():
    resamples = torch.arange(1.0, 400)  # the 10th smallest of 399 is 10
    assert centered_interval(with_value(300.0, resamples)) == Interval(300 - 190, 300 + 190)


def test_the_ends_of_few_resamples_are_student_quantiles():
    for freedom, known in ((38, 2.0244), (99, 1.9842), (10**6, 1.9600)):  # tables of Student's t
        assert student_quantile(freedom) == pytest.approx(known, abs=3e-4)
    resamples = torch.randn(99, dtype=torch.float64)
    found = centered_interval(with_value(5.0, resamples))
    assert found.high - 5 == pytest.approx(5 - found.low)
    assert found.high - 5 == pytest.approx(1.984467 * resamples.std().item(), rel=1e-4)


def test_student_quantiles_of_few_resamples_are_steadier_than_their_ends():
    few, many = (torch.randn(300, count, dtype=torch.float64) for count in (100, 400))
    ends = few.quantile(torch.tensor([0.0202, 0.9798], dtype=torch.float64), dim=1)
    quantiles = ends[1] - ends[0]
    student, wide = (
        torch.tensor([(i := centered_interval(with_value(0.0, each))).high - i.low for each in rows])
        for rows in (few, many)
    )
    assert student.std() < 0.9 * quantiles.std()
    assert student.mean().item() == pytest.approx(wide.mean().item(), rel=0.02)


def test_coverage_of_the_expectation_and_of_another_set():
    """Of means both are known: 0.95, and P(|t| < 1.96 / sqrt 2) = 0.834."""
    others, covered, other = torch.randn(600, 100, dtype=torch.float64).mean(dim=1), 0, 0
    for trial, another in enumerate(others.tolist()):
        found = interval(resample_means([torch.randn(100)], Resampling(10, trial)))
        covered += found.contains(0)
        other += found.contains(another)
    assert covered / 600 == pytest.approx(0.945, abs=0.025)
    assert other / 600 == pytest.approx(0.834, abs=0.04)


def test_a_score_is_level_unless_the_difference_excludes_zero():
    noise, others = torch.randn(2, 400)
    paired = torch.stack([with_value(1.0, 1.0 + noise), with_value(1.01, 1.01 + noise)])
    one, other = with_intervals(scores("low", 1.02, 1.0), paired)
    assert not other.level  # the best
    assert not one.level  # paired differences do not vary
    assert not with_intervals(scores("high", 1.02, 1.0), paired)[0].level
    independent = torch.stack([with_value(1.0, noise), with_value(1.01, others)])
    assert [each.level for each in with_intervals(scores("low", 1.0, 1.01), independent)] == [False, True]


def test_an_interval_is_shifted_to_the_score():
    spread = torch.linspace(-0.1, 0.1, 41)
    resampled = torch.stack([with_value(1.0, 1.0 + spread), with_value(2.0, 2.0 + spread)])
    plain, shifted = (
        with_intervals(scores("low", *values), resampled) for values in ((1.0, 2.0), (3.0, 4.0))
    )
    for one, other in zip(plain, shifted, strict=True):
        assert other.value - one.value == pytest.approx(2)
        assert other.interval.low - one.interval.low == pytest.approx(2)
        assert other.interval.high - one.interval.high == pytest.approx(2)


def test_weighted_moments_are_those_of_repeated_rows():
    features = torch.randn(BLOCK + 300, 6) * 2 + 50
    counts = next(Resampling(1, 5).counts(len(features)))
    wanted = Moments.of(features.repeat_interleave(counts, dim=0))
    found = weighted_moments(features, counts)
    assert_close(found.mean, wanted.mean, atol=0, rtol=1e-12)
    assert_close(found.covariance, wanted.covariance, atol=1e-10, rtol=1e-10)


def test_frechet_distances_of_the_sets_and_of_resamples():
    real, fake, how = torch.randn(300, 5), torch.randn(200, 5) + 1, Resampling(4)
    (found,) = resample_frechet([fake, fake[:150]], real, how)
    assert found.shape == (2, 1 + 4)
    assert found[0, 0].item() == pytest.approx(frechet_distance(Moments.of(real), Moments.of(fake)))
    assert torch.equal(found, resample_frechet([fake, fake[:150]], real, how)[0])
    (alone,) = resample_frechet([fake[:150]], real, how)
    assert_close(alone[0], found[1])  # other generators change nothing


def test_frechet_intervals_cover_the_expected_distance():
    """Two Gaussians of width 8: the limit is known, the mean at N = 200 is that of all trials."""
    shift, scale, intervals, estimates = 0.3, 1.2, [], []
    for trial in range(60):
        real, fake = torch.randn(200, 8), torch.randn(200, 8) * scale + shift
        (found,) = resample_frechet([fake], real, Resampling(59, trial))
        estimates.append(float(found[0, 0]))
        intervals.append(interval(found))
    limit, mean = 8 * shift**2 + 8 * (scale - 1) ** 2, sum(estimates) / 60
    assert mean > limit * 1.15  # the distance of 200 images is biased upwards
    assert sum(each.contains(mean) for each in intervals) >= 52


def test_the_effect_of_the_reals_cancels_in_differences():
    real, latents, how = torch.randn(150, 4) * 2, torch.randn(150, 4), Resampling(99, 1)
    (found,) = resample_frechet([latents + 1, latents + 1.1], real, how)
    alone, paired = centered_interval(found[1]), difference(found, 1, 0)
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)
    assert not paired.contains(0)
    assert difference(resample_frechet([latents, latents.clone()], real, how)[0], 0, 1).contains(0)


def test_the_kernel_distance_leaves_out_pairs_of_a_row_with_itself():
    real, fake = torch.randn(300, 4), torch.randn(250, 4) * 1.1
    (found,) = resample_kernel([fake], real, Resampling(15, 2))
    assert found[0, 0].item() == pytest.approx(100 * mmd(fake, real).item(), abs=1e-7)
    bias = (found[0, 1:].mean() - found[0, 0]) / found[0, 1:].std() * 60**0.5
    assert abs(bias) < 3
    # with them the bias would be the mean of the diagonal over N, for each of both sets
    diagonal = polynomial_kernel(real, real).diagonal().mean()
    assert 100 * diagonal / 300 > 3 * found[0, 1:].std() / 60**0.5


def test_the_kernel_distance_of_a_set_from_itself():
    real, fake = torch.randn(40, 3), torch.randn(40, 3)
    (found,) = resample_kernel([fake, real], real, Resampling(1, 2))
    whole = polynomial_kernel(real, real).double()
    wanted = 2 * ((whole.sum() - whole.trace()) / (40 * 39) - whole.mean())
    assert found[1, 0].item() == pytest.approx(100 * wanted.item(), abs=1e-4)


def test_precision_and_recall_are_means_of_indicators():
    fake, real = torch.randn(120, 4) * 0.8, torch.randn(150, 4)
    precision, recall = resample_precision_recall([fake, fake], real, Resampling(5))
    wanted = precision_recall(fake, real)
    assert precision[0, 0].item() == pytest.approx(wanted.precision)
    assert recall[0, 0].item() == pytest.approx(wanted.recall)
    assert difference(precision, 0, 1) == Interval(0, 0)
    assert interval(precision).low < wanted.precision < interval(precision).high


def test_features_of_different_widths_are_refused():
    with pytest.raises(BadInput, match="features of 4 and of 3 numbers"):
        resample_frechet([torch.zeros(5, 3)], torch.zeros(5, 4), Resampling(2))
