"""GIRAFFE's neural renderer: an image of features -> a picture some powers of two larger."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, instance_norm, interpolate, leaky_relu, pad

from genscene.ranges import Channels, Range

Upsampling = Literal["nearest", "bilinear"]


@dataclass(frozen=True)
class NeuralRendererConfig:
    """The convolutional network (GIRAFFE, sec. 3.3)."""

    features: Channels = 128  # channels of the feature image
    channels: Channels = 128  # of the first level; halved at every level
    min_channels: Channels = 32  # of every level
    levels: Annotated[int, Range(0, 10)] = 2  # the picture is 2^levels as large as the feature image
    rgb_skips: bool = True  # every level's colors are added up; off (ablation): those of the last one alone
    upsampling: Upsampling = "nearest"  # of features; bilinear: with a blur
    rgb_upsampling: Upsampling = "bilinear"  # of the colors, where there are skips; bilinear: with a blur
    norm: bool = False  # instance norm behind every convolution
    sigmoid: bool = True  # colors between 0 and 1; off: unbounded (ablation)

    @property
    def widths(self) -> list[int]:
        """Channels of the features at every level, those of the first convolution's input first."""
        halved = [max(self.channels >> (i + 1), self.min_channels) for i in range(self.levels)]
        return [self.channels, *halved]


class NeuralRenderer(nn.Module):
    """Upsampling and one convolution at every level; each maps to colors, which are added up (fig. 4)."""

    def __init__(self, config: NeuralRendererConfig):
        super().__init__()
        self.config, widths = config, config.widths
        same = config.features == config.channels
        self.first = None if same else nn.Conv2d(config.features, config.channels, 1)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        if config.rgb_skips:
            self.rgb = nn.ModuleList(nn.Conv2d(c, 3, 3, padding=1) for c in (config.features, *widths[1:]))
        else:  # as the ablation was run
            self.rgb = nn.ModuleList([nn.Conv2d(widths[-1], 3, 1)])

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, C, h, w] -> colors [B, 3, 2^levels h, 2^levels w]."""
        config, rgb = self.config, None
        if not torch.is_grad_enabled():  # half the time of large pictures on CPU
            x = x.contiguous(memory_format=torch.channels_last)
        if config.rgb_skips:
            rgb = self.rgb[0](x)
        if self.first is not None:
            x = self.first(x)
        for i, layer in enumerate(self.layers):
            x = layer(upsample(x, config.upsampling))
            x = leaky_relu(instance_norm(x) if config.norm else x, 0.2)
            if rgb is not None:
                rgb = upsample(rgb, config.rgb_upsampling) + self.rgb[i + 1](x)
        rgb = self.rgb[-1](x) if rgb is None else rgb
        return rgb.sigmoid() if config.sigmoid else rgb


def upsample(x: Tensor, kind: Upsampling) -> Tensor:
    """[B, C, H, W] -> [B, C, 2 H, 2 W]; bilinear: blurred by [1, 2, 1] x [1, 2, 1] / 16 as well."""
    if kind == "nearest":
        return interpolate(x, scale_factor=2, mode="nearest")
    x = interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    row = torch.tensor([0.25, 0.5, 0.25]).to(x)
    kernel = (row[:, None] * row).expand(x.shape[1], 1, 3, 3)
    return conv2d(pad(x, (1, 1, 1, 1), mode="reflect"), kernel, groups=x.shape[1])
