"""Styles of seeds, mixing of their layers, and interpolation between them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.layers.mapping import map_tensors
from genscene.randomness import RandomStreams


def styles_of_seeds(generator: Generator, seeds: Sequence[int], psi: float = 1.0) -> Any:
    """The styles w of S seeds, [S, ...] or dataclasses of such; a seed's does not depend on the others."""
    device = next(generator.parameters()).device
    return generator.style(generator.latents(RandomStreams(seeds, device)), psi)


def mix_styles(generator: Generator, w: Any, layers: Sequence[int]) -> Any:
    """K styles whose layers of these numbers, 0 the coarsest, are those of the first (StyleGAN, sec. 3.1).

    Raises BadInput where the generator's styles are not by layers, have fewer, or none would change.
    """
    dim = generator.layer_dim
    if dim is None:
        raise BadInput("the styles of this generator are not by layers: there is nothing to mix")

    def mix(keys: Tensor) -> Tensor:
        if max(layers) >= keys.shape[dim]:
            raise BadInput(f"layer {max(layers)}: this generator has layers 0 to {keys.shape[dim] - 1}")
        if len(set(layers)) == keys.shape[dim]:
            raise BadInput("these are all layers: every scene would be the first one; wanted fewer")
        index = torch.tensor(layers, device=keys.device)
        kept = keys[:1].index_select(dim, index)
        return keys.index_copy(dim, index, kept.expand(len(keys), *kept.shape[1:]))

    return map_tensors(mix, w)


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
