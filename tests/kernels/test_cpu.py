"""Layers on the CPU: sines in one pass, and layers of many rows against the oracle, in all precisions."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import current_thread, main_thread

import pytest
import torch
from torch.testing import assert_close

from genscene.kernels import _cpu, _folded, _torch
from genscene.kernels.threads import side_by_side, threads_at_once


def sines(x):
    sine, cosine, alone = (torch.empty_like(x) for _ in range(3))
    _cpu.write_sines(x, sine, cosine)
    _cpu.write_sines(x, alone, None)
    assert_close(sine, alone, atol=0, rtol=0, equal_nan=True)
    return sine, cosine


@pytest.mark.parametrize("largest", [1.0, 100.0, 5e4, 9e5, 3e6, 1e30])
def test_sines_are_exact_to_2e_7(largest):
    x = torch.cat([torch.linspace(-largest, largest, 9973), largest * torch.rand(9973) ** 8])
    sine, cosine = sines(x)
    assert (sine - x.double().sin()).abs().max() < 2e-7
    assert (cosine - x.double().cos()).abs().max() < 2e-7


def test_sines_of_bfloat16_are_those_of_float32_rounded():
    x = (30 * torch.randn(9973)).bfloat16()
    for found, exact in zip(sines(x), (x.float().sin(), x.float().cos()), strict=True):
        assert_close(found.float(), exact, atol=2**-9, rtol=2**-8)
        assert (found != exact.bfloat16()).float().mean() < 1e-3  # halfway between two


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sines_of_what_is_no_number_are_none(dtype):
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), 1.0]).repeat(9).to(dtype)
    for found in sines(x):
        assert torch.equal(found.isnan(), ~x.isfinite())


def rows(*shapes):
    return [torch.randn(shape).requires_grad_() for shape in shapes]


def film_inputs():
    x, directions, bias, phase = rows((2, 700, 60), (2, 700, 3), (64,), (2, 64))
    weight = (torch.randn(64, 63) / 60).requires_grad_()
    frequency = (30 + 5 * torch.randn(2, 64)).requires_grad_()
    return directions, x, weight, bias, frequency, phase


def film(module, directions, x, *rest):
    return module.film_sine((directions, x), *rest)


def rectified(module, x, y, code, *rest):
    return module.joint_linear((x, code, y), *rest, rectify=True)


def twice(module, x, y, *rest):
    return module.linear_twice(x, (y,), *rest, rectify=True)


CASES = {
    "film": (film, film_inputs),
    "of every picture": (rectified, lambda: rows((2, 700, 20), (2, 700, 9), (2, 1, 5), (64, 34), (64,))),
    "of all": (
        lambda module, x, y, *rest: module.joint_linear((x, y), *rest, rectify=True),
        lambda: rows((2, 700, 20), (2, 700, 9), (64, 29), (64,)),
    ),
    "twice": (twice, lambda: rows((1, 1400, 20), (1, 1400, 9), (32, 20), (32,), (64, 41), (64,))),
    "one part": (
        lambda module, x, *rest: module.joint_linear((x,), *rest, rectify=True),
        lambda: rows((1, 1400, 20), (64, 20), (64,)),
    ),
}


def values_and_gradients(compute, given, dtype=torch.float32, bf16=False):
    given = [x.detach().to(dtype).requires_grad_() for x in given]
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        out = compute(*given)
    slopes = torch.linspace(-1, 1, out.shape[-1], dtype=dtype)
    return [out.detach(), *torch.autograd.grad((out * slopes).sum(), given)]


def error(found, exact):
    """The largest of relative errors of values and gradients, as vectors."""
    return max(float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True))


@pytest.fixture(params=CASES)
def case(request):
    compute, given = CASES[request.param]
    return compute, given()


@pytest.fixture
def counted(monkeypatch):
    """The layers that were computed as one operation."""
    found = []
    forward = _cpu.Activated.forward
    monkeypatch.setattr(
        _cpu.Activated, "forward", staticmethod(lambda *given: found.append(1) or forward(*given))
    )
    return found


@pytest.mark.parametrize("onednn", [True, False])
def test_values_and_gradients_are_the_oracle_s(case, counted, onednn, monkeypatch):
    if not onednn:
        monkeypatch.setattr(_cpu, "onednn_linear", lambda: None)
    compute, given = case
    exact = values_and_gradients(partial(compute, _torch), given, torch.float64)
    assert error(values_and_gradients(partial(compute, _folded), given), exact) < 1e-5
    assert counted == [1]


def test_bfloat16_is_no_worse_than_torch_s_own(case, counted, monkeypatch):
    compute, given = case
    exact = values_and_gradients(partial(compute, _torch), given, torch.float64)
    found = values_and_gradients(partial(compute, _folded), given, bf16=True)
    assert counted == [1]
    assert found[0].dtype == torch.bfloat16
    monkeypatch.setattr(_folded, "suits", lambda *given: False)
    assert error(found, exact) < 1.1 * error(
        values_and_gradients(partial(compute, _folded), given, bf16=True), exact
    )


def test_results_do_not_depend_on_the_number_of_threads(case):
    compute, given = case
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(values_and_gradients(partial(compute, _folded), given))
    finally:
        torch.set_num_threads(before)
    assert error(*found) < 1e-6
    assert torch.equal(found[0][0], found[1][0])


def test_only_wanted_gradients_are_computed():
    given = film_inputs()
    out = film(_folded, *(x.detach() for x in given[:4]), given[4], given[5].detach())
    (gradient,) = torch.autograd.grad(out.sum(), given[4])
    assert gradient.shape == given[4].shape


def test_without_gradients_no_derivative_is_computed(monkeypatch):
    saved, given = [], film_inputs()
    write = _cpu.write_sines
    monkeypatch.setattr(_cpu, "write_sines", lambda *x: saved.append(x[2]) or write(*x))
    with torch.no_grad():
        found = film(_folded, *given)
    assert saved
    assert all(cosine is None for cosine in saved)
    assert torch.equal(found, film(_folded, *given))


@pytest.mark.parametrize("sine", [True, False])
def test_second_derivatives(sine):
    given = [
        x.double().detach().requires_grad_() for x in rows((2, 4), (2, 3, 2), (2, 3, 1), (2, 4, 2), (2, 4, 1))
    ]
    assert torch.autograd.gradcheck(partial(_cpu.Activated.apply, sine), given)
    assert torch.autograd.gradgradcheck(partial(_cpu.Activated.apply, sine), given)


def test_second_derivatives_of_a_large_layer():
    given = film_inputs()

    def penalty(module):
        (g,) = torch.autograd.grad(film(module, *given).sum(), given[1], create_graph=True)
        return torch.autograd.grad(g.square().mean(), given)

    assert error(penalty(_folded), penalty(_torch)) < 1e-4


def test_work_side_by_side_is_in_order_and_as_in_the_caller():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:

        def work(part):
            names = torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.get_num_threads()
            return part, *names, current_thread() is main_thread()

        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            found = list(side_by_side(work, range(5), 2))
        assert found == [(i, False, True, 2, False) for i in range(5)]
        assert list(side_by_side(work, range(1), 1)) == [(0, True, False, 4, True)]
        with pytest.raises(ZeroDivisionError):
            list(side_by_side(lambda part: 1 / part, [1, 0, 1], 2))
        assert torch.get_num_threads() == 4
        assert threads_at_once() == 4
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(threads_at_once).result() == 1
    finally:
        torch.set_num_threads(before)
