"""Every implementation of an operation agrees with the oracle: values and gradients."""

import pytest
import torch
from torch.testing import assert_close

from genscene import kernels
from genscene.kernels import _folded, _torch

OPERATIONS = ("film_sine", "joint_linear", "linear_twice")


def inputs(dtype=torch.float64):
    shapes = {"x": (2, 50, 6), "weight": (8, 6), "bias": (8,), "frequency": (2, 8), "phase": (2, 8)}
    return {n: torch.randn(s, dtype=dtype).requires_grad_() for n, s in shapes.items()}


def tensors(*shapes):
    return [torch.randn(shape, dtype=torch.float64).requires_grad_() for shape in shapes]


def values_and_gradients(compute, given):
    out = compute(*given)
    return out.detach(), torch.autograd.grad(out.square().sum(), given)


def assert_same(backend, compute, given):
    """compute(module, *tensors) has the same values and gradients in the backend and in the oracle."""
    results = [
        values_and_gradients(lambda *x, module=module: compute(module, *x), given)
        for module in (_torch, backend)
    ]
    assert_close(results[1][0], results[0][0])
    for ours, oracle in zip(results[1][1], results[0][1], strict=True):
        assert_close(ours, oracle)


@pytest.mark.parametrize("backend", [_folded])
def test_film_sine_values_and_gradients(backend):
    assert_same(backend, lambda module, *x: module.film_sine(*x), tuple(inputs().values()))


@pytest.mark.parametrize("backend", [_folded])
def test_joint_linear_values_and_gradients(backend):
    given = tensors((2, 9, 3), (2, 1, 1), (2, 9, 4), (5, 8), (5,))
    assert_same(backend, lambda module, a, b, c, w, v: module.joint_linear((a, b, c), w, v), given)


@pytest.mark.parametrize("backend", [_folded])
def test_linear_twice_values_and_gradients(backend):
    given = tensors((2, 9, 3), (2, 9, 3), (2, 1, 1), (6, 3), (6,), (5, 10), (5,))
    assert_same(backend, lambda module, x, a, b, *w: module.linear_twice(x, (a, b), *w), given)


@pytest.mark.parametrize("backend", [_folded])
def test_film_sine_without_gradients_does_not_change_its_inputs(backend):
    given = {n: x.detach() for n, x in inputs(torch.float32).items()}
    before = {n: x.clone() for n, x in given.items()}
    assert_close(backend.film_sine(**given), _torch.film_sine(**given), atol=1e-5, rtol=1e-5)
    for name in given:
        assert torch.equal(given[name], before[name])


def test_the_oracle_is_used_only_inside_its_context():
    given = inputs()
    usual = kernels.film_sine(**given)
    with kernels.oracle():
        assert_close(kernels.film_sine(**given), usual)
        assert all(getattr(kernels, name) is getattr(_torch, name) for name in OPERATIONS)
    assert kernels.film_sine is not _torch.film_sine
    assert all(getattr(kernels, name) is getattr(_folded, name) for name in OPERATIONS[1:])
