"""NeRF's network of color and density at a point (NeRF, fig. 7), with latent codes as well (GRAF, fig. 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

import genscene.kernels as kernels
from genscene.layers.encoding import Spacing, official_encoding, positional_encoding
from genscene.ranges import Extent, Layers, Octaves, Range


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


class NeRFField(nn.Module):
    """Encoded position -> density and feature; feature and encoded direction -> color (NeRF, fig. 7).

    Where there are codes, that of the shape is an input beside every position, that of the appearance beside
    the direction (GRAF, fig. 3).
    """

    def __init__(
        self,
        config: FieldConfig,
        inputs: tuple[int, int] | None = None,
        codes: tuple[int, int] = (0, 0),
        view_dependent: bool = True,
    ):
        """inputs: channels of an encoded position and direction; None: those of the config's encodings.

        codes: numbers in the codes of shape and appearance; view_dependent off: color depends on the code of
        the appearance, not on the direction.
        """
        super().__init__()
        self.config, width = config, config.width
        position, direction = inputs or (
            encoded_width(config, config.octaves),
            encoded_width(config, config.direction_octaves) * view_dependent,
        )
        position, direction = position + codes[0], direction + codes[1]
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

    def forward(
        self,
        points: Tensor,
        directions: Tensor | None,
        shape: Tensor | None = None,
        appearance: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """points, unit directions [B, N, 3], codes [B, C] -> colors [B, N, 3], 0 to 1, raw density [B, N]."""
        config = self.config
        scaled = points if config.official_encoding else points / config.extent
        position = (self.encode(scaled, config.octaves), *beside(shape))
        direction = beside(appearance)
        if directions is not None:
            direction = (self.encode(directions, config.direction_octaves), *direction)
        rgb, density = self.raw(position, direction)
        return rgb.sigmoid().to(points.dtype), density.to(points.dtype)

    def encode(self, x: Tensor, octaves: int) -> Tensor:
        """Positions or directions [..., 3] -> their encoding, in full precision [..., C]."""
        with torch.autocast(x.device.type, enabled=False):
            if self.config.official_encoding:
                return official_encoding(x, octaves, self.config.bands)
            return positional_encoding(x, octaves, self.config.bands) if octaves else x

    def raw(self, position: Sequence[Tensor], direction: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Encoded positions, directions and codes -> colors before the sigmoid [B, N, 3], density [B, N].

        position, direction: parts [B, N or 1, C] that are joined.
        """
        x = self.trunk(position)
        density = self.density(x)[..., 0]
        feature, color = self.feature, self.color_layer
        if feature is None or color is None:
            return self.color(x), density
        pair = (feature.weight, feature.bias, color.weight, color.bias)
        return self.color(kernels.linear_twice(x, direction, *pair, rectify=True)), density

    def trunk(self, position: Sequence[Tensor]) -> Tensor:
        """Parts of encoded positions [B, N or 1, C] -> features before the density [B, N, width]."""
        x: Tensor | None = None
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Linear)
            parts = [*(position if i == 0 or i in self.config.skips else ()), *(() if x is None else (x,))]
            x = kernels.joint_linear(parts, layer.weight, layer.bias, rectify=True)
        assert x is not None
        return x


def beside(code: Tensor | None) -> tuple[Tensor, ...]:
    """A code [B, C] -> what joins the points' inputs, () or ([B, 1, C],)."""
    return () if code is None else (code[:, None],)


def encoded_width(config: FieldConfig, octaves: int) -> int:
    """Numbers of an encoded 3-vector."""
    return 6 * octaves + 3 * (config.official_encoding or not octaves)
