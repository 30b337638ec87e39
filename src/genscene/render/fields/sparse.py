"""Fields with a grid of the cells that have to be evaluated; elsewhere the means of the cells are used."""

import math
from dataclasses import dataclass

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
        number = self.cells.flatten(1).gather(1, place.flatten(1).long())
        if last:  # the last sample is to be evaluated
            number = number.view(t.shape)
            number[..., -1] = torch.where(number[..., -1] == self.means.shape[1] - 1, number[..., -1], -1)
            number = number.flatten(1)
        known = number >= 0
        at, channels = known.flatten().nonzero()[:, 0], self.means.shape[-1]
        cell = number.flatten().index_select(0, at) + at // number.shape[1] * self.means.shape[1]
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


@torch.no_grad()
def skip_empty(
    field: Field, w: Tensor, sides: Vector | None, march: March, inside: Field | None = None
) -> SparseField:
    """A field of B scenes -> the same, with cells that it is nearly constant in measured by some points.

    A cell is nearly constant where no point of it or of its neighbors differs from the mean by so much that a
    ray through a box of such cells differs by more than TOLERANCE. w: of B scenes.
    inside: the same field for points in the box alone, where nothing is outside of it.
    """
    assert sides is not None
    scenes, like, counts = len(w), w, cell_counts(sides)
    (x, y, z), total, half = counts, math.prod(counts), like.new_tensor(sides)
    low = torch.stack(
        torch.meshgrid(*(torch.arange(c, device=like.device) for c in counts), indexing="ij"), -1
    )
    size = 2 * half / like.new_tensor(counts)
    random = RandomStreams([0], like.device)
    jitter, along = random.uniform(total, PROBES, 3), normalize(random.normal(total, PROBES, 3), dim=-1)
    points = (low.reshape(1, -1, 1, 3) + jitter.to(like)) * size - half  # [1, cells, PROBES, 3]
    parts = []
    for part in range(0, total, POINTS // PROBES):
        at, to = (p[:, part : part + POINTS // PROBES].flatten(1, 2) for p in (points, along.to(like)))
        parts.append(field(at.expand(scenes, -1, -1), to.expand(scenes, -1, -1)))
    features = torch.cat([f for f, _ in parts], dim=1).unflatten(1, (total, PROBES))
    raw = torch.cat([d for _, d in parts], dim=1).unflatten(1, (total, PROBES))
    means = features.mean(dim=2), raw.mean(dim=2)
    density, mean = activate_density(raw, march), activate_density(means[1], march)
    error = (density - mean[..., None]).abs()
    error = error + density * (features - means[0][:, :, None]).abs().amax(dim=-1)
    wrong = (error.amax(dim=-1) * 2 * max(sides) > TOLERANCE).view(scenes, 1, x, y, z)
    known = max_pool3d(wrong.float(), 3, stride=1, padding=1)[:, 0] == 0
    cells = torch.full((scenes, x + 2, y + 2, z + 2), -1 if inside is None else total, device=like.device)
    numbers = torch.arange(total, device=like.device).view(x, y, z)
    cells[:, 1:-1, 1:-1, 1:-1] = torch.where(known, numbers, -1)
    table = torch.cat([means[0], means[1][..., None]], dim=-1)
    empty = torch.zeros_like(table[:, :1])
    empty[..., -1] = EMPTY
    return SparseField(field, inside or field, sides, cells, torch.cat([table, empty], dim=1))
