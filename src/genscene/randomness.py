"""Random numbers, one stream for each picture of a batch.

Every picture has a generator of its own, seeded by (run, step, turn, place in the joint batch). So a batch
that is cut into parts, or spread over processes, gets the same numbers as the whole, and a resumed run the
same as an unbroken one.
"""

import hashlib
import math
import struct
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


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
    """B streams of random numbers; every call takes the next numbers of all of them."""

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu"):
        """One stream for each seed; the same seed gives the same numbers whatever the other seeds are."""
        self.device = torch.device(device)
        self._streams = [torch.Generator(self.device).manual_seed(derive_seed(seed)) for seed in seeds]

    def __len__(self) -> int:
        return len(self._streams)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform in [0, 1) -> [B, *shape]."""
        return torch.stack([torch.rand(shape, generator=s, device=self.device) for s in self._streams])

    def normal(self, *shape: int) -> Tensor:
        """Standard normal -> [B, *shape]."""
        return torch.stack([torch.randn(shape, generator=s, device=self.device) for s in self._streams])


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
        count = math.prod(rest)
        counts = torch.arange(self._counter + 1, self._counter + count + 1, device=self._keys.device)
        self._counter += count
        bits = splitmix64(self._keys[:, None] + counts * GOLDEN)
        return ((bits & 0xFFFFFF).float() / 2**24).view(1, rays, *rest)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, shape (R, ...) -> [1, R, ...]."""
        return torch.special.ndtri(self.uniform(*shape).double() + 2.0**-25).float()


GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # 2**64 over the golden ratio, as a signed number


def splitmix64(x: Tensor) -> Tensor:
    """The mixing function of SplitMix64 (Steele et al. 2014) on int64 of any shape, sign bit included."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64)):
        x = (x ^ shift_right(x, shift)) * factor
    return x ^ shift_right(x, 31)


def shift_right(x: Tensor, by: int) -> Tensor:
    """Logical shift of int64 to the right: zeros enter from the left."""
    return (x >> by) & ((1 << (64 - by)) - 1)
