"""The strided discriminator of DCGAN (Radford et al. 2016), as GRAF and GIRAFFE have it."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, instance_norm, leaky_relu, normalize

from genscene.errors import BadInput
from genscene.geometry.cameras import Size, no_autocast
from genscene.layers.minibatch_std import minibatch_std
from genscene.ranges import Channels, Natural


@dataclass(frozen=True)
class DCGANConfig:
    """Convolutions 4x4 that halve the image down to 4x4 pixels, and one to the logit.

    Without biases (GRAF, GIRAFFE) and norms the logit is proportional to the brightness of the image: what
    it rejects is made darker, and black is never rejected.
    """

    channels: tuple[Channels, ...] = (64, 128, 256, 512)  # behind every halving
    norm: Literal["none", "instance"] = "none"  # behind every halving
    first_norm: bool = True  # also behind the first
    spectral: bool = False  # weights are divided by their spectral norm (Miyato et al. 2018)
    # images over which the minibatch standard deviation is taken before the last convolution; 0: none
    mbstd_group: Natural = 0
    # residual blocks, pooling between them, and a linear layer instead (Mescheder et al. 2018)
    residual: bool = False
    bias: bool = False  # of the 4x4 convolutions
    kaiming: bool = False  # weights begin normal, with outputs as large as inputs; off: torch's, smaller

    @property
    def halvings(self) -> int:
        """How often the image is halved."""
        return len(self.channels) - self.residual

    @property
    def size(self) -> int:
        """Side of the smallest image that leaves 4x4 pixels."""
        return 4 * 2**self.halvings

    def check_size(self, size: Size) -> None:
        """Raise BadInput where images of this size do not leave 4x4 pixels or more."""
        if self.residual and size != (self.size, self.size):
            raise BadInput(
                f"images of {size[0]}x{size[1]}: wanted {self.size}x{self.size} for this discriminator"
            )
        if min(size) < self.size or any(side % 2**self.halvings for side in size):
            raise BadInput(
                f"images of {size[0]}x{size[1]}: wanted multiples of {2**self.halvings}, and at least"
                f" {self.size}, for a discriminator that halves them {self.halvings} times"
            )


class SpectralConv(nn.Conv2d):
    """A 4x4 convolution without bias, its weight divided by its largest singular value.

    That is estimated by one power iteration from the vectors that are stored; `iterate` stores its result.
    """

    u: Tensor  # [outputs]
    v: Tensor  # [inputs * 16]

    def __init__(self, inputs: int, outputs: int, stride: int, padding: int):
        super().__init__(inputs, outputs, 4, stride, padding, bias=False)
        self.register_buffer("u", normalize(torch.randn(outputs), dim=0))
        self.register_buffer("v", normalize(torch.randn(inputs * 16), dim=0))

    @torch.no_grad()
    def iterated(self) -> tuple[Tensor, Tensor]:
        """u and v after one power iteration."""
        matrix = self.weight.flatten(1)
        with no_autocast(matrix):
            v = normalize(matrix.T @ self.u, dim=0, eps=1e-12)
            return normalize(matrix @ v, dim=0, eps=1e-12), v

    def iterate(self) -> None:
        """Store the vectors of one more power iteration: once in every step of training."""
        self.u, self.v = self.iterated()

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H', W']."""
        u, v = self.iterated() if self.training else (self.u, self.v)
        with no_autocast(x):
            norm = u @ (self.weight.flatten(1) @ v)
        return conv2d(x, self.weight / norm, None, self.stride, self.padding)


class DCGANDiscriminator(nn.Module):
    """Images [B, 3, H, W], and labels of them -> logits [B]."""

    def __init__(self, config: DCGANConfig, inputs: int = 3, labels: int = 0):
        """inputs: channels of the images. labels: numbers of a label, such as a camera; 0: without labels."""
        super().__init__()
        self.config, sides = config, (inputs, *config.channels)
        pairs = pairwise(sides)
        self.layers = nn.ModuleList(conv4x4(a, b, 2, 1, config) for a, b in pairs)
        self.last = conv4x4(sides[-1] + (config.mbstd_group > 0), 1 + labels, 1, 0, config)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [B, 3, H, W], labels [B, L] -> logits [B], of larger images the mean over places.

        With labels the logit is f0 + <f, label>, a linear projection (Miyato and Koyama 2018, eq. 3).
        """
        x = images
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if self.config.norm == "instance" and (i or self.config.first_norm):
                x = instance_norm(x)
            x = leaky_relu(x, 0.2)
        with no_autocast(images):  # logits in full precision
            x = x.to(images.dtype)
            if self.config.mbstd_group:
                x = minibatch_std(x, self.config.mbstd_group)
            found = self.last(x).mean(dim=(2, 3))
        return found[:, 0] if labels is None else found[:, 0] + (found[:, 1:] * labels.to(found)).sum(dim=1)

    def iterate(self) -> None:
        """One power iteration of every spectral norm."""
        for layer in (*self.layers, self.last):
            if isinstance(layer, SpectralConv):
                layer.iterate()


def conv4x4(inputs: int, outputs: int, stride: int, padding: int, config: DCGANConfig) -> nn.Conv2d:
    """A 4x4 convolution."""
    if config.spectral:
        return SpectralConv(inputs, outputs, stride, padding)
    layer = nn.Conv2d(inputs, outputs, 4, stride, padding, bias=config.bias)
    if config.kaiming:
        nn.init.kaiming_normal_(layer.weight, a=0.2)
    return layer


class ResidualBlock(nn.Module):
    """x + 0.1 convolutions(x), with a projection of x where the width changes."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        middle = min(inputs, outputs)
        self.first = nn.Conv2d(inputs, middle, 3, padding=1)
        self.second = nn.Conv2d(middle, outputs, 3, padding=1)
        self.shortcut = None if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        same = x if self.shortcut is None else self.shortcut(x)
        return same + 0.1 * self.second(leaky_relu(self.first(leaky_relu(x, 0.2)), 0.2))


class ResidualDiscriminator(nn.Module):
    """Images [B, 3, S, S] of one size -> logits [B]."""

    def __init__(self, config: DCGANConfig, inputs: int = 3):
        """inputs: channels of the images."""
        super().__init__()
        sides = (config.channels[0], *config.channels)
        self.first = nn.Conv2d(inputs, sides[0], 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(a, b) for a, b in pairwise(sides))
        self.last = nn.Linear(16 * sides[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] -> logits [B]."""
        x = self.first(images)
        for i, block in enumerate(self.blocks):
            x = block(avg_pool2d(x, 3, 2, 1) if i else x)
        with no_autocast(images):  # logits in full precision
            return self.last(leaky_relu(x.to(images.dtype).flatten(1), 0.2))[:, 0]
