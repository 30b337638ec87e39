"""Looking at a part of a picture: windows that cameras and photographs are cropped to (GRAF, sec. 3.2)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate

from genscene.geometry.cameras import Grid, Size
from genscene.randomness import Source


@dataclass(frozen=True)
class PatchSampler:
    """Which part of a picture the discriminator sees."""

    size: int = 0  # side of what the discriminator sees, in pixels; 0: whole pictures as they are
    smallest: float = 0.5  # side of the smallest window, in image sides
    share: float = 0.5  # chance of a picture to be seen through a window; the others are seen as a whole
    start: int = 0  # step of the first window
    antialias: bool = (
        True  # photographs are made small by averaging; off: by picking points, as rays do (GRAF)
    )

    def sample(self, draws: Source, step: int) -> Tensor | None:
        """One window for each stream of draws -> [B, 3] = (scale, x, y) in image sides; None: whole pictures."""
        if not self.size or step < self.start:
            return None
        chance, scale, x, y = draws.uniform(4).unbind(-1)
        scale = self.smallest + (1 - self.smallest) * scale
        scale = torch.where(chance < self.share, scale, torch.ones_like(scale))
        return torch.stack([scale, x * (1 - scale), y * (1 - scale)], dim=-1)


def crop_and_resize(images: Tensor, windows: Tensor | None, size: Size, antialias: bool = True) -> Tensor:
    """Pictures [B, 3, H, W] through windows [B, 3] = (scale, x, y) -> [B, 3, *size]."""
    if windows is None:
        return images if images.shape[-2:] == size else shrink(images, size)
    finer = max(1, round(images.shape[-1] / size[1])) if antialias else 1  # samples along each pixel's side
    coords = Grid(windows, (size[0] * finer, size[1] * finer)).coords()
    sampled = grid_sample(images, coords.movedim(1, -1), align_corners=False, padding_mode="border")
    return avg_pool2d(sampled, finer)


def shrink(images: Tensor, size: Size) -> Tensor:
    """Whole pictures [B, 3, H, W] at another size, antialiased -> [B, 3, *size]."""
    return interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
