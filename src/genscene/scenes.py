"""What there is to see: a field, a canvas, or a set of Gaussians."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class Field(Protocol):
    """A function of space, one per picture: features (colours, mostly) and raw density."""

    def __call__(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points, unit directions [B, N, 3] -> features [B, N, C], raw density [B, N]."""
        ...


class Canvas(Protocol):
    """A function of the image plane, one per picture."""

    def __call__(self, coords: Tensor) -> Tensor:
        """coords [B, 2, H, W] in [-1, 1] -> image [B, 3, H, W]."""
        ...


@dataclass(frozen=True)
class Gaussians:
    """B clouds of N anisotropic Gaussians, after every activation."""

    means: Tensor  # [B, N, 3]
    quats: Tensor  # [B, N, 4], unit, (w, x, y, z)
    scales: Tensor  # [B, N, 3], positive, in world units
    opacities: Tensor  # [B, N], 0 to 1
    colors: Tensor  # [B, N, 3], 0 to 1


Scene = Field | Canvas | Gaussians
