"""Where NeRF's films of photographed scenes are taken from: a spiral in front, or a circle around (NeRF's loader)."""

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genscene.data.posed import Posed
from genscene.data.posed.llff import average
from genscene.data.posed.normal import crossing
from genscene.views import look_along

VIEWS = 120
Vector = tuple[float, float, float]


def spiral(posed: Posed, views: int = VIEWS, turns: int = 2, rate: float = 0.5) -> Tensor:
    """Poses [V, 4, 4] that wind around the average camera and look at a depth between the nearest and farthest.

    The spiral is as wide as nine tenths of the cameras stand apart; rate: its turns along the view per turn around.
    """
    assert posed.bounds is not None
    middle = average(posed.pose)
    close, distant = 0.9 * posed.bounds.min(), 5 * posed.bounds.max()
    focus = 1 / (0.25 / close + 0.75 / distant)
    radii = posed.pose[:, :3, 3].abs().quantile(0.9, dim=0)
    angle = torch.linspace(0, 2 * math.pi * turns, views + 1, dtype=middle.dtype)[:-1]
    way = torch.stack([angle.cos(), angle.sin(), (angle * rate).sin()], dim=-1) * radii
    eye = way @ middle[:3, :3].mT + middle[:3, 3]
    target = middle[:3, :3] @ torch.stack([torch.zeros_like(focus), torch.zeros_like(focus), focus]) + middle[:3, 3]
    up = -posed.pose[:, :3, 1].sum(dim=0)
    return look_along(eye, target - eye, up)


def spherified(posed: Posed) -> Posed:
    """A scene photographed from all sides: its middle at the origin, z upwards, cameras about 1 away."""
    assert posed.bounds is not None
    centre = crossing(posed.pose)
    up = normalize((posed.pose[:, :3, 3] - centre).mean(dim=0), dim=0)
    first = normalize(torch.linalg.cross(torch.tensor([0.1, 0.2, 0.3], dtype=up.dtype), up), dim=0)
    world = torch.eye(4, dtype=up.dtype)
    world[:3] = torch.stack([first, normalize(torch.linalg.cross(up, first), dim=0), up, centre], dim=-1)
    pose = torch.linalg.inv(world) @ posed.pose
    scale = 1 / pose[:, :3, 3].square().sum(dim=-1).mean().sqrt()
    pose[:, :3, 3] *= scale
    return replace(posed, pose=pose, bounds=posed.bounds * scale)


def circle(posed: Posed, views: int = VIEWS) -> Tensor:
    """Poses [V, 4, 4] once around a spherified scene, at the cameras' mean height; the last is the first again."""
    height = posed.pose[:, 2, 3].mean()
    angle = torch.linspace(0, 2 * math.pi, views, dtype=height.dtype)
    radius = (1 - height.square()).sqrt()
    eye = torch.stack([radius * angle.cos(), radius * angle.sin(), height.expand_as(angle)], dim=-1)
    return look_along(eye, -eye, torch.tensor([0.0, 0.0, 1.0], dtype=height.dtype))
