"""Procedural rooms: cubes, balls and cylinders on a grey ground, by CLEVR's rules (Johnson et al. 2017)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.data.synthetic.intersect import MISS, Solids
from genscene.data.synthetic.solids import FACES, to_range
from genscene.randomness import Randomness

SHAPES = ("cube", "sphere", "cylinder")
COLORS = {
    "gray": (87, 87, 87),
    "red": (173, 35, 35),
    "blue": (42, 75, 215),
    "green": (29, 105, 20),
    "brown": (129, 74, 25),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
    "yellow": (255, 238, 51),
}
MATERIALS = ("rubber", "metal")  # matt; darker, with reflections
BRIGHTEN = 0.77  # power of the colors, which CLEVR takes for linear light
PLACES = 0.75  # centers are uniform in [-PLACES, PLACES]^2
SIZES, CUBE = (0.22, 0.3), 0.85  # half the sides of balls and cylinders; those of cubes, relative to them
APART, GAP = 0.64, 0.04  # least distances across the ground: of centers, and of outlines
TRIES, ROUNDS = 50, 100  # places tried for each object; scenes begun anew where one of them finds none


@dataclass(frozen=True)
class RoomObjects:
    """Up to P objects in each of B rooms, those that exist first; y is up, the ground at y = 0.

    A point (x, y, z) is (x, -z, y) in GIRAFFE's world, whose z is up; yaw turns in the same sense in both.
    """

    exists: Tensor  # [B, P], bool
    shape: Tensor  # [B, P], index in SHAPES
    color: Tensor  # [B, P], index in COLORS
    metal: Tensor  # [B, P], bool
    size: Tensor  # [B, P], half the side of a cube, radius and half the height of the others
    center: Tensor  # [B, P, 3]
    yaw: Tensor  # [B, P], radians from +x towards -z: counterclockwise seen from above

    def rgb(self) -> Tensor:
        """The colors of the bodies -> [B, P, 3], 0 to 1."""
        return (torch.tensor(list(COLORS.values()))[self.color] / 255) ** BRIGHTEN

    def rows(self, index: int) -> list[dict[str, object]]:
        """The objects of one room in words and numbers, for JSON."""
        return [
            {
                "shape": SHAPES[self.shape[index, i]],
                "color": list(COLORS)[self.color[index, i]],
                "material": MATERIALS[int(self.metal[index, i])],
                "size": float(self.size[index, i]),
                "center": self.center[index, i].tolist(),
                "yaw": float(self.yaw[index, i]),
            }
            for i in range(int(self.exists[index].sum()))
        ]

    def solids(self) -> Solids:
        """One solid for each object; empty ones for those that do not exist."""
        cube, sphere = self.shape == 0, self.shape == 1
        angles = self.yaw[..., None] + torch.arange(4) * math.pi / 2
        normals = torch.zeros(*self.shape.shape, FACES, 3)
        normals[..., :4, 0], normals[..., :4, 2] = angles.cos(), -angles.sin()
        normals[..., 4, 1], normals[..., 5, 1] = 1, -1
        used = torch.stack([cube] * 4 + [~sphere] * 2, dim=-1) & self.exists[..., None]
        normals = normals * used[..., None]
        offsets = torch.where(used, (normals @ self.center[..., None])[..., 0] + self.size[..., None], 1.0)
        offsets = torch.where(self.exists[..., None], offsets, -1.0)  # 0 <= -1 holds nowhere
        curved = torch.stack([~cube, sphere, ~cube], dim=-1) / self.size[..., None] ** 2
        across = reach(self.shape, self.size)
        half = torch.stack([across, self.size, across], dim=-1)
        bounds = torch.stack([self.center - half, self.center + half], dim=2)
        empty = torch.tensor([[MISS], [-MISS]])
        bounds = torch.where(self.exists[..., None, None], bounds, empty)
        quadrics = torch.diag_embed(curved)
        return Solids(normals, offsets, self.center, quadrics, self.rgb(), self.metal.float(), bounds)


def rooms(least: int, most: int) -> Callable[[Randomness], RoomObjects]:
    """Rooms of `least` to `most` objects, each number equally often: one room for each random stream."""

    def sample(streams: Randomness) -> RoomObjects:
        count = least + (streams.uniform() * (most - least + 1)).long()
        u = streams.uniform(most, 5)
        exists = torch.arange(most) < count[:, None]
        shape, color = ((u[..., i] * n).long() for i, n in enumerate((len(SHAPES), len(COLORS))))
        size = to_range(u[..., 3], *SIZES) * torch.where(shape == 0, CUBE, 1.0)
        x, z = _places(streams, exists, reach(shape, size)).unbind(-1)
        center = torch.stack([x, size, z], dim=-1)
        return RoomObjects(exists, shape, color, u[..., 2] < 0.5, size, center, 2 * math.pi * u[..., 4])

    return sample


def reach(shape: Tensor, size: Tensor) -> Tensor:
    """How far objects extend from their axes, whatever their yaw."""
    return size * torch.where(shape == 0, math.sqrt(2), 1.0)


def _places(streams: Randomness, exists: Tensor, reaches: Tensor) -> Tensor:
    """Places (x, z) [B, P, 2] that keep their distances: each the first of TRIES that keeps them.

    Where there is none, the room is begun anew. All streams take numbers for as many rounds as the slowest
    room needs; they are the last numbers taken, and a room keeps its first places: it depends on no other.
    """
    batch, most = exists.shape
    found, done = torch.zeros(batch, most, 2), torch.zeros(batch, dtype=torch.bool)
    for _ in range(ROUNDS):
        tried, fits = PLACES * (2 * streams.uniform(most, TRIES, 2) - 1), ~done
        places = tried[:, :, 0].clone()
        for i in range(1, most):
            distance = (tried[:, i, :, None] - places[:, None, :i]).norm(dim=-1)  # [B, TRIES, i]
            least = (reaches[:, i, None] + reaches[:, :i] + GAP).clamp_min(APART)
            free = ((distance >= least[:, None]) | ~exists[:, None, :i]).all(dim=-1) | ~exists[:, i, None]
            places[:, i] = tried[torch.arange(batch), i, free.byte().argmax(dim=1)]
            fits &= free.any(dim=1)
        found[fits] = places[fits]
        done |= fits
        if done.all():
            return found
    raise RuntimeError(f"no places for {most} objects in {ROUNDS} rounds")
