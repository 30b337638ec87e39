"""Inputs that metrics cannot be computed from are refused in one line."""

import pytest
import torch

from genscene.errors import BadInput
from genscene.metrics.frechet import Moments, frechet_distance
from genscene.metrics.image import ssim
from genscene.metrics.kernel import cmmd, kernel_distance
from genscene.metrics.lpips import LPIPS
from genscene.metrics.networks.backbones import squeezenet
from genscene.metrics.precision_recall import precision_recall


def test_subsets_as_large_as_a_set_have_no_deviation():
    fake, real = torch.randn(40, 3), torch.randn(50, 3)
    assert kernel_distance(fake, real, 5, 30).deviation > 0
    assert kernel_distance(fake, real, 5, 40).deviation is None
    same = kernel_distance(fake, fake + 1, 5)
    assert (len(same.estimates), same.deviation) == (1, None)


def test_the_distance_of_a_set_from_itself_is_not_negative():
    features = torch.randn(150, 368, generator=torch.Generator().manual_seed(3)) * 9
    moments = Moments.of(features)
    assert 0 <= frechet_distance(moments, moments) < 1e-6 * moments.covariance.trace()


X = torch.randn(9, 4)


@pytest.mark.parametrize(
    "call",
    [
        lambda: kernel_distance(X, X[:, :3]),
        lambda: kernel_distance(X, X, subsets=0),
        lambda: kernel_distance(X, X, size=1),
        lambda: kernel_distance(X[0], X),
        lambda: cmmd(X, X[:, :3]),
        lambda: precision_recall(X, X[:, :3]),
        lambda: precision_recall(X, X, 0),
        lambda: precision_recall(X[None], X),
        lambda: ssim(torch.rand(3, 8, 8), torch.rand(3, 8, 8)),
        lambda: ssim(torch.rand(3, 16, 16), torch.rand(3, 16, 17)),
        lambda: LPIPS(squeezenet())(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 32, 32)),
        lambda: LPIPS(squeezenet())(torch.rand(3, 64, 64), torch.rand(3, 64, 64)),
    ],
)
def test_inputs_that_do_not_match_are_refused_in_one_line(call):
    with pytest.raises(BadInput, match="wanted") as error:
        call()
    assert "\n" not in str(error.value)
