"""What a pixel of CIPS knows of its place: Fourier features and coordinate embeddings (CIPS, sec. 3.1)."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, pad

from genscene.errors import BadInput
from genscene.geometry.cameras import Size, no_autocast
from genscene.kernels.hashing import splitmix64

# embeddings beyond the outermost pixels: of the nearest one, mirrored, zero, or periodic over the whole plane
Outside = Literal["border", "reflection", "zeros", "wrap"]


class FourierFeatures(nn.Module):
    """Sine of a trained linear map of the coordinates, without cosine: low frequencies at the start."""

    def __init__(self, features: int, bias: bool, frames: int = 1, scale: float = 1.0, inputs: int = 2):
        """bias: of the linear map, as the released code has it.

        frames: pictures, side by side, that close to a cylinder, over all of which x is -1 to 1; 1: a plane.
        scale: of the frequencies before training. inputs: coordinates of a point; 2 on a cylinder.
        """
        super().__init__()
        self.frames, inputs = frames, inputs if frames == 1 else 3
        self.linear = nn.Linear(inputs, features, bias)
        bound = scale * math.sqrt(9 / inputs)  # of the initial frequencies, in radians per unit
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, coords: Tensor) -> Tensor:
        """coords (x, y), or of space (x, y, z), [B, N, 2 or 3] -> [B, N, features] in [-1, 1]."""
        with no_autocast(coords):
            if self.frames > 1:
                coords = on_cylinder(coords, self.frames / math.pi)
            return self.linear(coords).sin()


def on_cylinder(coords: Tensor, radius: float) -> Tensor:
    """coords (x, y) [B, N, 2], x -1 to 1 around -> points (radius cos, radius sin, y) [B, N, 3]."""
    angle, y = math.pi * coords[..., 0], coords[..., 1]
    return torch.stack([radius * angle.cos(), radius * angle.sin(), y], dim=-1)


class CoordinateEmbedding(nn.Module):
    """A learned vector for every pixel of the plane; bilinear between the centers of pixels."""

    def __init__(self, features: int, size: Size, legacy: bool, around: bool = False, std: float = 1.0):
        """size: (height, width) of the table, whose outermost entries are at the coordinates -1 and 1.

        legacy: as the released code looks it up, which takes the same coordinates for those of the table's
        borders, and in training the table itself for as many pixels as it has. around: on a cylinder, where
        x is -1 to 1 over all columns, and the last of them is beside the first. std: before training.
        """
        super().__init__()
        self.table = nn.Parameter(std * torch.randn(features, *size))
        self.legacy, self.around = legacy, around

    def forward(self, coords: Tensor, outside: Outside = "border") -> Tensor:
        """coords (x, y) [B, N, 2], of any range -> [B, N, features]."""
        table: Tensor = self.table
        if self.legacy and self.training and coords.shape[1] == table[0].numel():
            return table.flatten(1).mT.expand(len(coords), -1, -1)
        if self.around:
            table, coords = closed(table, coords)
        elif outside == "wrap":
            table, coords = periodic(table, coords)
        mode = "border" if outside == "wrap" else outside
        flat = coords.reshape(1, -1, 1, 2).to(table)  # one picture: the table's gradient is not one for each
        found = grid_sample(table[None], flat, padding_mode=mode, align_corners=not self.legacy)
        return found[0, :, :, 0].mT.unflatten(0, coords.shape[:2])


def check_outside(outside: Outside, embedding: bool, legacy: bool, around: bool = False) -> None:
    """Raise BadInput where the lookup of embeddings does not go on so, or there are no embeddings."""
    if around and outside == "wrap":
        raise BadInput("outside wrap around a cylinder: wanted border, reflection or zeros along y")
    if not embedding and outside != "border":
        raise BadInput(f"outside {outside}: wanted border, there are no embeddings to continue")
    if legacy and outside == "wrap":
        raise BadInput("outside wrap: wanted border, reflection or zeros with legacy_grid_sample")


def periodic(table: Tensor, coords: Tensor) -> tuple[Tensor, Tensor]:
    """A table [C, H, W] that ends with its first row and column; coords [B, N, 2] within that period.

    The pixel next to the last one is the first, so the period is 2 W / (W - 1) along x, the whole plane.
    """
    sides = coords.new_tensor([table.shape[2], table.shape[1]])
    places = torch.remainder((coords + 1) / 2 * (sides - 1).clamp_min(1), sides)
    return pad(table[None], (0, 1, 0, 1), mode="circular")[0], 2 * places / sides - 1


def closed(table: Tensor, coords: Tensor) -> tuple[Tensor, Tensor]:
    """The same for a table [C, H, W] around a cylinder: ends with its first column; y is left as it is."""
    width = table.shape[2]
    place = torch.remainder((coords[..., 0] + 1) / 2 * width - 0.5, width)
    coords = torch.stack([2 * place / width - 1, coords[..., 1]], dim=-1)
    return pad(table[None], (0, 1, 0, 0), mode="circular")[0], coords


def coordinate_noise(coords: Tensor, layers: int, around: bool = False) -> Tensor:
    """coords [B, N, 2] -> normal numbers [B, layers, N] that are hashes of coordinates and layer.

    around: on a cylinder, where x is -1 to 1 around.
    """
    x, y = (coords * 2**14).round().long().unbind(-1)
    x = x.remainder(2 << 14) if around else x
    keys = splitmix64(splitmix64(x) + y)[:, None] + torch.arange(layers, device=coords.device)[:, None]
    uniform = (splitmix64(keys) & 0xFFFFFF).double() / 2**24 + 2.0**-25
    return torch.special.ndtri(uniform).to(coords)
