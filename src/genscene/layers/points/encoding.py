"""What a network knows of the place of a point of space: sines, and entries of a table (GSGAN; CGS-GAN)."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from genscene.geometry.cameras import no_autocast
from genscene.layers.coordinates import FourierFeatures

# the table has a line of entries for each axis, of which the released code reads the two in the middle,
# dimmed with the distance from 0; entries along each axis; or an entry for every point, wherever it is
ConstantEncoding = Literal["middle", "axis", "point"]


class PointEncoding(nn.Module):
    """Half of the features are sines of a trained linear map, half are read from a trained table."""

    def __init__(
        self,
        features: int,
        constant: ConstantEncoding,
        entries: int,
        frequency: float = 1.0,
    ):
        """features: an even number. entries: of the table, along an axis, or as many as there are points.

        frequency: standard deviation of the linear map before training, in radians per unit.
        """
        super().__init__()
        self.constant, half = constant, features // 2
        self.sines = FourierFeatures(half, bias=True, scale=frequency, inputs=3)
        shape = (entries, half) if constant == "point" else (3, half, entries)
        self.table = nn.Parameter(torch.randn(shape))

    def forward(self, points: Tensor) -> Tensor:
        """points [B, N, 3] in [-1, 1] -> [B, N, features]."""
        with no_autocast(points):
            return torch.cat([self.sines(points), self.entries(points)], dim=-1)

    def entries(self, points: Tensor) -> Tensor:
        """points [B, N, 3] -> what the table has of them [B, N, features / 2]."""
        if self.constant == "point":
            return self.table.expand(len(points), -1, -1)
        if self.constant == "middle":  # the coordinate is taken for the place across the line of entries
            count = self.table.shape[-1]
            entries = self.table[..., (count - 1) // 2 : count // 2 + 1].mean(dim=-1)  # [3, features / 2]
            return (1 - points.abs() / 2).clamp_min(0) @ entries / math.sqrt(3)
        places = points.flatten(0, 1).mT[:, None, :, None]  # [3, 1, B N, 1]
        grid = torch.cat([places, torch.zeros_like(places)], dim=-1)
        found = grid_sample(self.table[:, :, None], grid, align_corners=False, padding_mode="border")
        return (found[:, :, 0].sum(dim=0).mT / math.sqrt(3)).unflatten(0, points.shape[:2])
