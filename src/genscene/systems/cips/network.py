"""CIPS's network: coordinates and a style -> the color of a pixel, on its own (CIPS, fig. 2)."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from genscene.errors import BadInput
from genscene.layers.coordinates import CoordinateEmbedding, FourierFeatures, Outside
from genscene.layers.styled_linear import Activation, StyledBlock, StyledLinear
from genscene.ranges import Channels, Factor, Length, Range, Side


@dataclass(frozen=True)
class CIPSNetworkConfig:
    """All the numbers of the network."""

    features: Channels = 512  # Fourier features, and channels of the embeddings
    fourier: bool = True  # the input has Fourier features
    embedding: bool = True  # the input has an embedding for every pixel; off: CIPS-NE
    embedding_size: tuple[Side, Side] = (256, 256)  # height and width of the table of embeddings
    fourier_scale: Factor = 1.0  # frequencies of Fourier features before training, times those of the paper
    embedding_std: Factor = 1.0  # standard deviation of the embeddings before training
    # pictures, side by side, that close to a cylinder, which the table then covers; 1: a plane
    frames: Annotated[int, Range(1, 64)] = 1
    # of each block of two layers; the first also of the layer before them (released: the last ones are
    # 256 and 128)
    widths: Annotated[tuple[Channels, ...], Length(range(1, 17))] = (512,) * 7
    # skip: every block adds to the color; residual: blocks are residual, the last one gives the color
    variant: Literal["skip", "residual"] = "skip"
    # sinrelu: leaky ReLU on every second channel, sine on the others
    activation: Activation = "leaky_relu"
    # of each pixel and layer, of learned strength; random: where randomness is given (released code);
    # coordinate: hashes of the coordinates, the same in every picture
    noise: Literal["none", "random", "coordinate"] = "none"
    legacy_fourier_bias: bool = False  # the linear map of the Fourier features has a bias (released code)
    # embeddings between pixels are looked up up to half a pixel off (released code)
    legacy_grid_sample: bool = False

    @property
    def inputs(self) -> int:
        """Channels of the input."""
        return self.features * (self.fourier + self.embedding)

    @property
    def layers(self) -> int:
        """Fully connected layers, without those that give colors."""
        return 1 + 2 * len(self.widths)

    def check(self) -> None:
        """Raise BadInput for a network that knows nothing of its place."""
        if not self.inputs:
            raise BadInput("fourier and embedding are both off: wanted one of them on")
        if self.frames > 1 and self.legacy_grid_sample:
            raise BadInput(f"legacy_grid_sample with frames {self.frames}: wanted it off around a cylinder")


class CIPSNetwork(nn.Module):
    """Coordinates and styles -> colors of pixels."""

    def __init__(self, config: CIPSNetworkConfig, style_dim: int):
        super().__init__()
        self.config, widths, features = config, config.widths, config.features
        self.fourier = self.embedding = None
        if config.fourier:
            how = (config.legacy_fourier_bias, config.frames, config.fourier_scale)
            self.fourier = FourierFeatures(features, *how)
        if config.embedding:
            of_table = (config.legacy_grid_sample, config.frames > 1, config.embedding_std)
            self.embedding = CoordinateEmbedding(features, config.embedding_size, *of_table)
        noise = config.noise != "none"
        self.first = StyledLinear(config.inputs, widths[0], style_dim, config.activation, noise)
        residual = config.variant == "residual"
        self.blocks = nn.ModuleList(
            StyledBlock(a, b, style_dim, config.activation, noise, residual)
            for a, b in pairwise((widths[0], *widths))
        )
        colored = widths[-1:] if residual else widths
        self.to_rgb = nn.ModuleList(StyledLinear(width, 3, style_dim, None) for width in colored)

    def features(self, coords: Tensor, outside: Outside) -> dict[str, Tensor]:
        """coords [B, N, 2] -> by kind what the network has: Fourier features, embeddings [B, N, features]."""
        found = {} if self.fourier is None else {"Fourier features": self.fourier(coords)}
        return found if self.embedding is None else found | {"embeddings": self.embedding(coords, outside)}

    def inputs(self, coords: Tensor, outside: Outside, zeroed: Collection[str] = ()) -> Tensor:
        """coords [B, N, 2] -> features of all kinds [B, N, inputs], 0 for those that are zeroed."""
        found = self.features(coords, outside)
        return torch.cat([torch.zeros_like(x) if kind in zeroed else x for kind, x in found.items()], dim=-1)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """x [B, N, inputs], w [B, S], [B, N, S] or [B, layers, 1, S] -> colors [B, N, 3], about -1 to 1.

        noise: [B, layers, N]. A color has the style of the layer before it.
        """
        each = (None,) * self.config.layers if noise is None else noise.unbind(1)
        styles = w.squeeze(2).unbind(1) if w.ndim == 4 else (w,) * self.config.layers
        x, colors = self.first(x, styles[0], each[0]), []
        for i, block in enumerate(self.blocks):
            layers = slice(2 * i + 1, 2 * i + 3)
            x = block(x, styles[layers], each[layers])
            if self.config.variant == "skip":
                colors.append(self.to_rgb[i](x, styles[layers][1]))
        return sum(colors[1:], colors[0]) if colors else self.to_rgb[0](x, styles[-1])

    def pixel_bytes(self, pixel_styles: bool) -> int:
        """Bytes that a pixel takes while it is evaluated, with a style of its own or without."""
        return 4 * (2 + pixel_styles) * 2 * max(self.config.inputs, *self.config.widths)
