"""Between scenes: walks through the space of styles."""

import torch
from torch import Tensor

from genscene.contract import Generator
from genscene.randomness import RandomStreams


def styles(generator: Generator, seeds: list[int], psi: float = 1.0) -> Tensor:
    """The styles w [S, ...] of seeds; the same seed gives the same scene whatever stands beside it."""
    device = next(generator.parameters()).device
    return generator.style(generator.latents(RandomStreams(seeds, device)), psi)


def walk(keys: Tensor, frames: int) -> Tensor:
    """Through K styles [K, ...] in a straight line from each to the next and back to the first -> [frames, ...].

    pi-GAN interpolates frequencies and phases linearly (its supplement); the last frame meets the first.
    """
    place = torch.arange(frames, device=keys.device) * len(keys) / frames
    start = place.long()
    share = (place - start).view(-1, *[1] * (keys.ndim - 1))
    return torch.lerp(keys[start], keys[(start + 1) % len(keys)], share)
