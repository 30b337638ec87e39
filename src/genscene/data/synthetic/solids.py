"""Batches of synthetic scenes built from frusta, boxes, cylinders and ellipsoids."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from genscene.data.synthetic.intersect import MISS, Solids

FACES = 6  # planes of a solid, at most
# Hues in perceptually even steps.
HUES = torch.tensor([0.0, 0.05, 0.10, 0.15, 0.25, 0.36, 0.48, 0.55, 0.62, 0.72, 0.82, 0.92, 1.0])


@dataclass
class Builder:
    """Collects the solids of B scenes; every number is a tensor [B], every colour a tensor [B, 3]."""

    batch: int
    normals: list[Tensor] = field(default_factory=list)
    offsets: list[Tensor] = field(default_factory=list)
    centers: list[Tensor] = field(default_factory=list)
    quadrics: list[Tensor] = field(default_factory=list)
    colors: list[Tensor] = field(default_factory=list)
    low: list[Tensor] = field(default_factory=list)
    high: list[Tensor] = field(default_factory=list)

    def frustum(self, low: "Slab", high: "Slab", color: Tensor) -> None:
        """Add the convex hull of two horizontal rectangles."""
        rise = high.y - low.y
        faces = [
            _sloped_plane(1.0, 0, low.x1, high.x1, low.y, rise),
            _sloped_plane(-1.0, 0, -low.x0, -high.x0, low.y, rise),
            _sloped_plane(1.0, 2, low.z1, high.z1, low.y, rise),
            _sloped_plane(-1.0, 2, -low.z0, -high.z0, low.y, rise),
            _horizontal_plane(1.0, high.y),
            _horizontal_plane(-1.0, -low.y),
        ]
        normals, offsets = (torch.stack(x, dim=1) for x in zip(*faces, strict=True))
        zero = torch.zeros(self.batch, 3)
        self._add(normals, offsets, zero, torch.diag_embed(zero), color)
        x0, z0 = torch.minimum(low.x0, high.x0), torch.minimum(low.z0, high.z0)
        x1, z1 = torch.maximum(low.x1, high.x1), torch.maximum(low.z1, high.z1)
        self._bound(torch.stack([x0, low.y, z0], dim=-1), torch.stack([x1, high.y, z1], dim=-1))

    def box(
        self, x: tuple[Tensor, Tensor], y: tuple[Tensor, Tensor], z: tuple[Tensor, Tensor], color: Tensor
    ) -> None:
        """Add an axis-aligned box, from low to high along each axis."""
        self.frustum(Slab(y[0], *x, *z), Slab(y[1], *x, *z), color)

    def cylinder(self, center: Tensor, radius: Tensor, half: Tensor, axis: int, color: Tensor) -> None:
        """Add a cylinder along x (0), y (1) or z (2): center [B, 3], radius and half length [B]."""
        across = torch.ones(3)
        across[axis] = 0
        normals = torch.zeros(self.batch, FACES, 3)
        normals[:, 0, axis], normals[:, 1, axis] = 1, -1
        offsets = torch.ones(self.batch, FACES)
        offsets[:, 0], offsets[:, 1] = center[:, axis] + half, half - center[:, axis]
        self._add(normals, offsets, center, torch.diag(across) / radius[:, None, None] ** 2, color)
        reach = torch.where(across.bool(), radius[:, None], half[:, None])
        self._bound(center - reach, center + reach)

    def ellipsoid(self, center: Tensor, radii: Tensor, color: Tensor) -> None:
        """Add an axis-aligned ellipsoid: center, radii [B, 3]."""
        normals, offsets = torch.zeros(self.batch, FACES, 3), torch.ones(self.batch, FACES)
        self._add(normals, offsets, center, torch.diag_embed(radii**-2), color)
        self._bound(center - radii, center + radii)

    def build(self) -> Solids:
        """The B scenes with every solid added so far."""
        lists = (self.normals, self.offsets, self.centers, self.quadrics, self.colors)
        normals, offsets, centers, quadrics, colors = (torch.stack(x, dim=1) for x in lists)
        bounds = torch.stack([torch.stack(self.low, dim=1), torch.stack(self.high, dim=1)], dim=2)
        return Solids(normals, offsets, centers, quadrics, colors, torch.zeros(offsets.shape[:2]), bounds)

    def _bound(self, low: Tensor, high: Tensor) -> None:
        self.low.append(low)
        self.high.append(high)

    def _add(self, normals: Tensor, offsets: Tensor, center: Tensor, quadric: Tensor, color: Tensor) -> None:
        self.normals.append(normals)
        self.offsets.append(offsets)
        self.centers.append(center)
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


def _sloped_plane(
    sign: float, axis: int, low: Tensor, high: Tensor, base: Tensor, rise: Tensor
) -> tuple[Tensor, Tensor]:
    """The plane sign * x[axis] = low at y = base, high at base + rise -> normals [B, 3], offsets [B]."""
    normal = torch.zeros(len(low), 3)
    normal[:, axis] = sign * rise
    normal[:, 1] = low - high
    offset = rise * low + (low - high) * base
    length = normal.norm(dim=-1)
    return normal / length[:, None], offset / length


def _horizontal_plane(sign: float, offset: Tensor) -> tuple[Tensor, Tensor]:
    """The plane sign * y = offset -> normals [B, 3], offsets [B]."""
    normal = torch.zeros(len(offset), 3)
    normal[:, 1] = sign
    return normal, offset


def hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Hue, saturation and value, each [B] in [0, 1] -> RGB [B, 3] in [0, 1]."""
    steps = torch.tensor([5.0, 3.0, 1.0])
    k = (steps + 6 * hue[:, None]) % 6
    return value[:, None] * (1 - saturation[:, None] * torch.minimum(k, 4 - k).clamp(0, 1))


def random_color(u: Tensor) -> Tensor:
    """Uniform numbers [B, 3] in [0, 1) -> colours [B, 3]: any hue, or grey with probability 1/6.

    The value of grey is at most 0.75, since images are composited on white.
    """
    hue, saturation, value = u.unbind(-1)
    position = (hue * 6 / 5 * (len(HUES) - 1)).clamp_max(len(HUES) - 1.001)
    start = position.long()
    vivid = hsv(
        torch.lerp(HUES[start], HUES[start + 1], position - start),
        to_range(saturation, 0.65, 0.95),
        to_range(value, 0.55, 1.0),
    )
    neutral = to_range(value, 0.15, 0.75)[:, None].expand(-1, 3)
    return torch.where(hue[:, None] > 5 / 6, neutral, vivid)


def to_range(u: Tensor, low: float, high: float) -> Tensor:
    """Uniform numbers in [0, 1) -> in [low, high)."""
    return low + (high - low) * u


def merge(parts: list[tuple[Solids, Tensor]]) -> Solids:
    """Batches of scenes with their indices [b] in the joint batch -> the joint batch, padded."""
    most = max(solids.normals.shape[1] for solids, _ in parts)
    order = torch.cat([indices for _, indices in parts]).argsort()
    padded = [vars(pad(solids, most)).values() for solids, _ in parts]
    return Solids(*(torch.cat(columns)[order] for columns in zip(*padded, strict=True)))


def scaled(solids: Solids, factor: float) -> Solids:
    """The same scenes scaled about the origin."""
    offsets, centers, quadrics = solids.offsets * factor, solids.centers * factor, solids.quadrics / factor**2
    bounds = solids.bounds * factor
    return replace(solids, offsets=offsets, centers=centers, quadrics=quadrics, bounds=bounds)


def pad(solids: Solids, count: int) -> Solids:
    """The same scenes padded with empty solids to `count` solids each."""
    missing = count - solids.normals.shape[1]
    values = {"offsets": -1.0}  # 0 <= -1 holds nowhere

    def more(x: Tensor, value: float) -> Tensor:
        return torch.cat([x, torch.full((len(x), missing, *x.shape[2:]), value)], dim=1)

    padded = Solids(*(more(x, values.get(name, 0.0)) for name, x in vars(solids).items()))
    empty = torch.tensor([[MISS], [-MISS]]).expand(2, 3)
    padded.bounds[:, count - missing :] = empty
    return padded
