"""Styles of seeds, and interpolation between them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from genscene.contract import Generator
from genscene.layers.mapping import map_tensors
from genscene.randomness import RandomStreams


def styles_of_seeds(generator: Generator, seeds: Sequence[int], psi: float = 1.0) -> Any:
    """The styles w of S seeds, [S, ...] or dataclasses of such; a seed's does not depend on the others."""
    device = next(generator.parameters()).device
    return generator.style(generator.latents(RandomStreams(seeds, device)), psi)


def interpolate_styles(w: Any, frames: int) -> Any:
    """Linear interpolation through K styles in order and back to the first -> styles of so many frames.

    As pi-GAN interpolates frequencies and phases (supplement); the last frame precedes the first.
    """

    def interpolate(keys: Tensor) -> Tensor:
        place = torch.arange(frames, device=keys.device) * len(keys) / frames
        start = place.long()
        share = (place - start).view(-1, *[1] * (keys.ndim - 1))
        return torch.lerp(keys[start], keys[(start + 1) % len(keys)], share)

    return map_tensors(interpolate, w)
