"""Rays against convex solids: intersections of half-spaces and one quadric.

So a solid is a box, wedge, frustum, cylinder or ellipsoid. Rays of one scene: origins [3, R] or, where they
share one, [3, 1]; directions [3, R].
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

MISS = 1e6  # distance of a ray that hits nothing


@dataclass(frozen=True)
class Solids:
    """P convex solids in each of B scenes."""

    normals: Tensor  # [B, P, F, 3], outward unit normals of planes; zero: no plane
    offsets: Tensor  # [B, P, F], inside where normal . x <= offset
    centers: Tensor  # [B, P, 3], centers of quadrics
    quadrics: Tensor  # [B, P, 3, 3], inside where (x - c)^T Q (x - c) <= 1; zero: no quadric
    colors: Tensor  # [B, P, 3], 0 to 1
    shine: Tensor  # [B, P], from 0 (matt) to 1 (metal); seen on a ground only
    bounds: Tensor  # [B, P, 2, 3], low and high corner of each solid's bounding box

    def __len__(self) -> int:
        return len(self.normals)

    def __getitem__(self, part: slice) -> "Solids":
        return Solids(*(x[part] for x in vars(self).values()))

    def filled(self) -> list[int]:
        """The indices of the solids of one scene that are not padding."""
        return (self.bounds[0, :, 0] <= self.bounds[0, :, 1]).all(dim=-1).nonzero()[:, 0].tolist()

    def only(self, index: int) -> "Solids":
        """One solid of one scene, without the planes that it does not have."""
        one = Solids(*(x[:, index : index + 1] for x in vars(self).values()))
        planes = one.normals[0, 0].any(dim=-1)
        return Solids(one.normals[:, :, planes], one.offsets[:, :, planes], *list(vars(one).values())[2:])


def meets_box(low: Tensor, high: Tensor, origins: Tensor, directions: Tensor) -> Tensor:
    """Whether rays [R] meet the box between two corners [3]."""
    near, far = ((corner[:, None] - origins) / nonzero(directions) for corner in (low, high))
    exit_ = torch.maximum(near, far).amin(0)
    return (torch.minimum(near, far).amax(0) < exit_) & (exit_ > 0)


def first_hit(solids: Solids, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The nearest hit: distance [R] in lengths of the directions, index of the solid [R], normal [3, R]."""
    entry, exit_, on_plane, face = passages(solids, origins, directions)
    entry = torch.where((entry < exit_) & (entry > 1e-4), entry, MISS)
    distance, solid = entry.min(dim=0)
    index = solid[None]
    plane_normal = solids.normals[0][solid, face.gather(0, index)[0]].mT
    points = (origins + distance * directions).mT - solids.centers[0][solid]
    quadric_normal = normalize((solids.quadrics[0][solid] @ points[..., None])[..., 0], dim=-1).mT
    return distance, solid, torch.where(on_plane.gather(0, index)[0], plane_normal, quadric_normal)


def is_blocked(solid: Solids, origins: Tensor, directions: Tensor) -> Tensor:
    """Whether the one solid lies on the way [R] from the origins to the origins plus directions."""
    entry, exit_, _, _ = passages(solid, origins, directions)
    return ((entry < exit_) & (exit_ > 1e-4) & (entry < 1))[0]


def passages(solids: Solids, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where rays enter and leave each solid [P, R], if they enter by a plane [P, R], and by which [P, R]."""
    plane_in, plane_out, face = _intersect_planes(solids, origins, directions)
    quadric_in, quadric_out = _intersect_quadrics(solids, origins, directions)
    entry, exit_ = torch.maximum(plane_in, quadric_in), torch.minimum(plane_out, quadric_out)
    return entry, exit_, plane_in >= quadric_in, face


def nonzero(x: Tensor) -> Tensor:
    """Divisors kept away from zero: a ray parallel to a plane meets it far away, on the correct side."""
    return torch.where(x.abs() < 1e-9, 1e-9, x)


def _intersect_planes(solids: Solids, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Entry and exit distance [P, R] of rays in the planes of each solid, and the plane of entry [P, R]."""
    normals = solids.normals[0]  # [P, F, 3]
    if not normals.shape[1]:
        none = directions.new_full((len(normals), directions.shape[1]), MISS)
        return -none, none, none.long()
    slope = nonzero((normals.flatten(0, 1) @ directions).unflatten(0, normals.shape[:2]))
    gap = solids.offsets[0][..., None] - normals @ origins
    t = gap / slope
    entry, face = torch.where(slope < 0, t, -MISS).max(dim=1)
    return entry, torch.where(slope > 0, t, MISS).amin(dim=1), face


def _intersect_quadrics(solids: Solids, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Entry and exit distance [P, R] of each ray in the quadric of each solid."""
    offset, quadrics = origins - solids.centers[0][..., None], solids.quadrics[0]  # [P, 3, R], [P, 3, 3]
    scaled_offset = quadrics @ offset
    a = ((quadrics.flatten(0, 1) @ directions).unflatten(0, (-1, 3)) * directions).sum(dim=1).clamp_min(1e-12)
    one = origins.shape[1] == 1  # then a product of matrices is faster
    b = scaled_offset[..., 0] @ directions if one else (scaled_offset * directions).sum(dim=1)
    c = (offset * scaled_offset).sum(dim=1) - 1
    discriminant = b * b - a * c
    root = torch.where(
        discriminant < 0, -MISS, discriminant.clamp_min(0).sqrt()
    )  # negative: exit before entry
    return (-b - root) / a, (root - b) / a  # no quadric, or along a cylinder: +-MISS
