"""From the cameras of photographs to numbers: where to look from, how near and how far."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from genscene.geometry.cameras import Camera
from genscene.geometry.priors import CameraPrior
from genscene.render.volume import March

NOWHERE = 0.05  # length of the mean direction, across z, below which photographs are taken from all around


def orbit_of(camera: Camera) -> CameraPrior:
    """An orbit like the photographs': around the origin, z upwards, as they look, at their mean distance and height.

    Its yaw is the middle of their directions (the angle of their mean), and how far they go from it to either side.
    """
    eye = camera.pose[:, :3, 3].double()
    radius = eye.norm(dim=-1).clamp_min(1e-6)
    pitch = torch.acos((eye[:, 2] / radius).clamp(-1, 1))
    spread = ((pitch.max() - pitch.min()) / 2).clamp_min(0.05)
    back = -camera.pose[:, :3, 2].double()  # from the origin to an eye that looks at it
    x, y = back[:, :2].mean(dim=0).tolist()
    middle = math.atan2(-y, x) if math.hypot(x, y) > NOWHERE else math.pi / 2
    turned = torch.remainder(torch.atan2(-back[:, 1], back[:, 0]) - middle + math.pi, 2 * math.pi) - math.pi
    shorter = float(camera.intrinsics[:, [0, 1], [0, 1]].max(dim=1).values.mean())
    fov = math.degrees(2 * math.atan(0.5 / shorter))
    return CameraPrior(
        "uniform",
        (round(middle, 4), round(float(turned.abs().max().clamp_min(0.05)), 4)),
        (round(float(pitch.mean()), 4), round(float(spread), 4)),
        round(float(radius.mean()), 4),
        round(fov, 3),
        up="z",
    )


def march_of(march: March, bounds: Tensor) -> March:
    """The same steps from nine tenths of the nearest depth to the farthest (NeRF's loader)."""
    return replace(march, near=round(0.9 * float(bounds.min()), 6), far=round(float(bounds.max()), 6))


def focal_of(camera: Camera) -> tuple[float, float]:
    """Twice the focal lengths in image sides, as `Rays.ndc` wants them."""
    x, y = (float(2 * camera.intrinsics[:, i, i].mean()) for i in (0, 1))
    return x, y
