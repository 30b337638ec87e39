"""NeRF's network: encoded position -> density and feature; feature and encoded direction -> colour."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from genscene.contract import at_least
from genscene.errors import BadInput
from genscene.kernels import joint_linear, linear_twice
from genscene.layers.encoding import positional, raw_positional


@dataclass(frozen=True)
class FieldConfig:
    """The network (NeRF, sec. 3 and fig. 7)."""

    width: int = 256  # channels of every layer
    depth: int = 8  # layers before the density
    skip: int = 5  # the layer that sees the position again, counted from 0
    octaves: int = 10  # of the position's encoding; 0: raw position (ablation)
    direction_octaves: int = 4  # of the direction's encoding
    view_dependent: bool = True  # off: colour does not know where it is seen from (ablation)
    extent: float = 1.5  # world units that the encoding takes for 1; the paper wants the scene within -1 to 1
    legacy_encoding: bool = (
        False  # the released code's: no factor pi, the raw coordinates too, in world units
    )

    def check(self) -> None:
        """Raise BadInput where there would be no network, or nothing for it to look at."""
        at_least(self, 2, "width")
        at_least(self, 1, "depth")
        at_least(self, 0, "octaves", "direction_octaves")
        if self.extent <= 0:
            raise BadInput(f"extent {self.extent}: wanted a number above 0")


class NeRFField(nn.Module):
    """One scene as a function of position and direction."""

    def __init__(self, config: FieldConfig):
        super().__init__()
        self.config, width = config, config.width
        position, direction = (
            encoded_width(config, config.octaves),
            encoded_width(config, config.direction_octaves),
        )
        sides = [position] + [width] * config.depth
        wider = [a + position * (i == config.skip) for i, a in enumerate(sides[:-1])]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(wider, sides[1:], strict=True))
        self.density = nn.Linear(width, 1)
        self.feature = nn.Linear(width, width) if config.view_dependent else None
        self.tint = nn.Linear(width + direction, width // 2) if config.view_dependent else None
        self.color = nn.Linear(width // 2 if config.view_dependent else width, 3)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):  # as the official code: Keras' default
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points, unit directions [B, N, 3] -> colours [B, N, 3] in (0, 1), raw density [B, N]."""
        config = self.config
        placed = points if config.legacy_encoding else points / config.extent
        rgb, density = self.raw(
            self.encode(placed, config.octaves), self.encode(directions, config.direction_octaves)
        )
        return rgb.sigmoid().to(points.dtype), density.to(points.dtype)

    def encode(self, x: Tensor, octaves: int) -> Tensor:
        """Positions or directions [..., 3] as the layers want them, in full precision -> [..., C]."""
        with torch.autocast(x.device.type, enabled=False):
            if self.config.legacy_encoding:
                return raw_positional(x, octaves)
            return positional(x, octaves) if octaves else x

    def raw(self, position: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
        """Encoded positions, directions [B, N, C] -> colours before the sigmoid [B, N, 3], raw density [B, N]."""
        x = position
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Linear)
            parts = (position, x) if i == self.config.skip else (x,)
            x = relu(joint_linear(parts, layer.weight, layer.bias), inplace=True)
        density = self.density(x)[..., 0]
        if self.feature is None or self.tint is None:
            return self.color(x), density
        feature, tint = self.feature, self.tint
        tinted = linear_twice(x, direction, feature.weight, feature.bias, tint.weight, tint.bias)
        return self.color(relu(tinted, inplace=True)), density


def encoded_width(config: FieldConfig, octaves: int) -> int:
    """Numbers of an encoded 3-vector."""
    return 6 * octaves + 3 * (config.legacy_encoding or not octaves)
