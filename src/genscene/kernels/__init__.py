"""One name per operation, whichever way it is computed; call them as `kernels.film_sine(...)`.

`_torch` is the oracle, written as the papers write it; `_folded` computes the same with fewer passes over
memory, `triton` on CUDA. `choice` says which of them computes on a device.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from genscene.kernels import _folded, _torch
from genscene.kernels._folded import joint_linear, linear_twice
from genscene.kernels._torch import ray_weights, weighted_sum
from genscene.kernels.choice import forced, uses_triton, wanted_kernels

__all__ = [
    "composite",
    "film_sine",
    "hash_uniform",
    "joint_linear",
    "linear_twice",
    "oracle",
    "ray_weights",
    "weighted_sum",
]


def film_sine(
    x: Tensor | Sequence[Tensor], weight: Tensor, bias: Tensor, frequency: Tensor, phase: Tensor
) -> Tensor:
    """FiLM-SIREN layer (pi-GAN, eq. 2): x [B, N, I] or parts, weight [O, I], styles [B, O] -> [B, N, O]."""
    last = x if isinstance(x, Tensor) else x[-1]
    if uses_triton(last):
        from genscene.kernels.triton import film

        whole = x if isinstance(x, Tensor) else torch.cat([part.to(last) for part in x], dim=-1)
        if film.is_faster(whole) or wanted_kernels() == "triton":
            return film.film_sine(whole, weight, bias, frequency, phase)
    return _folded.film_sine(x, weight, bias, frequency, phase)


def composite(optical: Tensor, values: Tensor, distances: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights of samples and what they sum to (NeRF, eq. 3).

    Optical depths [B, R, S], values [B, R, S, C], distances [B, R, S] -> weights [B, R, S], weighted sums of
    values [B, R, C] and distances [B, R, 1], opacity [B, R, 1].
    """
    if uses_triton(optical):
        from genscene.kernels.triton import compositing

        if compositing.suits(optical, values, distances):
            return compositing.composite(optical, values, distances)
    return _torch.composite(optical, values, distances)


def hash_uniform(keys: Tensor, first: int, count: int) -> Tensor:
    """Uniform in [0, 1): keys [K] int64 -> numbers first, ..., first + count - 1 of each [K, count]."""
    if uses_triton(keys):
        from genscene.kernels.triton import streams

        return streams.hash_uniform(keys, first, count)
    return _torch.hash_uniform(keys, first, count)


@contextmanager
def oracle() -> Iterator[None]:
    """Compute as the papers write it, for tests and benchmarks."""
    reference = {name: vars(_torch)[name] for name in ("film_sine", "joint_linear", "linear_twice")}
    fast = {name: globals()[name] for name in reference}
    globals().update(reference)
    try:
        with forced("torch"):
            yield
    finally:
        globals().update(fast)
