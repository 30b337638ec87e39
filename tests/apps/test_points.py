"""Points on what cameras see: as many as were asked for, on the surface, from all cameras."""

import pytest
import torch
from torch import nn

from genscene.apps.points import random_rays, sample_surface
from genscene.contract import Rendering, SingleSceneGenerator
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, look_at, pinhole
from genscene.randomness import RandomStreams

SIZE = (6, 10)
EYES = torch.tensor([[3.0, 0.0, 0.5], [-3.0, 0.2, 0.0], [0.1, 3.0, 0.0]])
CAMERAS = Camera(look_at(EYES, (0.0, 0.0, 1.0)), pinhole(torch.full((3,), 60.0), SIZE), SIZE)


class Ball(SingleSceneGenerator):
    """A ball around the origin that rays hit or miss."""

    bounds = (1.0, 1.0, 1.0)

    def __init__(self, radius):
        super().__init__()
        self.radius, self.weight = radius, nn.Parameter(torch.zeros(1))

    def bind(self, w):
        return w

    def render(self, scene, view, options=None):
        """t |d| is the distance to the nearer place where |o + t d| is the radius."""
        unit = view.unit()
        along = -(unit.origins * unit.directions).sum(-1)
        square = self.radius**2 - (unit.origins.square().sum(-1) - along.square())
        depth, alpha = along - square.clamp_min(0).sqrt(), (square > 0).float()
        image = (0.5 + unit.at(depth[..., None])[:, :, 0] / 2).mT[:, :, None]
        return Rendering(image, depth[:, None, None], alpha[:, None, None], rays=view)


@pytest.mark.parametrize("count", [1, 100, 5000])
def test_there_are_as_many_points_as_were_asked_for_and_all_are_on_the_surface(count):
    found = []
    points, colors = sample_surface(Ball(0.5), CAMERAS, count, report=found.append)
    assert points.shape == colors.shape == (count, 3)
    torch.testing.assert_close(points.norm(dim=-1), torch.full((count,), 0.5))
    torch.testing.assert_close(colors, (0.5 + points / 2).clamp(0, 1))
    assert sum(found) == count
    assert torch.equal(points, sample_surface(Ball(0.5), CAMERAS, count)[0])
    if count > 1000:  # a third from each camera, and none from behind
        facing = torch.cdist(points, EYES).min(dim=1)
        assert facing.values.max() < 3.1
        assert facing.indices.bincount().min() > count / 4


@pytest.mark.parametrize("radius", [0.0, 0.01])
def test_a_scene_that_rays_hardly_meet_is_refused(radius):
    with pytest.raises(BadInput, match=r"only \d+ of \d+ rays .* above 0.9: too few for 10000 points"):
        sample_surface(Ball(radius), CAMERAS, 10_000)


def test_random_rays_go_through_the_pictures_of_all_cameras():
    rays = random_rays(CAMERAS, RandomStreams([0]), 300)
    assert rays.directions.shape == (1, 300, 3)
    which = torch.cdist(rays.origins[0], EYES).argmin(dim=1)
    assert which.bincount().min() > 60
    in_camera = (rays.directions[0, :, None] @ CAMERAS.pose[which, :3, :3])[:, 0]
    seen = (in_camera[:, None] @ CAMERAS.intrinsics[which].mT)[:, 0, :2] / in_camera[:, 2:]
    assert -1e-5 < seen.min() < 0.1
    assert 0.9 < seen.max() < 1 + 1e-5
