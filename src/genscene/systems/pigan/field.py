"""pi-GAN's fields: a SIREN whose sines are stretched and shifted by the latent code, and the ablations of it."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, relu

from genscene.kernels import film_sine
from genscene.layers.encoding import positional
from genscene.render.volume import EMPTY


@dataclass(frozen=True)
class FieldConfig:
    """The network that gives colour and density at a point."""

    width: int = 256  # channels of every layer
    depth: int = 8  # layers before the density
    activation: Literal["sine", "relu"] = "sine"  # relu: ablation, wants octaves
    conditioning: Literal["film", "concat"] = (
        "film"  # concat: ablation, the latent code is an input as in GRAF
    )
    octaves: int = 0  # of positional encoding in front of the first layer (NeRF, eq. 4); 0: raw points
    frequency: tuple[float, float] = (15.0, 30.0)  # scale and offset of the mapping network's raw frequencies
    warp: float = 1.0  # points are multiplied by this first (released CelebA and Cats: 2 / 0.24)
    grid_channels: int = 0  # of a learned 3-D grid that is put in front of the point; 0: no grid
    grid_size: int = 96  # cells along each side of the grid
    grid_spread: float = 0.01  # deviation of the grid at the start
    view_dependent: bool = True  # the colour sees the ray's direction, through one more layer
    box: tuple[float, float, float] | None = (
        None  # half sides of the box outside which space is empty; None: no box
    )

    @property
    def styles(self) -> int:
        """Layers that take a frequency and a phase."""
        return self.depth + self.view_dependent


class Trunk(nn.Module):
    """What film and concatenation share: the inputs, the layers, the heads."""

    def __init__(self, config: FieldConfig, code: int):
        """Code: numbers of the latent code that are concatenated to the point."""
        super().__init__()
        self.config = config
        point = 6 * config.octaves or 3
        inputs = point + config.grid_channels + code
        sides = [inputs] + [config.width] * config.depth
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sides))
        self.density = nn.Linear(config.width, 1)
        self.tint = nn.Linear(3 + config.width, config.width) if config.view_dependent else None
        self.color = nn.Linear(config.width, 3)
        if config.grid_channels:
            cells = (1, config.grid_channels) + (config.grid_size,) * 3
            self.grid = nn.Parameter(config.grid_spread * torch.randn(cells))
        self._initialise()

    def inputs(self, points: Tensor) -> Tensor:
        """World points [B, N, 3] -> what the first layer sees, without a code [B, N, I]."""
        warped = points * self.config.warp
        encoded = positional(warped, self.config.octaves) if self.config.octaves else warped
        if not self.config.grid_channels:
            return encoded
        return torch.cat([self.look_up(warped), encoded], dim=-1)

    def look_up(self, points: Tensor) -> Tensor:
        """The learned grid at points [B, N, 3] of the cube [-1, 1]^3, trilinear, 0 outside -> [B, N, G]."""
        found = grid_sample(self.grid, points.reshape(1, 1, 1, -1, 3), align_corners=True)
        return found[0, :, 0, 0].mT.reshape(*points.shape[:-1], -1)

    def heads(self, x: Tensor, tinted: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Features for density and colour [B, N, W] -> colours [B, N, 3] in (0, 1), raw density [B, N]."""
        return self.color(tinted).to(dtype).sigmoid(), self.density(x)[..., 0].to(dtype)

    @torch.no_grad()
    def _initialise(self) -> None:
        """SIREN's rule with 25 for its frequency (pi-GAN, supplement); He's for rectifiers."""
        for layer in self.modules():
            if not isinstance(layer, nn.Linear):
                continue
            if self.config.activation == "relu":
                nn.init.kaiming_normal_(layer.weight)
            else:
                bound = math.sqrt(6 / layer.in_features) / 25
                nn.init.uniform_(layer.weight, -bound, bound)
        if self.config.activation == "sine":
            first = self.linear(0)
            nn.init.uniform_(first.weight, -1 / first.in_features, 1 / first.in_features)

    def linear(self, number: int) -> nn.Linear:
        """A layer by its number."""
        layer = self.layers[number]
        assert isinstance(layer, nn.Linear)
        return layer


class FilmField(Trunk):
    """Every layer's frequencies and phases come from the latent code (pi-GAN, eq. 2)."""

    def __init__(self, config: FieldConfig):
        super().__init__(config, code=0)

    def forward(self, points: Tensor, directions: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """points, directions [B, N, 3], raw styles w [B, 2, L, W] -> colours [B, N, 3], raw density [B, N]."""
        scale, offset = self.config.frequency
        frequencies, phases = scale * w[:, 0] + offset, w[:, 1]
        with torch.autocast(points.device.type, enabled=False):  # coordinates times 30 do not fit 8 bits
            first = frequencies[:, 0].to(points.dtype), phases[:, 0].to(points.dtype)
            x = self.film(self.linear(0), self.inputs(points), *first)
        for i in range(1, self.config.depth):
            x = self.film(self.linear(i), x, frequencies[:, i], phases[:, i])
        tinted = x
        if self.tint is not None:
            seen = torch.cat([directions.to(x), x], dim=-1)
            tinted = self.film(self.tint, seen, frequencies[:, -1], phases[:, -1])
        return self.heads(x, tinted, points.dtype)

    def film(self, layer: nn.Linear, x: Tensor, frequency: Tensor, phase: Tensor) -> Tensor:
        """One layer: [B, N, I], styles [B, O] -> [B, N, O]."""
        if self.config.activation == "sine":
            return film_sine(x, layer.weight, layer.bias, frequency, phase)
        return relu(frequency[:, None] * layer(x) + phase[:, None])


class ConcatField(Trunk):
    """The latent code is an input like the point, the frequency is the same for all (pi-GAN, sec. 4.3, ablation)."""

    def __init__(self, config: FieldConfig, latent_dim: int):
        super().__init__(config, code=latent_dim)

    def forward(self, points: Tensor, directions: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """points, directions [B, N, 3], codes w [B, Z] -> colours [B, N, 3], raw density [B, N]."""
        x = torch.cat([self.inputs(points), w[:, None].expand(-1, points.shape[1], -1)], dim=-1)
        for layer in self.layers:
            x = self.activate(layer(x))
        tinted = (
            x if self.tint is None else self.activate(self.tint(torch.cat([directions.to(x), x], dim=-1)))
        )
        return self.heads(x, tinted, points.dtype)

    def activate(self, x: Tensor) -> Tensor:
        """The one nonlinearity, SIREN's frequency being the offset of pi-GAN's."""
        return (self.config.frequency[1] * x).sin() if self.config.activation == "sine" else relu(x)


@dataclass(frozen=True)
class StyledField:
    """A network bound to B latent codes: the scene."""

    network: FilmField | ConcatField
    w: Tensor  # [B, 2, L, W] raw frequencies and phases, or [B, Z] codes
    direction: tuple[float, float, float] | None = None  # every sample is seen from here; None: from its ray

    def __call__(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points, unit directions [B, N, 3] -> colours [B, N, 3] in (0, 1), raw density [B, N]."""
        if self.direction is not None:
            directions = torch.tensor(self.direction).to(directions).expand_as(directions)
        box = self.network.config.box
        if box is None:
            return self.network(points, directions, self.w)
        inside = (points.abs() <= torch.tensor(box).to(points)).all(dim=-1)
        return self.filled(points, directions, inside)

    def filled(self, points: Tensor, directions: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """Ask the network only where inside [B, N] says so; elsewhere there is nothing."""
        most = int(inside.sum(dim=1).max())
        first = inside.byte().argsort(dim=1, descending=True, stable=True)[:, :most]
        wide = first[..., None].expand(-1, -1, 3)
        colors, density = self.network(points.gather(1, wide), directions.gather(1, wide), self.w)
        real = inside.gather(1, first)  # scenes with fewer points inside are padded
        density, colors = torch.where(real, density, EMPTY), torch.where(real[..., None], colors, 0.0)
        nothing = torch.full_like(points[..., 0], EMPTY)
        return torch.zeros_like(points).scatter(1, wide, colors), nothing.scatter(1, first, density)
