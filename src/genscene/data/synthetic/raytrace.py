"""A small ray tracer in torch: scenes of convex solids, shaded, anti-aliased, with mask and depth.

A solid is the space inside some planes and one quadric; that makes boxes, wedges, frusta, cylinders and ellipsoids.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from genscene.geometry.cameras import Camera

LIGHT = (0.45, 0.8, 0.4)  # towards the light, not normalised
AMBIENT, SKY, SUN = 0.38, 0.22, 0.5  # shares of light from everywhere, from above, from the light
MISS = 1e6  # farther than anything
CHUNK = 4096  # rays at once: what fits a cache


@dataclass(frozen=True)
class Solids:
    """P convex solids in each of B scenes."""

    normals: Tensor  # [B, P, F, 3], of planes, outwards, unit; zero: no plane
    offsets: Tensor  # [B, P, F], inside where normal . x <= offset
    centres: Tensor  # [B, P, 3], of quadrics
    quadrics: Tensor  # [B, P, 3, 3], inside where (x - c)^T Q (x - c) <= 1; zero: no quadric
    colors: Tensor  # [B, P, 3], 0 to 1
    bounds: Tensor  # [B, 2, 3], low and high corner of a box around all of it

    def __len__(self) -> int:
        return len(self.normals)

    def __getitem__(self, part: slice) -> "Solids":
        return Solids(*(x[part] for x in vars(self).values()))


@dataclass(frozen=True)
class Traced:
    """B pictures with their ground truth."""

    color: Tensor  # [B, 3, H, W], straight, 0 to 1
    alpha: Tensor  # [B, 1, H, W], share of the pixel that is covered
    depth: Tensor  # [B, 1, H, W], distance from the eye, 0 where nothing is


def trace(solids: Solids, camera: Camera, supersampling: int = 3) -> Traced:
    """B scenes from B cameras, with supersampling x supersampling rays a pixel."""
    height, width = camera.size
    fine = camera.resized((height * supersampling, width * supersampling))
    scenes = (slice(i, i + 1) for i in range(len(solids)))
    image = torch.stack([paint(solids[i], fine[i]).unflatten(-1, fine.size) for i in scenes])
    pixels = avg_pool2d(image, supersampling)
    alpha = pixels[:, 4:]
    straight = pixels[:, :4] / alpha.clamp_min(1e-6)
    return Traced(straight[:, :3], alpha, straight[:, 3:])


def paint(solids: Solids, camera: Camera) -> Tensor:
    """One scene from one camera -> colour, distance and 1 where something is, else zeros [5, H * W]."""
    rays = camera.rays().unit()
    eye, directions = rays.origins[0, 0], rays.directions[0].mT.contiguous()
    pixels = torch.zeros(5, len(rays))
    for part in through_box(solids, eye, directions).split(CHUNK):
        distance, color, normal = first_hit(solids, eye, directions[:, part])
        pixels[:, part] = torch.cat(
            [shade(color, normal), distance[None], torch.ones_like(distance)[None]]
        ) * (distance < MISS)
    return pixels


def through_box(solids: Solids, eye: Tensor, directions: Tensor) -> Tensor:
    """Numbers of the rays, directions [3, R], that come near the one scene at all -> [K]."""
    low, high = ((corner - eye)[:, None] / nonzero(directions) for corner in solids.bounds[0])
    return (torch.minimum(low, high).amax(0) < torch.maximum(low, high).amin(0)).nonzero()[:, 0]


def first_hit(solids: Solids, eye: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Eye [3], directions [3, R] -> distance [R], colour [3, R] and normal [3, R] of what is hit in the one scene."""
    plane_in, plane_out, face = through_planes(solids, eye, directions)
    round_in, round_out = through_quadrics(solids, eye, directions)
    entry, leave = torch.maximum(plane_in, round_in), torch.minimum(plane_out, round_out)
    entry = torch.where((entry < leave) & (entry > 1e-4), entry, MISS)
    distance, solid = entry.min(dim=0)
    pick = solid[None]
    flat = solids.normals[0][solid, face.gather(0, pick)[0]].mT
    points = (eye[:, None] + distance * directions).mT - solids.centres[0][solid]
    bent = normalize((solids.quadrics[0][solid] @ points[..., None])[..., 0], dim=-1).mT
    on_plane = plane_in.gather(0, pick) >= round_in.gather(0, pick)
    return distance, solids.colors[0][solid].mT, torch.where(on_plane, flat, bent)


def through_planes(solids: Solids, eye: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where rays enter and leave the planes of each solid [P, R], and by which plane they enter."""
    normals = solids.normals[0]  # [P, F, 3]
    slope = nonzero((normals.flatten(0, 1) @ directions).unflatten(0, normals.shape[:2]))
    room = solids.offsets[0] - normals @ eye  # [P, F]
    t = room[..., None] / slope
    entry, face = torch.where(slope < 0, t, -MISS).max(dim=1)
    return entry, torch.where(slope > 0, t, MISS).amin(dim=1), face


def through_quadrics(solids: Solids, eye: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave the quadric of each solid -> [P, R] each."""
    offset, quadrics = eye - solids.centres[0], solids.quadrics[0]  # [P, 3], [P, 3, 3]
    pulled = (quadrics @ offset[..., None])[..., 0]
    a = ((quadrics.flatten(0, 1) @ directions).unflatten(0, (-1, 3)) * directions).sum(dim=1).clamp_min(1e-12)
    b = pulled @ directions
    c = (offset * pulled).sum(-1)[:, None] - 1
    inside = b * b - a * c
    root = torch.where(inside < 0, -MISS, inside.clamp_min(0).sqrt())  # negative: leaves before it enters
    return (-b - root) / a, (root - b) / a  # without a quadric, or along a cylinder: MISS away on either side


def shade(color: Tensor, normal: Tensor) -> Tensor:
    """Light from everywhere, from above and from one side: colours, normals [3, R] -> [3, R]."""
    light = normalize(torch.tensor(LIGHT), dim=-1)
    sun = (light @ normal).clamp_min(0)
    return (color * (AMBIENT + SKY * (0.5 + 0.5 * normal[1]) + SUN * sun)).clamp(0, 1)


def nonzero(x: Tensor) -> Tensor:
    """The same, but nothing too small to divide by; a ray beside a plane meets it far away, on the right side."""
    return torch.where(x.abs() < 1e-9, 1e-9, x)
