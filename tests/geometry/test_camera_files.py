"""Cameras in files: our own JSON, nerfstudio's, EG3D's."""

import json
import math

import pytest
import torch
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.geometry.camera_files import read_cameras, write_cameras
from genscene.geometry.cameras import pinhole, transform_cameras
from genscene.geometry.priors import CameraPrior
from genscene.geometry.rotations import rotation
from genscene.geometry.trajectories import trajectory

PRIOR = CameraPrior("uniform", (math.pi / 2, 0.5), (1.2, 0.3), radius=2.0, fov=30.0)


def test_a_camera_file_round_trip(tmp_path):
    cameras = trajectory("zoom", PRIOR, 6, (4, 4))
    path = tmp_path / "path.json"
    write_cameras(path, cameras, 2.0)
    again = trajectory(str(path), PRIOR, 6, (4, 4))
    assert_close(again.pose, cameras.pose)
    assert_close(again.intrinsics, cameras.intrinsics, atol=1e-4, rtol=0)
    assert len(trajectory(str(path), PRIOR, 30, (4, 4))) == 30


def cameras_and_transform():
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
    cameras, to_files = cameras_and_transform()
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
