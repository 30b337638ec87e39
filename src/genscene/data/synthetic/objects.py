"""Procedural objects: houses, trees, tables, chairs, snowmen and robots in all colours."""

from collections.abc import Callable

import torch
from torch import Tensor

from genscene.data.synthetic.intersect import Solids
from genscene.data.synthetic.solids import Builder, Slab, merge, random_color, scaled, to_range
from genscene.randomness import Randomness

DARK = torch.tensor([0.16, 0.15, 0.18])
WOOD = torch.tensor([0.50, 0.33, 0.20])
SNOW = torch.tensor([0.93, 0.95, 0.98])
CARROT = torch.tensor([0.98, 0.50, 0.10])
NUMBERS = 10  # random numbers of an object


def objects(streams: Randomness) -> Solids:
    """One object for each random stream, centered at the origin, inside [-1, 1]^3."""
    kind = (streams.uniform() * len(KINDS)).long()
    u = streams.uniform(NUMBERS)
    made = [(build, (kind == i).nonzero()[:, 0]) for i, build in enumerate(KINDS)]
    return scaled(merge([(build(u[rows]), rows) for build, rows in made if len(rows)]), 0.8)


def house(u: Tensor) -> Solids:
    """Walls, a gabled roof, a door, windows, a chimney."""
    b = Builder(len(u))
    half, deep = to_range(u[:, 0], 0.38, 0.6), to_range(u[:, 1], 0.32, 0.5)
    low, eaves = -0.55 * one(u), to_range(u[:, 2], -0.05, 0.2)
    top = eaves + to_range(u[:, 3], 0.25, 0.45)
    walls, roof = random_color(u[:, 4:7]), random_color(u[:, 7:10])
    b.box((-half, half), (low, eaves), (-deep, deep), walls)
    over, wide = 1.15 * half, 1.15 * deep
    b.frustum(Slab(eaves, -over, over, -wide, wide), Slab(top, -over, over, -0.01 * wide, 0.01 * wide), roof)
    b.box((0.3 * half, 0.55 * half), (eaves, top + 0.1), (-0.6 * deep, -0.3 * deep), DARK)
    b.box((-0.2 * half, 0.2 * half), (low, low + 0.32), (0.9 * deep, 1.02 * deep), WOOD)
    for x in (-0.62, 0.62):
        b.box(
            ((x - 0.2) * half, (x + 0.2) * half), (low + 0.2, low + 0.38), (-1.02 * deep, 1.02 * deep), DARK
        )
    return b.build()


def tree(u: Tensor) -> Solids:
    """A trunk and a crown of one to three parts."""
    b = Builder(len(u))
    crown = random_color(u[:, 0:3])
    trunk, height = to_range(u[:, 3], 0.07, 0.12), to_range(u[:, 4], 0.25, 0.5)
    b.cylinder(point(0 * trunk, -0.7 + height / 2, 0 * trunk), trunk, height / 2, 1, WOOD)
    size, step = to_range(u[:, 5], 0.35, 0.5), to_range(u[:, 6], 0.22, 0.32)
    for i in range(3):
        side = size * (1 - 0.25 * i)
        center = point(0.08 * (u[:, 7] - 0.5) * i, height - 0.6 + i * step + 0.15, 0.08 * (u[:, 8] - 0.5) * i)
        b.ellipsoid(center, point(side, to_range(u[:, 9], 0.18, 0.3), side), crown)
    return b.build()


def table(u: Tensor) -> Solids:
    """A top on four legs, with something on it."""
    b = Builder(len(u))
    half, deep = to_range(u[:, 0], 0.45, 0.7), to_range(u[:, 1], 0.35, 0.55)
    top, thick = to_range(u[:, 2], -0.1, 0.15), to_range(u[:, 3], 0.05, 0.1)
    color = random_color(u[:, 4:7])
    b.box((-half, half), (top - thick, top), (-deep, deep), color)
    legs(b, half, deep, top - thick, color)
    pot = to_range(u[:, 7], 0.12, 0.22)
    b.cylinder(point(0.3 * half, top + pot, -0.2 * deep), 0.7 * pot, pot, 1, random_color(u[:, 7:10].flip(1)))
    return b.build()


def chair(u: Tensor) -> Solids:
    """A seat on four legs with a back."""
    b = Builder(len(u))
    half, deep = to_range(u[:, 0], 0.3, 0.42), to_range(u[:, 1], 0.3, 0.42)
    seat, top = to_range(u[:, 2], -0.2, 0.0), to_range(u[:, 3], 0.45, 0.75)
    frame, cloth = random_color(u[:, 4:7]), random_color(u[:, 7:10])
    b.box((-half, half), (seat - 0.07, seat), (-deep, deep), frame)
    b.box((-0.85 * half, 0.85 * half), (seat, seat + 0.06), (-0.85 * deep, 0.85 * deep), cloth)
    b.box((-half, half), (seat, top), (-deep, -deep + 0.08), frame)
    legs(b, half, deep, seat - 0.07, frame)
    return b.build()


def snowman(u: Tensor) -> Solids:
    """Three balls with a hat, a nose and a scarf."""
    b = Builder(len(u))
    low, middle, high = (
        to_range(u[:, i], *r) for i, r in enumerate([(0.3, 0.4), (0.23, 0.29), (0.17, 0.22)])
    )
    foot = -0.75 + low
    chest, head = foot + 0.75 * (low + middle), foot + 0.75 * (low + 2 * middle + high)
    for height, radius in ((foot, low), (chest, middle), (head, high)):
        b.ellipsoid(point(0 * low, height, 0 * low), point(radius, radius, radius), SNOW.expand(len(u), 3))
    hat, scarf = random_color(u[:, 3:6]), random_color(u[:, 6:9])
    b.cylinder(point(0 * low, head + 0.75 * high, 0 * low), 1.2 * high, 0 * low + 0.02, 1, hat)
    b.cylinder(point(0 * low, head + high, 0 * low), 0.75 * high, 0.3 * high, 1, hat)
    b.cylinder(point(0 * low, head - 0.8 * high, 0 * low), 0.95 * high, 0 * low + 0.04, 1, scarf)
    b.ellipsoid(point(0 * low, head, 1.1 * high), point(0.04 + 0 * low, 0.04 + 0 * low, 0.6 * high), CARROT)
    for side in (-0.4, 0.4):
        b.ellipsoid(point(side * high, head + 0.3 * high, 0.85 * high), point(*[0.03 + 0 * low] * 3), DARK)
    return b.build()


def robot(u: Tensor) -> Solids:
    """A boxy body with a head, arms, legs and eyes."""
    b = Builder(len(u))
    half, deep = to_range(u[:, 0], 0.24, 0.36), to_range(u[:, 1], 0.18, 0.26)
    body, trim = random_color(u[:, 4:7]), random_color(u[:, 7:10])
    hip, neck = -0.25 * one(u), to_range(u[:, 2], 0.2, 0.35)
    head = to_range(u[:, 3], 0.26, 0.36)
    b.box((-half, half), (hip, neck), (-deep, deep), body)
    b.box((-0.7 * half, 0.7 * half), (neck + 0.03, neck + head), (-0.8 * deep, 0.8 * deep), trim)
    for side in (-1.0, 1.0):
        arm, leg = side * (half + 0.09), side * 0.5 * half
        b.box((arm - 0.07, arm + 0.07), (hip - 0.05, neck - 0.03), (-0.09 * one(u), 0.09 * one(u)), trim)
        b.box((leg - 0.1, leg + 0.1), (-0.7 * one(u), hip), (-0.12 * one(u), 0.14 * one(u)), DARK)
        eye = point(side * 0.3 * half, neck + 0.6 * head, 0.8 * deep)
        b.ellipsoid(eye, point(*[0.05 * one(u)] * 3), SNOW)
    return b.build()


KINDS: tuple[Callable[[Tensor], Solids], ...] = (house, tree, table, chair, snowman, robot)


def legs(b: Builder, half: Tensor, deep: Tensor, top: Tensor, color: Tensor) -> None:
    """Four legs down to the floor, under the corners."""
    for x in (-1.0, 1.0):
        for z in (-1.0, 1.0):
            at = point(x * (half - 0.06), (top - 0.7) / 2, z * (deep - 0.06))
            b.cylinder(at, 0 * half + 0.05, (top + 0.7) / 2, 1, color)


def point(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Three coordinates [B] -> [B, 3]."""
    return torch.stack([x, y, z], dim=-1)


def one(u: Tensor) -> Tensor:
    """Ones [B]."""
    return torch.ones(len(u))
