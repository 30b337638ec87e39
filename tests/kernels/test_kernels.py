"""Every way to compute an operation gives what the oracle gives: values and gradients."""

import pytest
import torch
from torch.testing import assert_close

from genscene import kernels
from genscene.kernels import _folded, _torch


def inputs(dtype=torch.float64):
    shapes = {"x": (2, 50, 6), "weight": (8, 6), "bias": (8,), "frequency": (2, 8), "phase": (2, 8)}
    return {n: torch.randn(s, dtype=dtype).requires_grad_() for n, s in shapes.items()}


@pytest.mark.parametrize("backend", [_folded])
def test_film_sine_values_and_gradients(backend):
    given = inputs()
    outputs, gradients = [], []
    for module in (_torch, backend):
        out = module.film_sine(**given)
        outputs.append(out.detach())
        gradients.append(torch.autograd.grad(out.square().sum(), tuple(given.values())))
    assert_close(outputs[1], outputs[0])
    for ours, oracle in zip(gradients[1], gradients[0], strict=True):
        assert_close(ours, oracle)


@pytest.mark.parametrize("backend", [_folded])
def test_film_sine_without_gradients_leaves_its_inputs_alone(backend):
    given = {n: x.detach() for n, x in inputs(torch.float32).items()}
    before = {n: x.clone() for n, x in given.items()}
    assert_close(backend.film_sine(**given), _torch.film_sine(**given), atol=1e-5, rtol=1e-5)
    for name in given:
        assert torch.equal(given[name], before[name])


def test_the_door_leads_to_the_oracle_only_inside():
    given = inputs()
    usual = kernels.film_sine(**given)
    with kernels.oracle():
        assert_close(kernels.film_sine(**given), usual)
        assert kernels._backend is _torch
    assert kernels._backend is _folded
