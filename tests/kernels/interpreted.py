"""Cases for Triton's interpreter: `test_triton.py` runs this file in a process with TRITON_INTERPRET=1."""

import math
from dataclasses import replace

import pytest
import torch
import triton
import triton.language as tl
from torch.testing import assert_close

from conftest import tiny
from genscene import kernels
from genscene.contract import ImageBatch, RenderOptions
from genscene.distributed import ProcessGroup
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import no_autocast
from genscene.kernels import _torch, choice
from genscene.kernels.hashing import splitmix64
from genscene.kernels.triton import check, compositing, film, sine, streams
from genscene.randomness import BatchCounterStreams, CounterStreams, RandomStreams
from genscene.training.loop import train_step
from genscene.training.run import init_state

CPU = torch.device("cpu")
ATOL = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}


def normal(*shape):
    return torch.randn(shape)


def layer(batch, points, inputs, outputs):
    """x, weight, bias, frequency, phase of a layer."""
    weight = normal(outputs, inputs) / inputs**0.5
    return [normal(batch, points, inputs), weight, normal(outputs), *normal(2, batch, outputs)]


@triton.jit
def _apply(x, out, COSINE: tl.constexpr, COUNT: tl.constexpr):
    index = tl.program_id(0) * COUNT + tl.arange(0, COUNT)
    value = tl.load(x + index)
    tl.store(out + index, sine.cosine(value) if COSINE else sine.sine(value))


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize(("reach", "limit"), [(4.0, 2e-7), (100.0, 2e-7), (1000.0, 2e-7)])
def test_sine_and_cosine_are_accurate_to_the_rounding_of_float32(cosine, reach, limit):
    x = torch.linspace(-reach, reach, 1 << 16)
    out = torch.empty_like(x)
    _apply[(16,)](x, out, cosine, 1 << 12)
    wanted = x.double().cos() if cosine else x.double().sin()
    assert (out - wanted).abs().max() <= limit


@pytest.mark.parametrize("points", [1, 37, 300])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 8), (16, 16), (35, 70), (67, 256)])
def test_layers_of_any_shape_agree_with_the_reference(points, inputs, outputs):
    given = layer(2, points, inputs, outputs)
    values, gradients = check.errors(film.film_sine, _torch.film_sine, given)
    assert values <= 1e-5
    assert gradients <= 1e-4


def test_arguments_of_a_trained_field_are_as_accurate_as_in_torch():
    x, weight, bias, frequency, phase = layer(2, 200, 64, 64)
    given = [x.sin(), weight * 2, bias, 15 * frequency + 30, 3 * phase]
    wanted = _torch.film_sine(*(x.double() for x in given))
    error, usual = ((f(*given) - wanted).abs().max() for f in (film.film_sine, _torch.film_sine))
    assert error <= 1.5 * usual


def test_every_check_of_a_card_passes_under_the_interpreter():
    for name, (error, limit) in check.largest_errors(CPU).items():
        assert error <= limit, name


def test_a_check_fails_where_a_kernel_gives_no_numbers():
    values, _ = check.errors(lambda x: x / 0 * 0, lambda x: x, [normal(3)])
    assert not values <= 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_gives_the_type_of_the_products(dtype):
    given = layer(2, 40, 35, 24)
    leaves = [x.requires_grad_() for x in given]
    with torch.autocast("cpu", dtype):
        out = film.film_sine(*leaves)
        gradients = torch.autograd.grad(out.float().square().sum(), leaves)
    assert out.dtype == dtype
    assert all(g.dtype == torch.float32 for g in gradients)
    wanted = _torch.film_sine(*leaves)
    assert_close(out.float(), wanted, atol=2 * ATOL[dtype], rtol=0)
    for ours, theirs in zip(gradients, torch.autograd.grad(wanted.square().sum(), leaves), strict=True):
        assert (ours - theirs).abs().max() <= 3 * ATOL[dtype] * theirs.abs().max()


def test_coordinates_have_full_precision_whatever_products_torch_is_set_to():
    torch.set_float32_matmul_precision("high")
    try:
        assert film.is_exact(normal(1, 4, 3))
        assert not film.is_exact(normal(1, 4, 64))
        assert film.is_faster(normal(1, 4, 64))
    finally:
        torch.set_float32_matmul_precision("highest")
    assert film.is_exact(normal(1, 4, 64))
    assert not film.is_faster(normal(1, 4, 64))  # products of plain float32 are left to the library
    with torch.autocast("cpu", torch.bfloat16):
        assert film.is_faster(normal(1, 4, 64))
        with no_autocast(normal(1)):
            assert film.is_faster(normal(1, 4, 3))


def test_only_wanted_gradients_of_a_layer_are_computed():
    x, weight, bias, frequency, phase = layer(2, 20, 3, 8)
    out = film.film_sine(x, weight.requires_grad_(), bias, frequency, phase)
    wanted = _torch.film_sine(x, weight, bias, frequency, phase)
    (ours,), (theirs,) = (torch.autograd.grad(o.sum(), weight) for o in (out, wanted))
    assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def second(function, given, extra):
    """The gradient of the squared norm of a gradient, as normals and penalties take it."""
    leaves = [x.detach().requires_grad_() for x in given]
    out = function(*(x.mT.contiguous().mT if x.ndim > 2 else x for x in leaves))
    out = out if isinstance(out, torch.Tensor) else torch.cat([x.flatten() for x in out])
    loss = (out.flatten() * extra[: out.numel()]).sum()
    (first,) = torch.autograd.grad(loss, leaves[0], create_graph=True)
    return torch.autograd.grad(first.square().sum(), leaves, allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("operation", ["film_sine", "composite"])
def test_gradients_can_be_differentiated_again(operation):
    given = layer(2, 9, 3, 8)
    if operation == "composite":
        given = [normal(2, 5, 6).abs(), normal(2, 5, 6, 3), normal(2, 5, 6)]
    module = film if operation == "film_sine" else compositing
    extra = normal(400)
    pair = [second(getattr(m, operation), given, extra) for m in (module, _torch)]
    for ours, theirs in zip(*pair, strict=True):
        assert_close(ours, theirs, atol=1e-4 * float(theirs.abs().max()) + 1e-6, rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3, 8])
@pytest.mark.parametrize("samples", [1, 2, 12, 48, 100])
def test_compositing_agrees_with_the_reference(samples, channels):
    optical = normal(2, 33, samples).relu() * torch.logspace(-4, 1, 33)[:, None]
    optical[..., -1] *= 1e10
    given = [optical, normal(2, 33, samples, channels), normal(2, 33, samples)]
    values, gradients = check.errors(compositing.composite, _torch.composite, given)
    assert values <= 1e-5
    assert gradients <= 1e-4


def test_thin_samples_do_not_vanish_in_rounding():
    optical = torch.full((1, 1, 40), 1e-7)
    ones = torch.ones(1, 1, 40, 1)
    _, _, _, alpha = compositing.composite(optical, ones, ones[..., 0])
    assert_close(alpha, torch.full_like(alpha, -math.expm1(-40e-7)), rtol=1e-5, atol=0)


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e10, 1e30])
def test_gradients_of_compositing_are_finite(value):
    optical = torch.full((1, 2, 9), value, requires_grad=True)
    out = compositing.composite(optical, normal(1, 2, 9, 3), normal(1, 2, 9))
    sum(x.square().sum() for x in out).backward()
    assert optical.grad.isfinite().all()


def test_wide_features_and_double_precision_go_to_torch():
    optical, values, t = normal(1, 2, 5), normal(1, 2, 5, 32), normal(1, 2, 5)
    assert not compositing.suits(optical, values, t)
    assert compositing.suits(optical, values[..., :3], t)
    assert not choice.uses_triton(optical.double())
    with choice.forced("triton"):
        assert not choice.uses_triton(optical.double())
        assert choice.uses_triton(optical)
        assert_close(kernels.composite(optical, values, t)[1], _torch.composite(optical, values, t)[1])


@pytest.mark.parametrize("first", [0, 1, 2**33])
def test_random_numbers_are_the_same_bit_for_bit(first):
    keys = splitmix64(torch.arange(5) - 2)
    assert torch.equal(streams.hash_uniform(keys, first, 1500), _torch.hash_uniform(keys, first, 1500))


@pytest.mark.parametrize("make", [lambda: BatchCounterStreams(range(6)), lambda: CounterStreams(7, 2, 6)])
def test_streams_are_the_same_with_either_kernels(make):
    found = []
    for name in ("triton", "torch"):
        with choice.forced(name):
            streams_ = make()
            found.append([streams_.uniform(6), streams_.uniform(6, 5), streams_.normal(6, 2)])
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)


def trained(name, precision):
    """Numbers and state after a step of a small pi-GAN with kernels of this name."""
    experiment = tiny("pigan-carla")
    stage = replace(experiment.stages[0], size=(8, 8), batch=2, accumulation=1)
    images = ImageBatch(torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    with choice.forced(name):
        state = init_state(replace(experiment, stages=(stage,)), CPU, ProcessGroup(), precision)
        return train_step(state, images, 1), state


@pytest.mark.parametrize(("precision", "within"), [("fp32", 1e-4), ("bf16", 3e-2)])
def test_a_training_step_agrees_with_that_of_torch(precision, within):
    (ours, state), (theirs, other) = trained("triton", precision), trained("torch", precision)
    for name, value in theirs.items():
        assert_close(ours[name], value, atol=within, rtol=within)
    moved = [x.grad is None for x in state.system.parameters()]
    assert all(moved)
    if precision == "fp32":
        for a, b in zip(state.system.parameters(), other.system.parameters(), strict=True):
            assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_a_picture_agrees_with_that_of_torch():
    generator = build_seeded(tiny("pigan-carla")).generator.requires_grad_(False)
    camera = generator.prior.sample(RandomStreams([1]), (12, 12))
    scene = generator.scene(generator.latents(RandomStreams([0])))
    pictures = []
    for name in ("triton", "torch"):
        with choice.forced(name):
            pictures.append(generator.render(scene, camera, RenderOptions(background="last")))
    for part in ("image", "depth", "alpha"):
        assert_close(*(getattr(p, part) for p in pictures), atol=1e-4, rtol=1e-4)
    assert pictures[0].image.std() > 1e-3
