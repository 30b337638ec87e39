"""Voxel grids: density and color at corners of cubes, coarse to fine, and an occupancy grid."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, grid_sample, interpolate, max_pool3d, pad

from genscene.errors import BadInput
from genscene.layers.encoding import positional_encoding, spherical_harmonics
from genscene.ranges import Box, Channels, Factor, Length, Octaves, Range, Rising

Counts = tuple[int, int, int]
Corners = Annotated[int, Range(2, 1024)]  # along a side; 1024 take 50 GB
UNIT_BOX: Box = (1.3, 1.3, 1.3)  # half sides of the box that the presets' densities are meant for


@dataclass(frozen=True)
class VoxelConfig:
    """The grids."""

    # half sides, in world units, around the origin; None: from what the cameras of the photographs see
    box: Box | None = None
    # corners along the longest side
    levels: Annotated[tuple[Corners, ...], Length(range(1, 33)), Rising()] = (32, 64, 80)
    # what the numbers at a corner are: spherical harmonics of color; a color, and features for a view network
    color: Literal["harmonics", "network"] = "harmonics"
    degree: Annotated[int, Range(0, 2)] = 1  # of the spherical harmonics
    features: Annotated[int, Range(3, 4096)] = 12  # numbers at a corner, of which the first three are a color
    width: Channels = 32  # channels of the view network
    octaves: Octaves = 2  # of the direction's encoding in front of it
    contracted: bool = False  # all of space, contracted beyond half the box (Barron et al. 2022, eq. 10)
    # raw density is this times the stored number, which is a multiplier of its learning rate
    rate: Factor = 4.0

    @property
    def channels(self) -> int:
        """Numbers of color at a corner."""
        return 3 * (self.degree + 1) ** 2 if self.color == "harmonics" else self.features

    def counts(self, level: int) -> Counts:
        """Corners along x, y, z."""
        longest = max(self.sides)
        x, y, z = (max(2, round(self.levels[level] * half / longest)) for half in self.sides)
        return x, y, z

    @property
    def sides(self) -> Box:
        """Half sides of the box; UNIT_BOX where neither it nor photographs are given."""
        return self.box or UNIT_BOX


class VoxelGrid(nn.Module):
    """Grids of all levels, of which one is in use; which one is a buffer, so that optimisers never change."""

    level: Tensor
    occupied: Tensor

    def __init__(self, config: VoxelConfig):
        super().__init__()
        self.config = config
        counts = [config.counts(i) for i in range(len(config.levels))]
        self.density = nn.ParameterList(nn.Parameter(torch.zeros(c)) for c in counts)
        self.color = nn.ParameterList(
            nn.Parameter(torch.zeros(math.prod(c), config.channels)) for c in counts
        )
        self.network = view_network(config) if config.color == "network" else None
        if self.network is not None:
            nn.init.normal_(self.color[0][:, 3:], std=0.1)
        self.register_buffer("level", torch.tensor(0))
        self.register_buffer("occupied", torch.ones(math.prod(counts[-1]), dtype=torch.bool))

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *arguments: Any) -> None:
        """Also check that the level is one of these grids."""
        level, most = state.get(f"{prefix}level"), len(self.config.levels) - 1
        if level is not None and not 0 <= int(level) <= most:
            raise BadInput(f"{prefix}level is {int(level)}, wanted 0 to {most}: there are {most + 1} levels")
        super()._load_from_state_dict(state, prefix, *arguments)

    @property
    def counts(self) -> Counts:
        """Corners along x, y, z of the level in use."""
        return self.config.counts(int(self.level))

    def to_grid(self, points: Tensor) -> Tensor:
        """World points [..., 3] -> grid coordinates, -1 to 1 inside the grid [..., 3]."""
        half = points.new_tensor(self.config.sides)
        if not self.config.contracted:
            return points / half
        inner = 2 * points / half  # 1 is half way to the box's side
        length = inner.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        return torch.where(length <= 1, inner, (2 - 1 / length) * inner / length) / 2

    def raw_density(self, coords: Tensor) -> Tensor:
        """Raw density, trilinear, at coordinates [N, 3] -> [N]."""
        grid = self.density[int(self.level)][None, None]
        found = grid_sample(
            grid, coords.flip(-1).view(1, 1, 1, -1, 3), align_corners=True, padding_mode="border"
        )
        return self.config.rate * found.view(-1)

    def colors(self, coords: Tensor, directions: Tensor) -> Tensor:
        """Colors at coordinates [N, 3], seen along unit directions [N, 3] -> [N, 3] in (0, 1)."""
        corners, shares = self.corners(coords)
        found = embedding_bag(corners, self.color[int(self.level)], mode="sum", per_sample_weights=shares)
        if self.network is not None:
            encoded = (
                positional_encoding(directions, self.config.octaves) if self.config.octaves else directions
            )
            return (found[:, :3] + self.network(torch.cat([found[:, 3:], encoded], dim=-1))).sigmoid()
        basis = spherical_harmonics(directions, self.config.degree)
        return (found.view(-1, 3, basis.shape[-1]) * basis[:, None]).sum(dim=-1).sigmoid()

    def corners(self, coords: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates [N, 3] -> the eight corners around them and their trilinear weights [N, 8], [N, 8]."""
        counts = torch.tensor(self.counts, device=coords.device)
        at = ((coords + 1) / 2 * (counts - 1)).clamp_min(0).minimum((counts - 1).to(coords))
        low = at.long().minimum(counts - 2)
        part = at - low
        strides = self.strides(coords.device)
        first = (low * strides).sum(dim=-1)
        steps = torch.tensor([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)], device=coords.device)
        shares = torch.where(steps.bool(), part[:, None], 1 - part[:, None]).prod(dim=-1)
        return first[:, None] + (steps * strides).sum(dim=-1), shares

    @torch.no_grad()
    def is_occupied(self, coords: Tensor) -> Tensor:
        """Whether the occupancy grid is set at coordinates [..., 3] -> [...]."""
        counts = torch.tensor(self.counts, device=coords.device)
        nearest = ((coords + 1) * (0.5 * (counts - 1)) + 0.5).to(torch.int32)
        flat = (nearest[..., 0] * int(counts[1]) + nearest[..., 1]) * int(counts[2]) + nearest[..., 2]
        inside = (coords.abs() <= 1).all(dim=-1)
        return self.occupied[torch.where(inside, flat, 0).long()] & inside

    def strides(self, device: torch.device) -> Tensor:
        """Distance of neighbours along x, y, z in the flat table [3]."""
        _, y, z = self.counts
        return torch.tensor([y * z, z, 1], device=device)

    @torch.no_grad()
    def refine(self, level: int) -> None:
        """Switch to a finer level, initialised by interpolating the one in use."""
        now, counts = int(self.level), self.config.counts(level)
        coarse = self.density[now][None, None]
        table = self.color[now].view(*self.config.counts(now), -1).movedim(-1, 0)[None]
        both = torch.cat([coarse, table], dim=1)
        fine = interpolate(both, counts, mode="trilinear", align_corners=True)[0]
        self.density[level].copy_(fine[0])
        self.color[level].copy_(fine[1:].movedim(0, -1).reshape(-1, self.config.channels))
        self.level.fill_(level)
        self.occupied.fill_(True)

    @torch.no_grad()
    def update_occupancy(self, opaque: Tensor) -> None:
        """Set the occupancy grid where a corner or one of its neighbours is opaque [X, Y, Z], bool."""
        wide = max_pool3d(pad(opaque[None, None].float(), (1,) * 6), 3, stride=1)
        self.occupied[: wide.numel()] = wide.flatten() > 0

    def variation(self) -> Tensor:
        """Mean squared difference of stored densities of neighbours []."""
        grid = self.density[int(self.level)]
        return sum((grid.diff(dim=axis).square().mean() for axis in range(3)), grid.new_zeros(()))


def view_network(config: VoxelConfig) -> nn.Sequential:
    """Features of a point and an encoded direction -> an offset of its color, initially zero.

    So color that does not depend on the view is learned first (Sun et al. 2022, DVGO).
    """
    inputs, width = config.features - 3 + (6 * config.octaves or 3), config.width
    last = nn.Linear(width, 3)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), last)
