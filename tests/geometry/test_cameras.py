"""Cameras, rays, crops, and windows on the image plane."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Grid, Rays, look_at, pinhole, transform_cameras
from genscene.geometry.priors import CameraPrior
from genscene.geometry.rotations import rotation
from genscene.randomness import RandomStreams

PRIOR = CameraPrior("uniform", (1.0, 1.0), (1.2, 0.5), radius=2.0, fov=40.0)
SEEDS, SIZES = st.integers(0, 2**31), st.tuples(st.integers(1, 9), st.integers(1, 9))
law = settings(max_examples=30)


def cameras(count=3, size=(8, 12), seed=0):
    return PRIOR.sample(RandomStreams(range(seed, seed + count)), size)


def any_cameras(seed, size=(5, 7), count=2):
    """Cameras with any pose and lenses that are neither centered nor square, in float64."""
    random = RandomStreams(range(seed, seed + count))
    pose = torch.eye(4).double().repeat(count, 1, 1)
    pose[:, :3, :3] = rotation(torch.nn.functional.normalize(random.normal(4).double(), dim=-1))
    pose[:, :3, 3] = random.normal(3)
    intrinsics = torch.eye(3).double().repeat(count, 1, 1)
    intrinsics[:, [0, 1], [0, 1]] = 0.5 + 2 * random.uniform(2).double()
    intrinsics[:, :2, 2] = random.uniform(2).double()
    return Camera(pose, intrinsics, size)


def windows(seed, count=2):
    """Windows [B, 3] of any scale and place, in float64."""
    scale, x, y = RandomStreams(range(seed, seed + count)).uniform(3).double().unbind(-1)
    return torch.stack([0.1 + scale, 2 * x - 1, 2 * y - 1], dim=-1)


def project(camera, points):
    """Points [B, N, 3] -> their places in the image, in image sides [B, N, 2], and their depths [B, N]."""
    world_to_camera = torch.linalg.inv(camera.pose)
    inside = points @ world_to_camera[:, :3, :3].mT + world_to_camera[:, None, :3, 3]
    pixels = inside @ camera.intrinsics.mT
    return pixels[..., :2] / pixels[..., 2:], inside[..., 2]


def test_a_ray_projects_back_to_the_center_of_its_pixel():
    camera = cameras()
    places, depth = project(camera, camera.rays().at(torch.full((3, 96, 1), 1.7))[:, :, 0])
    rows, columns = torch.meshgrid((torch.arange(8) + 0.5) / 8, (torch.arange(12) + 0.5) / 12, indexing="ij")
    assert_close(places, torch.stack([columns, rows], -1).view(1, -1, 2).expand(3, -1, -1), atol=1e-5, rtol=0)
    assert_close(depth, torch.full((3, 96), 1.7))  # directions are one unit of depth long


@law
@given(seed=SEEDS, size=SIZES, pixels=st.sampled_from(["center", "corner", "border"]))
def test_rays_project_back_to_their_pixels_in_every_convention(seed, size, pixels):
    camera = any_cameras(seed, size)
    rays = camera.rays(pixels)
    points = rays.at(torch.full((2, len(rays), 1), 1.3, dtype=torch.float64))[:, :, 0]
    places, depth = project(camera, points)
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in size)
    expected = {
        "center": ((rows + 0.5) / size[0], (columns + 0.5) / size[1]),
        "corner": (rows / size[0], columns / size[1]),
        "border": tuple(
            x / (n - 1) if n > 1 else torch.full((1,), 0.5).double()
            for x, n in zip((rows, columns), size, strict=True)
        ),
    }[pixels]
    v, u = torch.meshgrid(*expected, indexing="ij")
    assert_close(places, torch.stack([u, v], -1).view(1, -1, 2).expand(2, -1, -1), atol=1e-8, rtol=0)
    assert_close(depth, torch.full_like(depth, 1.3))


def test_the_ray_through_the_middle_meets_the_origin():
    camera = PRIOR.sample(RandomStreams([1]), (9, 9))
    middle = camera.rays().unit().at(torch.full((1, 81, 1), 2.0))[0, 40, 0]
    assert_close(middle, torch.zeros(3), atol=1e-6, rtol=0)


def test_the_front_camera_has_opencv_axes():
    front = torch.tensor([math.pi / 2])
    camera = PRIOR.camera_at(front, front, (4, 4))  # on +z
    assert_close(camera.pose[0, :3, 3], torch.tensor([0.0, 0.0, 2.0]), atol=1e-6, rtol=0)
    right, down, forward = camera.pose[0, :3, :3].unbind(-1)
    axes = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    assert_close(torch.stack([right, down, forward]), axes, atol=1e-6, rtol=0)
    assert torch.linalg.det(camera.pose[0, :3, :3]) > 0


def test_a_crop_of_a_crop_is_a_crop():
    camera = cameras()
    outer, inner = torch.tensor([[0.5, 0.25, 0.1]]).repeat(3, 1), torch.tensor([[0.5, 0.5, 0.2]]).repeat(3, 1)
    both = torch.tensor([[0.25, 0.25 + 0.5 * 0.5, 0.1 + 0.5 * 0.2]]).repeat(3, 1)
    twice = camera.crop(outer, (6, 6)).crop(inner, (4, 4))
    assert_close(twice.intrinsics, camera.crop(both, (4, 4)).intrinsics)
    assert twice.size == (4, 4)


@law
@given(seed=SEEDS, size=SIZES)
def test_any_crop_of_any_crop_is_the_crop_of_both_windows(seed, size):
    camera, outer, inner = any_cameras(seed), windows(seed + 2), windows(seed + 4)
    both = torch.cat([outer[:, :1] * inner[:, :1], outer[:, 1:] + outer[:, :1] * inner[:, 1:]], dim=1)
    twice, once = camera.crop(outer, (6, 6)).crop(inner, size), camera.crop(both, size)
    assert_close(twice.intrinsics, once.intrinsics)
    assert twice.size == once.size == size
    assert twice.pose is camera.pose
    whole = torch.tensor([[1.0, 0.0, 0.0]]).repeat(2, 1)
    assert torch.equal(camera.crop(whole, size).intrinsics, camera.intrinsics)
    grid = Grid(outer, (6, 6)).crop(inner, size)
    assert_close(grid.window, both)
    assert grid.size == size


def test_a_patch_has_the_rays_of_the_whole():
    camera = PRIOR.sample(RandomStreams([3]), (32, 32))
    patch = camera.crop(torch.tensor([[0.25, 0.5, 0.25]]), (8, 8))
    whole = camera.rays().directions.view(1, 32, 32, 3)[:, 8:16, 16:24].reshape(1, -1, 3)
    assert_close(patch.rays().directions, whole, atol=1e-6, rtol=0)


def test_border_alignment_puts_the_outermost_pixels_on_the_border():
    camera = cameras(1, (5, 7)).border_aligned()
    places, _ = project(cameras(1, (5, 7)), camera.rays().at(torch.ones(1, 35, 1))[:, :, 0])
    assert_close(places[0, :7, 0], torch.arange(7) / 6, atol=1e-5, rtol=0)
    assert_close(places[0, ::7, 1], torch.arange(5) / 4, atol=1e-5, rtol=0)
    border = cameras(1, (5, 7)).rays("border").directions
    assert torch.equal(border, camera.rays().directions)


def test_mirroring_twice_is_the_identity_and_once_flips_the_image():
    camera = cameras()
    again = camera.mirrored().mirrored()
    assert_close(again.pose, camera.pose)
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    flipped = camera.mirrored().rays().directions.view(3, 8, 12, 3).flip(2) * mirror
    assert_close(flipped.reshape(3, -1, 3), camera.rays().directions, atol=1e-6, rtol=0)


@law
@given(seed=SEEDS)
def test_any_camera_mirrored_twice_is_itself(seed):
    camera = any_cameras(seed)
    again = camera.mirrored().mirrored()
    assert torch.equal(again.pose, camera.pose)
    assert_close(again.intrinsics, camera.intrinsics)


def test_a_label_round_trip():
    camera = cameras()
    again = Camera.from_label(camera.label(), camera.size)
    assert_close(again.pose, camera.pose)
    assert_close(again.intrinsics, camera.intrinsics)
    with pytest.raises(BadInput, match="25 numbers"):
        Camera.from_label(torch.zeros(2, 24), (4, 4))


@law
@given(seed=SEEDS, size=SIZES)
def test_the_label_of_any_camera_is_that_camera(seed, size):
    camera = any_cameras(seed, size)
    again = Camera.from_label(camera.label(), size)
    assert torch.equal(again.pose, camera.pose)
    assert torch.equal(again.intrinsics, camera.intrinsics)
    assert again.size == size


def test_the_field_of_view_spans_the_shorter_side():
    for size in ((8, 8), (8, 16), (16, 8)):
        focal = pinhole(torch.tensor([90.0]), size)[0]
        assert_close(focal[0, 0] * size[1], focal[1, 1] * size[0])  # square pixels
        assert_close(torch.stack([focal[0, 0], focal[1, 1]]).max(), torch.tensor(0.5))


@law
@given(seed=SEEDS, size=SIZES)
def test_resizing_changes_only_the_size(seed, size):
    camera = any_cameras(seed)
    resized = camera.resized(size)
    assert resized.pose is camera.pose
    assert resized.intrinsics is camera.intrinsics
    assert resized.size == size
    assert len(resized.rays()) == size[0] * size[1]


def test_reframing_keeps_the_pixel_aspect_and_the_field_of_view_of_the_shorter_side():
    for size in ((6, 6), (9, 4), (24, 40)):
        before, after = any_cameras(3, (6, 10)), any_cameras(3, (6, 10)).reframed(size)
        focal = [
            camera.intrinsics[:, [0, 1], [0, 1]] * torch.tensor([camera.size[1], camera.size[0]])
            for camera in (before, after)
        ]
        assert_close(focal[1] / min(size), focal[0] / 6)
        assert after.size == size


def test_looking_straight_down_is_still_a_rotation():
    pose = look_at(torch.tensor([[1e-5, 1.0, 0.0]]))[0, :3, :3]
    assert_close(pose @ pose.mT, torch.eye(3), atol=1e-5, rtol=0)


@law
@given(seed=SEEDS)
def test_rays_of_transformed_cameras_are_the_transformed_rays(seed):
    camera = any_cameras(seed)
    similarity = torch.eye(4).double()
    similarity[:3, :3] = 2.5 * any_cameras(seed + 9).pose[0, :3, :3]
    similarity[:3, 3] = torch.tensor([3.0, -1.0, 0.5])
    rays, moved = camera.rays(), transform_cameras(camera, similarity).rays()
    t = torch.full((2, len(rays), 1), 1.4, dtype=torch.float64)
    points = rays.at(t)[:, :, 0] @ similarity[:3, :3].mT + similarity[:3, 3]
    assert_close(moved.at(2.5 * t)[:, :, 0], points)


def test_unit_rays_have_directions_of_length_one():
    rays = Rays(torch.zeros(1, 4, 3), 7 * torch.randn(1, 4, 3))
    assert_close(rays.unit().directions.norm(dim=-1), torch.ones(1, 4))
    assert torch.equal(rays.unit().origins, rays.origins)


def test_a_grid_covers_the_plane():
    whole = Grid.whole(2, (4, 6)).coords()
    assert whole.shape == (2, 2, 4, 6)
    assert_close(whole[0, 0, 0], 2 * (torch.arange(6) + 0.5) / 6 - 1)
    part = Grid(torch.tensor([[0.5, 0.5, 0.0]]), (2, 3)).coords()
    assert_close(part[0], whole[0, :, :2, 3:])


def test_autocast_does_not_round_geometry():
    camera, window = cameras(), torch.tensor([[0.37, 0.21, 0.43]]).repeat(3, 1)
    plain = camera.crop(window, (5, 5)).border_aligned()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = camera.crop(window, (5, 5)).border_aligned()
        assert torch.equal(mixed.intrinsics, plain.intrinsics)
        assert torch.equal(mixed.rays().directions, plain.rays().directions)
