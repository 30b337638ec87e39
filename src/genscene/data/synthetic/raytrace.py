"""A ray tracer for scenes of convex solids: shaded, antialiased images with mask and depth.

A solid is the intersection of half-spaces and one quadric: boxes, wedges, frusta, cylinders and ellipsoids.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from genscene.geometry.cameras import Camera

LIGHT = (0.45, 0.8, 0.4)  # direction towards the light, not normalised
AMBIENT, SKY, SUN = 0.38, 0.22, 0.5  # weights of constant, hemispheric and directional light
MISS = 1e6  # distance of a ray that hits nothing
CHUNK = 4096  # rays traced at once, so that their intermediates fit a CPU cache


@dataclass(frozen=True)
class Solids:
    """P convex solids in each of B scenes."""

    normals: Tensor  # [B, P, F, 3], outward unit normals of planes; zero: no plane
    offsets: Tensor  # [B, P, F], inside where normal . x <= offset
    centers: Tensor  # [B, P, 3], centers of quadrics
    quadrics: Tensor  # [B, P, 3, 3], inside where (x - c)^T Q (x - c) <= 1; zero: no quadric
    colors: Tensor  # [B, P, 3], 0 to 1
    bounds: Tensor  # [B, 2, 3], low and high corner of a bounding box

    def __len__(self) -> int:
        return len(self.normals)

    def __getitem__(self, part: slice) -> "Solids":
        return Solids(*(x[part] for x in vars(self).values()))


@dataclass(frozen=True)
class TracedImages:
    """B images with mask and depth."""

    color: Tensor  # [B, 3, H, W], not premultiplied, 0 to 1
    alpha: Tensor  # [B, 1, H, W], covered share of the pixel
    depth: Tensor  # [B, 1, H, W], distance from the eye, 0 where nothing is hit


def trace(solids: Solids, camera: Camera, supersampling: int = 3) -> TracedImages:
    """B scenes seen by B cameras, with supersampling^2 rays for each pixel."""
    height, width = camera.size
    fine = camera.resized((height * supersampling, width * supersampling))
    scenes = (slice(i, i + 1) for i in range(len(solids)))
    image = torch.stack([_trace_one(solids[i], fine[i]).unflatten(-1, fine.size) for i in scenes])
    pixels = avg_pool2d(image, supersampling)
    alpha = pixels[:, 4:]
    straight = pixels[:, :4] / alpha.clamp_min(1e-6)
    return TracedImages(straight[:, :3], alpha, straight[:, 3:])


def _trace_one(solids: Solids, camera: Camera) -> Tensor:
    """One scene, one camera -> colour, distance and 1 where a solid is hit, else zeros [5, H * W]."""
    rays = camera.rays().unit()
    eye, directions = rays.origins[0, 0], rays.directions[0].mT.contiguous()
    pixels = torch.zeros(5, len(rays))
    for part in _rays_through_bounds(solids, eye, directions).split(CHUNK):
        distance, color, normal = _first_hit(solids, eye, directions[:, part])
        pixels[:, part] = torch.cat(
            [_shade(color, normal), distance[None], torch.ones_like(distance)[None]]
        ) * (distance < MISS)
    return pixels


def _rays_through_bounds(solids: Solids, eye: Tensor, directions: Tensor) -> Tensor:
    """Eye [3], directions [3, R] -> the indices [K] of rays that meet the bounding box of the one scene."""
    low, high = ((corner - eye)[:, None] / _nonzero(directions) for corner in solids.bounds[0])
    return (torch.minimum(low, high).amax(0) < torch.maximum(low, high).amin(0)).nonzero()[:, 0]


def _first_hit(solids: Solids, eye: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Eye [3], directions [3, R] -> distance [R], colour [3, R], normal [3, R] of the nearest hit."""
    plane_in, plane_out, face = _intersect_planes(solids, eye, directions)
    quadric_in, quadric_out = _intersect_quadrics(solids, eye, directions)
    entry, exit_ = torch.maximum(plane_in, quadric_in), torch.minimum(plane_out, quadric_out)
    entry = torch.where((entry < exit_) & (entry > 1e-4), entry, MISS)
    distance, solid = entry.min(dim=0)
    index = solid[None]
    plane_normal = solids.normals[0][solid, face.gather(0, index)[0]].mT
    points = (eye[:, None] + distance * directions).mT - solids.centers[0][solid]
    quadric_normal = normalize((solids.quadrics[0][solid] @ points[..., None])[..., 0], dim=-1).mT
    on_plane = plane_in.gather(0, index) >= quadric_in.gather(0, index)
    return distance, solids.colors[0][solid].mT, torch.where(on_plane, plane_normal, quadric_normal)


def _intersect_planes(solids: Solids, eye: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Entry and exit distance [P, R] of rays in the planes of each solid, and the plane of entry [P, R]."""
    normals = solids.normals[0]  # [P, F, 3]
    slope = _nonzero((normals.flatten(0, 1) @ directions).unflatten(0, normals.shape[:2]))
    gap = solids.offsets[0] - normals @ eye  # [P, F]
    t = gap[..., None] / slope
    entry, face = torch.where(slope < 0, t, -MISS).max(dim=1)
    return entry, torch.where(slope > 0, t, MISS).amin(dim=1), face


def _intersect_quadrics(solids: Solids, eye: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Entry and exit distance [P, R] of each ray in the quadric of each solid."""
    offset, quadrics = eye - solids.centers[0], solids.quadrics[0]  # [P, 3], [P, 3, 3]
    scaled_offset = (quadrics @ offset[..., None])[..., 0]
    a = ((quadrics.flatten(0, 1) @ directions).unflatten(0, (-1, 3)) * directions).sum(dim=1).clamp_min(1e-12)
    b = scaled_offset @ directions
    c = (offset * scaled_offset).sum(-1)[:, None] - 1
    discriminant = b * b - a * c
    root = torch.where(
        discriminant < 0, -MISS, discriminant.clamp_min(0).sqrt()
    )  # negative: exit before entry
    return (-b - root) / a, (root - b) / a  # no quadric, or along a cylinder: +-MISS


def _shade(color: Tensor, normal: Tensor) -> Tensor:
    """Diffuse shading by constant, hemispheric and directional light: colours, normals [3, R] -> [3, R]."""
    light = normalize(torch.tensor(LIGHT), dim=-1)
    sun = (light @ normal).clamp_min(0)
    return (color * (AMBIENT + SKY * (0.5 + 0.5 * normal[1]) + SUN * sun)).clamp(0, 1)


def _nonzero(x: Tensor) -> Tensor:
    """Divisors kept away from zero: a ray parallel to a plane meets it far away, on the correct side."""
    return torch.where(x.abs() < 1e-9, 1e-9, x)
