"""Bricks to build synthetic scenes from: frusta, boxes, cylinders, ellipsoids, for a whole batch at once."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from genscene.data.synthetic.raytrace import Solids

FACES = 6
HUES = torch.tensor(
    [0.0, 0.05, 0.10, 0.15, 0.25, 0.36, 0.48, 0.55, 0.62, 0.72, 0.82, 0.92, 1.0]
)  # evenly to the eye


@dataclass
class Builder:
    """Collects solids for B scenes; every number is a tensor [B], every colour [B, 3]."""

    batch: int
    normals: list[Tensor] = field(default_factory=list)
    offsets: list[Tensor] = field(default_factory=list)
    centres: list[Tensor] = field(default_factory=list)
    quadrics: list[Tensor] = field(default_factory=list)
    colors: list[Tensor] = field(default_factory=list)
    low: list[Tensor] = field(default_factory=list)
    high: list[Tensor] = field(default_factory=list)

    def frustum(self, low: "Slab", high: "Slab", color: Tensor) -> None:
        """The solid between two horizontal rectangles."""
        rise = high.y - low.y
        faces = [
            _leaning(1.0, 0, low.x1, high.x1, low.y, rise),
            _leaning(-1.0, 0, -low.x0, -high.x0, low.y, rise),
            _leaning(1.0, 2, low.z1, high.z1, low.y, rise),
            _leaning(-1.0, 2, -low.z0, -high.z0, low.y, rise),
            _level(1.0, high.y),
            _level(-1.0, -low.y),
        ]
        normals, offsets = (torch.stack(x, dim=1) for x in zip(*faces, strict=True))
        nothing = torch.zeros(self.batch, 3)
        self._add(normals, offsets, nothing, torch.diag_embed(nothing), color)
        self._bound(
            torch.stack([low.x0, low.y, low.z0], dim=-1), torch.stack([low.x1, high.y, low.z1], dim=-1)
        )
        self._bound(
            torch.stack([high.x0, low.y, high.z0], dim=-1), torch.stack([high.x1, high.y, high.z1], dim=-1)
        )

    def box(
        self, x: tuple[Tensor, Tensor], y: tuple[Tensor, Tensor], z: tuple[Tensor, Tensor], color: Tensor
    ) -> None:
        """An upright box."""
        self.frustum(Slab(y[0], *x, *z), Slab(y[1], *x, *z), color)

    def cylinder(self, centre: Tensor, radius: Tensor, half: Tensor, axis: int, color: Tensor) -> None:
        """A cylinder along x (0), y (1) or z (2): centre [B, 3], radius and half length [B]."""
        across = torch.ones(3)
        across[axis] = 0
        normals = torch.zeros(self.batch, FACES, 3)
        normals[:, 0, axis], normals[:, 1, axis] = 1, -1
        offsets = torch.ones(self.batch, FACES)
        offsets[:, 0], offsets[:, 1] = centre[:, axis] + half, half - centre[:, axis]
        self._add(normals, offsets, centre, torch.diag(across) / radius[:, None, None] ** 2, color)
        reach = torch.where(across.bool(), radius[:, None], half[:, None])
        self._bound(centre - reach, centre + reach)

    def ellipsoid(self, centre: Tensor, radii: Tensor, color: Tensor) -> None:
        """An ellipsoid along the axes: centre, radii [B, 3]."""
        normals, offsets = torch.zeros(self.batch, FACES, 3), torch.ones(self.batch, FACES)
        self._add(normals, offsets, centre, torch.diag_embed(radii**-2), color)
        self._bound(centre - radii, centre + radii)

    def build(self) -> Solids:
        """Everything collected."""
        lists = (self.normals, self.offsets, self.centres, self.quadrics, self.colors)
        normals, offsets, centres, quadrics, colors = (torch.stack(x, dim=1) for x in lists)
        bounds = torch.stack([torch.stack(self.low).amin(dim=0), torch.stack(self.high).amax(dim=0)], dim=1)
        return Solids(normals, offsets, centres, quadrics, colors, bounds)

    def _bound(self, low: Tensor, high: Tensor) -> None:
        self.low.append(low)
        self.high.append(high)

    def _add(self, normals: Tensor, offsets: Tensor, centre: Tensor, quadric: Tensor, color: Tensor) -> None:
        self.normals.append(normals)
        self.offsets.append(offsets)
        self.centres.append(centre)
        self.quadrics.append(quadric.expand(self.batch, 3, 3))
        self.colors.append(color.expand(self.batch, 3))


@dataclass(frozen=True)
class Slab:
    """A horizontal rectangle at height y, from x0 to x1 and z0 to z1; each [B]."""

    y: Tensor
    x0: Tensor
    x1: Tensor
    z0: Tensor
    z1: Tensor


def _leaning(
    sign: float, axis: int, low: Tensor, high: Tensor, base: Tensor, rise: Tensor
) -> tuple[Tensor, Tensor]:
    """The plane through sign * x[axis] = low at the base and high above it: normals [B, 3], offsets [B]."""
    normal = torch.zeros(len(low), 3)
    normal[:, axis] = sign * rise
    normal[:, 1] = low - high
    offset = rise * low + (low - high) * base
    length = normal.norm(dim=-1)
    return normal / length[:, None], offset / length


def _level(sign: float, offset: Tensor) -> tuple[Tensor, Tensor]:
    normal = torch.zeros(len(offset), 3)
    normal[:, 1] = sign
    return normal, offset


def hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Colours by hue, saturation and value, each [B] from 0 to 1 -> RGB [B, 3]."""
    steps = torch.tensor([5.0, 3.0, 1.0])
    k = (steps + 6 * hue[:, None]) % 6
    return value[:, None] * (1 - saturation[:, None] * torch.minimum(k, 4 - k).clamp(0, 1))


def paint(u: Tensor) -> Tensor:
    """Three random numbers [B, 3] -> a colour [B, 3]: every hue, and one in six grey.

    Grey ends at silver: white would be lost on white.
    """
    hue, saturation, value = u.unbind(-1)
    place = (hue * 6 / 5 * (len(HUES) - 1)).clamp_max(len(HUES) - 1.001)
    start = place.long()
    vivid = hsv(
        torch.lerp(HUES[start], HUES[start + 1], place - start),
        between(saturation, 0.65, 0.95),
        between(value, 0.55, 1.0),
    )
    neutral = between(value, 0.15, 0.75)[:, None].expand(-1, 3)
    return torch.where(hue[:, None] > 5 / 6, neutral, vivid)


def between(u: Tensor, low: float, high: float) -> Tensor:
    """Random numbers from [0, 1) -> from [low, high)."""
    return low + (high - low) * u


def together(parts: list[tuple[Solids, Tensor]]) -> Solids:
    """Batches of scenes with different numbers of solids, and their places in the whole -> the whole."""
    most = max(solids.normals.shape[1] for solids, _ in parts)
    places = torch.cat([rows for _, rows in parts]).argsort()
    filled = [filled_up(solids, most) for solids, _ in parts]
    return Solids(
        *(torch.cat(columns)[places] for columns in zip(*(vars(s).values() for s in filled), strict=True))
    )


def scaled(solids: Solids, factor: float) -> Solids:
    """The same scenes, larger or smaller about the origin."""
    offsets, centres, quadrics = solids.offsets * factor, solids.centres * factor, solids.quadrics / factor**2
    return Solids(solids.normals, offsets, centres, quadrics, solids.colors, solids.bounds * factor)


def filled_up(solids: Solids, count: int) -> Solids:
    """With solids that hold nothing, up to so many a scene."""
    missing = count - solids.normals.shape[1]

    def more(x: Tensor, value: float) -> Tensor:
        return torch.cat([x, torch.full((len(x), missing, *x.shape[2:]), value)], dim=1)

    normals, offsets = more(solids.normals, 0.0), more(solids.offsets, -1.0)  # nowhere is 0 <= -1
    centres, quadrics, colors = (
        more(solids.centres, 0.0),
        more(solids.quadrics, 0.0),
        more(solids.colors, 0.0),
    )
    return Solids(normals, offsets, centres, quadrics, colors, solids.bounds)
