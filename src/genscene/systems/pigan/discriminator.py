"""pi-GAN's discriminators: residual, progressively growing, with CoordConv and encoder heads."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from genscene.errors import BadInput
from genscene.geometry.cameras import no_autocast
from genscene.layers.minibatch_std import minibatch_std
from genscene.objectives.adversarial import DiscriminatorOutput
from genscene.ranges import Channels, Length, Natural


@dataclass(frozen=True)
class DiscriminatorConfig:
    """The network that predicts whether images are real."""

    kind: Literal["progressive", "strided", "coord-strided"] = "progressive"  # the paper's; Cats'; CelebA's
    # by image size: largest first, 2x2 last
    channels: Annotated[tuple[Channels, ...], Length(range(2, 15))] = (
        16,
        32,
        64,
        128,
        256,
        400,
        400,
        400,
        400,
    )
    # also predicts z and (pitch, yaw), for the auxiliary losses (released code, not the paper)
    heads: bool = False
    # images over which the minibatch standard deviation is taken (StyleGAN); 0: none
    mbstd_group: Natural = 0

    @property
    def size(self) -> int:
        """Side of the largest image it takes."""
        return 2 ** len(self.channels)


STRIDED_CHANNELS = (32, 64, 128, 256, 400, 400, 400, 400)


class CoordConv(nn.Conv2d):
    """A convolution with two more inputs, row and column from -1 to 1 (Liu et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0):
        super().__init__(inputs + 2, outputs, kernel, stride, padding)

    def forward(self, x: Tensor, windows: Tensor | None = None) -> Tensor:
        """[B, inputs, H, W], windows [B, 3] of an image -> [B, outputs, H / stride, W / stride]."""
        return super().forward(append_coords(x, windows))


def append_coords(x: Tensor, windows: Tensor | None) -> Tensor:
    """[B, C, H, W] -> [B, C + 2, H, W] with the row and column of each pixel in the whole image, -1 to 1."""
    rows, columns = (torch.linspace(-1, 1, n, device=x.device, dtype=x.dtype) for n in x.shape[-2:])
    coords = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(len(x), -1, -1, -1)
    if windows is not None:
        scale, left, top = windows.to(x).unbind(-1)
        shift = torch.stack([top, left], dim=-1) * 2 + scale[:, None] - 1
        coords = scale[:, None, None, None] * coords + shift[..., None, None]
    return torch.cat([x, coords], dim=1)


class Block(nn.Module):
    """Two convolutions and a shortcut, halving the image by pooling or by the second one's stride."""

    def __init__(self, inputs: int, outputs: int, kind: str):
        super().__init__()
        self.pooled = kind == "progressive"
        self.stride = 1 if self.pooled else 2
        self.coords = kind != "strided"
        conv = CoordConv if self.coords else nn.Conv2d
        self.first = conv(inputs, outputs, 3, padding=1)
        self.second = conv(outputs, outputs, 3, stride=self.stride, padding=1)
        same = self.pooled and inputs == outputs
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, windows: Tensor | None = None) -> Tensor:
        """[B, inputs, H, W], windows [B, 3] of an image -> [B, outputs, H / 2, W / 2]."""
        place = (windows,) if self.coords else ()
        y = leaky_relu(self.second(leaky_relu(self.first(x, *place), 0.2), *place), 0.2)
        if self.pooled:
            x, y = avg_pool2d(x, 2), avg_pool2d(y, 2)
        if self.shortcut is not None:
            # strided by hand: with few channels oneDNN's own gradient writes past its memory (oneDNN #6035)
            x = self.shortcut(x[..., :: self.stride, :: self.stride])
        return (y + x) / math.sqrt(2)


class Discriminator(nn.Module):
    """Takes images of any power-of-two size up to the largest; each size has its own from_rgb layer."""

    def __init__(self, config: DiscriminatorConfig, latent_dim: int):
        super().__init__()
        self.config, self.latent_dim = config, latent_dim
        widths = config.channels
        self.from_rgb = nn.ModuleList(nn.Conv2d(3, width, 1) for width in widths)
        self.blocks = nn.ModuleList(Block(a, b, config.kind) for a, b in pairwise(widths))
        outputs = 1 + (latent_dim + 2 if config.heads else 0)
        self.last = nn.Conv2d(widths[-1] + (config.mbstd_group > 0), outputs, 2)
        if config.kind != "progressive":  # the released progressive ones use torch's default
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, a=0.2)

    def forward(
        self, images: Tensor, alpha: float = 1.0, windows: Tensor | None = None
    ) -> DiscriminatorOutput:
        """images [B, 3, H, W] in [-1, 1], windows [B, 3]; alpha < 1: blend in from_rgb of half the size."""
        start = image_level(min(images.shape[-2:]), self.config)
        x = self.apply_from_rgb(start, images)
        for i, block in enumerate(self.blocks[start:], start):
            if i == start + 1 and alpha < 1:
                half = interpolate(images, scale_factor=0.5, mode="nearest")
                x = alpha * x + (1 - alpha) * self.apply_from_rgb(i, half)
            x = block(x, windows)
        with no_autocast(images):  # logits and predictions in full precision
            x = x.to(images.dtype)
            if self.config.mbstd_group:
                x = minibatch_std(x, self.config.mbstd_group)
            out = self.last(x).mean(dim=(2, 3))  # one place, except for images that are not square
        if not self.config.heads:
            return DiscriminatorOutput(out[:, 0])
        return DiscriminatorOutput(out[:, 0], out[:, 1 : 1 + self.latent_dim], out[:, 1 + self.latent_dim :])

    def apply_from_rgb(self, level: int, images: Tensor) -> Tensor:
        """Images through the from_rgb layer of a level -> [B, channels, H, W]."""
        return leaky_relu(self.from_rgb[level](images), 0.2)


def image_level(size: int, config: DiscriminatorConfig) -> int:
    """The level, 0 for the largest, of images whose shorter side is `size`; BadInput where there is none."""
    level = len(config.channels) - int(math.log2(max(1, size)))
    if size < 2 or 2 ** int(math.log2(size)) != size or level < 0:
        raise BadInput(
            f"this discriminator takes images of 2, 4, ... {config.size} pixels (powers of two), not {size}"
        )
    return level
