"""Boxes that objects are in: scale, translation and rotation, and the distribution these are sampled from."""

import math
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.geometry.cameras import as_float64
from genscene.io.arrays import read_arrays
from genscene.ranges import Angle, Box, Distance, Extent, Range, Share, Signed

Interval = tuple[Angle, Angle]  # from, to; either may be the larger
TRIES = 10_000  # translations tried for a scene whose boxes must not collide
NUMBERS = 8  # that a box is sampled with: 3 of its scale, 3 of its translation, its rotation, its rank
STRIDES = (0.8191725133961645, 0.6710436067037893, 0.5497004779019703)  # 1 / g^k, g^4 = g + 1 (Roberts 2018)


@dataclass(frozen=True)
class Boxes:
    """O boxes of each of B scenes, each turned about the world's vertical axis z."""

    scale: Tensor  # [B, O, 3], half sides, in world units
    translation: Tensor  # [B, O, 3], centers, in world units
    rotation: Tensor  # [B, O], counterclockwise seen from above, in radians

    def points(self, points: Tensor) -> Tensor:
        """World points [B, N, 3] -> in each box, which is [-1, 1]^3 (GIRAFFE, eq. 7) [B, O, N, 3], float64.

        High frequencies of their encoding multiply the rounding.
        """
        return self.scaled(self.turned(as_float64(points)[:, None] - self.centers()))

    def directions(self, directions: Tensor) -> Tensor:
        """World directions [B, N, 3] -> in each box, not normalised [B, O, N, 3], float64."""
        return self.scaled(self.turned(as_float64(directions)[:, None]))

    def inner(self, x: Tensor, turn_only: bool = False) -> Tensor:
        """World points, or directions (turn_only), [B, O, n, 3], each in its box -> in its coordinates."""
        moved = as_float64(x) if turn_only else as_float64(x) - self.centers()
        return self.scaled(self.turned(moved)).to(x)

    def centers(self) -> Tensor:
        """[B, O, 1, 3]."""
        return as_float64(self.translation)[:, :, None]

    def scaled(self, x: Tensor) -> Tensor:
        """Vectors in the boxes' axes [B, O, N, 3], in units of their half sides."""
        return x / as_float64(self.scale)[:, :, None]

    def turned(self, x: Tensor) -> Tensor:
        """Vectors [B, O or 1, N, 3] of the world, in the boxes' axes [B, O, N, 3]."""
        return turn_back(x, as_float64(self.rotation))


def turn_back(x: Tensor, angle: Tensor) -> Tensor:
    """Vectors [..., N, 3], turned by minus the angles [...] about the vertical axis."""
    cosine, sine = angle.cos()[..., None], angle.sin()[..., None]
    across, along, up = x.unbind(-1)
    first, second = cosine * across + sine * along, cosine * along - sine * across
    return torch.stack([first, second, up.expand_as(first)], dim=-1)


def collisions(boxes: Boxes, padding: float) -> Tensor:
    """Whether any two boxes, taken as aligned with the axes, are nearer than the padding -> [B]."""
    found = torch.zeros(len(boxes.scale), dtype=torch.bool, device=boxes.scale.device)
    for i, j in combinations(range(boxes.scale.shape[1]), 2):
        apart = (boxes.translation[:, i] - boxes.translation[:, j]).abs()
        least = (boxes.scale[:, i] + boxes.scale[:, j]).abs() + padding
        found |= ~(apart >= least).any(dim=-1)
    return found


@dataclass(frozen=True)
class BoxPrior:
    """The distribution of boxes, uniform in every range (GIRAFFE, sec. 3.4)."""

    count: Annotated[int, Range(1, 100)] = 1  # boxes of a scene
    scale_min: Box = (0.21, 0.21, 0.21)  # half sides, in world units
    scale_max: Box = (0.21, 0.21, 0.21)
    same_proportions: bool = True  # one random number for all three half sides
    translation_min: tuple[Signed, Signed, Signed] = (0.0, 0.0, 0.0)  # of the centers, in world units
    translation_max: tuple[Signed, Signed, Signed] = (0.0, 0.0, 0.0)
    rotation: Interval = (0.0, 1.0)  # about the vertical axis, in turns
    plane: Signed | None = None  # height of all centers; None: as the translation's range says
    # translations are sampled again until no two boxes are nearer than this on all axes; None: they may be
    apart: Distance | None = None
    positions: str = ""  # .npz whose `coordinates` [N, count, 3] are sampled instead of translations
    positions_unit: Extent = 1.0  # world units that these coordinates are multiples of
    # probability of each number of objects from `fewest` to `count`; (): always all of them
    number_chances: tuple[Share, ...] = ()

    @property
    def numbers(self) -> int:
        """Uniform random numbers that one scene is sampled with."""
        return NUMBERS * self.count + 2

    @property
    def fewest(self) -> int:
        """The least number of objects in a scene."""
        return self.count - len(self.number_chances) + 1 if self.number_chances else self.count

    def check(self) -> None:
        """Raise BadInput for ranges that no box can be sampled from."""
        for name in ("scale", "translation"):
            low, high = getattr(self, f"{name}_min"), getattr(self, f"{name}_max")
            if any(a > b for a, b in zip(low, high, strict=True)):
                raise BadInput(f"{name}_min {low}, {name}_max {high}: wanted no minimum above its maximum")
        if len(self.number_chances) > self.count:
            raise BadInput(
                f"number_chances has {len(self.number_chances)} entries, wanted at most {self.count}: one for"
                f" each number of objects up to {self.count}"
            )
        if self.number_chances and abs(sum(self.number_chances) - 1) > 1e-3:
            raise BadInput(f"number_chances {self.number_chances}: wanted probabilities with the sum 1")

    def extent(self) -> tuple[float, float, float]:
        """Half sides of the box around the origin that holds all boxes, however they are turned."""
        across = math.hypot(*self.scale_max[:2])
        low, high = self.translation_min, self.translation_max
        if self.plane is not None:
            low, high = (*low[:2], self.plane), (*high[:2], self.plane)
        reach = (across, across, self.scale_max[2])
        x, y, z = (max(abs(a), abs(b)) + 1.1 * c for a, b, c in zip(low, high, reach, strict=True))
        return x, y, z

    def sample(self, uniform: Tensor) -> tuple[Boxes, Tensor]:
        """Uniform numbers [B, numbers] -> B scenes' boxes, and which of them are there, 0 or 1 [B, O]."""
        each, (row, number) = uniform[:, :-2].unflatten(1, (self.count, NUMBERS)), uniform[:, -2:].unbind(-1)
        across = each[..., :1] if self.same_proportions else each[..., :3]
        rotation = self.rotation[0] + each[..., 6] * (self.rotation[1] - self.rotation[0])
        boxes = Boxes(
            between(self.scale_min, self.scale_max, across),
            self.translations(each[..., 3:6], row),
            2 * math.pi * rotation,
        )
        if self.apart is not None and not self.positions:
            boxes = self.without_collisions(boxes, each[..., 3:6], row)
        return boxes, self.presence(number, each[..., 7])

    def translations(self, uniform: Tensor, row: Tensor) -> Tensor:
        """Uniform numbers [B, O, 3], and [B] for the rows of a file -> centers [B, O, 3]."""
        if self.positions:
            found = read_positions(self.positions, self.count).to(uniform) * self.positions_unit
            return found[(row * len(found)).long().clamp(max=len(found) - 1)]
        centers = between(self.translation_min, self.translation_max, uniform)
        if self.plane is not None:
            centers = torch.cat([centers[..., :2], torch.full_like(centers[..., :1], self.plane)], dim=-1)
        return centers

    def without_collisions(self, boxes: Boxes, uniform: Tensor, row: Tensor) -> Boxes:
        """Boxes with other translations where they collide; a function of the same random numbers."""
        assert self.apart is not None
        strides = torch.tensor(STRIDES, dtype=torch.float64, device=uniform.device)
        for attempt in range(1, TRIES):
            wrong = collisions(boxes, self.apart)
            if not wrong.any():
                return boxes
            # every box moves by another step of an additive recurrence, which fills the range evenly
            steps = attempt * strides * torch.arange(1, self.count + 1).to(strides)[:, None]
            moved = ((uniform.double() + steps) % 1).to(uniform)
            again = self.translations(moved, ((row.double() + attempt * strides[0]) % 1).to(row))
            boxes = replace(boxes, translation=torch.where(wrong[:, None, None], again, boxes.translation))
        raise BadInput(
            f"{TRIES:,} tries found no place for {self.count} boxes that are {self.apart:g} apart: wanted"
            " smaller scales, wider translations, fewer objects or a smaller `apart`"
        )

    def presence(self, number: Tensor, ranks: Tensor) -> Tensor:
        """Uniform numbers [B] and [B, O] -> which boxes are there [B, O]; all choices are as likely."""
        if not self.number_chances:
            return torch.ones_like(ranks)
        chances = torch.tensor(self.number_chances).to(number).cumsum(0)
        count = self.fewest + torch.searchsorted(chances[:-1].contiguous(), number.contiguous(), right=True)
        return (ranks.argsort(dim=1).argsort(dim=1) < count[:, None]).to(ranks)


def between(low: tuple[float, ...], high: tuple[float, ...], share: Tensor) -> Tensor:
    """Numbers at a share [..., 3 or 1] of the way from low to high; beyond 0 to 1 it is extrapolated."""
    start, end = torch.as_tensor(low).to(share), torch.as_tensor(high).to(share)
    return start + share * (end - start)


@cache
def read_positions(path: str, count: int) -> Tensor:
    """`coordinates` of an .npz file -> [N, count, 3], finite."""
    arrays = read_arrays(path, "positions of boxes")
    if "coordinates" not in arrays:
        raise BadInput(f"{path}: no array `coordinates`, found {', '.join(sorted(arrays)) or 'none'}")
    found = arrays["coordinates"]
    if found.ndim != 3 or found.shape[1:] != (count, 3) or not len(found):
        raise BadInput(f"{path}: coordinates {list(found.shape)}, wanted [N, {count}, 3] for {count} boxes")
    if not np.isfinite(found).all():
        raise BadInput(f"{path}: coordinates that are not finite")
    return torch.from_numpy(found.astype(np.float32))
