"""Feature fields: point, direction, shape and appearance codes -> feature and density (GIRAFFE, sec. 3.1)."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

import genscene.kernels as kernels
from genscene.geometry.cameras import no_autocast
from genscene.layers.encoding import positional_encoding
from genscene.ranges import Channels, Distance, Extent, Layers, Octaves, Range, Signed


@dataclass(frozen=True)
class FeatureFieldConfig:
    """The network of one object, or of the background (GIRAFFE, sec. 3.1 and supplement)."""

    # numbers in the shape code, and in the appearance code; 0: none, the same field in every scene
    codes: Annotated[int, Range(0, 65_536)] = 256
    width: Channels = 128  # channels of every layer
    depth: Annotated[int, Range(2, 1024)] = 8  # layers before the density
    skips: tuple[Layers, ...] = (
        4,
    )  # hidden layers, counted from 1, behind which point and code are added again
    octaves: Octaves = 10  # of the point's encoding
    direction_octaves: Octaves = 4  # of the direction's encoding
    extent: Extent = 2.0  # coordinates that the encoding maps to 1
    direction_extent: Extent = 1.0  # unit directions are divided by it (released code: by the extent)
    view_dependent: bool = True  # off: features do not depend on the direction
    # positional: axis-aligned sines and cosines; gaussian: random Fourier features (ablation)
    encoding: Literal["positional", "gaussian"] = "positional"
    std: Distance = 4.0  # standard deviation of the random frequencies
    sigmoid: bool = False  # features are between 0 and 1 (ablation)
    # sine: FiLM-SIREN layers whose frequencies and phases are linear in the codes, no encodings, no skips
    activation: Literal["relu", "sine"] = "relu"
    frequency: tuple[Signed, Signed] = (
        2.0,
        6.0,
    )  # of the sines: scale and offset of what is linear in the codes


class FeatureField(nn.Module):
    """Codes are added to the first layer, behind the skips, and to the layer of the features."""

    frequencies: Tensor  # [3 octaves, 3], random
    direction_frequencies: Tensor  # [3 direction_octaves, 3], random

    def __init__(self, config: FeatureFieldConfig, features: int):
        """features: numbers of the feature at a point."""
        super().__init__()
        self.config, width = config, config.width
        position, direction = 6 * config.octaves, 6 * config.direction_octaves
        skips = [i for i in config.skips if i < config.depth - 1]
        self.point = nn.Linear(position, width)
        self.shape = linear(config.codes, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(config.depth - 1))
        self.skip_shapes = nn.ModuleList(linear(config.codes, width) for _ in skips)
        self.skip_points = nn.ModuleList(nn.Linear(position, width) for _ in skips)
        self.density = nn.Linear(width, 1)
        self.feature_layer = nn.Linear(width, width)
        self.appearance = linear(config.codes, width)
        self.direction = nn.Linear(direction, width) if config.view_dependent else None
        self.feature = nn.Linear(width, features)
        if config.encoding == "gaussian":  # those of the released code, which its checkpoints do not hold
            numbers = np.random.RandomState(42)
            for name, octaves in (("", config.octaves), ("direction_", config.direction_octaves)):
                matrix = config.std * numbers.randn(3 * octaves, 3)
                self.register_buffer(f"{name}frequencies", torch.from_numpy(matrix).float())

    def forward(
        self, points: Tensor, directions: Tensor, shape: Tensor, appearance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """points, directions [M, N, 3], codes [M, codes] -> features [M, N, C], raw density [M, N]."""
        config, skips = self.config, iter(zip(self.skip_shapes, self.skip_points, strict=True))
        encoded = self.encode(points / config.extent, "")
        x = kernels.joint_linear((shape[:, None], encoded), *joined(self.shape, self.point), rectify=True)
        for i, layer in enumerate(self.layers, 1):
            assert isinstance(layer, nn.Linear)
            x = kernels.joint_linear((x,), layer.weight, layer.bias, rectify=True)
            if i in config.skips and i < config.depth - 1:
                skip_shape, skip_point = next(skips)
                x = x + skip_shape(shape)[:, None] + skip_point(encoded)
        density = self.density(x)[..., 0]
        parts, layers = [appearance[:, None], x], [self.appearance, self.feature_layer]
        if self.direction is not None:
            unit = normalize(directions, dim=-1) / config.direction_extent
            parts.append(self.encode(unit, "direction_"))
            layers.append(self.direction)
        x = kernels.joint_linear(parts, *joined(*layers), rectify=self.direction is not None)
        features = self.feature(x).to(points.dtype)
        return features.sigmoid() if config.sigmoid else features, density.to(points.dtype)

    def encode(self, x: Tensor, name: str) -> Tensor:
        """Points, or directions (name "direction_") [..., 3] -> their encoding, in full precision."""
        with no_autocast(x):
            if self.config.encoding == "positional":
                return positional_encoding(x, getattr(self.config, f"{name}octaves"))
            angles = torch.pi * x @ getattr(self, f"{name}frequencies").to(x).T
            return torch.cat([angles.sin(), angles.cos()], dim=-1)


def joined(*layers: nn.Linear) -> tuple[Tensor, Tensor]:
    """Linear layers whose outputs are added -> weight and bias of the one of all their inputs."""
    bias: Tensor = layers[0].bias
    for each in layers[1:]:  # not as the sum of a stack: their gradients would be views of the same memory
        bias = bias + each.bias
    return torch.cat([each.weight for each in layers], dim=1), bias


def linear(codes: int, width: int) -> nn.Linear:
    """A linear layer of codes; of none it is its bias."""
    layer = nn.Linear(max(1, codes), width)
    if not codes:
        layer.weight = nn.Parameter(layer.weight[:, :0].detach())
    return layer


class SineFeatureField(nn.Module):
    """FiLM-SIREN layers: the shape code modulates those before the density, the appearance code the last."""

    def __init__(self, config: FeatureFieldConfig, features: int):
        """features: numbers of the feature at a point."""
        super().__init__()
        self.config, width = config, config.width
        sides = [3, *[width] * config.depth]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sides))
        self.density = nn.Linear(width, 1)
        self.feature_layer = nn.Linear(width + 3 * config.view_dependent, width)
        self.feature = nn.Linear(width, features)
        self.shape = linear(config.codes, 2 * config.depth * width)
        self.appearance = linear(config.codes, 2 * width)
        for i, layer in enumerate((*self.layers, self.density, self.feature_layer, self.feature)):
            bound = math.sqrt(6 / layer.in_features) / config.frequency[1] if i else 1 / layer.in_features
            nn.init.uniform_(layer.weight, -bound, bound)

    def forward(
        self, points: Tensor, directions: Tensor, shape: Tensor, appearance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """points, directions [M, N, 3], codes [M, codes] -> features [M, N, C], raw density [M, N]."""
        config, x = self.config, points / self.config.extent
        for layer, style in zip(self.layers, self.styles(self.shape(shape), config.depth), strict=True):
            assert isinstance(layer, nn.Linear)
            x = kernels.film_sine(x, layer.weight, layer.bias, *style)
        density = self.density(x)[..., 0]
        parts = (x, *([normalize(directions, dim=-1).to(x)] if config.view_dependent else []))
        (style,) = self.styles(self.appearance(appearance), 1)
        layer = self.feature_layer
        features = self.feature(kernels.film_sine(parts, layer.weight, layer.bias, *style)).to(points.dtype)
        return features.sigmoid() if config.sigmoid else features, density.to(points.dtype)

    def styles(self, raw: Tensor, layers: int) -> list[tuple[Tensor, Tensor]]:
        """[M, 2 * layers * width] -> frequency and phase [M, width] of each layer."""
        scale, offset = self.config.frequency
        frequencies, phases = raw.unflatten(1, (2, layers, self.config.width)).unbind(1)
        return list(zip((scale * frequencies + offset).unbind(1), phases.unbind(1), strict=True))


def build_feature_field(config: FeatureFieldConfig, features: int) -> FeatureField | SineFeatureField:
    """The network of a configuration with new weights."""
    return (SineFeatureField if config.activation == "sine" else FeatureField)(config, features)
