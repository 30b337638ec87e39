"""Scenes made of fields in boxes and of a background, composed to one field (GIRAFFE, sec. 3.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import relu

from genscene.geometry.boxes import Boxes
from genscene.scenes import Field

# sum of densities, mean of features weighted by density (GIRAFFE, eq. 8); or both of the densest (BlockGAN)
Operator = Literal["mean", "max"]


@dataclass(frozen=True)
class Placed:
    """Fields in O boxes of each of B scenes; outside of its box a field is empty, and not evaluated."""

    field: Field  # of B * O boxes, scene by scene, in coordinates of the boxes
    boxes: Boxes
    present: Tensor  # [B, O], 1; 0: the object is not there
    margin: float = 1.1  # half side of what of a box is evaluated, in units of its own
    activate: Callable[[Tensor], Tensor] = relu  # raw density -> density

    def __call__(
        self, points: Tensor, directions: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """points, directions [B, N, 3], noise on raw density [B, N, O] -> what lies in the boxes.

        The places, n of N, of all points inside [B, O, n], there features [B, O, n, C], density [B, O, n].
        """
        inside_box = self.boxes.points(points)
        inside = (inside_box.abs() <= self.margin).all(dim=-1) & (self.present > 0)[..., None]
        index, real = pack(inside)
        if not index.shape[-1]:  # gradients and the number of channels want one point
            index, real = torch.zeros_like(inside[..., :1], dtype=torch.long), inside[..., :1] & False
        batch = torch.arange(len(index), device=index.device)[:, None, None]
        raw = None if noise is None else noise.mT.gather(2, index)
        features, density = self.evaluate(points[batch, index], directions[batch, index], raw)
        return index, features, torch.where(real, density, 0) * self.present[..., None].to(density)

    def evaluate(
        self, points: Tensor, directions: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """World points, directions [B, O, n, 3], noise -> features [B, O, n, C], density [B, O, n]."""
        at, along = self.boxes.inner(points), self.boxes.inner(directions, turn_only=True)
        features, density = self.field(at.flatten(0, 1), along.flatten(0, 1))
        features, density = (x.unflatten(0, points.shape[:2]) for x in (features, density))
        return features, self.activate(density if noise is None else density + noise)


@dataclass(frozen=True)
class Composition:
    """B scenes of objects before a background: features [B, N, C + O], the last O are the objects' shares.

    The share of an object is the part of the density at a point that is its own.
    """

    objects: tuple[Placed, ...]  # boxes with the same decoder each
    background: Field | None = None
    background_present: Tensor | None = None  # [B], 1; 0: nothing is behind the objects; None: all 1
    operator: Operator = "mean"
    activate: Callable[[Tensor], Tensor] = relu  # raw density of the background -> density
    numbers: tuple[int, ...] = ()  # of the scene's objects, that each box is of

    @property
    def fields(self) -> int:
        """The number of objects, and one for the background."""
        return sum(placed.present.shape[1] for placed in self.objects) + 1

    def __call__(
        self, points: Tensor, directions: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """points, directions [B, N, 3], noise [B, N, fields] -> features and shares, density >= 0."""
        counts = [placed.present.shape[1] for placed in self.objects]
        noises: Sequence[Tensor | None] = [None] * (len(counts) + 1)
        if noise is not None:
            noises = noise.split([*counts, 1], dim=-1)
        found = [placed(points, directions, part) for placed, part in zip(self.objects, noises, strict=False)]
        features, density = self.behind(points, directions, noises[-1])
        per_object = [scatter(density, index, each) for index, _, each in found]
        own = torch.cat(per_object, dim=1)  # [B, O, N]
        if features is None:
            features = points.new_zeros(*points.shape[:2], found[0][1].shape[-1])
        if self.operator == "max":
            features, density = densest(features, density, found, per_object)
            shares = (own >= density[:, None]) & (own > 0)
            return torch.cat([features, shares.mT.to(features)], dim=-1), density
        total = density + own.sum(dim=1)
        divisor = torch.where(total == 0, 1e-4, total)
        mixed = features * (density / divisor)[..., None]
        for index, values, each in found:
            share = each / divisor[:, None].expand(-1, each.shape[1], -1).gather(2, index)
            weighted = (share[..., None] * values).flatten(1, 2)
            mixed = mixed.scatter_add(1, index.flatten(1)[..., None].expand_as(weighted), weighted)
        return torch.cat([mixed, (own / divisor[:, None]).mT], dim=-1), total

    def behind(
        self, points: Tensor, directions: Tensor, noise: Tensor | None
    ) -> tuple[Tensor | None, Tensor]:
        """Features [B, N, C] and density [B, N] of the background; None and 0 where there is none."""
        if self.background is None:
            return None, torch.zeros_like(points[..., 0])
        features, density = self.background(points, directions)
        density = self.activate(density if noise is None else density + noise[..., 0])
        if self.background_present is not None:
            density = density * self.background_present.to(density)[:, None]
        return features, density


def pack(inside: Tensor) -> tuple[Tensor, Tensor]:
    """Truth [..., N] -> places of the true ones, filled up with 0 [..., n], and whether each is true."""
    counts = inside.sum(dim=-1, keepdim=True)
    most = int(counts.max()) if inside.numel() else 0
    rank = inside.cumsum(dim=-1)[inside] - 1
    *rows, place = inside.nonzero(as_tuple=True)
    index = torch.zeros(*inside.shape[:-1], most, dtype=torch.long, device=inside.device)
    index[(*rows, rank)] = place
    return index, torch.arange(most, device=inside.device) < counts


def scatter(like: Tensor, index: Tensor, values: Tensor) -> Tensor:
    """Values [B, O, n] at places of N -> [B, O, N], 0 elsewhere; like: [B, N]."""
    zeros = values.new_zeros(*values.shape[:2], like.shape[1])
    return zeros.scatter_add(2, index, values)  # what fills up is 0, at place 0


def densest(
    features: Tensor,
    density: Tensor,
    found: Sequence[tuple[Tensor, Tensor, Tensor]],
    per_object: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    """At each point the features and the density of the densest field."""
    for (index, values, _), own in zip(found, per_object, strict=True):
        for o in range(own.shape[1]):
            place = index[:, o, :, None].expand(-1, -1, values.shape[-1])
            here = torch.zeros_like(features).scatter_add(1, place, values[:, o])
            more = own[:, o] > density
            features = torch.where(more[..., None], here, features)
            density = torch.where(more, own[:, o], density)
    return features, density
