"""Camera trajectories, cameras in files, and rotations."""

import json
import math

import pytest
import torch
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.geometry.camera_files import read_cameras, write_cameras
from genscene.geometry.cameras import Camera, look_at, pinhole, transform_cameras
from genscene.geometry.priors import CameraPrior, camera_angles
from genscene.geometry.rotations import quaternion, rotation, slerp
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


def test_a_camera_file_round_trip(tmp_path):
    cameras = trajectory("zoom", PRIOR, 6, (4, 4))
    path = tmp_path / "path.json"
    write_cameras(path, cameras, 2.0)
    again = trajectory(str(path), PRIOR, 6, (4, 4))
    assert_close(again.pose, cameras.pose)
    assert_close(again.intrinsics, cameras.intrinsics, atol=1e-4, rtol=0)
    assert len(trajectory(str(path), PRIOR, 30, (4, 4))) == 30


def photographed():
    """Three cameras with lenses that are neither centered nor square, and the transform to their files."""
    cameras = PRIOR.camera_at(torch.tensor([0.0, 1.0, 2.5]), torch.tensor([1.2, 1.0, 0.7]), (6, 10))
    cameras.intrinsics[:, 0, 2] += torch.tensor([0.04, 0.02, 0.0])
    cameras.intrinsics[:, 1, 2] -= 0.03
    cameras.intrinsics[:, 1, 1] *= torch.tensor([1.1, 0.9, 1.0])
    to_files = torch.eye(4)
    to_files[:3, :3] = 8.5 * rotation(torch.nn.functional.normalize(torch.tensor([[0.9, 0.3, -0.5, 0.2]])))[0]
    to_files[:3, 3] = torch.tensor([3.0, -11.0, 2.0])
    return cameras, to_files


@pytest.mark.parametrize("size", [(6, 10), (60, 100), (5, 5), (10, 6)])
def test_cameras_in_the_coordinates_of_files_are_read_back_with_the_same_rays(tmp_path, size):
    cameras, to_files = photographed()
    write_cameras(tmp_path / "path.json", cameras, 1.0, to_files)
    again, wanted = trajectory(str(tmp_path / "path.json"), PRIOR, 3, size, to_files), cameras.reframed(size)
    for mine, theirs in zip(vars(again.rays()).values(), vars(wanted.rays()).values(), strict=True):
        assert_close(mine, theirs, atol=1e-5, rtol=0)
    stored = read_cameras(tmp_path / "path.json", size)
    assert_close(stored.pose, transform_cameras(cameras, to_files).pose, atol=1e-5, rtol=1e-6)


def test_a_camera_file_without_aspect_and_shift_is_a_centered_square_lens(tmp_path):
    frames = [
        {"camera_to_world": pose.tolist(), "fov": 40} for pose in trajectory("orbit", PRIOR, 3, (4, 4)).pose
    ]
    (tmp_path / "old.json").write_text(json.dumps({"axes": "opencv", "frames": frames}))
    found = read_cameras(tmp_path / "old.json", (4, 6))
    assert found.size == (4, 6)
    assert_close(found.intrinsics, pinhole(torch.full((3,), 40.0), (4, 6)))


def test_a_nerfstudio_path_has_opengl_axes(tmp_path):
    cameras = trajectory("orbit", PRIOR, 3, (4, 4))
    opengl = cameras.pose * torch.tensor([1.0, -1.0, -1.0, 1.0])
    frames = [{"camera_to_world": pose.flatten().tolist(), "fov": 30.0, "aspect": 1} for pose in opengl]
    (tmp_path / "p.json").write_text(json.dumps({"camera_path": frames}))
    assert_close(read_cameras(tmp_path / "p.json", (4, 4)).pose, cameras.pose)


GOOD = torch.eye(4).flatten().tolist()
BAD = {
    "not json": "{",
    "no cameras": "{}",
    "empty": '{"frames": []}',
    "no pose": '{"frames": [{"fov": 30}]}',
    "short pose": '{"frames": [{"camera_to_world": [1, 2], "fov": 30}]}',
    "nan pose": json.dumps({"frames": [{"camera_to_world": [float("nan")] * 16, "fov": 30}]}),
    "bad fov": json.dumps({"frames": [{"camera_to_world": [0.0] * 16, "fov": 200}]}),
    "bad label": '{"labels": [["a.png", [1, 2]]]}',
    "text label": '{"labels": [["a.png", "x"]]}',
    "number": "3",
    "deep": "[" * 100_000,
    "large": json.dumps([{"camera_to_world": [10**400] * 16, "fov": 30}]),
    "large fov": json.dumps([{"camera_to_world": GOOD, "fov": 10**400}]),
    "no rotation": json.dumps([{"camera_to_world": [0] * 16, "fov": 30}]),
    "scaled": json.dumps([{"camera_to_world": [7, *GOOD[1:]], "fov": 30}]),
    "mirrored": json.dumps([{"camera_to_world": [-1, *GOOD[1:]], "fov": 30}]),
    "last row": json.dumps([{"camera_to_world": [*GOOD[:12], 5, 5, 5, 5], "fov": 30}]),
    "zero label": json.dumps({"labels": [["a.png", [0] * 25]]}),
    "no focal length": json.dumps({"labels": [["a.png", [*GOOD, 0, 0, 0.5, 0, 1, 0.5, 0, 0, 1]]]}),
    "pixel aspect": json.dumps([{"camera_to_world": GOOD, "fov": 30, "pixel_aspect": 0}]),
    "shift": json.dumps([{"camera_to_world": GOOD, "fov": 30, "shift": [1]}]),
    "shift of letters": json.dumps([{"camera_to_world": GOOD, "fov": 30, "shift": "ab"}]),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_a_damaged_camera_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(BadInput, match=r"bad\.json") as error:
        read_cameras(path, (4, 4))
    assert "\n" not in str(error.value)


def test_an_unknown_trajectory_suggests_the_closest():
    with pytest.raises(BadInput, match="did you mean 'orbit'"):
        trajectory("orbits", PRIOR, 3, (4, 4))


def test_quaternions_of_rotations_of_quaternions_are_the_same():
    quats = torch.nn.functional.normalize(RandomStreams([0]).normal(20, 4)[0], dim=-1)
    matrices = rotation(quats)
    assert_close(matrices @ matrices.mT, torch.eye(3).expand(20, 3, 3), atol=1e-5, rtol=0)
    again = quaternion(matrices)
    assert_close((again * quats).sum(-1).abs(), torch.ones(20), atol=1e-5, rtol=0)


def test_slerp_is_linear_in_the_angle():
    a, b = torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([[math.cos(0.6), math.sin(0.6), 0, 0]])
    for share in (0.0, 0.5, 1.0):
        expected = torch.tensor([[math.cos(0.6 * share), math.sin(0.6 * share), 0, 0]])
        assert_close(slerp(a, b, torch.tensor([[share]])), expected)
        assert_close(slerp(a, -b, torch.tensor([[share]])), expected)


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
