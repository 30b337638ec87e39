"""One door per operation: the same name and shapes whichever way it is computed.

`_torch` is the oracle, written as the papers write it; `_folded` computes the same with fewer passes over memory.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

import genscene.kernels._folded as _folded
import genscene.kernels._torch as _torch

_backend = _folded


def film_sine(x: Tensor, weight: Tensor, bias: Tensor, frequency: Tensor, phase: Tensor) -> Tensor:
    """sin(frequency * (x weight^T + bias) + phase) (pi-GAN, eq. 2): x [B, N, I], weight [O, I], bias [O],
    frequency, phase [B, O] -> [B, N, O].
    """
    return _backend.film_sine(x, weight, bias, frequency, phase)


def joint_linear(parts: Sequence[Tensor], weight: Tensor, bias: Tensor) -> Tensor:
    """A linear layer of several inputs side by side: parts [B, N, I_k], weight [O, sum of I_k], bias [O]
    -> [B, N, O].
    """
    return _backend.joint_linear(parts, weight, bias)


def linear_twice(
    x: Tensor, beside: Tensor, first: Tensor, first_bias: Tensor, second: Tensor, second_bias: Tensor
) -> Tensor:
    """A linear layer of x, then one of that with `beside` next to it, nothing in between: x [B, N, I],
    beside [B, N, J], first [M, I], second [O, M + J] -> [B, N, O].
    """
    return _backend.linear_twice(x, beside, first, first_bias, second, second_bias)


@contextmanager
def oracle() -> Iterator[None]:
    """Compute as the papers write it, for tests and benchmarks."""
    global _backend
    before, _backend = _backend, _torch
    try:
        yield
    finally:
        _backend = before
