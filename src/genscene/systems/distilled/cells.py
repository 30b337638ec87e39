"""A field over the cells of a lattice: which of them are its surface, and what is known of these."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from genscene.errors import BadInput
from genscene.ranges import Box
from genscene.scenes import Field

AROUND = [(x, y, z) for x in range(3) for y in range(3) for z in range(3)]  # a cell and its 26 neighbors
INPUTS = len(AROUND) + 6 + 3  # opacities, transmittances, and a color
CHUNK = 1 << 15  # points evaluated at once
BYTES = 200  # of a cell of the lattice
OPAQUE = 0.9999  # the most of a cell's opacity, whose logarithm is finite


@dataclass(frozen=True)
class Cells:
    """N cells of each of B fields: those that hide most and are hidden least."""

    centers: Tensor  # [B, N, 3], in world units
    opacities: Tensor  # [B, N], of rays through a cell, 0 to 1
    colors: Tensor  # [B, N, 3], of the centers, seen from outside
    inputs: Tensor  # [B, N, INPUTS], -1 to 1

    @staticmethod
    def joined(parts: Sequence["Cells"]) -> "Cells":
        """Those of several fields, equally many of each."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return Cells(*(torch.cat(column) for column in columns))

    @staticmethod
    def empty(like: Tensor) -> "Cells":
        """Those of no field."""
        return Cells(*(like.new_zeros(0, 0, *sizes) for sizes in ((3,), (), (3,), (INPUTS,))))


def cell_counts(box: Box, longest: int) -> tuple[int, int, int]:
    """Cells along the sides of a box, so many along the longest; nearly cubes."""
    x, y, z = (max(1, round(longest * half / max(box))) for half in box)
    return x, y, z


def cell_side(box: Box, longest: int) -> float:
    """The side of a cube of a cell's volume, in world units."""
    return (8 * math.prod(box) / math.prod(cell_counts(box, longest))) ** (1 / 3)


def surface_cells(
    field: Field, activate: Callable[[Tensor], Tensor], box: Box, longest: int, most: int, like: Tensor
) -> Cells:
    """The cells of one field [1, N, ...], at most so many; activate: raw density -> density per world unit.

    like: a tensor of the device and type that is wanted.
    """
    counts, side = cell_counts(box, longest), cell_side(box, longest)
    axes = [half * (2 * torch.arange(n) + 1 - n) / n for half, n in zip(box, counts, strict=True)]
    centers = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(1, -1, 3).to(like)
    parts = [field(part, -normalize(part, dim=-1)) for part in centers.split(CHUNK, dim=1)]
    colors, raw = (torch.cat(column, dim=1) for column in zip(*parts, strict=True))
    if colors.shape[-1] != 3:
        raise BadInput(f"the fields of this generator have {colors.shape[-1]} features: wanted 3, colors")
    opacity = -torch.expm1(-side * activate(raw)).view(counts)
    passed = transmittances(opacity)
    chosen = (opacity * passed.amax(dim=0)).flatten().topk(min(most, opacity.numel()), sorted=False).indices
    known = [neighbors(opacity, chosen), passed.flatten(1)[:, chosen].mT, colors[0, chosen]]
    inputs = 2 * torch.cat(known, dim=-1)[None] - 1
    return Cells(centers[:, chosen], opacity.flatten()[None, chosen], colors[:, chosen], inputs)


def transmittances(opacity: Tensor) -> Tensor:
    """Of light that comes to cells [X, Y, Z] along each axis, both ways -> [6, X, Y, Z]."""
    found = []
    for axis in range(3):
        logs = torch.log1p(-opacity.clamp(max=OPAQUE))
        before = logs.cumsum(dim=axis) - logs
        found += [before, logs.sum(dim=axis, keepdim=True) - logs - before]
    return torch.stack(found).exp()


def neighbors(values: Tensor, chosen: Tensor) -> Tensor:
    """Values [X, Y, Z] in and around N cells of these numbers [N], 0 outside -> [N, 27]."""
    x, y, z = values.shape
    padded = pad(values, (1, 1) * 3)
    shifted = [padded[i : i + x, j : j + y, k : k + z].flatten()[chosen] for i, j, k in AROUND]
    return torch.stack(shifted, dim=-1)
