"""Readers of Blender, LLFF and COLMAP files, and the files they refuse."""

import json
import struct

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from genscene.data.posed import blender, llff
from genscene.data.posed.colmap import loader as colmap
from genscene.data.posed.decode import decode_posed
from genscene.errors import BadInput
from genscene.geometry.transforms import WorldTransform

POSE = [[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]


def save_image(path, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def blender_scene(root, frames=None, angle=0.7):
    save_image(root / "train" / "r_0.png")
    frames = [{"file_path": "./train/r_0", "transform_matrix": POSE}] if frames is None else frames
    (root / "transforms_train.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))


def test_blender_poses_and_focal_length(tmp_path):
    blender_scene(tmp_path)
    found = blender.read(tmp_path)
    assert_close(found.pose[0, :3, 2], torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64))  # faces -z
    assert_close(found.pose[0, :3, 3], torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    assert found.sizes == ((6, 8),)
    assert_close(found.pixel_intrinsics()[0, 0, 0], torch.tensor(4 / np.tan(0.35)))


@pytest.mark.parametrize(
    ("frames", "angle", "words"),
    [
        ([{"file_path": "./train/none", "transform_matrix": POSE}], 0.7, "names ./train/none"),
        ([{"file_path": "./train/r_0", "transform_matrix": [[1]]}], 0.7, "frame 0"),
        ([{"file_path": "./train/r_0", "transform_matrix": [[float("nan")] * 4] * 4}], 0.7, "not finite"),
        ([{"transform_matrix": POSE}], 0.7, "without file_path"),
        ([], 0.7, "no frames"),
        (None, None, "camera_angle_x"),
    ],
)
def test_blender_refuses_damaged_files(tmp_path, frames, angle, words):
    blender_scene(tmp_path, frames, angle)
    with pytest.raises(BadInput, match=words):
        blender.read(tmp_path)
    with pytest.raises(BadInput, match=r"no transforms_test\.json"):
        blender.read(tmp_path, "test")


def test_llff_scales_the_focal_length_with_the_images_and_checks_the_table(tmp_path):
    save_image(tmp_path / "images" / "a.png", (8, 6))
    row = [*np.array([[0, 1, 0, 0, 12], [1, 0, 0, 0, 16], [0, 0, 1, 0, 20.0]]).ravel(), 1.0, 5.0]
    np.save(tmp_path / "poses_bounds.npy", np.array([row]))
    found = llff.read(tmp_path)
    assert_close(found.pixel_intrinsics()[0, 0, 0], torch.tensor(10.0, dtype=torch.float64))
    np.save(tmp_path / "poses_bounds.npy", np.array([row, row]))
    with pytest.raises(BadInput, match="2 rows, but there are 1 images"):
        llff.read(tmp_path)
    np.save(tmp_path / "poses_bounds.npy", np.zeros((1, 16)))
    with pytest.raises(BadInput, match=r"shape \(1, 16\)"):
        llff.read(tmp_path)
    np.save(tmp_path / "poses_bounds.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(BadInput, match=r"array of object, wanted \(N, 17\) numbers"):
        llff.read(tmp_path)


def colmap_model(root, images=1):
    root.mkdir(parents=True, exist_ok=True)
    (root / "cameras.txt").write_text("# comment\n1 PINHOLE 8 6 5 5 4 3\n")
    rows = "".join(f"{i} 1 0 0 0 0 0 {i} 1 img {i}.png\n\n" for i in range(images))
    (root / "images.txt").write_text(rows)
    (root / "points3D.txt").write_text("")


def test_colmap_largest_model_and_names_with_blanks(tmp_path):
    colmap_model(tmp_path / "0", 1)
    colmap_model(tmp_path / "1", 3)
    place = colmap.largest_model(tmp_path)
    assert place.name == "1"
    model = colmap.read_model(place)
    assert model.images[2].name == "img 2.png"
    assert_close(model.images[2].pose[:3, 3], torch.tensor([0.0, 0.0, -2.0], dtype=torch.float64))
    assert len(model.points.ids) == 0


def test_colmap_points_move_with_the_world(tmp_path):
    colmap_model(tmp_path / "sparse" / "0", 3)
    (tmp_path / "sparse" / "0" / "points3D.txt").write_text("1 1 2 3 255 0 51 0.1\n2 0 0 4 0 0 0 0.1\n")
    (tmp_path / "images").mkdir()
    for i in range(3):
        Image.new("RGB", (8, 6)).save(tmp_path / "images" / f"img {i}.png")
    found = colmap.read(tmp_path)
    assert_close(found.points.positions[0], torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    assert_close(found.points.colors[0], torch.tensor([1.0, 0.0, 0.2]))
    moved = found.transformed(WorldTransform(2.0, center=torch.tensor([1.0, 0, 0], dtype=torch.float64)))
    assert_close(moved.points.positions[0], torch.tensor([0.0, 4.0, 6.0], dtype=torch.float64))
    assert decode_posed(moved).points.positions.shape == (2, 3)


def test_colmap_refuses_incomplete_models(tmp_path):
    with pytest.raises(BadInput, match="no COLMAP model"):
        colmap.largest_model(tmp_path)
    colmap_model(tmp_path / "empty", 0)
    with pytest.raises(BadInput, match="no images"):
        colmap.read_model(tmp_path / "empty")
    colmap_model(tmp_path / "half")
    (tmp_path / "half" / "points3D.txt").unlink()
    with pytest.raises(BadInput, match=r"points3D\.txt is missing"):
        colmap.read_model(tmp_path / "half")
    colmap_model(tmp_path / "odd")
    (tmp_path / "odd" / "cameras.txt").write_text("1 FISHY 8 6 5\n")
    with pytest.raises(BadInput, match="FISHY"):
        colmap.read_model(tmp_path / "odd")
    binary = tmp_path / "binary"
    binary.mkdir()
    (binary / "cameras.bin").write_bytes(struct.pack("<Q", 5))
    for name in ("images.bin", "points3D.bin"):
        (binary / name).write_bytes(struct.pack("<Q", 0))
    with pytest.raises(BadInput, match=r"cameras\.bin is damaged"):
        colmap.read_model(binary)
