"""Patches: windows that views and real images are cropped to (GRAF, sec. 3.2)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate

from genscene.geometry.cameras import Grid, Size
from genscene.randomness import Randomness
from genscene.ranges import Natural, PositiveShare, Share


@dataclass(frozen=True)
class PatchSampler:
    """Which part of an image the discriminator is given."""

    size: Natural = 0  # side of the patch, in pixels; 0: whole images as they are
    smallest: PositiveShare = 0.5  # side of the smallest window, in image sides
    share: Share = 0.5  # probability of a window; otherwise the whole image is made as small as a patch
    start: Natural = 0  # first step with windows
    # real images are made smaller by averaging; off: by picking points, as rays do (GRAF)
    antialias: bool = True

    def sample(self, randomness: Randomness, step: int) -> Tensor | None:
        """One window for each stream -> [B, 3] = (scale, x, y) in image sides; None: whole images."""
        if not self.size or step < self.start:
            return None
        chance, scale, x, y = randomness.uniform(4).unbind(-1)
        scale = self.smallest + (1 - self.smallest) * scale
        scale = torch.where(chance < self.share, scale, torch.ones_like(scale))
        return torch.stack([scale, x * (1 - scale), y * (1 - scale)], dim=-1)


def crop_and_resize(images: Tensor, windows: Tensor | None, size: Size, antialias: bool = True) -> Tensor:
    """Windows [B, 3] of images [B, 3, H, W], resampled -> [B, 3, *size]; None: whole images."""
    if windows is None:
        return images if images.shape[-2:] == size else resize_antialiased(images, size)
    finer = max(1, round(images.shape[-1] / size[1])) if antialias else 1  # samples along each pixel's side
    coords = Grid(windows, (size[0] * finer, size[1] * finer)).coords()
    sampled = grid_sample(images, coords.movedim(1, -1), align_corners=False, padding_mode="border")
    return avg_pool2d(sampled, finer)


def resize_antialiased(images: Tensor, size: Size) -> Tensor:
    """Whole images [B, 3, H, W] at another size, bilinear and antialiased -> [B, 3, *size]."""
    return interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
