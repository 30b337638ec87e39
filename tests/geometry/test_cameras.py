"""Cameras, rays, crops."""

import math

import pytest
import torch
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Grid, look_at, pinhole
from genscene.geometry.priors import CameraPrior
from genscene.randomness import RandomStreams

ORBIT = CameraPrior("uniform", (1.0, 1.0), (1.2, 0.5), radius=2.0, fov=40.0)


def cameras(count=3, size=(8, 12)):
    return ORBIT.sample(RandomStreams(range(count)), size)


def projected(camera, points):
    """Where points [B, N, 3] fall, in image sides."""
    world_to_camera = torch.linalg.inv(camera.pose)
    seen = points @ world_to_camera[:, :3, :3].mT + world_to_camera[:, None, :3, 3]
    pixels = seen @ camera.intrinsics.mT
    return pixels[..., :2] / pixels[..., 2:], seen[..., 2]


def test_a_ray_projects_back_to_the_centre_of_its_pixel():
    camera = cameras()
    places, depth = projected(camera, camera.rays().at(torch.full((3, 96, 1), 1.7))[:, :, 0])
    rows, columns = torch.meshgrid((torch.arange(8) + 0.5) / 8, (torch.arange(12) + 0.5) / 12, indexing="ij")
    assert_close(places, torch.stack([columns, rows], -1).view(1, -1, 2).expand(3, -1, -1), atol=1e-5, rtol=0)
    assert_close(depth, torch.full((3, 96), 1.7))  # directions are one unit of depth long


def test_the_ray_through_the_middle_meets_the_origin():
    camera = ORBIT.sample(RandomStreams([1]), (9, 9))
    middle = camera.rays().unit().at(torch.full((1, 81, 1), 2.0))[0, 40, 0]
    assert_close(middle, torch.zeros(3), atol=1e-6, rtol=0)


def test_y_is_down_and_up_is_up():
    camera = ORBIT.at(
        torch.tensor([math.pi / 2]), torch.tensor([math.pi / 2]), (4, 4)
    )  # from the front, on +z
    assert_close(camera.pose[0, :3, 3], torch.tensor([0.0, 0.0, 2.0]), atol=1e-6, rtol=0)
    right, down, forward = camera.pose[0, :3, :3].unbind(-1)
    assert_close(
        torch.stack([right, down, forward]), torch.diag(torch.tensor([1.0, -1.0, -1.0])), atol=1e-6, rtol=0
    )
    assert torch.linalg.det(camera.pose[0, :3, :3]) > 0


def test_a_crop_of_a_crop_is_a_crop():
    camera = cameras()
    outer, inner = torch.tensor([[0.5, 0.25, 0.1]]).repeat(3, 1), torch.tensor([[0.5, 0.5, 0.2]]).repeat(3, 1)
    both = torch.tensor([[0.25, 0.25 + 0.5 * 0.5, 0.1 + 0.5 * 0.2]]).repeat(3, 1)
    twice = camera.crop(outer, (6, 6)).crop(inner, (4, 4))
    assert_close(twice.intrinsics, camera.crop(both, (4, 4)).intrinsics)
    assert twice.size == (4, 4)


def test_a_patch_has_the_rays_of_the_whole():
    camera = ORBIT.sample(RandomStreams([3]), (32, 32))
    patch = camera.crop(torch.tensor([[0.25, 0.5, 0.25]]), (8, 8))
    whole = camera.rays().directions.view(1, 32, 32, 3)[:, 8:16, 16:24].reshape(1, -1, 3)
    assert_close(patch.rays().directions, whole, atol=1e-6, rtol=0)


def test_corner_alignment_puts_the_outermost_pixels_on_the_border():
    camera = cameras(1, (5, 7)).corner_aligned()
    places, _ = projected(camera, camera.rays().at(torch.ones(1, 35, 1))[:, :, 0])
    u = camera.intrinsics.new_tensor(range(7)) / 6
    border = cameras(1, (5, 7))
    places, _ = projected(border, camera.rays().at(torch.ones(1, 35, 1))[:, :, 0])
    assert_close(places[0, :7, 0], u, atol=1e-5, rtol=0)
    assert_close(places[0, ::7, 1], torch.arange(5) / 4, atol=1e-5, rtol=0)


def test_mirroring_twice_is_nothing_and_once_flips_the_picture():
    camera = cameras()
    again = camera.mirrored().mirrored()
    assert_close(again.pose, camera.pose)
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    flipped = camera.mirrored().rays().directions.view(3, 8, 12, 3).flip(2) * mirror
    assert_close(flipped.reshape(3, -1, 3), camera.rays().directions, atol=1e-6, rtol=0)


def test_a_label_round_trip():
    camera = cameras()
    again = Camera.from_label(camera.label(), camera.size)
    assert_close(again.pose, camera.pose)
    assert_close(again.intrinsics, camera.intrinsics)
    with pytest.raises(BadInput, match="25 numbers"):
        Camera.from_label(torch.zeros(2, 24), (4, 4))


def test_the_field_of_view_spans_the_shorter_side():
    for size in ((8, 8), (8, 16), (16, 8)):
        focal = pinhole(torch.tensor([90.0]), size)[0]
        assert_close(focal[0, 0] * size[1], focal[1, 1] * size[0])  # square pixels
        assert_close(torch.stack([focal[0, 0], focal[1, 1]]).max(), torch.tensor(0.5))


def test_resizing_changes_nothing_but_the_size():
    camera = cameras()
    assert camera.resized((3, 3)).intrinsics is camera.intrinsics


def test_looking_straight_down_is_still_a_rotation():
    pose = look_at(torch.tensor([[1e-5, 1.0, 0.0]]))[0, :3, :3]
    assert_close(pose @ pose.mT, torch.eye(3), atol=1e-5, rtol=0)


def test_a_grid_covers_the_plane():
    whole = Grid.whole(2, (4, 6)).coords()
    assert whole.shape == (2, 2, 4, 6)
    assert_close(whole[0, 0, 0], 2 * (torch.arange(6) + 0.5) / 6 - 1)
    part = Grid(torch.tensor([[0.5, 0.5, 0.0]]), (2, 3)).coords()
    assert_close(part[0], whole[0, :, :2, 3:])


def test_mixed_precision_leaves_geometry_alone():
    camera, window = cameras(), torch.tensor([[0.37, 0.21, 0.43]]).repeat(3, 1)
    plain = camera.crop(window, (5, 5)).corner_aligned()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = camera.crop(window, (5, 5)).corner_aligned()
        assert torch.equal(mixed.intrinsics, plain.intrinsics)
        assert torch.equal(mixed.rays().directions, plain.rays().directions)
