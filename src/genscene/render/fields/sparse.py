"""Fields with a grid of the cells that have to be evaluated; elsewhere the means of the cells are used."""

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import max_pool3d, normalize

from genscene.geometry.cameras import Rays
from genscene.randomness import RandomStreams
from genscene.render.march import EMPTY, March, activate_density
from genscene.scenes import Field, Vector

CELLS = 64  # along the longest side
PROBES = 4  # points of each cell that its means are measured by
MANY = 8  # samples for each point that cells are measured by, from which on it saves time
POINTS = 1 << 16  # that are evaluated at once
TOLERANCE = 1e-2  # largest error of a color, 0 to 1, along a ray through the box
DETAILED = 1.5  # margin of fields of encoded positions, whose details are smaller than cells

T = TypeVar("T")
Parts = Generator[None, Any, T]  # a computation that can be left between its parts, and its result


@dataclass(frozen=True)
class SparseField:
    """A field, and a grid of cells in a box of which those are known that need not be evaluated on rays."""

    field: Field
    inside: Field  # the same, that is only evaluated in cells
    sides: Vector  # half sides of the box around the origin
    # [B, X + 2, Y + 2, Z + 2], which means a cell, or space outside of the box, has; -1: it is evaluated
    cells: Tensor
    means: Tensor  # [B, X * Y * Z + 1, C + 1], features and raw density of the cells, then of empty space

    def __call__(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points, unit directions [B, N, 3] -> features [B, N, C], raw density [B, N]: all are evaluated."""
        return self.field(points, directions)

    def known(self, rays: Rays, t: Tensor, last: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Features [B, R, S, C], raw density, whether they are known [B, R, S]; 0 and EMPTY where not."""
        counts = self.cells.shape[1:]
        scale = t.new_tensor(
            [(count - 2) / (2 * side) for count, side in zip(counts, self.sides, strict=True)]
        )
        center = t.new_tensor([count / 2 for count in counts])
        start, slope = rays.origins * scale + center, rays.directions * scale
        place = torch.zeros_like(t, dtype=torch.int32)
        for axis, count in enumerate(counts):
            at = torch.addcmul(start[..., axis, None], t, slope[..., axis, None])
            place.mul_(count).add_(at.clamp_(0, count - 1).int())
        number = self.cells.flatten(1).expand(len(t), -1).gather(1, place.flatten(1).long())
        if last:  # the last sample is to be evaluated
            number = number.view(t.shape)
            number[..., -1] = torch.where(number[..., -1] == self.means.shape[1] - 1, number[..., -1], -1)
            number = number.flatten(1)
        known = number >= 0
        at, channels = known.flatten().nonzero()[:, 0], self.means.shape[-1]
        cell = number.flatten().index_select(0, at)
        if len(self.cells) > 1:
            cell = cell + at // number.shape[1] * self.means.shape[1]
        means = self.means.flatten(0, 1).index_select(0, cell)
        features = t.new_zeros(t.numel(), channels - 1).index_copy_(0, at, means[:, :-1].to(t))
        density = torch.full_like(t, EMPTY).flatten().index_copy_(0, at, means[:, -1].to(t))
        return features.view(*t.shape, -1), density.view(t.shape), known.view(t.shape)


def cell_counts(sides: Vector) -> list[int]:
    """Cells of a box along x, y, z."""
    return [max(1, round(CELLS * side / max(sides))) for side in sides]


def worth(samples: int, sides: Vector) -> bool:
    """Whether pictures with so many samples in all take longer than to measure the cells of their scene."""
    return samples > MANY * PROBES * math.prod(cell_counts(sides))


def complete(parts: Parts[T]) -> T:
    """The result of a computation in parts."""
    while True:
        try:
            next(parts)
        except StopIteration as end:
            result: T = end.value
            return result


@torch.no_grad()
def skip_empty(
    field: Field,
    w: Tensor,
    sides: Vector | None,
    march: March,
    inside: Field | None = None,
    points: int = POINTS,
    margin: float = 0.0,
) -> Parts[SparseField]:
    """A field of B scenes -> the same, with cells that it is nearly constant in measured by some points.

    A cell is nearly constant where no point of it or of its neighbors differs from the mean by so much that a
    ray through a box of such cells differs by more than TOLERANCE. w: of B scenes.
    inside: the same field for points in the box alone, where nothing is outside of it. points: that are
    evaluated in a part. margin: by which raw density may be higher between points, in its ranges in cells.
    """
    assert sides is not None
    scenes, counts = len(w), cell_counts(sides)
    total, means, errors = math.prod(counts), [], []
    at, along = probes(sides, w)
    for start in range(0, total, size := max(1, points // (PROBES * scenes))):
        part, to = (p[start : start + size].flatten(0, 1).expand(scenes, -1, -1) for p in (at, along))
        features, raw = (x.unflatten(1, (-1, PROBES)) for x in field(part, to))
        mean, error = spread(features, raw, march, margin)
        means.append(mean)
        errors.append(error)
        yield
    wrong = (torch.cat(errors, dim=1) * 2 * max(sides) > TOLERANCE).view(scenes, 1, *counts)
    known = max_pool3d(wrong.float(), 3, stride=1, padding=1)[:, 0] == 0
    around, outside = [side + 2 for side in counts], -1 if inside is None else total
    cells = torch.full((scenes, *around), outside, device=w.device)
    numbers = torch.arange(total, device=w.device).view(counts)
    cells[:, 1:-1, 1:-1, 1:-1] = torch.where(known, numbers, -1)
    empty = torch.zeros_like(means[0][:, :1])
    empty[..., -1] = EMPTY
    return SparseField(field, inside or field, sides, cells, torch.cat([*means, empty], dim=1))


def probes(sides: Vector, like: Tensor) -> tuple[Tensor, Tensor]:
    """Points in the cells of a box, and directions [X * Y * Z, PROBES, 3], the same ones each time."""
    counts, half = cell_counts(sides), like.new_tensor(sides)
    axes = (torch.arange(count, device=like.device) for count in counts)
    low = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 1, 3)
    random = RandomStreams([0], like.device)
    jitter, along = (x(len(low), PROBES, 3)[0].to(like) for x in (random.uniform, random.normal))
    return (low + jitter) * (2 * half / like.new_tensor(counts)) - half, normalize(along, dim=-1)


def spread(features: Tensor, raw: Tensor, march: March, margin: float) -> tuple[Tensor, Tensor]:
    """Features [B, N, PROBES, C], raw density [B, N, PROBES] of N cells -> their means [B, N, C + 1], errors.

    The errors [B, N] are those of colors for each world unit of a ray.
    """
    means = features.mean(dim=2), raw.mean(dim=2)
    higher = margin * (raw.amax(dim=2, keepdim=True) - raw.amin(dim=2, keepdim=True))
    density, mean = activate_density(raw + higher, march), activate_density(means[1], march)
    error = (density - mean[..., None]).abs()
    error = error + density * (features - means[0][:, :, None]).abs().amax(dim=-1)
    return torch.cat([means[0], means[1][..., None]], dim=-1), error.amax(dim=-1)
