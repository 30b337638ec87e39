"""Patches: windows that views and real images are cropped to (GRAF, sec. 3.2; CIPS's released code)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate

from genscene.errors import BadInput
from genscene.geometry.cameras import Grid, Size
from genscene.randomness import Randomness, derive_seed
from genscene.ranges import Natural, NonNegative, PositiveShare, Share

STRIDE = 1  # number of the random numbers that strides are sampled with


@dataclass(frozen=True)
class PatchSampler:
    """Which part of an image the discriminator is given."""

    size: Natural = 0  # side of the patch, in pixels; 0: whole images as they are
    smallest: PositiveShare = 0.5  # side of the smallest window, in image sides
    share: Share = 0.5  # probability of a window; otherwise the whole image is made as small as a patch
    start: Natural = 0  # first step with windows
    # real images are made smaller by averaging; off: by picking points, as rays do (GRAF)
    antialias: bool = True
    # the smallest window shrinks with every 1000 steps: exp(-3 anneal) times, from 0.9 (GRAF); 0: it does not
    anneal: NonNegative = 0.0
    largest: PositiveShare = 1.0  # side of the largest window, in image sides
    # instead: every 2^k-th pixel at a random place, k = 0, 1, ... as the size allows, the same for all images
    # of a step (released CIPS; with antialias off)
    strides: bool = False

    def check(self) -> None:
        """Raise BadInput for strides without patches, and where real images are averaged between them."""
        if self.strides and (self.antialias or not self.size):
            raise BadInput("strides: wanted a size of patches with it, and antialias off")

    def check_size(self, size: Size) -> None:
        """Raise BadInput for images that are smaller than patches, or not square where these have strides."""
        if self.size > min(size):
            raise BadInput(f"patches.size {self.size}: wanted at most the images' side, {min(size)}")
        if self.size and self.strides and size[0] != size[1]:
            raise BadInput(f"patches.strides: wanted off for images of {size[0]}x{size[1]}, not square")

    def stride_at(self, step: int, side: int, seed: int) -> int:
        """The stride at a step of a run with this seed, for square images with this side."""
        return 1 << derive_seed(seed, step, STRIDE) % (side // self.size).bit_length()

    def smallest_at(self, step: int) -> float:
        """Side of the smallest window at a step."""
        if not self.anneal:
            return self.smallest
        return min(0.9, max(self.smallest, self.largest * math.exp(-3 * (step // 1000) * self.anneal)))

    def sample(self, randomness: Randomness, step: int, side: int = 0, seed: int = 0) -> Tensor | None:
        """One window for each stream -> [B, 3] = (scale, x, y) in image sides; None: whole images.

        side: of the images, and seed: of the run, are those of patches with strides.
        """
        if not self.size or step < self.start:
            return None
        chance, scale, x, y = randomness.uniform(4).unbind(-1)
        if self.strides:
            stride = self.stride_at(step, side, seed)
            start = torch.stack([y, x], dim=-1) * (side - stride * (self.size - 1))
            return strided_windows(start.floor(), stride, self.size, side)
        smallest = self.smallest_at(step)
        scale = smallest + (self.largest - smallest) * scale
        scale = torch.where(chance < self.share, scale, torch.ones_like(scale))
        return torch.stack([scale, x * (1 - scale), y * (1 - scale)], dim=-1)


def strided_windows(start: Tensor, stride: int, patch: int, side: int) -> Tensor:
    """Windows [B, 3] whose patches are every stride-th pixel of square images with this side.

    start: row and column of the first pixel [B, 2]; stride 1: crops.
    """
    corner = (start.flip(-1) + 0.5 - stride / 2) / side
    return torch.cat([torch.full_like(corner[:, :1], stride * patch / side), corner], dim=-1)


def border_windows(windows: Tensor, patch: int, size: Size) -> Tensor:
    """Windows [B, 3] between the outermost pixel centers -> those whose patches are sampled to their border.

    The released GRAF places a patch's outermost points on the border of its window, and 0 to 1 between the
    centers of the first and the last of the image's pixels; size: of that image.
    """
    sides = windows.new_tensor([size[1], size[0]])
    scale = windows[:, :1] * patch / max(1, patch - 1) * (sides - 1) / sides
    corner = 0.5 / sides + windows[:, 1:] * (sides - 1) / sides - 0.5 / patch * scale
    return torch.cat([scale[:, :1], corner], dim=-1)


def windows_inside(windows: Tensor | None, inside: Tensor, randomness: Randomness) -> Tensor:
    """Square windows within the parts of images that pictures of other aspects fill -> [B, 4].

    windows [B, 3]: their scales are shares of the picture's shorter side; None: 1. inside: of B images, 1
    where the picture is, a rectangle, [B, 1, H, W]. The result is (scale, x, y, aspect) in image sides, as
    `Grid.crop` takes it.
    """
    height, width = inside.shape[-2:]
    rows, columns = (inside[:, 0] > 0.5).any(dim=2).float(), (inside[:, 0] > 0.5).any(dim=1).float()
    tall, wide = rows.sum(dim=1), columns.sum(dim=1)  # in pixels
    top, left = rows.argmax(dim=1), columns.argmax(dim=1)
    side = torch.minimum(tall, wide) if windows is None else windows[:, 0] * torch.minimum(tall, wide)
    across, down = randomness.uniform(2).to(inside).unbind(-1)
    x, y = left + across * (wide - side), top + down * (tall - side)
    aspect = torch.full_like(side, height / width)
    return torch.stack([side / height, x / width, y / height, aspect], dim=-1)


def crop_and_resize(images: Tensor, windows: Tensor | None, size: Size, antialias: bool = True) -> Tensor:
    """Windows [B, 3 or 4] of images [B, C, H, W], resampled -> [B, C, *size]; None: whole images."""
    if windows is None:
        return images if images.shape[-2:] == size else resize_antialiased(images, size)
    # samples along the side of each pixel of the result
    finer = (windows[:, 0] * min(images.shape[-2:]) / min(size)).round().clamp_min(1).long()
    found = images.new_empty(*images.shape[:2], *size)
    for count in finer.unique().tolist() if antialias else [1]:
        chosen = finer == count if antialias else slice(None)
        found[chosen] = sample_windows(images[chosen], windows[chosen], size, count)
    return found


def sample_windows(images: Tensor, windows: Tensor, size: Size, finer: int) -> Tensor:
    """The same by means of finer x finer points in each pixel, interpolated bilinearly."""
    whole = Grid(windows.new_tensor([[1.0, 0.0, 0.0]]).expand(len(windows), -1), size)
    coords = whole.crop(windows, (size[0] * finer, size[1] * finer)).coords().movedim(1, -1).to(images)
    return avg_pool2d(grid_sample(images, coords, align_corners=False, padding_mode="border"), finer)


def resize_antialiased(images: Tensor, size: Size) -> Tensor:
    """Whole images [B, 3, H, W] at another size, bilinear and antialiased -> [B, 3, *size]."""
    return interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
