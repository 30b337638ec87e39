"""Random numbers, one stream for each picture of a batch.

Every picture draws from its own generator, seeded by what it is (run, step, place in the joint batch). So a batch cut
into slices, or spread over processes, sees the same numbers as the whole; and a resumed run the same as one unbroken.
"""

import hashlib
import math
import struct
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


def mix(*numbers: int) -> int:
    """Whole numbers -> one seed, 0 to 2**63 - 1, that shares no pattern with the seeds of their neighbours."""
    digest = hashlib.blake2b(struct.pack(f"<{len(numbers)}q", *numbers), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Source(Protocol):
    """Whatever random numbers are drawn from: `RandomStreams`, or numbers recorded elsewhere."""

    def uniform(self, *shape: int) -> Tensor:
        """Evenly from [0, 1) -> [B, *shape]."""
        ...

    def normal(self, *shape: int) -> Tensor:
        """From the normal distribution, mean 0, deviation 1 -> [B, *shape]."""
        ...


class RandomStreams:
    """B streams of random numbers; every draw takes the next numbers of all of them."""

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu"):
        """One stream for each seed; the same seed gives the same numbers whatever stands beside it."""
        self.device = torch.device(device)
        self._streams = [torch.Generator(self.device).manual_seed(mix(seed)) for seed in seeds]

    def __len__(self) -> int:
        return len(self._streams)

    def uniform(self, *shape: int) -> Tensor:
        """Evenly from [0, 1) -> [B, *shape]."""
        return torch.stack([torch.rand(shape, generator=s, device=self.device) for s in self._streams])

    def normal(self, *shape: int) -> Tensor:
        """From the normal distribution, mean 0, deviation 1 -> [B, *shape]."""
        return torch.stack([torch.randn(shape, generator=s, device=self.device) for s in self._streams])


class CounterStreams:
    """B streams of random numbers, as many as there are rays: hashes of (seed, place in the joint batch, count)."""

    def __init__(self, seed: int, first: int, count: int, device: torch.device | str = "cpu"):
        """The streams of places first, first + 1, ...; a part of a batch sees the same numbers as the whole."""
        self._keys = scrambled(torch.arange(first, first + count, device=device) + seed)
        self._drawn = 0

    def __len__(self) -> int:
        return len(self._keys)

    def uniform(self, *shape: int) -> Tensor:
        """Evenly from [0, 1) -> [B, *shape]."""
        count = math.prod(shape)
        places = torch.arange(self._drawn + 1, self._drawn + count + 1, device=self._keys.device)
        self._drawn += count
        bits = scrambled(self._keys[:, None] + places * GOLDEN)
        return ((bits & 0xFFFFFF).float() / 2**24).view(len(self), *shape)

    def normal(self, *shape: int) -> Tensor:
        """From the normal distribution, mean 0, deviation 1 -> [B, *shape]."""
        return torch.special.ndtri(self.uniform(*shape).double() + 2.0**-25).float()


GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # 2**64 over the golden ratio, as a signed number


def scrambled(x: Tensor) -> Tensor:
    """Whole numbers -> whole numbers without a pattern (SplitMix64, Steele et al. 2014), the sign bit among them."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64)):
        x = (x ^ shifted(x, shift)) * factor
    return x ^ shifted(x, 31)


def shifted(x: Tensor, by: int) -> Tensor:
    """Bits moved to the right, zeros from the left."""
    return (x >> by) & ((1 << (64 - by)) - 1)
