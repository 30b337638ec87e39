"""Each kernel on small inputs, beside the reference in double precision: how far values and gradients are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from genscene.kernels import _torch
from genscene.kernels.hashing import splitmix64
from genscene.kernels.triton import compositing, film, streams

VALUES, GRADIENTS = 1e-5, 1e-4  # that float32 may differ by
COARSE = 5e-2  # that products of bfloat16 may differ by
SHAPES = ((3, 32), (35, 70))  # inputs and outputs of layers: of coordinates, and of one that fills no block
Operation = Callable[..., Tensor | tuple[Tensor, ...]]


def largest_errors(device: torch.device) -> dict[str, tuple[float, float]]:
    """Name of a check -> the largest error on a device, over the largest value, and the limit of it."""
    found = {}
    with full_precision(), torch.autocast(device.type, enabled=False):
        for name, kernel, reference, given in cases(device):
            values, gradients = errors(kernel, reference, given)
            coarse = kernel is bfloat16_film_sine
            found[name] = values, COARSE if coarse else VALUES
            found[f"gradients of {name}"] = gradients, COARSE if coarse else GRADIENTS
    keys = splitmix64(torch.arange(3, device=device))
    same = torch.equal(streams.hash_uniform(keys, 5, 2000), _torch.hash_uniform(keys, 5, 2000))
    return found | {"random numbers": (0.0 if same else 1.0, 0.0)}


@contextmanager
def full_precision() -> Iterator[None]:
    """Products of float32 in all its bits, whatever torch is set to."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def cases(device: torch.device) -> Iterator[tuple[str, Operation, Operation, list[Tensor]]]:
    """Name, kernel, reference and inputs of each."""
    numbers = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=numbers).to(device)

    for inputs, outputs in SHAPES:
        weight = normal(outputs, inputs) / inputs**0.5
        given = [normal(2, 37, inputs), weight, normal(outputs), normal(2, outputs), normal(2, outputs)]
        yield f"a layer of {inputs} inputs", film.film_sine, _torch.film_sine, given
    yield "a layer in bfloat16", bfloat16_film_sine, _torch.film_sine, given
    for samples in (1, 24):
        optical = normal(2, 19, samples).relu()
        optical[..., -1] *= 1e10  # the last interval may have no end
        given = [optical, normal(2, 19, samples, 3), normal(2, 19, samples)]
        yield f"compositing {samples} samples", compositing.composite, _torch.composite, given


def bfloat16_film_sine(*given: Tensor) -> Tensor:
    """A layer with products of bfloat16."""
    with torch.autocast(given[0].device.type, torch.bfloat16):
        return film.film_sine(*given)


def errors(kernel: Operation, reference: Operation, given: list[Tensor]) -> tuple[float, float]:
    """Largest errors of the values, and of the gradients, each over the largest value."""
    ours, wanted = (
        values_and_gradients(function, [x.detach().to(dtype) for x in given])
        for function, dtype in ((kernel, torch.float32), (reference, torch.float64))
    )
    values, gradients = (
        float(torch.stack([relative_error(a, b) for a, b in zip(*pair, strict=True)]).max())
        for pair in zip(ours, wanted, strict=True)
    )
    return values, gradients


def relative_error(ours: Tensor, wanted: Tensor) -> Tensor:
    """The largest difference over the largest value -> []; not a number where one of them is none."""
    return (ours - wanted).abs().max() / wanted.abs().max().clamp_min(1e-3)


def values_and_gradients(function: Operation, given: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs of a function, and gradients by its inputs of a mean square of its outputs."""
    with torch.enable_grad():
        leaves = [x.requires_grad_() for x in given]
        out = function(*leaves)
        outputs = [out] if isinstance(out, Tensor) else list(out)
        loss = torch.stack([(x + 0.3).square().mean() for x in outputs]).sum()
        return [x.detach() for x in outputs], list(torch.autograd.grad(loss, leaves))
