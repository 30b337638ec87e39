"""What a pixel of CIPS knows of its place: Fourier features and coordinate embeddings (CIPS, sec. 3.1)."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, pad

from genscene.geometry.cameras import Size, no_autocast

# embeddings beyond the outermost pixels: of the nearest one, mirrored, zero, or periodic over the whole plane
Outside = Literal["border", "reflection", "zeros", "wrap"]
BOUND = math.sqrt(9 / 2)  # of the initial frequencies, in radians per unit


class FourierFeatures(nn.Module):
    """Sine of a trained linear map of the coordinates, without cosine: low frequencies at the start."""

    def __init__(self, features: int, bias: bool):
        """bias: of the linear map, as the released code has it."""
        super().__init__()
        self.linear = nn.Linear(2, features, bias)
        nn.init.uniform_(self.linear.weight, -BOUND, BOUND)

    def forward(self, coords: Tensor) -> Tensor:
        """coords (x, y) [B, N, 2] -> [B, N, features] in [-1, 1]."""
        with no_autocast(coords):
            return self.linear(coords).sin()


class CoordinateEmbedding(nn.Module):
    """A learned vector for every pixel of the plane; bilinear between the centers of pixels."""

    def __init__(self, features: int, size: Size, legacy: bool):
        """size: (height, width) of the table, whose outermost entries are at the coordinates -1 and 1.

        legacy: as the released code looks it up, which takes the same coordinates for those of the table's
        borders, and in training the table itself for as many pixels as it has.
        """
        super().__init__()
        self.table = nn.Parameter(torch.randn(features, *size))
        self.legacy = legacy

    def forward(self, coords: Tensor, outside: Outside = "border") -> Tensor:
        """coords (x, y) [B, N, 2], of any range -> [B, N, features]."""
        table: Tensor = self.table
        if self.legacy and self.training and coords.shape[1] == table[0].numel():
            return table.flatten(1).mT.expand(len(coords), -1, -1)
        if outside == "wrap":
            table, coords = periodic(table, coords)
        mode = "border" if outside == "wrap" else outside
        flat = coords.reshape(1, -1, 1, 2).to(table)  # one picture: the table's gradient is not one for each
        found = grid_sample(table[None], flat, padding_mode=mode, align_corners=not self.legacy)
        return found[0, :, :, 0].mT.unflatten(0, coords.shape[:2])


def periodic(table: Tensor, coords: Tensor) -> tuple[Tensor, Tensor]:
    """A table [C, H, W] that ends with its first row and column; coords [B, N, 2] within that period.

    The pixel next to the last one is the first, so the period is 2 W / (W - 1) along x, the whole plane.
    """
    sides = coords.new_tensor([table.shape[2], table.shape[1]])
    places = torch.remainder((coords + 1) / 2 * (sides - 1).clamp_min(1), sides)
    return pad(table[None], (0, 1, 0, 1), mode="circular")[0], 2 * places / sides - 1
