"""Kernel distances: unbiased, reproducible, and equal to their definitions."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.metrics.kernel import cmmd, kernel_distance, mmd, polynomial_kernel, sample_subsets


def test_the_kernel_distance_is_unbiased():
    found = kernel_distance(torch.randn(400, 8), torch.randn(400, 8), subsets=60, size=50)
    assert abs(found.mean) < 2 * found.deviation / math.sqrt(400 / 50)
    assert kernel_distance(torch.randn(400, 8), torch.randn(400, 8) + 1, subsets=20, size=50).mean > 0.5
    x = torch.randn(60, 8)
    assert mmd(x, x, unbiased=False).abs() < 1e-12
    assert mmd(x, x) < 0  # pairs of a feature with itself count in the cross term alone


def test_subsets_of_the_kernel_distance_depend_on_the_seed_only():
    fake, real = torch.randn(90, 5), torch.randn(70, 5)
    one, again = (kernel_distance(fake, real, 3, 40) for _ in range(2))
    assert torch.equal(one.estimates, again.estimates)
    assert not torch.equal(one.estimates, kernel_distance(fake, real, 3, 40, seed=1).estimates)
    assert torch.isfinite(kernel_distance(fake, real, 2).estimates).all()  # as large as the smaller set
    assert polynomial_kernel(torch.ones(1, 5), torch.ones(1, 5)).item() == pytest.approx(8)
    with pytest.raises(BadInput, match=r"\[1, 5\] and \[70, 5\]"):
        kernel_distance(fake[:1], real)


@pytest.mark.parametrize(
    ("degree", "gamma", "coef0"), [(3, None, 1), (2, 0.3, 0), (1, 2.0, 0.5), (4, 0.05, 2)]
)
def test_settings_of_the_kernel_are_those_of_the_definition(degree, gamma, coef0):
    x, y = torch.randn(30, 6), torch.randn(25, 6) + 0.5
    kernel = partial(polynomial_kernel, degree=degree, gamma=gamma, coef0=coef0)
    found, biased_found = (
        kernel_distance(x, y, 4, 12, 7, partial(mmd, unbiased=unbiased, kernel=kernel))
        for unbiased in (True, False)
    )
    for n, (i, j) in enumerate(sample_subsets(30, 25, 4, 12, 7)):
        a, b = x[i].double().numpy(), y[j].double().numpy()
        within, other, across = (
            ((gamma or 1 / 6) * p @ q.T + coef0) ** degree for p, q in ((a, a), (b, b), (a, b))
        )
        pairs = sum((k.sum() - np.trace(k)) / (12 * 11) for k in (within, other))
        assert found.estimates[n].item() == pytest.approx(pairs - 2 * across.mean(), rel=1e-10)
        biased = within.mean() + other.mean() - 2 * across.mean()
        assert biased_found.estimates[n].item() == pytest.approx(biased, rel=1e-10)


def test_cmmd_is_the_distance_of_the_paper(monkeypatch):
    monkeypatch.setattr("genscene.metrics.kernel.ROWS", 7)  # several blocks, the last one smaller
    a, b = (nn.functional.normalize(torch.randn(count, 12) + at) for count, at in ((25, 0.0), (18, 0.5)))

    def mean(x, y):
        return torch.exp(-torch.cdist(x.double(), y.double()).square() / 200).mean()

    wanted = 1000 * float(mean(a, a) + mean(b, b) - 2 * mean(a, b))
    assert cmmd(a, b) == pytest.approx(wanted, rel=1e-6)
    assert cmmd(b, a) == pytest.approx(wanted, rel=1e-6)
    assert wanted > 1
    assert cmmd(a, a.clone()) == pytest.approx(0, abs=1e-9)
    assert 0 <= cmmd(a, a + 0.01) < cmmd(a, b)
    with pytest.raises(BadInput, match=r"CMMD of features \[25, 12\] and \[18, 11\]"):
        cmmd(a, b[:, :11])


def test_sampled_subsets_have_no_repeats():
    for i, j in sample_subsets(9, 12, 5, 9, seed=0):
        assert_close(i.sort().values, torch.arange(9))
        assert len(j.unique()) == 9
