"""Random numbers, one stream for each picture of a batch.

Every picture has a generator of its own, seeded by (run, step, turn, place in the joint batch). So a batch
that is cut into parts, or spread over processes, gets the same numbers as the whole, and a resumed run the
same as an unbroken one.
"""

import hashlib
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

import genscene.kernels as kernels
from genscene.kernels.hashing import splitmix64


def derive_seed(*numbers: int) -> int:
    """Hash whole numbers to one seed, 0 to 2**63 - 1; neighbouring inputs give unrelated seeds."""
    digest = hashlib.blake2b(struct.pack(f"<{len(numbers)}q", *numbers), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Randomness(Protocol):
    """A source of random numbers for B pictures: `RandomStreams`, `CounterStreams`, or recorded numbers."""

    def __len__(self) -> int: ...

    def uniform(self, *shape: int) -> Tensor:
        """Uniform in [0, 1) -> [B, *shape]."""
        ...

    def normal(self, *shape: int) -> Tensor:
        """Standard normal -> [B, *shape]."""
        ...


class RandomStreams:
    """B streams of random numbers; every call takes the next numbers of all of them.

    They are made on the CPU, so that a seed is the same scene on every device.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu"):
        """One stream for each seed; the same seed gives the same numbers whatever the other seeds are."""
        self.device = torch.device(device)
        self._streams = [torch.Generator("cpu").manual_seed(derive_seed(seed)) for seed in seeds]

    def __len__(self) -> int:
        return len(self._streams)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform in [0, 1) -> [B, *shape]."""
        return self._sample(torch.rand, shape)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal -> [B, *shape]."""
        return self._sample(torch.randn, shape)

    def _sample(self, function: Callable[..., Tensor], shape: Sequence[int]) -> Tensor:
        """Numbers of every stream, float32 whatever torch's default is -> [B, *shape]."""
        numbers = torch.empty(len(self), *shape, dtype=torch.float32, device="cpu")
        for stream, out in zip(self._streams, numbers, strict=True):
            function(shape, generator=stream, out=out)
        return numbers.to(self.device)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Make float32 tensors on the CPU whatever torch's defaults are; leave its random state as it was."""
    state, dtype = torch.get_rng_state(), torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_rng_state(state)


class CounterStreams:
    """Random numbers for the R rays of one picture: hashes of (seed, place in the joint batch, counter).

    A torch generator for each of thousands of rays would cost more than the rays.
    """

    def __init__(self, seed: int, first: int, count: int, device: torch.device | str = "cpu"):
        """The rays at places first, first + 1, ... of the joint batch."""
        self._keys = splitmix64(torch.arange(first, first + count, device=device) + seed)
        self._counter = 0

    def __len__(self) -> int:
        """The number of pictures: one."""
        return 1

    def uniform(self, *shape: int) -> Tensor:
        """Uniform in [0, 1), shape (R, ...) -> [1, R, ...]."""
        rays, *rest = shape
        assert rays == len(self._keys), f"random numbers for {rays} rays, there are {len(self._keys)}"
        return self._next(math.prod(rest)).view(1, rays, *rest)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, shape (R, ...) -> [1, R, ...]."""
        return uniform_to_normal(self.uniform(*shape))

    def _next(self, count: int) -> Tensor:
        """The next numbers of every key [K, count]."""
        first, self._counter = self._counter + 1, self._counter + count
        return kernels.hash_uniform(self._keys, first, count)


class BatchCounterStreams(CounterStreams):
    """Random numbers for B pictures: hashes of (seed of the picture, counter), the same on every device.

    One operation makes those of the whole batch: on CUDA a generator for each picture is a launch for each.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu"):
        """One stream for each seed; the same seed gives the same numbers whatever the other seeds are."""
        self._keys = torch.tensor([derive_seed(seed) for seed in seeds], dtype=torch.int64).to(device)
        self._counter = 0

    def __len__(self) -> int:
        return len(self._keys)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform in [0, 1) -> [B, *shape]."""
        return self._next(math.prod(shape)).view(len(self), *shape)


def uniform_to_normal(uniform: Tensor) -> Tensor:
    """Multiples of 2**-24 in [0, 1) -> standard normal, by the inverse of its distribution function."""
    return torch.special.ndtri(uniform.double() + 2.0**-25).float()
