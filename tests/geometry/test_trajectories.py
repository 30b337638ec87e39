"""Camera trajectories: around the scene, interpolated, spirals."""

import math

import pytest
import torch
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, look_at, transform_cameras
from genscene.geometry.priors import CameraPrior, camera_angles
from genscene.geometry.rotations import rotation
from genscene.geometry.trajectories import (
    TRAJECTORIES,
    average_pose,
    ellipse,
    forward_spiral,
    interpolate_cameras,
    llff_focus_depth,
    trajectory,
)
from genscene.randomness import RandomStreams

PRIOR = CameraPrior("uniform", (math.pi / 2, 0.5), (1.2, 0.3), radius=2.0, fov=30.0)


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_every_trajectory_faces_the_origin(name):
    cameras = trajectory(name, PRIOR, 12, (8, 10))
    assert len(cameras) == 12
    assert cameras.size == (8, 10)
    position, forward = cameras.pose[:, :3, 3], cameras.pose[:, :3, 2]
    assert_close(
        position + position.norm(dim=-1, keepdim=True) * forward, torch.zeros(12, 3), atol=1e-5, rtol=0
    )


def test_the_circle_goes_once_around_evenly():
    yaw, pitch = camera_angles(trajectory("orbit", PRIOR, 8, (4, 4)), 0.0)
    steps = torch.remainder(yaw.diff(), 2 * math.pi)
    assert_close(steps, torch.full((7,), math.pi / 4), atol=1e-5, rtol=0)
    assert_close(pitch, torch.full((8,), 1.2))


def test_the_elevation_changes_alone_around_that_of_the_prior():
    yaw, pitch = camera_angles(trajectory("elevation", PRIOR, 8, (4, 4)), math.pi / 2)
    assert_close(yaw, torch.full((8,), PRIOR.yaw[0]), atol=1e-5, rtol=0)
    assert_close(pitch.max() - pitch.min(), torch.tensor(2 * max(PRIOR.pitch[1], math.radians(15))))


def test_zoom_changes_the_lens_and_dolly_the_distance():
    zoom, dolly = trajectory("zoom", PRIOR, 8, (4, 4)), trajectory("dolly", PRIOR, 8, (4, 4))
    assert zoom.intrinsics[:, 0, 0].std() > 0.1
    assert zoom.pose.std(dim=0).max() < 1e-6
    assert dolly.intrinsics[:, 0, 0].std() < 1e-6
    assert_close(dolly.pose[:, :3, 3].norm(dim=-1).max(), torch.tensor(2.4))


def test_the_steep_sweep_goes_beyond_the_prior():
    yaw, _ = camera_angles(trajectory("steep", PRIOR, 9, (4, 4)), math.pi / 2)
    assert yaw.max() > math.pi / 2 + 2 * 0.5


def test_interpolation_keeps_its_keys_and_faces_the_origin():
    keys = PRIOR.camera_at(torch.tensor([0.0, math.pi, 1.0]), torch.tensor([1.2, 1.2, 0.9]), (4, 4))
    path = interpolate_cameras(keys, 9)
    assert_close(path.pose[::4], keys.pose, atol=1e-5, rtol=0)
    position, forward = path.pose[:, :3, 3], path.pose[:, :3, 2]
    assert_close(position.norm(dim=-1), torch.full((9,), 2.0), atol=1e-5, rtol=0)
    assert_close(position + 2 * forward, torch.zeros(9, 3), atol=1e-5, rtol=0)
    assert len(interpolate_cameras(keys[:1], 5)) == 5


def test_an_unknown_trajectory_suggests_the_closest():
    with pytest.raises(BadInput, match="did you mean 'orbit'"):
        trajectory("orbits", PRIOR, 3, (4, 4))


def test_the_ellipse_has_the_half_axes_of_the_cameras():
    eye = torch.tensor([[3.0, 0, 1], [-3, 0, 1], [0, 1, 1], [0, -1, 1]])
    given = Camera(look_at(eye, (0.0, 0.0, 1.0)), torch.eye(3).repeat(4, 1, 1), (4, 6))
    made = ellipse(given, 8)
    assert_close(made.pose[0, :3, 3], torch.tensor([3.0, 0, 1]), atol=0.2, rtol=0.1)
    assert_close(made.pose[2, :3, 3], torch.tensor([0.0, 1, 1]), atol=0.2, rtol=0.1)
    axes = torch.nn.functional.normalize(-made.pose[:, :3, 3], dim=-1)
    assert_close(made.pose[:, :3, 2], axes)


def test_the_spiral_stays_around_forward_facing_cameras():
    eye = torch.randn(9, 3) * torch.tensor([0.5, 0.2, 0.05]) + torch.tensor([0.0, 0.0, 5.0])
    down = torch.eye(4)
    down[:3, :3] = torch.diag(torch.tensor([1.0, -1, -1]))  # forward is -z, up is y
    pose = down.repeat(9, 1, 1)
    pose[:, :3, 3] = eye
    made = forward_spiral(Camera(pose, torch.eye(3).repeat(9, 1, 1), (4, 6)), 12)
    target = eye.mean(dim=0) * torch.tensor([1.0, 1, 0])
    axes = torch.nn.functional.normalize(target - made.pose[:, :3, 3], dim=-1)
    assert_close(made.pose[:, :3, 2], axes, atol=1e-5, rtol=0)
    assert_close(torch.linalg.det(made.pose[:, :3, :3]), torch.ones(12))
    assert (made.pose[:, 1, 1] < -0.9).all()
    assert (made.pose[:, :3, 3] - eye.mean(dim=0)).abs().max() < 1.5


def forward_facing():
    """Nine cameras that face about -z, y upwards, from about (1, 0, 5)."""
    tilt = rotation(
        torch.nn.functional.normalize(
            torch.tensor([[1.0, 0, 0, 0]]) + RandomStreams([1]).normal(9, 4)[0] / 50
        )
    )
    pose = torch.eye(4).repeat(9, 1, 1)
    pose[:, :3, :3] = tilt @ torch.diag(torch.tensor([1.0, -1, -1]))
    pose[:, :3, 3] = RandomStreams([2]).normal(9, 3)[0] * torch.tensor([0.5, 0.2, 0.05]) + torch.tensor(
        [1.0, 0.0, 5.0]
    )
    return Camera(pose, torch.eye(3).repeat(9, 1, 1), (4, 6))


def test_the_spiral_of_transformed_cameras_is_the_transformed_spiral():
    turn = torch.eye(4)
    turn[:3, :3] = rotation(torch.nn.functional.normalize(torch.tensor([[0.9, 0.3, -0.5, 0.2]])))[0]
    turn[:3, 3] = torch.tensor([3.0, -1, 2])
    here, there = (
        forward_spiral(cameras, 7, focus=2.0)
        for cameras in (forward_facing(), transform_cameras(forward_facing(), turn))
    )
    assert_close(there.pose, transform_cameras(here, turn).pose, atol=1e-5, rtol=1e-5)
    assert_close(
        average_pose(transform_cameras(forward_facing(), turn).pose),
        turn @ average_pose(forward_facing().pose),
        atol=1e-5,
        rtol=1e-5,
    )


def test_the_spiral_faces_the_given_focus_and_has_the_given_radii():
    middle = average_pose(forward_facing().pose)
    made = forward_spiral(forward_facing(), 8, 2.0, torch.tensor([0.3, 0.2, 0.1]))
    local = torch.linalg.inv(middle) @ made.pose
    assert_close(local[0, :3, 3], torch.tensor([0.3, 0, 0]), atol=1e-5, rtol=0)
    axes = torch.nn.functional.normalize(torch.tensor([0.0, 0, 2]) - local[:, :3, 3], dim=-1)
    assert_close(local[:, :3, 2], axes, atol=1e-5, rtol=0)


def test_the_spiral_in_normalised_device_coordinates_has_llff_s_focus_depth():
    cameras = forward_facing()
    cameras.pose[:, 2, 3] -= 6  # the origin is behind them
    assert llff_focus_depth(4 / 3, math.inf) == pytest.approx(4.8)
    assert_close(forward_spiral(cameras, 5).pose, forward_spiral(cameras, 5, 4.8).pose)
