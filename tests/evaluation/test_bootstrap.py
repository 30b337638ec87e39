"""Intervals: where a formula knows them, as often right as they say, and narrow where what they compare is shared."""

import pytest
import torch
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.evaluation.bootstrap import (
    ROWS,
    Interval,
    basic,
    better,
    bootstrap,
    centred,
    counts,
    frechet_resamples,
    indicators,
    kernel_resamples,
    mean_resamples,
    student,
    weighted_moments,
)
from genscene.metrics.frechet import Moments, frechet_distance
from genscene.metrics.kernel import mmd, polynomial_kernel
from genscene.metrics.precision_recall import precision_recall


def test_a_resample_is_rows_drawn_with_replacement():
    drawn = torch.stack(list(counts(500, 40, seed=1)))
    assert (drawn.sum(dim=1) == 500).all()
    assert (drawn == 0).double().mean().item() == pytest.approx(0.368, abs=0.01)  # 1 / e are left out
    assert torch.equal(drawn, torch.stack(list(counts(500, 40, seed=1))))
    assert not torch.equal(drawn, torch.stack(list(counts(500, 40, seed=2))))


def test_the_spread_of_a_mean_is_what_statistics_says():
    x = torch.randn(400, dtype=torch.float64) * 3 + 7
    each = bootstrap(lambda often: float(often.double() @ x) / 400, 400, 800, seed=3)
    assert each.std().item() == pytest.approx(x.std(correction=0).item() / 20, rel=0.08)
    found = mean_resamples([x], 800, seed=3)
    assert_close(found.each.std(), each.std(), rtol=0.1, atol=0)
    width = found.interval(0, 0.95)
    assert width.high - width.low == pytest.approx(2 * 1.96 * 3 / 20, rel=0.15)


def test_an_interval_turns_its_resamples_round():
    each = torch.arange(1.0, 400)  # the 20th smallest of 399 is 20
    assert basic(300.0, each, 0.9) == Interval(600 - 380, 600 - 20)
    assert centred(300.0, each, 0.9) == Interval(300 - 180, 300 + 180)


def test_few_resamples_say_how_far_they_spread():
    for freedom, known in ((38, 2.0244), (99, 1.9842), (10**6, 1.9600)):  # tables of Student's t
        assert student(0.95, freedom) == pytest.approx(known, abs=3e-4)
    each = torch.randn(99, dtype=torch.float64)
    found = centred(5.0, each)
    assert found.high - 5 == pytest.approx(5 - found.low)
    assert found.high - 5 == pytest.approx(1.984467 * each.std().item(), rel=1e-4)


def test_few_resamples_give_steadier_widths_than_their_ends_would():
    few, many = (torch.randn(300, count, dtype=torch.float64) for count in (100, 400))
    ends = few.quantile(
        torch.tensor([0.0202, 0.9798], dtype=torch.float64), dim=1
    )  # of 100, as `centred` has of 200
    quantiles, spread, wide = (
        ends[1] - ends[0],
        *(torch.tensor([(i := centred(0.0, each)).high - i.low for each in rows]) for rows in (few, many)),
    )
    assert spread.std() < 0.9 * quantiles.std()
    assert spread.mean().item() == pytest.approx(wide.mean().item(), rel=0.02)


def test_an_interval_holds_the_mean_of_all_sets_and_not_so_often_another_set():
    """Of means both shares are known: 0.95, and P(|t| < 1.96 / sqrt 2) = 0.834."""
    means, others, held, other = 0.0, torch.randn(600, 100, dtype=torch.float64).mean(dim=1), 0, 0
    for trial, another in enumerate(others.tolist()):
        found = mean_resamples([torch.randn(100)], 200, trial).interval(0)
        held += found.low <= means <= found.high
        other += found.low <= another <= found.high
    assert held / 600 == pytest.approx(0.945, abs=0.025)
    assert other / 600 == pytest.approx(0.834, abs=0.04)


@pytest.mark.parametrize(
    ("resamples", "share", "said"), [(38, 0.95, "39 resamples"), (50, 1.0, "share in"), (0, 0.5, "3")]
)
def test_too_few_resamples_are_refused(resamples, share, said):
    with pytest.raises(BadInput, match=said):
        basic(0.0, torch.zeros(resamples), share)


def test_better_means_that_nothing_is_not_among_what_may_be():
    assert better(Interval(-3, -1))
    assert better(Interval(0.1, 0.2))
    assert not better(Interval(-1, 0.1))
    assert not better(Interval(0, 1))


def test_weights_are_rows_written_out():
    features = torch.randn(ROWS + 300, 6) * 2 + 50
    often = next(counts(len(features), 1, seed=5))
    wanted, found = Moments.of(features.repeat_interleave(often, dim=0)), weighted_moments(features, often)
    assert_close(found.mean, wanted.mean, atol=0, rtol=1e-12)
    assert_close(found.covariance, wanted.covariance, atol=1e-10, rtol=1e-10)


def test_the_frechet_distance_of_sets_as_they_are_and_drawn_again():
    real, fake = torch.randn(300, 5), torch.randn(200, 5) + 1
    found = frechet_resamples([fake, fake[:150]], real, 4, seed=0)
    assert found.each.shape == (2, 4)
    assert found.estimate[0].item() == pytest.approx(frechet_distance(Moments.of(real), Moments.of(fake)))
    assert torch.equal(found.each, frechet_resamples([fake, fake[:150]], real, 4, seed=0).each)
    alone = frechet_resamples([fake[:150]], real, 4, seed=0)
    assert_close(alone.each[0], found.each[1])  # who stands beside it changes nothing


def test_intervals_are_right_as_often_as_they_say():
    """Two Gaussians 8 wide: the distance of the laws is known, the mean at N = 200 is that of all trials."""
    apart, wider, centre, limits, estimates = 0.3, 1.2, [], [], []
    for trial in range(60):
        real, fake = torch.randn(200, 8), torch.randn(200, 8) * wider + apart
        found = frechet_resamples([fake], real, 59, seed=trial)
        estimates.append(float(found.estimate[0]))
        centre.append(found.interval(0, 0.9))
        limits.append(found.limit(0, 0.9))
    law, mean = 8 * apart**2 + 8 * (wider - 1) ** 2, sum(estimates) / 60
    assert mean > law * 1.15  # 200 pictures seem farther away than pictures without end
    assert sum(each.low <= mean <= each.high for each in centre) >= 48
    assert sum(each.low <= law <= each.high for each in limits) >= 48
    assert sum(each.low <= mean <= each.high for each in limits) < 48  # each is an interval of its own thing


def test_what_the_reals_do_to_both_cancels():
    real, latents = torch.randn(150, 4) * 2, torch.randn(150, 4)
    found = frechet_resamples([latents + 1, latents + 1.1], real, 99, seed=1)
    alone, paired = found.interval(1), found.difference(1, 0)
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)
    assert better(paired)
    same = frechet_resamples([latents, latents.clone()], real, 99, seed=1).difference(0, 1)
    assert not better(same)


def test_the_kernel_distance_leaves_out_pairs_with_oneself():
    real, fake = torch.randn(300, 4), torch.randn(250, 4) * 1.1
    found = kernel_resamples([fake], real, 60, seed=2)
    assert found.estimate[0].item() == pytest.approx(mmd(fake, real).item(), abs=1e-9)
    off = (found.each[0].mean() - found.estimate[0]) / found.each[0].std() * 60**0.5
    assert abs(off) < 3
    # with them the bias would be the mean own kernel over N, for each of both sets
    assert polynomial_kernel(real, real).diagonal().mean() / 300 > 3 * found.each[0].std() / 60**0.5


def test_the_kernel_distance_of_a_set_from_itself():
    real, fake = torch.randn(40, 3), torch.randn(40, 3)
    found = kernel_resamples([fake, real], real, 2, seed=2)
    whole = polynomial_kernel(real, real).double()
    assert found.estimate[1].item() == pytest.approx(
        2 * ((whole.sum() - whole.trace()) / (40 * 39) - whole.mean()).item(), abs=1e-6
    )


def test_indicators_are_what_precision_and_recall_count():
    fake, real = torch.randn(120, 4) * 0.8, torch.randn(150, 4)
    inside, reached = indicators(fake, real)
    wanted = precision_recall(fake, real)
    assert inside.double().mean().item() == pytest.approx(wanted.precision)
    assert reached.double().mean().item() == pytest.approx(wanted.recall)
    found = mean_resamples([inside, inside], 100, seed=0)
    assert found.difference(0, 1) == Interval(0, 0)
    assert found.interval(0).low < wanted.precision < found.interval(0).high


def test_sets_that_are_none_are_refused():
    with pytest.raises(BadInput, match="one D"):
        frechet_resamples([torch.zeros(5, 3)], torch.zeros(5, 4), 2, seed=0)
    with pytest.raises(BadInput, match="N at least 2"):
        kernel_resamples([torch.zeros(1, 3)], torch.zeros(5, 3), 2, seed=0)
    with pytest.raises(BadInput, match="at least one generator"):
        mean_resamples([], 2, seed=0)
