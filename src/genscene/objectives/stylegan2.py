"""The residual discriminator of StyleGAN2 (Karras et al. 2020, sec. 4.1), as CIPS and EG3D have it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from genscene.errors import BadInput
from genscene.geometry.cameras import Size, no_autocast
from genscene.layers.minibatch_std import minibatch_std, strided_minibatch_std
from genscene.layers.stylegan2 import (
    EqualConv2d,
    EqualLinear,
    LabelMapping,
    blur,
    gaussian_blur,
    scaled_leaky_relu,
)
from genscene.ranges import Channels, Count, Factor, Natural, NonNegative, Side


@dataclass(frozen=True)
class StyleGAN2DiscriminatorConfig:
    """Residual blocks that halve the image down to 4x4 pixels, and two linear layers."""

    size: Side = 256  # of the images, a power of two
    # an image of n x n pixels has channel_base / n channels, at most channel_max
    channel_base: Count = 32_768
    channel_max: Channels = 512
    # images over which the minibatch standard deviation is taken before the last convolution; 0: none
    mbstd_group: Natural = 4
    # a group is every (B / group)-th image, as in the released code; off: images that follow one another,
    # between which a batch may be cut for gradient accumulation and for several processes
    mbstd_strided: bool = False
    conv_clamp: NonNegative = 0.0  # outputs of convolutions lie within this (for float16: 256); 0: anywhere
    # where it is given labels, such as cameras: numbers of what the mapped label is multiplied by
    label_features: Channels = 512
    label_depth: Natural = 8  # layers that map labels, behind the one that embeds them
    label_lr: Factor = 0.01  # factor of these layers' weights, and so of their learning rate
    # mapped labels are multiplied with the last features (released code of EG3D and CGS-GAN), or added to
    # those before the last layer
    label_use: Literal["project", "add"] = "project"
    # images are blurred at first, to sharp ones in so many steps: 2^-(x / sigma)^2 at x pixels; 0: never
    blur_steps: Natural = 0
    blur_sigma: NonNegative = 10.0  # at the first step, in pixels

    @property
    def sides(self) -> list[int]:
        """Sides of the images before each block and behind the last: size, size / 2, ... 4."""
        return [self.size >> i for i in range(int(math.log2(self.size)) - 1)]

    def shrunk(self, size: int) -> "StyleGAN2DiscriminatorConfig":
        """The same for images of another size, with at most 8 channels and pairs of images, for tests."""
        few = min(2, self.mbstd_group)
        small = replace(self, size=size, channel_base=128, channel_max=8, mbstd_group=few)
        depth = min(2, self.label_depth)
        return replace(small, label_features=min(8, self.label_features), label_depth=depth)

    def blur_at(self, step: int) -> float:
        """The blur at a step, in pixels."""
        return self.blur_sigma * max(0.0, 1 - step / self.blur_steps) if self.blur_steps else 0.0

    def channels_at(self, side: int) -> int:
        """Channels of an image with this side."""
        return max(1, min(self.channel_max, self.channel_base // side))

    def check_size(self, size: Size) -> None:
        """Raise BadInput for images of another size, and a size that blocks do not halve to 4."""
        if self.size < 4 or self.size & (self.size - 1):
            raise BadInput(f"the discriminator's size {self.size}: wanted a power of two from 4")
        if size != (self.size, self.size):
            raise BadInput(
                f"images of {size[0]}x{size[1]}: wanted {self.size}x{self.size} for this discriminator"
            )


class ResidualBlock(nn.Module):
    """(convolutions(x) + projection(x)) / sqrt(2), both blurred before they are halved."""

    def __init__(self, in_channels: int, out_channels: int, clamp: float = 0.0):
        """clamp: the outputs of convolutions lie within this; 0: anywhere."""
        super().__init__()
        self.clamp = clamp
        self.first = EqualConv2d(in_channels, in_channels, 3, padding=1, bias=True)
        self.second = EqualConv2d(in_channels, out_channels, 3, stride=2, bias=True)
        self.shortcut = EqualConv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, out_channels, H / 2, W / 2]."""
        y = clamped(scaled_leaky_relu(self.first(x)), self.clamp)
        y = clamped(scaled_leaky_relu(self.second(blur(y, 2))), self.clamp)
        return (y + clamped(self.shortcut(blur(x, 1, stride=2)), self.clamp)) / math.sqrt(2)


def clamped(x: Tensor, limit: float) -> Tensor:
    """The same numbers, those beyond +-limit at it; 0: all as they are."""
    return x.clamp(-limit, limit) if limit else x


class StyleGAN2Discriminator(nn.Module):
    """Images [B, C, S, S] of one size in [-1, 1], and labels of them -> logits [B]."""

    def __init__(self, config: StyleGAN2DiscriminatorConfig, inputs: int = 3, labels: int = 0):
        """inputs: channels of the images. labels: numbers of a label, such as a camera; 0: without labels."""
        super().__init__()
        config.check_size((config.size, config.size))
        self.config, widths = config, [config.channels_at(side) for side in config.sides]
        last, self.adds = widths[-1], config.label_use == "add"
        outputs = config.label_features if labels and not self.adds else 1
        self.from_rgb = EqualConv2d(inputs, widths[0], 1, bias=True)
        self.blocks = nn.Sequential(*(ResidualBlock(a, b, config.conv_clamp) for a, b in pairwise(widths)))
        self.last_conv = EqualConv2d(last + (config.mbstd_group > 0), last, 3, padding=1, bias=True)
        self.hidden = EqualLinear(16 * last, last)
        self.last = EqualLinear(last, outputs)
        of_labels = (last if self.adds else outputs, config.label_depth, config.label_lr)
        self.labels = LabelMapping(0, labels, *of_labels) if labels else None

    def forward(self, images: Tensor, labels: Tensor | None = None, step: int | None = None) -> Tensor:
        """Images [B, C, S, S] in [-1, 1], labels [B, L] -> logits [B]; step: of the run, for the blur.

        With labels the logit is a projection (Miyato and Koyama 2018): <features, mapped label> / sqrt(dim).
        """
        sigma = 0.0 if step is None else self.config.blur_at(step)
        if sigma:
            colors, others = images.split([3, images.shape[1] - 3], dim=1)
            with no_autocast(images):
                images = torch.cat([gaussian_blur(colors, sigma), others], dim=1)
        found = self.features(images)
        with no_autocast(images):
            return self.logits(found, labels)

    def logits(self, found: Tensor, labels: Tensor | None) -> Tensor:
        """Features [B, channels at 4x4], labels [B, L] -> logits [B]."""
        if self.labels is None:
            return self.last(found)[:, 0]
        assert labels is not None, "this discriminator is given labels"
        mapped = self.labels(found[:, :0], labels.to(found))
        if self.adds:
            return self.last(found + mapped)[:, 0]
        found = self.last(found)
        return (found * mapped).sum(dim=1) / math.sqrt(found.shape[1])

    def features(self, images: Tensor) -> Tensor:
        """Images [B, C, S, S] in [-1, 1] -> features before the last layer [B, channels at 4x4].

        What is not of the blocks is never in less than full precision.
        """
        x = self.blocks(clamped(scaled_leaky_relu(self.from_rgb(images)), self.config.conv_clamp))
        with no_autocast(images):
            x = x.to(images.dtype)
            if self.config.mbstd_group:
                deviation = strided_minibatch_std if self.config.mbstd_strided else minibatch_std
                x = deviation(x, self.config.mbstd_group)
            x = clamped(scaled_leaky_relu(self.last_conv(x)), self.config.conv_clamp)
            return scaled_leaky_relu(self.hidden(x.flatten(1)))

    def grow(self, smaller: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a discriminator of smaller images in the last blocks, its own in those before."""
        blocks = {int(name.split(".")[1]) for name in smaller if name.startswith("blocks.")}
        more = len(self.blocks) - len(blocks)
        if more <= 0:
            return dict(smaller)
        moved = {
            re.sub(r"^blocks\.(\d+)", lambda i: f"blocks.{int(i[1]) + more}", n): x
            for n, x in smaller.items()
        }
        return self.state_dict() | {n: x for n, x in moved.items() if not n.startswith("from_rgb.")}
