"""Styles of seeds, mixing of their layers, and interpolation between them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.layers.mapping import join_styles, map_tensors, style_count, take_styles
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


def blend_styles(generator: Generator, w: Any, share: float, first_layer: int = 0) -> Any:
    """Two styles -> the first, moved by a share of the way to the second, in layers from `first_layer` on.

    As many styles may be blended as there are others: 2 S styles -> S, the first half moved to the second.
    Of scenes of objects the codes are blended; boxes, and which objects are there, are those of the first.
    """
    half = style_count(w) // 2
    own, other = take_styles(w, slice(0, half)), take_styles(w, slice(half, 2 * half))

    def blend(a: Tensor, b: Tensor) -> Tensor:
        if not first_layer or generator.layer_dim is None:
            return torch.lerp(a, b, share)
        kept = a.narrow(generator.layer_dim, 0, first_layer)
        rest = slice(first_layer, None)
        moved = torch.lerp(a, b, share).movedim(generator.layer_dim, 0)[rest].movedim(0, generator.layer_dim)
        return torch.cat([kept, moved], dim=generator.layer_dim)

    blended = map_tensors(blend, own, other)
    if not hasattr(own, "boxes"):
        return blended
    fixed = ("classes", "boxes", "present", "background_present")
    return replace(blended, **{name: getattr(own, name) for name in fixed})


def truncate_styles(generator: Generator, w: Any, psi: float) -> Any:
    """S styles, whatever they are from -> the same, moved towards the mean style where psi is less than 1."""
    if psi == 1:
        return w
    mean = generator.style(next(generator.parameters()).new_zeros(style_count(w), generator.latent_dim), 0.0)
    return blend_styles(generator, join_styles([w, mean]), 1 - psi)


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
