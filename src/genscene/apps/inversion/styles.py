"""Whitened coordinates of styles: the principal components of a generator's own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genscene.apps.interpolate import styles_of_seeds
from genscene.contract import Generator
from genscene.geometry.cameras import named_tensors
from genscene.layers.mapping import map_tensors, style_count, take_styles
from genscene.randomness import derive_seed

STYLES, SEED = 1024, 31  # styles that the components are those of; a use of the seed
COMPONENTS, SHARE = 96, 0.999  # most components, and the share of the variance that they have
DISCRETE = ("classes", "present", "background_present")  # of scenes of objects: what is not interpolated


@dataclass(frozen=True)
class StyleSpace:
    """w = mean + codes @ axes: codes [B, K] of the generator's own styles have mean 0 and variance 1."""

    mean: Tensor  # [D], of the D numbers of a style that may be interpolated
    axes: Tensor  # [K, D], each as long as the standard deviation along it
    shares: Tensor  # [K], of the variance; their sum is 1

    @staticmethod
    @torch.no_grad()
    def of(generator: Generator) -> "StyleSpace":
        """That of 1,024 styles of a generator; no codes where it has one scene only."""
        if not generator.latent_dim:
            zero = next(generator.parameters()).new_zeros
            return StyleSpace(zero(0), zero(0, 0), zero(0))
        x = flatten(own_styles(generator, range(STYLES))).double()
        mean = x.mean(dim=0)
        deviations = x - mean
        values, vectors = torch.linalg.eigh(deviations @ deviations.mT)  # N x N: D may be many thousands
        values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
        needed = int((values.cumsum(0) < SHARE * values.sum()).sum()) + 1
        count = min(needed, COMPONENTS, len(x) - 1, int((values > 1e-9 * values[0].clamp_min(1e-12)).sum()))
        axes = (vectors[:, :count].mT @ deviations) / (len(x) - 1) ** 0.5
        shares = values[:count] / values[:count].sum().clamp_min(1e-12)
        return StyleSpace(mean.float(), axes.float(), shares.float())

    def codes(self, w: Any) -> Tensor:
        """Styles -> codes [B, K]."""
        if not len(self.axes):
            return self.axes.new_zeros(style_count(w), 0)
        scaled = self.axes / self.axes.square().sum(dim=1, keepdim=True)
        return (flatten(w) - self.mean) @ scaled.mT

    def styles(self, codes: Tensor, like: Any) -> Any:
        """Codes [B, K] -> styles; what is discrete in them is that of `like`, B styles."""
        if not len(self.axes):
            return like
        return unflatten(self.mean + codes @ self.axes, like)


def own_styles(generator: Generator, numbers: range) -> Any:
    """Styles of a generator by number, which no seed of a person has."""
    return styles_of_seeds(generator, [derive_seed(SEED, number) for number in numbers])


def flatten(w: Any) -> Tensor:
    """Styles -> the numbers that may be interpolated [B, D]."""
    return torch.cat(
        [x.reshape(len(x), x[:1].numel()) for name, x in named_tensors(w).items() if name not in DISCRETE],
        dim=1,
    )


def unflatten(numbers: Tensor, like: Any) -> Any:
    """Numbers [B, D] -> styles of the shapes of `like`, and with its discrete tensors."""
    parts = iter(_split(numbers, like))
    names = iter(named_tensors(like))
    return map_tensors(lambda x: x if next(names) in DISCRETE else next(parts), like)


def _split(numbers: Tensor, like: Any) -> Iterator[Tensor]:
    start = 0
    for name, x in named_tensors(like).items():
        if name not in DISCRETE:
            size = x[:1].numel()
            yield numbers[:, start : start + size].reshape(len(numbers), *x.shape[1:])
            start += size


def heading(w: Any) -> Tensor:
    """The rotation of the first object of each scene [B], in radians; 0 in scenes without objects."""
    boxes = getattr(w, "boxes", None)
    if boxes is None:
        return next(iter(named_tensors(w).values())).new_zeros(style_count(w))
    return boxes.rotation[:, 0]


def select_styles(w: Any, rows: Tensor) -> Any:
    """The styles in some rows [N], in this order, of which some may be the same."""
    return map_tensors(lambda x: x[rows], w)


def first_style(w: Any, count: int) -> Any:
    """The first style, so many times."""
    return map_tensors(lambda x: x.expand(count, *x.shape[1:]), take_styles(w, slice(0, 1)))
