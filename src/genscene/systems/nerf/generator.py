"""NeRF's generator: a coarse and a fine network; the coarse weights place the samples of the fine one."""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

import genscene.kernels as kernels
from genscene.contract import (
    DEFAULT_OPTIONS,
    Rendering,
    RenderOptions,
    SingleSceneGenerator,
)
from genscene.geometry.cameras import Camera, PixelConvention, Rays
from genscene.geometry.priors import CameraPrior
from genscene.layers.encoding import Spacing, official_encoding, positional_encoding
from genscene.ranges import Extent, Layers, Octaves, Range, When
from genscene.render.march import March
from genscene.render.volume import VolumeGenerator, render_view
from genscene.scenes import Field, SolidBackground


@dataclass(frozen=True)
class FieldConfig:
    """The network (NeRF, sec. 3 and fig. 7)."""

    width: Annotated[int, Range(2, 65_536)] = 256  # channels of every layer
    depth: Layers = 8  # layers before the density
    skips: tuple[Layers, ...] = (5,)  # layers that get the position again, counted from 0
    octaves: Octaves = 10  # of the position's encoding; 0: the position itself (ablation)
    direction_octaves: Octaves = 4  # of the direction's encoding
    view_dependent: bool = True  # off: color does not depend on the direction (ablation)
    # world units that the encoding maps to 1; the paper wants the scene within -1 to 1
    extent: Extent = 1.5
    # of the official code: no factor pi, the coordinates themselves, world units
    official_encoding: bool = False
    # of the encoding's frequencies: powers of 2, or evenly spaced up to the same highest
    bands: Spacing = "log"


@dataclass(frozen=True)
class NeRFGeneratorConfig:
    """All the numbers of the generator."""

    field: FieldConfig = FieldConfig()
    # channels of the fine network's layers; 0: as many as the coarse one's
    fine_width: Annotated[int, Range(0, 65_536), When("fine_width", Range(2), "or 0")] = 0
    # layers of the fine network; 0: as many as the coarse one's
    fine_depth: Annotated[int, Range(0, 1024)] = 0
    # the coarse network's samples, and fine_samples that its weights place for the fine one; 0: one network
    # (ablation)
    march: March = March(2.0, 6.0, 64, fine_samples=128, last_interval=None, bins="equal")
    background: SolidBackground = "white"  # behind the scene
    prior: CameraPrior = CameraPrior()  # cameras around the scene, fitted to those of the photographs
    pixels: PixelConvention = "center"  # corner: rays through the pixels' upper left corners (official code)

    @property
    def fine_field(self) -> FieldConfig:
        """The fine network."""
        field = self.field
        return replace(field, width=self.fine_width or field.width, depth=self.fine_depth or field.depth)


class NeRFField(nn.Module):
    """One scene: encoded position -> density and feature; feature and encoded direction -> color."""

    def __init__(self, config: FieldConfig, inputs: tuple[int, int] | None = None):
        """inputs: channels of an encoded position and direction; None: those of the config's encodings."""
        super().__init__()
        self.config, width = config, config.width
        position, direction = inputs or (
            encoded_width(config, config.octaves),
            encoded_width(config, config.direction_octaves),
        )
        sides = [position] + [width] * config.depth
        widths = [a + position * (i in config.skips) for i, a in enumerate(sides[:-1])]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, sides[1:], strict=True))
        self.density = nn.Linear(width, 1)
        self.feature = nn.Linear(width, width) if config.view_dependent else None
        self.color_layer = nn.Linear(width + direction, width // 2) if config.view_dependent else None
        self.color = nn.Linear(width // 2 if config.view_dependent else width, 3)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):  # as the official code: Keras' default
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points, unit directions [B, N, 3] -> colors [B, N, 3] in (0, 1), raw density [B, N]."""
        config = self.config
        scaled = points if config.official_encoding else points / config.extent
        position = self.encode(scaled, config.octaves)
        rgb, density = self.raw(position, self.encode(directions, config.direction_octaves))
        return rgb.sigmoid().to(points.dtype), density.to(points.dtype)

    def encode(self, x: Tensor, octaves: int) -> Tensor:
        """Positions or directions [..., 3] -> their encoding, in full precision [..., C]."""
        with torch.autocast(x.device.type, enabled=False):
            if self.config.official_encoding:
                return official_encoding(x, octaves, self.config.bands)
            return positional_encoding(x, octaves, self.config.bands) if octaves else x

    def raw(self, position: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
        """Encoded positions, directions [B, N, C] -> colors before the sigmoid [B, N, 3], density [B, N]."""
        x = self.trunk(position)
        density = self.density(x)[..., 0]
        feature, color = self.feature, self.color_layer
        if feature is None or color is None:
            return self.color(x), density
        hidden = kernels.linear_twice(x, direction, feature.weight, feature.bias, color.weight, color.bias)
        return self.color(relu(hidden, inplace=True)), density

    def trunk(self, position: Tensor) -> Tensor:
        """Encoded positions [B, N, C] -> features of the last layer before the density [B, N, width]."""
        x = position
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Linear)
            parts = (position, x) if i in self.config.skips else (x,)
            x = relu(kernels.joint_linear(parts, layer.weight, layer.bias), inplace=True)
        return x


def encoded_width(config: FieldConfig, octaves: int) -> int:
    """Numbers of an encoded 3-vector."""
    return 6 * octaves + 3 * (config.official_encoding or not octaves)


@dataclass(frozen=True)
class CoarseFine:
    """The scene: a coarse field, and the fine one that is seen where there is one."""

    coarse: Field
    fine: Field | None
    w: Tensor  # [B, 0], codes without numbers, of B scenes that are the same

    def __call__(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points, unit directions [B, N, 3] -> colors [B, N, 3], raw density [B, N]."""
        return (self.fine or self.coarse)(points, directions)


class NeRFGenerator(SingleSceneGenerator, VolumeGenerator):
    """One scene, which is the weights of its networks."""

    def __init__(self, config: NeRFGeneratorConfig):
        super().__init__()
        self.config, self.march, self.pixels, self.prior = config, config.march, config.pixels, config.prior
        self.bounds = (config.field.extent,) * 3
        self.coarse = NeRFField(config.field)
        self.fine = NeRFField(config.fine_field) if config.march.fine_samples else None

    def bind(self, w: Tensor) -> CoarseFine:
        """w [B, 0] -> the scene, for B views."""
        return CoarseFine(self.coarse, self.fine, w)

    def render(
        self, scene: CoarseFine, view: Camera | Rays, options: RenderOptions = DEFAULT_OPTIONS
    ) -> Rendering:
        """The scene, B cameras or rays of one picture -> fine and coarse pictures in [0, 1], depth, alpha."""
        rays, size = self.rays(view)
        if options.background is None:
            options = replace(options, background=self.config.background)
        sample_bytes = self.sample_bytes(False)
        return render_view(scene.coarse, rays, size, self.march, options, sample_bytes, scene.fine)

    def sample_bytes(self, graph: bool) -> int:
        """Bytes that a sample takes: all activations where a graph is kept, else those of a layer."""
        field = self.config.field
        return 4 * field.width * (field.depth + 2 if graph else 5)
