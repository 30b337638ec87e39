"""Procedural cars: saloons, hatchbacks, estates, pickups, vans and sports cars in all colours."""

import torch
from torch import Tensor

from genscene.data.synthetic.intersect import Solids
from genscene.data.synthetic.solids import Builder, Slab, random_color, to_range
from genscene.randomness import Randomness

GLASS = torch.tensor([0.10, 0.12, 0.17])
TYRE = torch.tensor([0.07, 0.07, 0.08])
HUB = torch.tensor([0.62, 0.63, 0.66])
TRIM = torch.tensor([0.20, 0.20, 0.22])
HEADLIGHT = torch.tensor([1.0, 0.95, 0.62])
TAILLIGHT = torch.tensor([0.95, 0.08, 0.06])

# Rear and front end of the glass, at its foot and at the roof, as shares of the body's length; factors of
# heights and of the length.
#          foot0  foot1  roof0  roof1  cabin  body   length
KINDS = torch.tensor([
    [-0.38, 0.20, -0.22, 0.04, 1.00, 1.00, 1.00],  # saloon
    [-0.49, 0.22, -0.40, 0.04, 1.05, 1.05, 0.84],  # hatchback
    [-0.49, 0.22, -0.45, 0.06, 1.05, 1.10, 1.02],  # estate
    [-0.08, 0.24, -0.05, 0.10, 1.10, 1.15, 1.08],  # pickup
    [-0.49, 0.40, -0.47, 0.26, 1.55, 1.10, 1.00],  # van
    [-0.34, 0.16, -0.20, -0.02, 0.78, 0.82, 1.06],  # sports
])  # fmt: skip
PICKUP = 3


def cars(streams: Randomness) -> Solids:
    """One car for each random stream, facing +x, centered at the origin, inside [-1, 1]^3."""
    u = streams.uniform(12)
    batch = len(u)
    kind = (u[:, 0] * len(KINDS)).long()
    foot0, foot1, roof0, roof1, cabin_factor, body_factor, length_factor = KINDS[kind].unbind(-1)
    length = to_range(u[:, 1], 1.45, 1.70) * length_factor
    half = to_range(u[:, 2], 0.30, 0.37)  # half the width
    body = to_range(u[:, 3], 0.21, 0.27) * body_factor
    cabin = to_range(u[:, 4], 0.22, 0.28) * cabin_factor
    radius = torch.minimum(to_range(u[:, 5], 0.15, 0.19), (body - 0.02) / 1.28)  # below the bonnet
    color = random_color(u[:, 6:9])
    floor = 0.72 * radius - 0.5 * (0.72 * radius + body + cabin)  # centers the car at the origin
    waist, top = floor + body, floor + body + cabin
    ground = floor - 0.72 * radius
    builder = Builder(batch)
    _shell(builder, length, half, floor, waist, color)
    _cabin(builder, length, half, waist, top, torch.stack([foot0, foot1, roof0, roof1]), color)
    _bed(builder, kind == PICKUP, length, half, waist, color)
    _wheels(builder, length, half, ground, radius)
    _lights(builder, length, half, floor, body)
    return builder.build()


def _shell(b: Builder, length: Tensor, half: Tensor, floor: Tensor, waist: Tensor, color: Tensor) -> None:
    """The body, vertical below and tapered above, with bumpers in front and behind."""
    middle = floor + 0.55 * (waist - floor)
    x0, x1 = -length / 2, length / 2
    b.frustum(Slab(floor, 0.97 * x0, 0.97 * x1, -half, half), Slab(middle, x0, x1, -half, half), color)
    b.frustum(
        Slab(middle, x0, x1, -half, half), Slab(waist, 0.97 * x0, 0.93 * x1, -0.92 * half, 0.92 * half), color
    )
    low = (floor + 0.02, floor + 0.35 * (waist - floor))
    b.box((1.02 * x0, 1.02 * x1), low, (-0.9 * half, 0.9 * half), TRIM)


def _cabin(
    b: Builder, length: Tensor, half: Tensor, waist: Tensor, top: Tensor, ends: Tensor, color: Tensor
) -> None:
    """Glass on all sides, and a painted roof."""
    foot0, foot1, roof0, roof1 = ends * length
    foot, roof = 0.90 * half, 0.74 * half
    edge = top - 0.22 * (top - waist)
    share = (edge - waist) / (top - waist)
    x0, x1 = torch.lerp(foot0, roof0, share), torch.lerp(foot1, roof1, share)
    side = torch.lerp(foot, roof, share)
    b.frustum(Slab(waist, foot0, foot1, -foot, foot), Slab(edge, x0, x1, -side, side), GLASS)
    b.frustum(Slab(edge, x0, x1, -side, side), Slab(top, roof0, roof1, -roof, roof), color)


def _bed(b: Builder, pickup: Tensor, length: Tensor, half: Tensor, waist: Tensor, color: Tensor) -> None:
    """Walls around a pickup's bed; of other cars they have negative height, which is empty."""
    high = torch.where(pickup, 0.09, -0.001)
    back, front = -0.485 * length, -0.10 * length
    b.box((back, front), (waist - 0.02, waist + 0.02 * pickup), (-0.85 * half, 0.85 * half), TRIM)
    for side in (-1.0, 1.0):
        z = side * 0.88 * half
        b.box((back, front), (waist - 0.02, waist + high), (z - 0.03, z + 0.03), color)
    b.box((back - 0.01, back + 0.05), (waist - 0.02, waist + high), (-0.88 * half, 0.88 * half), color)


def _wheels(b: Builder, length: Tensor, half: Tensor, ground: Tensor, radius: Tensor) -> None:
    """Four tyres with hubs."""
    for x in (-0.31, 0.31):
        for side in (-1.0, 1.0):
            center = torch.stack([x * length, ground + radius, side * (half - 0.05)], dim=-1)
            b.cylinder(center, radius, torch.full_like(radius, 0.075), 2, TYRE)
            b.cylinder(center, 0.5 * radius, torch.full_like(radius, 0.085), 2, HUB)


def _lights(b: Builder, length: Tensor, half: Tensor, floor: Tensor, body: Tensor) -> None:
    """Two headlights and two tail lights."""
    y = floor + 0.62 * body
    for side in (-1.0, 1.0):
        front = torch.stack([0.475 * length, y, side * 0.68 * half], dim=-1)
        back = torch.stack([-0.485 * length, y, side * 0.74 * half], dim=-1)
        b.ellipsoid(front, torch.tensor([0.045, 0.055, 0.075]).expand_as(front), HEADLIGHT)
        b.ellipsoid(back, torch.tensor([0.035, 0.06, 0.065]).expand_as(back), TAILLIGHT)
