"""Views of the image plane: windows whose pixels are evaluated at their centers."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

Size = tuple[int, int]  # (height, width) in pixels


@dataclass(frozen=True)
class Grid:
    """B windows [B, 3] = (scale, x, y) on the image plane, whose whole is (1, 0, 0)."""

    window: Tensor  # [B, 3], in image sides
    size: Size  # (height, width) in pixels
    # [B], widths of the windows in image sides, of those of scale 1; None: 1, the width of the image
    aspect: Tensor | None = None

    @staticmethod
    def whole(batch: int, size: Size) -> "Grid":
        """The whole plane, B times."""
        return Grid(torch.tensor([[1.0, 0.0, 0.0]]).repeat(batch, 1), size)

    def coords(self) -> Tensor:
        """Pixel centers (x, y), -1 to 1 over the whole plane -> [B, 2, H, W]."""
        scale, x, y = (w[:, None, None] for w in self.window.unbind(-1))
        wide = scale if self.aspect is None else scale * self.aspect[:, None, None]
        v, u = torch.meshgrid(*(pixel_centers(n, self.window) for n in self.size), indexing="ij")
        return 2 * torch.stack([x + wide * u, y + scale * v], dim=1) - 1

    def crop(self, window: Tensor, size: Size) -> "Grid":
        """Windows [B, 3] = (scale, x, y) of these windows, in their sides, or [B, 4] with their aspect."""
        window, aspect = window.to(self.window), self.aspect
        scale, x, y = (self.window[:, :1] * window[:, :3]).unbind(-1)
        x = x if aspect is None else x * aspect
        if window.shape[1] == 4:
            aspect = window[:, 3] if aspect is None else window[:, 3] * aspect
        corner = self.window[:, 1:] + torch.stack([x, y], dim=-1)
        return Grid(torch.cat([scale[:, None], corner], dim=-1), size, aspect)

    def to(self, device: torch.device | str) -> "Grid":
        """The same windows on another device."""
        aspect = None if self.aspect is None else self.aspect.to(device)
        return replace(self, window=self.window.to(device), aspect=aspect)

    def __len__(self) -> int:
        return len(self.window)

    def __getitem__(self, part: slice | Tensor) -> "Grid":
        """Some of the windows."""
        return replace(
            self, window=self.window[part], aspect=None if self.aspect is None else self.aspect[part]
        )


def pixel_centers(count: int, like: Tensor) -> Tensor:
    """Centers of a row of pixels, in image sides -> [count]."""
    return (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) / count
