"""pi-GAN's discriminators: residual, growing; some are told where each pixel is, some guess z and pose."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from genscene.errors import BadInput


@dataclass(frozen=True)
class DiscriminatorConfig:
    """The network that tells photographs from renderings."""

    kind: Literal["progressive", "strided", "coord-strided"] = "progressive"  # the paper's; Cats'; CelebA's
    channels: tuple[int, ...] = (
        16,
        32,
        64,
        128,
        256,
        400,
        400,
        400,
        400,
    )  # by size: the largest first, 2x2 last
    heads: bool = (
        False  # also guesses z and (pitch, yaw), for the identity losses (released code, not the paper)
    )
    group: int = 0  # pictures whose deviation is shown to the last layer (StyleGAN's minibatch std); 0: none

    @property
    def size(self) -> int:
        """Side of the largest picture it takes."""
        return 2 ** len(self.channels)


STRIDED_CHANNELS = (32, 64, 128, 256, 400, 400, 400, 400)


@dataclass(frozen=True)
class Verdict:
    """What a discriminator says of B pictures."""

    logits: Tensor  # [B], above 0: a photograph
    z: Tensor | None = None  # [B, latent_dim], its guess
    pose: Tensor | None = None  # [B, 2], its guess of (pitch, yaw) in radians

    def __getitem__(self, part: slice) -> "Verdict":
        """What it says of some of the pictures."""
        z, pose = (None if x is None else x[part] for x in (self.z, self.pose))
        return Verdict(self.logits[part], z, pose)


class CoordConv(nn.Conv2d):
    """A convolution that is told where it is (Liu et al. 2018): row, then column, -1 to 1, as last channels."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0):
        super().__init__(inputs + 2, outputs, kernel, stride, padding)

    def forward(self, x: Tensor, window: Tensor | None = None) -> Tensor:
        """[B, inputs, H, W], seen through windows [B, 3] of the picture -> [B, outputs, H / stride, W / stride]."""
        rows, columns = (torch.linspace(-1, 1, n, device=x.device, dtype=x.dtype) for n in x.shape[-2:])
        coords = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(len(x), -1, -1, -1)
        if window is not None:
            scale, left, top = window.to(x).unbind(-1)
            shift = torch.stack([top, left], dim=-1) * 2 + scale[:, None] - 1
            coords = scale[:, None, None, None] * coords + shift[..., None, None]
        return super().forward(torch.cat([x, coords], dim=1))


class Block(nn.Module):
    """Two convolutions beside a shortcut, halving the picture: by pooling, or by the second one's stride."""

    def __init__(self, inputs: int, outputs: int, kind: str):
        super().__init__()
        self.pooled = kind == "progressive"
        self.stride = 1 if self.pooled else 2
        self.placed = kind != "strided"
        conv = CoordConv if self.placed else nn.Conv2d
        self.first = conv(inputs, outputs, 3, padding=1)
        self.second = conv(outputs, outputs, 3, stride=self.stride, padding=1)
        same = self.pooled and inputs == outputs
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, window: Tensor | None = None) -> Tensor:
        """[B, inputs, H, W], seen through windows [B, 3] of the picture -> [B, outputs, H / 2, W / 2]."""
        place = (window,) if self.placed else ()
        y = leaky_relu(self.second(leaky_relu(self.first(x, *place), 0.2), *place), 0.2)
        if self.pooled:
            x, y = avg_pool2d(x, 2), avg_pool2d(y, 2)
        if self.shortcut is not None:
            # strided by hand: with few channels oneDNN's own gradient writes past its memory (oneDNN #6035)
            x = self.shortcut(x[..., :: self.stride, :: self.stride])
        return (y + x) / math.sqrt(2)


class Discriminator(nn.Module):
    """Pictures of any power-of-two size up to the largest; each size has an entrance of its own."""

    def __init__(self, config: DiscriminatorConfig, latent_dim: int):
        super().__init__()
        self.config, self.latent_dim = config, latent_dim
        widths = config.channels
        self.entrances = nn.ModuleList(nn.Conv2d(3, width, 1) for width in widths)
        self.blocks = nn.ModuleList(Block(a, b, config.kind) for a, b in pairwise(widths))
        outputs = 1 + (latent_dim + 2 if config.heads else 0)
        self.last = nn.Conv2d(widths[-1] + (config.group > 0), outputs, 2)
        if config.kind != "progressive":  # the released progressive ones keep torch's default
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, a=0.2)

    def forward(self, images: Tensor, fade: float = 1.0, window: Tensor | None = None) -> Verdict:
        """images [B, 3, H, W] in [-1, 1], through windows [B, 3]; fade < 1 blends in the entrance of half the size."""
        start = self.level(images)
        x = self.enter(start, images)
        for i, block in enumerate(self.blocks[start:], start):
            if i == start + 1 and fade < 1:
                half = interpolate(images, scale_factor=0.5, mode="nearest")
                x = fade * x + (1 - fade) * self.enter(i, half)
            x = block(x, window)
        if self.config.group:
            x = torch.cat([x, deviation(x, self.config.group)], dim=1)
        out = self.last(x).mean(dim=(2, 3))  # one place, but for pictures that are not square
        if not self.config.heads:
            return Verdict(out[:, 0])
        return Verdict(out[:, 0], out[:, 1 : 1 + self.latent_dim], out[:, 1 + self.latent_dim :])

    def enter(self, level: int, images: Tensor) -> Tensor:
        """Pictures through the entrance of a level -> [B, channels, H, W]."""
        return leaky_relu(self.entrances[level](images), 0.2)

    def level(self, images: Tensor) -> int:
        """Which entrance pictures of this size take; the largest size is 0."""
        return entrance(min(images.shape[-2:]), self.config)


def entrance(size: int, config: DiscriminatorConfig) -> int:
    """The level of pictures whose shorter side is `size`; BadInput where there is none."""
    level = len(config.channels) - int(math.log2(max(1, size)))
    if size < 4 or 2 ** int(math.log2(size)) != size or level < 0:
        raise BadInput(
            f"this discriminator takes pictures of 4, 8, ... {config.size} pixels (powers of two), not {size}"
        )
    return level


def deviation(x: Tensor, group: int) -> Tensor:
    """Mean deviation within groups of neighbouring pictures, as one more channel (Karras et al. 2018, sec. 3)."""
    size = math.gcd(group, len(x))
    spread = x.unflatten(0, (-1, size)).var(dim=1, unbiased=False).add(1e-8).sqrt().mean(dim=(1, 2, 3))
    return spread.repeat_interleave(size)[:, None, None, None].expand(-1, 1, *x.shape[-2:])
