"""Augmentation of what the discriminator is given, reals and fakes alike (DiffAugment, Zhao et al. 2020)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.randomness import Randomness
from genscene.ranges import Share


@dataclass(frozen=True)
class Augmentation:
    """Random changes of real images and fakes before the discriminator sees them, for small sets.

    All are differentiable twice, so that the generator learns and R1 is computed through them.
    """

    color: bool = False  # brightness, saturation and contrast; masks of objects remain as they are
    translation: Share = 0.0  # by up to this share of the sides, gray behind (DiffAugment: 0.125)
    cutout: Share = 0.0  # sides of a rectangle that is gray, in image sides (DiffAugment: 0.5)
    flip: bool = False  # half of the images are mirrored

    @property
    def active(self) -> bool:
        """Whether anything is changed."""
        return self.color or self.flip or self.translation > 0 or self.cutout > 0

    def apply(self, images: Tensor, randomness: Randomness) -> Tensor:
        """Images [B, C, H, W] in [-1, 1], the first three channels colors -> the same, changed."""
        numbers = randomness.uniform(8).to(images)
        flip, color, shift, cut = numbers.split([1, 3, 2, 2], dim=1)
        if self.flip:
            images = mirror(images, flip[:, 0] < 0.5)
        if self.color:
            images = torch.cat([change_colors(images[:, :3], color), images[:, 3:]], dim=1)
        sides = torch.tensor(images.shape[-2:]).to(images)
        if self.translation:
            most = (self.translation * sides).round()
            images = translate(images, (shift * (2 * most + 1)).floor() - most)
        if self.cutout:
            cutout = (self.cutout * sides).round()
            start = (cut * (sides + 1 - cutout % 2)).floor() - (cutout / 2).floor()
            images = cut_out(images, start, cutout)
        return images


def mirror(images: Tensor, chosen: Tensor) -> Tensor:
    """Images [B, C, H, W], the chosen [B] with left and right exchanged."""
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def change_colors(images: Tensor, numbers: Tensor) -> Tensor:
    """Images [B, 3, H, W], other in brightness, saturation and contrast by numbers [B, 3] from 0 to 1.

    0.5 is added at most; deviations from the gray of a pixel are multiplied by 0 to 2, those from the mean of
    the image by 0.5 to 1.5.
    """
    brightness, saturation, contrast = numbers[..., None, None, None].unbind(1)
    images = images + brightness - 0.5
    images = torch.lerp(images.mean(dim=1, keepdim=True), images, 2 * saturation)
    return torch.lerp(images.mean(dim=(1, 2, 3), keepdim=True), images, contrast + 0.5)


def translate(images: Tensor, shift: Tensor) -> Tensor:
    """Images [B, C, H, W] moved by whole pixels (down, right) [B, 2], 0 where nothing comes from."""
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device) - shift[:, :1].long()  # [B, H], of the source
    columns = torch.arange(width, device=images.device) - shift[:, 1:].long()
    places = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]
    places = places.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    return images.flatten(2).gather(2, places).view_as(images) * inside[:, None]


def cut_out(images: Tensor, start: Tensor, sides: Tensor) -> Tensor:
    """Images [B, C, H, W], 0 in the rectangles from (row, column) [B, 2] with sides (height, width) [2]."""
    rows, columns = (
        torch.arange(count, device=images.device) - start[:, i : i + 1]
        for i, count in enumerate(images.shape[-2:])
    )
    inside = ((rows >= 0) & (rows < sides[0]))[:, :, None] & ((columns >= 0) & (columns < sides[1]))[:, None]
    return images * ~inside[:, None]
