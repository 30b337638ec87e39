"""Random numbers, one stream for each picture of a batch.

Every picture draws from its own generator, seeded by what it is (run, step, place in the joint batch). So a batch cut
into slices, or spread over processes, sees the same numbers as the whole; and a resumed run the same as one unbroken.
"""

import hashlib
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
    """Whatever random numbers are drawn from: `Draws`, or numbers recorded elsewhere."""

    def uniform(self, *shape: int) -> Tensor:
        """Evenly from [0, 1) -> [B, *shape]."""
        ...

    def normal(self, *shape: int) -> Tensor:
        """From the normal distribution, mean 0, deviation 1 -> [B, *shape]."""
        ...


class Draws:
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
