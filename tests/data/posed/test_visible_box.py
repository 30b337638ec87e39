"""The box of a scene: what the cameras see, and within it the visual hull of masks."""

import math

import pytest
import torch

from genscene.data.posed.visible_box import visible_box, visible_radius
from genscene.geometry.priors import CameraPrior
from genscene.randomness import RandomStreams

RIGHT = math.pi / 2


def cameras(fov, radius=4.0, count=40):
    """Cameras all around, at heights of up to a radian."""
    prior = CameraPrior("uniform", (RIGHT, math.pi), (RIGHT, 1.0), radius=radius, fov=fov, up="z")
    return prior.sample(RandomStreams(range(count)), (64, 64))


@pytest.mark.parametrize(("fov", "radius"), [(8.0, 4.0), (40.0, 4.0), (8.0, 0.3)])
def test_the_box_is_as_wide_as_what_the_cameras_see(fov, radius):
    wanted = radius * math.tan(math.radians(fov / 2))
    camera = cameras(fov, radius)
    assert visible_radius(camera) == pytest.approx(wanted, rel=1e-5)
    for side in visible_box(camera):
        assert wanted <= side <= 1.3 * wanted


def masks_of_a_box(camera, half):
    """Where cameras see the points of a box: bool [N, 64, 64]."""
    line = torch.linspace(-1, 1, 40)
    points = torch.cartesian_prod(line, line, line) * torch.tensor(half)
    masks = torch.zeros(len(camera), 64, 64, dtype=torch.bool)
    for i in range(len(camera)):
        local = (points - camera.pose[i, :3, 3]) @ camera.pose[i, :3, :3]
        at = (local @ camera.intrinsics[i].mT)[:, :2] / local[:, 2:]
        column, row = (at * 64).long().clamp(0, 63).unbind(-1)
        masks[i, row, column] = True
    return masks


def test_masks_carve_the_box():
    half, camera = (0.2, 0.1, 0.15), cameras(8.0)
    box = visible_box(camera, masks_of_a_box(camera, half))
    for side, wanted in zip(box, half, strict=True):
        assert wanted <= side <= 1.7 * wanted
    hollow = masks_of_a_box(camera, half)
    hollow[:, 30:34, 30:34] = False  # parts of the object that look like what is behind it
    assert visible_box(camera, hollow) == box


def test_masks_that_contradict_one_another_do_not_leave_an_empty_box():
    camera = cameras(8.0)
    assert visible_box(camera, torch.zeros(40, 64, 64, dtype=torch.bool)) == pytest.approx(
        (0.35,) * 3, rel=0.3
    )


def test_cameras_that_stand_where_they_look_have_some_box():
    camera = cameras(8.0, radius=1e-20)
    assert min(visible_box(camera)) > 0
