"""The worlds of NeRF's LLFF loader, recentered and spherified, and the path around a spherified scene."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from genscene.data.posed import llff, load_posed
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, look_at
from genscene.geometry.trajectories import spherified_path
from genscene.geometry.transforms import WorldTransform, axes_intersection, spherifying_transform

COUNT, CENTER = 9, torch.tensor([3.0, -2.0, 5.0], dtype=torch.float64)


def half_sphere(turn=1.9 * math.pi):
    """Cameras around a point at several heights above it, all facing it -> [N, 4, 4]."""
    angle = torch.linspace(0, turn, COUNT + 1, dtype=torch.float64)[:-1]
    height = 0.3 + 0.5 * (torch.arange(COUNT) % 3).double()
    pose = look_at(2.5 * torch.stack([angle.cos(), angle.sin(), height], dim=-1), (0.0, 0.0, 1.0))
    pose[:, :3, 3] += CENTER
    return pose


def write_llff(root, pose):
    rows = []
    (root / "images").mkdir(parents=True)
    for i, matrix in enumerate(pose):
        Image.new("RGB", (12, 8)).save(root / "images" / f"{i}.png")
        right, down, forward, position = matrix[:3].unbind(-1)
        shape = torch.tensor([8.0, 12.0, 15.0], dtype=torch.float64)
        motion = torch.stack([down, right, -forward, position, shape], dim=-1)
        rows.append([*motion.flatten().tolist(), 1.5 + 0.1 * i, 9.0])
    np.save(root / "poses_bounds.npy", np.array(rows))


def test_spherified_world_of_a_folder(tmp_path):
    write_llff(tmp_path, half_sphere())
    given, found = (load_posed(tmp_path, holdout=0, world=world) for world in ("given", "spherified"))
    assert_close(given.pose, half_sphere())
    offsets = given.pose[:, :3, 3] - CENTER
    scale = float(1 / offsets.square().sum(dim=-1).mean().sqrt())
    position = found.pose[:, :3, 3]
    assert_close(position.square().sum(dim=-1).mean(), torch.tensor(1.0, dtype=torch.float64))
    assert_close(axes_intersection(found.pose), torch.zeros(3, dtype=torch.float64))
    assert_close(position.mean(dim=0)[:2], torch.zeros(2, dtype=torch.float64))
    assert_close(found.pose[:, :3, 2], -torch.nn.functional.normalize(position, dim=-1))  # facing the origin
    assert position.mean(dim=0)[2] > 0
    assert_close(found.bounds, scale * given.bounds)
    assert_close(found.transform.inverse().poses(found.pose), given.pose)


def test_spherified_world_does_not_depend_on_the_scale_of_recentering(tmp_path):
    write_llff(tmp_path, half_sphere())
    posed = llff.read(tmp_path)
    scaled = posed.transformed(llff.forward_facing_transform(posed))
    official = scaled.transformed(spherifying_transform(scaled.pose))
    found = posed.transformed(llff.spherified_transform(posed))
    assert_close(found.pose, official.pose)
    assert_close(found.bounds, official.bounds)
    assert_close(found.transform.matrix(), official.transform.matrix())


def test_symmetric_cameras_without_an_average_pose(tmp_path):
    write_llff(tmp_path, half_sphere(2 * math.pi))
    found = load_posed(tmp_path, world="spherified")
    rotation = found.pose[:, :3, :3]
    assert_close(rotation.mT @ rotation, torch.eye(3, dtype=torch.float64).expand_as(rotation))
    with pytest.raises(BadInput, match="the world 'forward' needs cameras that face one way"):
        load_posed(tmp_path, world="forward")


def test_splits_have_one_spherified_world(tmp_path):
    write_llff(tmp_path, half_sphere())
    matrices = [load_posed(tmp_path, split, 4, "spherified").transform.matrix() for split in ("train", "val")]
    assert torch.equal(*matrices)


def test_cameras_that_face_no_common_point_from_one_side_are_refused(tmp_path):
    parallel = torch.eye(4, dtype=torch.float64).repeat(COUNT, 1, 1)
    parallel[:, 0, 3] = torch.arange(COUNT)
    write_llff(tmp_path / "parallel", parallel)
    ring = half_sphere(2 * math.pi)
    eye = ring[:, :3, 3] - CENTER
    write_llff(tmp_path / "ring", look_at(eye * torch.tensor([1.0, 1.0, 0.0]).double(), (0.0, 0.0, 1.0)))
    for name in ("parallel", "ring"):
        with pytest.raises(BadInput, match="the world 'spherified' needs cameras facing a common point"):
            load_posed(tmp_path / name, world="spherified")


def test_spherified_world_without_bounds_in_the_files(tmp_path):
    pose = half_sphere() * torch.tensor([1.0, -1, -1, 1]).double()
    frames = []
    for i in range(COUNT):
        Image.new("RGB", (12, 8)).save(tmp_path / f"{i}.png")
        frames.append({"file_path": f"{i}.png", "transform_matrix": pose[i].tolist()})
    (tmp_path / "transforms.json").write_text(json.dumps({"fl_x": 15, "w": 12, "h": 8, "frames": frames}))
    found = load_posed(tmp_path, world="spherified")
    assert found.bounds[0].tolist() == pytest.approx([0.5, 1.5], rel=0.1)  # at distances of about 1


def test_transforms_compose():
    first = WorldTransform(2.0, torch.linalg.qr(torch.rand(3, 3, dtype=torch.float64))[0], CENTER)
    second = spherifying_transform(first.poses(half_sphere()))
    assert_close(first.then(second).matrix(), second.matrix() @ first.matrix())


def test_spherified_path_is_a_closed_circle_at_the_mean_height():
    pose = half_sphere()
    pose = spherifying_transform(pose).poses(pose)
    path = spherified_path(Camera(pose, torch.eye(3).double().repeat(COUNT, 1, 1), (8, 12)), 13)
    eye = path.pose[:, :3, 3]
    assert_close(eye[:, 2], pose[:, 2, 3].mean().expand(13))
    assert_close(eye.norm(dim=-1), torch.ones(13, dtype=torch.float64))
    assert_close(path.pose[0], path.pose[-1])
    assert_close(path.pose[:, :3, 2], -eye)  # facing the origin
    assert_close(eye[3], torch.stack([0 * eye[0, 0], eye[0, 0], eye[0, 2]]))  # a quarter turn
