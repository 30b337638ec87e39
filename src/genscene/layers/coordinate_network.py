"""Fully connected networks of coordinates, with the encodings that let them fit detail."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from genscene.geometry.cameras import no_autocast
from genscene.layers.encoding import positional_encoding
from genscene.layers.hash_grid import GridConfig, HashGrid
from genscene.layers.siren import siren_init
from genscene.ranges import Channels, Factor, Octaves, Positive, Range


@dataclass(frozen=True)
class CoordinateNetworkConfig:
    """All the numbers of the network."""

    # of coordinates; gaussian: sines and cosines of random frequencies (Tancik et al. 2020); positional: of
    # powers of 2 (NeRF, eq. 4); grid: features in grids, hashed where they are large (Müller et al. 2022)
    encoding: Literal["none", "positional", "gaussian", "grid"] = "none"
    activation: Literal["relu", "sine"] = "sine"  # sine: SIREN, sines of omega times a linear layer
    width: Channels = 256  # channels of the hidden layers
    depth: Annotated[int, Range(1, 1024)] = 4  # hidden layers, which one more maps to the result
    omega: Factor = 30.0  # factor of the arguments of sines (SIREN, sec. 3.2)
    octaves: Octaves = 8  # of the positional encoding
    features: Channels = 256  # random frequencies of the gaussian encoding
    scale: Positive = 10.0  # their standard deviation, in periods across the plane's longer side
    grid: GridConfig = GridConfig()


class GaussianFeatures(nn.Module):
    """Sines and cosines of random, fixed linear maps (Tancik et al. 2020, eq. 5)."""

    frequencies: Tensor  # [F, D], in periods from -1 to 1

    def __init__(self, features: int, scale: float, dims: int):
        super().__init__()
        self.register_buffer("frequencies", scale * torch.randn(features, dims))

    def forward(self, points: Tensor) -> Tensor:
        """points [..., D] -> [..., 2 F]."""
        angles = torch.pi * points @ self.frequencies.mT
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class CoordinateNetwork(nn.Module):
    """Points in [-1, 1] -> values, twice differentiable."""

    def __init__(self, config: CoordinateNetworkConfig, dims: int, outputs: int):
        super().__init__()
        self.config, inputs = config, encoded_width(config, dims)
        self.encoding: nn.Module | None = None
        if config.encoding == "gaussian":
            self.encoding = GaussianFeatures(config.features, config.scale, dims)
        elif config.encoding == "grid":
            self.encoding = HashGrid(config.grid, dims)
        sides = [inputs] + [config.width] * config.depth
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sides))
        self.last = nn.Linear(config.width, outputs)
        for i, layer in enumerate((*self.layers, self.last)):
            assert isinstance(layer, nn.Linear)
            if config.activation == "sine":
                siren_init(layer, config.omega, first=i == 0)
            elif layer is not self.last:
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")

    def forward(self, points: Tensor) -> Tensor:
        """points [..., D] -> values [..., C], in the points' precision."""
        with no_autocast(points):  # coordinates, and what is multiplied by omega, need more than 8 bits
            x = self.encode(points)
            for layer in self.layers:
                x = self.activate(layer(x))
            return self.last(x)

    def encode(self, points: Tensor) -> Tensor:
        """points [..., D] -> the input of the first layer [..., I]."""
        if self.encoding is not None:
            return self.encoding(points)
        return positional_encoding(points, self.config.octaves) if self.is_positional else points

    @property
    def is_positional(self) -> bool:
        """Whether the encoding is of powers of 2."""
        return self.config.encoding == "positional" and self.config.octaves > 0

    def activate(self, x: Tensor) -> Tensor:
        """The activation, of the same shape."""
        return (self.config.omega * x).sin() if self.config.activation == "sine" else x.relu()

    def point_bytes(self, graph: bool) -> int:
        """Bytes that a point takes: all activations where a graph is kept, else those of a layer."""
        config, dims = self.config, 3
        grid = 40 * config.grid.levels * config.grid.features if config.encoding == "grid" else 0
        hidden = 2 * config.width * (config.depth if graph else 2)
        return 4 * (2 * encoded_width(config, dims) + hidden + (4 if graph else 1) * grid)


def encoded_width(config: CoordinateNetworkConfig, dims: int) -> int:
    """Channels of encoded points in D = dims dimensions."""
    widths = {
        "none": dims,
        "positional": 2 * config.octaves * dims or dims,
        "gaussian": 2 * config.features,
        "grid": config.grid.levels * config.grid.features,
    }
    return widths[config.encoding]


def weight_count(config: CoordinateNetworkConfig, dims: int, outputs: int) -> int:
    """Trained numbers of the network."""
    width, grid = config.width, config.grid
    layers = encoded_width(config, dims) * width + (config.depth - 1) * width**2 + config.depth * width
    table = grid.features * sum(grid.corners(dims)) if config.encoding == "grid" else 0
    return layers + (width + 1) * outputs + table
