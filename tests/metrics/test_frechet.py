"""The Frechet distance where a formula gives it, and moments computed at once or merged."""

from functools import reduce

import pytest
import torch
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.metrics.frechet import Moments, RunningMoments, frechet_distance


def test_frechet_distance_of_equal_sets_is_zero():
    moments = Moments.of(torch.randn(200, 16) * 5)
    assert abs(frechet_distance(moments, moments)) < 1e-6 * moments.covariance.trace()


def test_frechet_distance_of_gaussians_follows_the_formula():
    one = Moments(torch.zeros(3).double(), torch.diag(torch.tensor([1.0, 4.0, 9.0])).double())
    other = Moments(torch.tensor([2.0, 0, 0]).double(), torch.diag(torch.tensor([4.0, 4.0, 1.0])).double())
    # with common axes: the squared distance of means and of deviations
    assert frechet_distance(one, other) == pytest.approx(4 + 1 + 0 + 4)
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    rotated = (Moments(rotation @ m.mean, rotation @ m.covariance @ rotation.mT) for m in (one, other))
    assert frechet_distance(*rotated) == pytest.approx(9)


def test_frechet_distance_with_fewer_features_than_dimensions():
    one, other = torch.randn(10, 40), torch.randn(12, 40) + 1
    a, b = Moments.of(one), Moments.of(other)
    products = torch.linalg.eigvals(a.covariance @ b.covariance).real.clamp_min(0).sqrt().sum()
    wanted = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * products
    assert frechet_distance(a, b) == pytest.approx(float(wanted), abs=1e-4)
    assert abs(frechet_distance(a, a)) < 1e-4
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), abs=1e-5)
    flat = Moments.of(torch.ones(5, 4))
    assert frechet_distance(flat, flat) == 0


def test_merged_moments_are_those_of_the_union():
    features = torch.randn(101, 8, dtype=torch.float64) * 3 + 100
    whole, parts = Moments.of(features), map(RunningMoments.of, features.split([1, 40, 7, 53]))
    merged = reduce(RunningMoments.merged, parts).moments()
    assert_close(merged.mean, whole.mean, atol=0, rtol=1e-13)
    assert_close(merged.covariance, whole.covariance, atol=1e-11, rtol=1e-11)
    assert_close(whole.covariance, torch.cov(features.mT), atol=1e-11, rtol=1e-11)
    merged = RunningMoments.of(features[60:]).merged(RunningMoments.of(features[:60])).moments()
    assert_close(merged.covariance, whole.covariance, atol=1e-11, rtol=1e-11)
    population = RunningMoments.of(features).moments(ddof=0)
    assert_close(population.covariance, torch.cov(features.mT, correction=0), atol=1e-11, rtol=1e-11)


def test_moments_need_enough_features_of_one_width():
    for wrong in (torch.zeros(1, 3), torch.zeros(0, 3), torch.zeros(3)):
        with pytest.raises(BadInput):
            Moments.of(wrong)
    with pytest.raises(BadInput, match="features of 3 and of 4 numbers"):
        frechet_distance(Moments.of(torch.randn(5, 3)), Moments.of(torch.randn(5, 4)))
