"""CGS-GAN's network: learned points and styles -> Gaussians of all levels, and their anchors."""

import math
import re
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from genscene.errors import BadInput
from genscene.layers.points.encoding import ConstantEncoding, PointEncoding
from genscene.layers.points.residual import (
    RawGaussians,
    ResidualConfig,
    ResidualHeads,
    child_gaussians,
    first_anchors,
    joined,
)
from genscene.layers.points.transformer import ModulatedBlock, SubpixelUpsample
from genscene.ranges import Box, Channels, Count, Extent, Factor, Layers, Length, NonNegative, Signed

LEVELS = re.compile(r"network\.(blocks|upsample|gaussians|anchors)\.(?:[a-z]+\.)?(\d+)\.")
SHELL = 0.3 * math.sqrt(3)  # radius of the released code's points before training


@dataclass(frozen=True)
class PointNetworkConfig:
    """Points, the transformer over them, and the levels of Gaussians that hang on them."""

    points: Channels = 512  # learned, the same for all latent codes
    # half axes of the ellipsoid that they lie on before training
    ellipsoid: Box = (SHELL, SHELL, SHELL)
    filled: bool = False  # they lie in all of it
    box: Extent = 1.0  # half side of the box that they never leave
    width: Channels = 512  # features of a token
    heads: Count = 8  # of the attention
    attention: bool = True  # off: tokens know of one another by their mean and deviation alone
    mlp_ratio: Count = 4  # of the hidden features between two attentions to the width
    gate: Signed = 0.0  # factor of what a block adds, before training
    constant_pe: ConstantEncoding = "middle"  # released code: middle
    pe_entries: Channels = 512  # of the table of the constant encoding along an axis
    frequency: Factor = 1.0  # standard deviation of the learned encoding's map before training
    first_blocks: Layers = 6  # of the transformer, before the first level; then one for each further level
    # Gaussians of a level for each anchor of the level before, the first of which are the points
    children: Annotated[tuple[Count, ...], Length(range(1, 17))] = (1, 4, 4, 4, 2, 2)
    # features of a Gaussian of each level, before its heads
    features: Annotated[tuple[Channels, ...], Length(range(1, 17))] = (512, 256, 128, 64, 32, 16)
    xyz_init: NonNegative = 1.0  # standard deviation of the weights of heads of positions
    color_init: NonNegative = 1.0  # standard deviation of the weights of heads of colors
    scale_bias: Signed = -1.0  # biases of heads of scales before training

    @property
    def blocks(self) -> int:
        """Blocks of the transformer."""
        return self.first_blocks + len(self.children) - 1

    @property
    def counts(self) -> list[int]:
        """Gaussians of each level."""
        return [self.points * math.prod(self.children[: i + 1]) for i in range(len(self.children))]

    def check(self) -> None:
        """Raise BadInput for sizes that do not go together."""
        if self.width % 2 or self.width % self.heads:
            raise BadInput(f"width {self.width}: wanted an even number, a multiple of heads ({self.heads})")
        if len(self.features) != len(self.children):
            raise BadInput(
                f"features of {len(self.features)} levels: wanted {len(self.children)}, as children"
            )


class PointNetwork(nn.Module):
    """Styles -> Gaussians; the tokens are as many as points at every level."""

    def __init__(self, config: PointNetworkConfig, style_dim: int):
        super().__init__()
        self.config, width = config, config.width
        self.points = nn.Parameter(initial_points(config))
        entries = config.points if config.constant_pe == "point" else config.pe_entries
        self.encoding = PointEncoding(width, config.constant_pe, entries, config.frequency)
        of_block = (width, config.heads, style_dim, config.mlp_ratio, config.gate, config.attention)
        self.blocks = nn.ModuleList(ModulatedBlock(*of_block) for _ in range(config.blocks))
        ratios = [count // config.points for count in config.counts]
        self.upsample = nn.ModuleList(
            SubpixelUpsample(width, *of) for of in zip(config.features, ratios, strict=True)
        )
        of_heads = (config.xyz_init, config.color_init, config.scale_bias)
        self.anchors = ResidualHeads(config.features[:-1] or config.features, *of_heads)
        self.gaussians = ResidualHeads(config.features, *of_heads)

    def forward(self, w: Tensor, config: ResidualConfig) -> tuple[RawGaussians, list[RawGaussians]]:
        """Styles of blocks [B, blocks, style_dim] -> all Gaussians, and the anchors of each level."""
        levels, anchors = [], []
        places = self.config.box * self.points.tanh().repeat_interleave(self.config.children[0], dim=0)
        for i, features in enumerate(self.features(w)):
            if i == 0:
                anchors.append(first_anchors(self.anchors(0, features), places, config))
            split = bool(i) or config.split_first
            levels.append(child_gaussians(self.gaussians(i, features), anchors[-1], config, split))
            if 0 < i < len(self.config.children) - 1:
                anchors.append(child_gaussians(self.anchors(i, features), anchors[-1], config))
        return joined(levels, config.bound), anchors

    def level_of(self, name: str) -> int:
        """The first level that a parameter, by its name in a generator, is of."""
        found = LEVELS.match(name)
        if found is None:
            return 0
        less = {"blocks": self.config.first_blocks - 1, "anchors": -1}.get(found[1], 0)
        return int(found[2]) - less

    def features(self, w: Tensor) -> list[Tensor]:
        """Styles of blocks [B, blocks, style_dim] -> features of each level [B, N of it, features]."""
        x, found = self.encoding(self.points.tanh()[None]).expand(len(w), -1, -1), []
        for i, block in enumerate(self.blocks):
            x = block(x, w[:, i])
            level = i + 1 - self.config.first_blocks
            if level >= 0:
                found.append(self.upsample[level](x))
        return found


def initial_points(config: PointNetworkConfig) -> Tensor:
    """Points [N, 3] on the ellipsoid, or in it, before they are bounded by tanh to the box."""
    directions = normalize(torch.randn(config.points, 3), dim=-1)
    if config.filled:
        directions = directions * torch.rand(config.points, 1) ** (1 / 3)
    return directions * torch.tensor(config.ellipsoid) / config.box
