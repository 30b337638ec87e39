"""Grids of features at several resolutions, hashed where they are finer than their table (Müller 2022)."""

import math
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import mul
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from genscene.ranges import Range

PRIMES = (1, 2_654_435_761, 805_459_861)  # of the hash (eq. 4)
START = 1e-4  # features are initially uniform within this


@dataclass(frozen=True)
class GridConfig:
    """The grids (Müller et al. 2022, table 1)."""

    levels: Annotated[int, Range(1, 64)] = 8  # grids, each finer than the one before
    coarsest: Annotated[int, Range(1, 16_384)] = 16  # cells along the plane's longer side in the first grid
    # cells in the last grid; 0: the pixels along the picture's longer side, of solids 256
    finest: Annotated[int, Range(0, 16_384)] = 0
    features: Annotated[int, Range(1, 64)] = 2  # numbers at a corner
    # corners that a grid keeps; finer ones share by a hash; 0: all are kept, the grids are dense
    table: Annotated[int, Range(0, 1 << 28)] = 1 << 14
    # between corners; smooth: without jumps of the first derivative (appendix A)
    interpolation: Literal["linear", "smooth"] = "linear"

    def resolutions(self) -> list[int]:
        """Cells along a side in each grid, in geometric progression (eq. 2, 3)."""
        finest = max(self.finest or 256, self.coarsest)
        growth = (finest / self.coarsest) ** (1 / max(1, self.levels - 1))
        return [math.floor(self.coarsest * growth**i + 1e-6) for i in range(self.levels)]

    def corners(self, dims: int) -> list[int]:
        """Corners that each grid in D = dims dimensions keeps."""
        counts = [(side + 1) ** dims for side in self.resolutions()]
        return [min(count, self.table or count) for count in counts]


class HashGrid(nn.Module):
    """Positions -> interpolated features of all grids, twice differentiable."""

    def __init__(self, config: GridConfig, dims: int):
        super().__init__()
        self.config, self.dims = config, dims
        self.sides, self.kept = config.resolutions(), config.corners(dims)
        self.table = nn.Parameter(torch.empty(config.features, sum(self.kept)).uniform_(-START, START))

    def forward(self, points: Tensor) -> Tensor:
        """points [..., D] in [-1, 1], clamped to it -> [..., features * levels]."""
        flat = ((points.reshape(-1, self.dims) + 1) / 2).clamp(0, 1)
        tables = self.table.split(self.kept, dim=1)
        found = [self.level(i, flat * self.sides[i], table) for i, table in enumerate(tables)]
        return torch.cat(found, dim=-1).unflatten(0, points.shape[:-1])

    def level(self, level: int, points: Tensor, table: Tensor) -> Tensor:
        """points [N, D] in cells of a grid, its table [features, T] -> its features there [N, features]."""
        low = points.detach().long().clamp(max=self.sides[level] - 1)
        inside = points - low
        if self.config.interpolation == "smooth":
            inside = inside * inside * (3 - 2 * inside)
        low_high = [(1 - x, x) for x in inside.unbind(-1)]
        corners = list(product((0, 1), repeat=self.dims))
        weights = torch.stack([reduce(mul, (low_high[d][bit] for d, bit in enumerate(c))) for c in corners])
        index = torch.stack([self.row(level, [low[:, d] + bit for d, bit in enumerate(c)]) for c in corners])
        each = [(row.index_select(0, index.flatten()).view_as(weights) * weights).sum(dim=0) for row in table]
        return torch.stack(each, dim=-1)

    def row(self, level: int, corner: list[Tensor]) -> Tensor:
        """Corners, D numbers [N], of a grid -> where its table keeps them [N] (eq. 4)."""
        side = self.sides[level] + 1
        if self.kept[level] == side**self.dims:
            return sum((x * side**d for d, x in enumerate(corner[1:], 1)), corner[0])
        mixed = corner[0]
        for x, prime in zip(corner[1:], PRIMES[1:], strict=False):
            mixed = mixed ^ (x * prime)
        return mixed % self.kept[level]
