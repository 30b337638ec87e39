"""A ray tracer for scenes of convex solids: shaded, antialiased images with mask and depth."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize, one_hot

from genscene.data.synthetic.ground import Ground
from genscene.data.synthetic.intersect import MISS, Solids, first_hit, meets_box
from genscene.geometry.cameras import Camera

LIGHT = (0.45, 0.8, 0.4)  # direction towards the light, not normalised
AMBIENT, SKY, SUN = 0.38, 0.22, 0.5  # weights of constant, hemispheric and directional light
CHUNK = 4096  # rays traced at once, so that their intermediates fit a CPU cache


@dataclass(frozen=True)
class TracedImages:
    """B images with masks and depth."""

    color: Tensor  # [B, 3, H, W], not premultiplied, 0 to 1
    alpha: Tensor  # [B, 1, H, W], covered share of the pixel; 1 where there is a ground and a backdrop
    depth: Tensor  # [B, 1, H, W], distance from the eye, 0 where nothing is hit
    masks: Tensor | None = None  # [B, P, H, W], share of the pixel that each solid on a ground covers

    def ids(self) -> Tensor:
        """What covers most of each pixel -> uint8 [B, H, W]: 0 the ground, i the i-th solid."""
        assert self.masks is not None, "images without a ground have no ids"
        rest = 1 - self.masks.sum(dim=1, keepdim=True)
        return torch.cat([rest, self.masks], dim=1).argmax(dim=1).byte()


@torch.no_grad()
def trace(
    solids: Solids, camera: Camera, supersampling: int = 3, ground: Ground | None = None
) -> TracedImages:
    """B scenes seen by B cameras, with supersampling^2 rays for each pixel; with masks on a ground."""
    height, width = camera.size
    fine = camera.resized((height * supersampling, width * supersampling))
    scenes = (slice(i, i + 1) for i in range(len(solids)))
    image = torch.stack(
        [_trace_one(solids[i], fine[i], supersampling, ground).unflatten(-1, fine.size) for i in scenes]
    )
    pixels = avg_pool2d(image, supersampling)
    alpha, hit = pixels[:, 3:4], pixels[:, 5:6]
    color, depth = pixels[:, :3] / alpha.clamp_min(1e-6), pixels[:, 4:5] / hit.clamp_min(1e-6)
    return TracedImages(color, alpha, depth, None if ground is None else pixels[:, 6:])


def _trace_one(solids: Solids, camera: Camera, supersampling: int, ground: Ground | None) -> Tensor:
    """One scene, one camera -> color, alpha, distance, hits and, on a ground, masks [6 or 6 + P, H * W]."""
    rays = camera.rays().unit()
    eye, directions = rays.origins[0, :1].mT, rays.directions[0].mT.contiguous()
    distance, solid, normal = _nearest(solids, eye, directions)
    if ground is not None:
        distance = torch.where(distance < MISS, distance, ground.meet(eye, directions))
    at = (distance < MISS).nonzero()[:, 0]
    pixels = torch.zeros(6, len(rays))
    pixels[4, at], pixels[5, at] = distance[at], 1
    if ground is None:
        pixels[:3, at], pixels[3, at] = _shade(solids.colors[0][solid[at]].mT, normal[:, at]), 1
        return pixels
    points = eye + distance[at] * directions[:, at]
    sub = _places_in_pixels(camera, supersampling)[:, at]
    pixels[:3], pixels[3] = ground.backdrop, 1
    pixels[:3, at] = ground.shade(solids, points, directions[:, at], normal[:, at], solid[at], sub)
    masks = one_hot(solid + 1, solids.normals.shape[1] + 1).mT[1:]
    return torch.cat([pixels, masks.float()])


def _nearest(solids: Solids, eye: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distance [R], index of the solid [R] and normal [3, R]; MISS, -1 and up where no solid is hit."""
    count = directions.shape[1]
    distance, solid = torch.full((count,), MISS), torch.full((count,), -1)
    normal = torch.tensor([[0.0], [1.0], [0.0]]).repeat(1, count)
    low, high = solids.bounds[0, :, 0].amin(dim=0), solids.bounds[0, :, 1].amax(dim=0)
    for part in meets_box(low, high, eye, directions).nonzero()[:, 0].split(CHUNK):
        found, index, across = first_hit(solids, eye, directions[:, part])
        hit = (found < MISS).nonzero()[:, 0]
        part = part[hit]
        distance[part], solid[part], normal[:, part] = found[hit], index[hit], across[:, hit]
    return distance, solid, normal


def _places_in_pixels(camera: Camera, supersampling: int) -> Tensor:
    """The place in its pixel, 0 to 1, of each of the rays -> [2, H * W]."""
    places = [((torch.arange(n) % supersampling) + 0.5) / supersampling for n in camera.size]
    return torch.stack(torch.meshgrid(*places, indexing="ij")).flatten(1)


def _shade(color: Tensor, normal: Tensor) -> Tensor:
    """Diffuse shading by constant, hemispheric and directional light: colours, normals [3, R] -> [3, R]."""
    light = normalize(torch.tensor(LIGHT), dim=-1)
    sun = (light @ normal).clamp_min(0)
    return (color * (AMBIENT + SKY * (0.5 + 0.5 * normal[1]) + SUN * sun)).clamp(0, 1)
