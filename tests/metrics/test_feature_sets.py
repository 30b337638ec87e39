"""Distances between sets of features: zero where they must be, known where a formula knows them, whole or streamed."""

import math

import pytest
import torch
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.metrics.frechet import Moments, Tally, frechet
from genscene.metrics.inception_score import inception_score
from genscene.metrics.kid import discrepancy, kernel, kid
from genscene.metrics.manifold import ROWS, manifold, radii


def test_a_set_is_at_no_distance_from_itself():
    moments = Moments.of(torch.randn(200, 16) * 5)
    assert abs(frechet(moments, moments)) < 1e-6 * moments.covariance.trace()


def test_gaussians_are_as_far_apart_as_the_formula_says():
    one = Moments(torch.zeros(3).double(), torch.diag(torch.tensor([1.0, 4.0, 9.0])).double())
    other = Moments(torch.tensor([2.0, 0, 0]).double(), torch.diag(torch.tensor([4.0, 4.0, 1.0])).double())
    assert frechet(one, other) == pytest.approx(
        4 + 1 + 0 + 4
    )  # where axes are shared: (a - b)^2 of the deviations
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    turned = (Moments(turn @ m.mean, turn @ m.covariance @ turn.mT) for m in (one, other))
    assert frechet(*turned) == pytest.approx(9)


def test_fewer_features_than_numbers_still_have_a_distance():
    one, other = torch.randn(10, 40), torch.randn(12, 40) + 1
    a, b = Moments.of(one), Moments.of(other)
    products = torch.linalg.eigvals(a.covariance @ b.covariance).real.clamp_min(0).sqrt().sum()
    wanted = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * products
    assert frechet(a, b) == pytest.approx(float(wanted), abs=1e-4)
    assert abs(frechet(a, a)) < 1e-4
    assert frechet(a, b) == pytest.approx(frechet(b, a), abs=1e-5)
    flat = Moments.of(torch.ones(5, 4))
    assert frechet(flat, flat) == 0


def test_streamed_moments_are_whole_ones():
    features = torch.randn(101, 8, dtype=torch.float64) * 3 + 100
    whole, streamed = Moments.of(features), Moments.over(iter(features.split([1, 40, 7, 53])))
    assert_close(streamed.mean, whole.mean, atol=0, rtol=1e-13)
    assert_close(streamed.covariance, whole.covariance, atol=1e-11, rtol=1e-11)
    assert_close(whole.covariance, torch.cov(features.mT), atol=1e-11, rtol=1e-11)
    merged = Tally.of(features[60:]).merged(Tally.of(features[:60])).moments()
    assert_close(merged.covariance, whole.covariance, atol=1e-11, rtol=1e-11)


def test_moments_want_enough_features_of_one_width():
    for wrong in ([], [torch.zeros(1, 3)], [torch.zeros(0, 3)], [torch.zeros(3)]):
        with pytest.raises(BadInput):
            Moments.over(wrong)
    with pytest.raises(BadInput, match="3 numbers beside features of 4"):
        frechet(Moments.of(torch.randn(5, 3)), Moments.of(torch.randn(5, 4)))


def test_the_kernel_distance_is_unbiased():
    found = kid(torch.randn(400, 8), torch.randn(400, 8), subsets=60, size=50)
    assert abs(found.mean) < 2 * found.deviation / math.sqrt(400 / 50)
    assert kid(torch.randn(400, 8), torch.randn(400, 8) + 1, subsets=20, size=50).mean > 0.5
    x = torch.randn(60, 8)
    assert discrepancy(x, x, unbiased=False).abs() < 1e-12
    assert discrepancy(x, x) < 0  # what is shared counts in the cross term alone


def test_the_kernel_distance_draws_the_same_subsets_again():
    fake, real = torch.randn(90, 5), torch.randn(70, 5)
    assert torch.equal(kid(fake, real, 3, 40).each, kid(fake, real, 3, 40).each)
    assert not torch.equal(kid(fake, real, 3, 40).each, kid(fake, real, 3, 40, seed=1).each)
    assert torch.isfinite(kid(fake, real, 2).each).all()  # subsets as large as the smaller set
    assert kernel(torch.ones(1, 5), torch.ones(1, 5)).item() == pytest.approx(8)
    with pytest.raises(BadInput, match=r"\[1, 5\] and \[70, 5\]"):
        kid(fake[:1], real)


def test_identical_sets_are_precise_and_recalled():
    x = torch.randn(200, 5)
    found = manifold(x, x.clone())
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert found.density > 1  # a picture lies in its own ball besides those of its neighbours


def test_far_sets_share_nothing():
    found = manifold(torch.randn(50, 5), torch.randn(60, 5) + 100)
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)


def test_one_mode_is_precise_but_not_recalled():
    real = torch.cat([torch.randn(100, 4), torch.randn(100, 4) + 50])
    found = manifold(torch.randn(150, 4) * 0.5, real)
    assert found.precision > 0.9
    assert found.recall <= 0.5
    assert found.coverage <= 0.5
    assert manifold(real, real[:100]).precision <= 0.6


def test_neighbours_are_counted_without_oneself():
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0], [15.0]])
    assert_close(radii(line, 1), torch.tensor([1.0, 1, 2, 4, 8]))
    assert_close(radii(line, 3), torch.tensor([7.0, 6, 4, 7, 14]))
    with pytest.raises(BadInput, match="wanted more features"):
        radii(line, 5)


def test_many_features_are_taken_in_parts():
    x, y = torch.randn(ROWS + 50, 2), torch.randn(ROWS + 10, 2)
    apart = torch.cdist(x, y)
    found = manifold(x, y)
    assert found.precision == pytest.approx((apart <= radii(y)).any(1).float().mean().item())
    assert found.recall == pytest.approx((apart <= radii(x)[:, None]).any(0).float().mean().item())


def test_the_inception_score_counts_classes():
    sure = torch.eye(5).repeat(20, 1) * 1000
    assert inception_score(sure, parts=1).mean == pytest.approx(5)
    assert inception_score(torch.ones(40, 7)).mean == pytest.approx(1)
    assert inception_score(torch.ones(40, 7)).deviation == pytest.approx(0, abs=1e-12)
    with pytest.raises(BadInput, match="3 pictures in 10 parts"):
        inception_score(torch.ones(3, 7))
