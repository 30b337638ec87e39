"""Posed photographs of every format: poses, splits, worlds, bounds, masks; and the errors of each."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from genscene.data.posed import available_splits, decode, decode_posed, load_posed
from genscene.data.posed.colmap import loader as colmap
from genscene.data.posed.loader import detect_format
from genscene.data.prepare.inspect import inspect
from genscene.errors import BadInput
from genscene.geometry.cameras import look_at
from genscene.geometry.rotations import quaternion
from genscene.geometry.transforms import WorldTransform, centering_transform, focus_point

OPENGL = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)
COUNT = 10


def ring(centre=(1.0, 2.0, 3.0), radius=4.0, count=COUNT):
    """Cameras on a ring that face a point from above, +z up -> [N, 4, 4]."""
    angle = torch.linspace(0, 2 * torch.pi, count + 1, dtype=torch.float64)[:-1]
    eye = radius * torch.stack([0.8 * angle.cos(), 0.8 * angle.sin(), torch.full_like(angle, 0.6)], dim=-1)
    pose = look_at(eye, (0.0, 0.0, 1.0))
    pose[:, :3, 3] += torch.tensor(centre, dtype=torch.float64)
    return pose


def save_image(path, size=(12, 8), mode="RGB", color=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)


def write_nerfstudio(root, name="transforms.json", ending=".png", extra=None, **top):
    """A transforms.json of the ring and its images; extra: further keys of every frame."""
    pose = ring() * OPENGL
    frames = []
    for i in range(COUNT):
        save_image(root / "images" / f"{i:02}.png", color=(20 * i, 0, 0))
        frames.append(
            {"file_path": f"images/{i:02}{ending}", "transform_matrix": pose[i].tolist(), **(extra or {})}
        )
    (root / name).write_text(json.dumps({"fl_x": 15, "w": 12, "h": 8, **top, "frames": frames[::-1]}))


def write_colmap(root, camera="1 PINHOLE 12 8 15 15 6 4", place="sparse/0"):
    """A COLMAP text model of the ring, with points about its center."""
    (root / place).mkdir(parents=True)
    pose = ring()
    turn = pose[:, :3, :3].mT
    shift = -(turn @ pose[:, :3, 3:])[..., 0]
    rows = torch.cat([quaternion(turn), shift], dim=1).tolist()
    lines = [f"{i} {' '.join(map(str, row))} 1 {i:02}.png\n\n" for i, row in enumerate(rows)]
    (root / place / "cameras.txt").write_text(f"{camera}\n")
    (root / place / "images.txt").write_text("".join(reversed(lines)))
    cloud = (
        torch.rand(40, 3, generator=torch.Generator().manual_seed(0)) - 0.5 + torch.tensor([1.0, 2.0, 3.0])
    )
    (root / place / "points3D.txt").write_text(
        "".join(f"{i} {x} {y} {z} 1 2 3 0.5\n" for i, (x, y, z) in enumerate(cloud.tolist()))
    )
    for i in range(COUNT):
        save_image(root / "images" / f"{i:02}.png")


def test_centering_transform_and_its_inverse():
    pose = ring()
    assert_close(focus_point(pose), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    tilt = torch.linalg.qr(torch.rand(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[
        0
    ]
    tilted = WorldTransform(
        2.5, tilt * torch.linalg.det(tilt), torch.tensor([5.0, 0.0, -1.0], dtype=torch.float64)
    ).poses(pose)
    transform = centering_transform(tilted)
    moved = transform.poses(tilted)
    assert_close(moved[:, :3, 3].norm(dim=-1), torch.ones(COUNT, dtype=torch.float64))
    assert_close(moved[:, :3, 2], -moved[:, :3, 3])  # they face the origin
    assert_close(-moved[:, :3, 1].mean(dim=0)[:2], torch.zeros(2, dtype=torch.float64))
    assert_close(moved[:, 2, 3], torch.full((COUNT,), 0.6, dtype=torch.float64))  # above, as they were
    assert_close(transform.inverse().poses(moved), tilted)
    assert_close(transform.inverse().matrix() @ transform.matrix(), torch.eye(4, dtype=torch.float64))


def test_cameras_without_a_focus_point():
    pose = torch.eye(4, dtype=torch.float64).repeat(3, 1, 1)
    pose[:, 0, 3] = torch.tensor([0.0, 1.0, 2.0])
    assert focus_point(pose) is None
    assert_close(centering_transform(pose).center, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    outwards = ring() * torch.tensor([-1.0, 1.0, -1.0, 1.0], dtype=torch.float64)
    assert focus_point(outwards) is None
    assert centering_transform(pose[:1]).scale == 1  # one camera has no extent


def test_nerfstudio_with_shared_intrinsics_sorted_by_name(tmp_path):
    write_nerfstudio(tmp_path, k1=0.1, camera_model="OPENCV")
    found = load_posed(tmp_path, world="given", holdout=0)
    assert detect_format(tmp_path) == "nerfstudio"
    assert [path.name for path in found.paths] == [f"{i:02}.png" for i in range(COUNT)]
    assert_close(found.pose, ring())
    assert found.distortion_model == "opencv"
    assert_close(found.distortion[0], torch.tensor([0.1, 0, 0, 0, 0, 0], dtype=torch.float64))
    assert_close(
        found.pixel_intrinsics()[0, [0, 1, 0, 1], [0, 1, 2, 2]], torch.tensor([15.0, 15, 6, 4]).double()
    )
    assert found.bounds.shape == (COUNT, 2)


def test_nerfstudio_values_of_a_frame_override_shared_ones(tmp_path):
    write_nerfstudio(tmp_path, ending="", extra={"fl_x": 30, "fl_y": 20, "cx": 5.5}, fl_y=1, cx=1)
    found = load_posed(tmp_path, holdout=0)
    assert found.distortion_model == "pinhole"
    assert_close(found.pixel_intrinsics()[3, [0, 1, 0], [0, 1, 2]], torch.tensor([30.0, 20, 5.5]).double())


def test_nerfstudio_camera_angles_box_bounds_and_downscaled_images(tmp_path):
    write_nerfstudio(tmp_path, fl_x=15)
    document = json.loads((tmp_path / "transforms.json").read_text())
    del document["fl_x"]
    document |= {
        "camera_angle_x": 0.9,
        "aabb_scale": 4,
        "w": 24,
        "h": 16,
        "camera_model": "OPENCV_FISHEYE",
        "k3": 0.2,
    }
    (tmp_path / "transforms.json").write_text(json.dumps(document))
    found = load_posed(tmp_path, holdout=0, world="given")
    assert_close(found.pixel_intrinsics()[0, 0, 0], torch.tensor(6 / np.tan(0.45)))
    assert found.distortion_model == "fisheye"
    assert_close(found.distortion[0, 4], torch.tensor(0.2, dtype=torch.float64))
    assert_close(found.bounds[:, 0], torch.full((COUNT,), 0.1 / 0.33, dtype=torch.float64))
    corner = torch.tensor([-1.0, -1.0, -1.0], dtype=torch.float64) * 2 / 0.33
    assert (
        found.bounds[:, 1] >= ((corner - found.pose[:, :3, 3]) * found.pose[:, :3, 2]).sum(-1) - 1e-9
    ).all()


def test_splits_of_formats_without_their_own(tmp_path):
    write_nerfstudio(tmp_path)
    assert [path.name for path in load_posed(tmp_path, "val").paths] == ["00.png", "08.png"]
    assert [path.name for path in load_posed(tmp_path, "test", holdout=5).paths] == ["00.png", "05.png"]
    train = load_posed(tmp_path, "train")
    assert len(train) == 8
    assert_close(
        load_posed(tmp_path, "test").transform.matrix(), train.transform.matrix()
    )  # one world for all splits
    write_nerfstudio(
        tmp_path, train_filenames=["images/03.png"], test_filenames=["images/04.png", "images/05.png"]
    )
    assert [path.name for path in load_posed(tmp_path, "train").paths] == ["03.png"]
    assert len(load_posed(tmp_path, "test")) == 2
    write_nerfstudio(tmp_path)
    with pytest.raises(BadInput, match="none of 10 photographs is for test"):
        load_posed(tmp_path, "test", holdout=0)
    with pytest.raises(BadInput, match="did you mean 'test'"):
        load_posed(tmp_path, "tests")


def test_missing_photographs_are_logged_and_left_out(tmp_path, capsys):
    write_nerfstudio(tmp_path)
    (tmp_path / "images" / "03.png").unlink()
    found = load_posed(tmp_path, holdout=0)
    assert len(found) == COUNT - 1
    assert found.missing == ("images/03.png",)
    assert "1 of 10 photographs are missing, the first: images/03.png" in capsys.readouterr().err.replace(
        "\n", ""
    )
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    with pytest.raises(BadInput, match=r"names 10 images, but none is in .*; the first: images/09\.png"):
        load_posed(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fl_x": None}, "fl_x is None, wanted a number"),
        ({"fl_x": -3}, "fl_x is -3, wanted pixels"),
        ({"k1": float("nan")}, "k1 is nan"),
        ({"w": 8, "h": 12}, r"00\.png has 12x8 pixels, but its camera is for 8x12"),
        ({"camera_model": "OPENCV_FISH"}, "did you mean 'OPENCV_FISHEYE'"),
        ({"frames": {}}, "frames is {}, wanted a list"),
        ({"frames": []}, "lists no frames"),
        ({"frames": [3]}, "frame 0 is 3, wanted an object"),
        ({"frames": [{"file_path": "images/00.png"}]}, "frame 0 has no 'transform_matrix'"),
        (
            {"frames": [{"file_path": "images/00.png", "transform_matrix": [[float("nan")] * 4] * 4}]},
            "not finite",
        ),
        ({"frames": [{"file_path": "images/00.png", "transform_matrix": [[0.0] * 4] * 4}]}, "no rotation"),
        ({"aabb_scale": 0}, "aabb_scale and scale are 0"),
        ({"train_filenames": "all"}, "no list of names"),
    ],
)
def test_nerfstudio_refuses_damaged_files(tmp_path, change, words):
    write_nerfstudio(tmp_path, **{key: value for key, value in change.items() if key != "frames"})
    if "frames" in change:
        document = json.loads((tmp_path / "transforms.json").read_text())
        (tmp_path / "transforms.json").write_text(json.dumps(document | change))
    with pytest.raises(BadInput, match=words) as caught:
        load_posed(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value) or "did you" in words


def test_nerfstudio_refuses_missing_intrinsics_and_other_json(tmp_path):
    write_nerfstudio(tmp_path)
    document = json.loads((tmp_path / "transforms.json").read_text())
    del document["fl_x"]
    (tmp_path / "transforms.json").write_text(json.dumps(document))
    with pytest.raises(BadInput, match="has no intrinsics: wanted fl_x or camera_angle_x"):
        load_posed(tmp_path)
    for content, words in (("[]", r"holds \[\], wanted an object"), ("{", "is not JSON")):
        (tmp_path / "transforms.json").write_text(content)
        with pytest.raises(BadInput, match=words):
            load_posed(tmp_path)


def test_all_frames_or_none_must_have_masks(tmp_path):
    save_image(tmp_path / "masks" / "m.png", mode="L", color=255)
    write_nerfstudio(tmp_path, extra={"mask_path": "masks/m.png"})
    found = load_posed(tmp_path)
    assert len(found.masks) == len(found) == 8
    document = json.loads((tmp_path / "transforms.json").read_text())
    del document["frames"][0]["mask_path"]
    (tmp_path / "transforms.json").write_text(json.dumps(document))
    with pytest.raises(BadInput, match="9 of 10 frames have a mask_path"):
        load_posed(tmp_path)
    write_nerfstudio(tmp_path, extra={"mask_path": "masks/none.png"})
    with pytest.raises(BadInput, match=r"names the mask masks/none\.png"):
        load_posed(tmp_path)


def test_colmap_poses_and_bounds(tmp_path):
    write_colmap(tmp_path, place="colmap/sparse/0")
    found = load_posed(tmp_path, world="given", holdout=0)
    assert detect_format(tmp_path) == "colmap"
    assert [path.name for path in found.paths] == [f"{i:02}.png" for i in range(COUNT)]
    assert_close(found.pose, ring())
    assert found.distortion_model == "pinhole"
    assert ((found.bounds > 3) & (found.bounds < 5)).all()
    points = torch.from_numpy(colmap.read_model(tmp_path / "colmap/sparse/0").points.positions)
    for i in range(COUNT):
        depth, inside = colmap.project(points, found, i)
        assert inside.all()
        assert (depth > 3).all()
    moved = load_posed(tmp_path, holdout=0)
    assert_close(moved.bounds, found.bounds / 4)


@pytest.mark.parametrize(
    ("camera", "model", "terms"),
    [
        ("1 SIMPLE_RADIAL 12 8 15 6 4 0.1", "opencv", [0.1, 0, 0, 0, 0, 0]),
        ("1 RADIAL 12 8 15 6 4 0.1 0.2", "opencv", [0.1, 0.2, 0, 0, 0, 0]),
        ("1 OPENCV 24 16 30 30 12 8 0.1 0.2 0.3 0.4", "opencv", [0.1, 0.2, 0.3, 0.4, 0, 0]),
        ("1 OPENCV_FISHEYE 12 8 15 15 6 4 0.1 0.2 0.3 0.4", "fisheye", [0.1, 0.2, 0, 0, 0.3, 0.4]),
        ("1 RADIAL_FISHEYE 12 8 15 6 4 0.1 0.2", "fisheye", [0.1, 0.2, 0, 0, 0, 0]),
        ("1 SIMPLE_PINHOLE 12 8 15 6 4", "pinhole", [0] * 6),
        ("1 OPENCV 12 8 15 15 6 4 0 0 0 0", "pinhole", [0] * 6),
    ],
)
def test_colmap_camera_models(tmp_path, camera, model, terms):
    write_colmap(tmp_path, camera)
    found = load_posed(tmp_path)
    assert found.distortion_model == model
    assert_close(found.distortion[0], torch.tensor(terms, dtype=torch.float64))
    assert_close(
        found.pixel_intrinsics()[0, [0, 1, 0, 1], [0, 1, 2, 2]], torch.tensor([15.0, 15, 6, 4]).double()
    )


def test_colmap_refuses_damaged_models(tmp_path):
    write_colmap(tmp_path)
    images = tmp_path / "sparse/0/images.txt"
    text = images.read_text()
    images.write_text(text.replace("4.0", "nan", 1))
    with pytest.raises(BadInput, match=r"images\.txt is damaged"):
        load_posed(tmp_path)
    images.write_text("")
    with pytest.raises(BadInput, match="has no images"):
        load_posed(tmp_path)
    images.write_text("0 1 0 0 0 0 0 0 7 00.png\n\n")  # camera 7
    with pytest.raises(BadInput, match=r"no camera 7, that of 00\.png"):
        load_posed(tmp_path)
    images.write_text(text.replace(".png", ".jpg"))
    with pytest.raises(BadInput, match="names 10 images, but none is in"):
        load_posed(tmp_path)
    images.write_text(text)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    (tmp_path / "images").rmdir()
    with pytest.raises(BadInput, match="cameras but no photographs"):
        load_posed(tmp_path)


def llff_scene(root, folder="images_4"):
    rows = []
    for i in range(3):
        save_image(root / folder / f"{i}.png")
        motion = [
            [0, 1, 0, i, 32],
            [1, 0, 0, 0, 48],
            [0, 0, -1, 0, 40.0],
        ]  # down is y, right is x, back is -z
        rows.append([*np.array(motion).ravel(), 2.0, 8.0])
    np.save(root / "poses_bounds.npy", np.array(rows))
    return rows


def test_llff_folders_and_worlds(tmp_path):
    rows = llff_scene(tmp_path)
    save_image(tmp_path / "images_8" / "0.png")
    given = load_posed(tmp_path, world="given", holdout=0)
    assert given.paths[0].parent.name == "images_4"
    assert_close(
        given.pose[1, :3],
        torch.eye(4, dtype=torch.float64)[:3] + torch.tensor([[0, 0, 0, 1.0]] + [[0] * 4] * 2),
    )
    ahead = load_posed(tmp_path, world="forward", holdout=0)
    assert_close(ahead.bounds.min(), torch.tensor(4 / 3, dtype=torch.float64))
    assert_close(ahead.pose[:, :3, 2], torch.tensor([[0.0, 0.0, -1.0]], dtype=torch.float64).expand(3, 3))
    assert_close(ahead.transform.inverse().poses(ahead.pose), given.pose)
    assert len(load_posed(tmp_path)) == 2  # the first is held out
    rows[0][15] = 0.0
    np.save(tmp_path / "poses_bounds.npy", np.array(rows))
    with pytest.raises(BadInput, match=r"poses_bounds\.npy: row 0 of 3, .* near that is not positive"):
        load_posed(tmp_path)


def blender_scene(root, centre):
    for split in ("train", "val"):
        pose = ring(centre) * OPENGL
        frames = [
            {"file_path": f"./{split}/r_{i}", "transform_matrix": pose[i].tolist()} for i in range(COUNT)
        ]
        for i in range(COUNT):
            save_image(root / split / f"r_{i}.png")
        (root / f"transforms_{split}.json").write_text(json.dumps({"camera_angle_x": 0.7, "frames": frames}))


def test_centered_blender_scenes_keep_their_world(tmp_path):
    blender_scene(tmp_path, (0.0, 0.0, 0.0))
    found = load_posed(tmp_path, "val")
    assert_close(found.pose, ring((0.0, 0.0, 0.0)))
    assert found.bounds[0].tolist() == [2, 6]
    assert available_splits(tmp_path) == ("train", "val")
    with pytest.raises(BadInput, match=r"no transforms_test\.json"):
        load_posed(tmp_path, "test")
    blender_scene(tmp_path, (10.0, 0.0, 0.0))
    moved = load_posed(tmp_path)
    assert_close(moved.pose[:, :3, 3].norm(dim=-1), torch.ones(COUNT, dtype=torch.float64))
    assert moved.bounds[0].tolist() == [0.5, 1.5]


def test_folders_without_cameras_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"looked for transforms_train\.json .* sparse/"):
        load_posed(tmp_path)
    with pytest.raises(BadInput, match="no such folder"):
        load_posed(tmp_path / "none")


def test_transparency_is_composited_before_downsampling(tmp_path):
    write_nerfstudio(tmp_path)
    checker = np.zeros((8, 12, 4), np.uint8)
    checker[..., 0] = 255
    checker[:, ::2, 3] = 255  # every other column is red, the others are transparent red
    for path in (tmp_path / "images").iterdir():
        Image.fromarray(checker).save(path)
    posed = load_posed(tmp_path)
    images = decode_posed(posed, "0,0,100", downscale=2)
    assert images.pixels.shape == (8, 4, 6, 3)
    assert images.pixels.dtype == np.uint8
    assert np.abs(images.pixels.astype(int) - [128, 0, 50]).max() <= 1
    assert images.camera.size == (4, 6)
    assert images.camera.pose.dtype == torch.float32
    assert images.masks is None
    assert len(images) == 8
    assert decode_posed(posed, side=6).camera.size == (4, 6)
    assert decode_posed(posed, side=600).camera.size == (8, 12)  # never larger
    with pytest.raises(BadInput, match=r"downscale 0\.5"):
        decode_posed(posed, downscale=0.5)
    with pytest.raises(BadInput, match="wanted white, black"):
        decode_posed(posed, "pinkish")


def test_16_bit_grey_and_palette_images(tmp_path):
    write_nerfstudio(tmp_path)
    names = sorted((tmp_path / "images").iterdir())
    Image.fromarray(np.full((8, 12), 128 * 257, np.uint16)).save(names[1])
    Image.new("L", (12, 8), 128).save(names[2])
    Image.new("LA", (12, 8), (128, 255)).save(names[3])
    Image.new("RGB", (12, 8), (128, 128, 128)).quantize(4).save(names[4])
    images = decode_posed(load_posed(tmp_path).select([0, 1, 2, 3]))
    assert (images.pixels == 128).all()


def test_damaged_photographs_are_refused(tmp_path):
    write_nerfstudio(tmp_path)
    posed = load_posed(tmp_path)
    content = posed.paths[2].read_bytes()
    posed.paths[2].write_bytes(content[: len(content) // 2 + 8])
    with pytest.raises(BadInput, match=r"cannot decode the image .*03\.png"):
        decode_posed(posed)
    posed.paths[2].write_bytes(b"nothing")
    with pytest.raises(BadInput, match=r"cannot read the image .*03\.png"):
        load_posed(tmp_path)
    save_image(posed.paths[2], (24, 16))
    with pytest.raises(BadInput, match=r"03\.png is 24x16 pixels, but 01\.png is 12x8"):
        decode_posed(load_posed(tmp_path))
    assert len(decode_posed(load_posed(tmp_path), side=12)) == 8  # the same size in the end


def test_masks_and_the_invalid_border_of_undistorted_images(tmp_path):
    half = np.zeros((8, 12), np.uint8)
    half[:, :6] = 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(half).save(tmp_path / "masks" / "m.png")
    write_nerfstudio(tmp_path, extra={"mask_path": "masks/m.png"})
    masks = decode_posed(load_posed(tmp_path), downscale=2).masks
    assert masks.shape == (8, 4, 6)
    assert (masks == half[::2, ::2]).all()
    write_nerfstudio(tmp_path, k1=0.8)
    masks = decode_posed(load_posed(tmp_path)).masks
    assert set(np.unique(masks)) == {0, 255}
    assert (masks[:, 3:5, 4:8] == 255).all()
    assert (masks[:, [0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()  # not in the distorted image
    save_image(tmp_path / "masks" / "m.png", (6, 4), "L")
    write_nerfstudio(tmp_path, extra={"mask_path": "masks/m.png"})
    with pytest.raises(BadInput, match=r"m\.png is 6x4 pixels, wanted 12x8"):
        decode_posed(load_posed(tmp_path))


def test_report_on_posed_photographs(tmp_path):
    write_nerfstudio(tmp_path, fl_x=15.0, w=12, h=8)
    lines = inspect(tmp_path)
    assert any(line.startswith("  train: ") and "pinhole cameras, distance 4.000" in line for line in lines)
    assert lines[-1].endswith(f"genscene train nerf-grid-photos --data {tmp_path}")
    (tmp_path / "transforms.json").write_text('{"frames": []}')
    assert "cannot be used" in inspect(tmp_path)[-1]


def test_deepvoxels_poses_bounds_and_splits(tmp_path):
    place, pose = tmp_path / "train" / "vase", ring(centre=(0.0, 0.0, 0.0))
    for split in ("train", "validation"):
        root = tmp_path / split / "vase"
        (root / "pose").mkdir(parents=True)
        for i in range(COUNT):
            save_image(root / "rgb" / f"{i:06}.png")
            rows = torch.linalg.inv(pose[i]) if split == "validation" else pose[i]
            (root / "pose" / f"{i:06}.txt").write_text(" ".join(str(float(x)) for x in rows.flatten()))
        flag = "\n1" if split == "validation" else ""
        (root / "intrinsics.txt").write_text(f"30 12 8 0.\n0. 0. 0.\n1.\n1.\n16 24{flag}\n")
    found = load_posed(place)
    assert available_splits(place) == ("train", "val")
    assert_close(found.pose, pose)
    assert_close(found.pixel_intrinsics()[0, :2].flatten(), torch.tensor([15.0, 0, 6, 0, 15, 4]).double())
    assert_close(found.bounds[0], torch.tensor([3.0, 5.0]).double())
    assert_close(load_posed(place, "val").pose, pose[::8])
    (tmp_path / "train").rename(tmp_path / "other")  # the folder given is what is trained on
    place = tmp_path / "other" / "vase"
    assert available_splits(place) == ("train", "val")
    (place / "pose" / "000001.txt").write_text("1 2 3")
    with pytest.raises(BadInput, match=r"000001\.txt: wanted 4x4"):
        load_posed(place)
    (place / "intrinsics.txt").write_text("30 nothing")
    with pytest.raises(BadInput, match=r"intrinsics\.txt"):
        load_posed(place)


def test_decoded_photographs_are_mapped_from_the_cache(tmp_path, monkeypatch):
    half = np.zeros((8, 12), np.uint8)
    half[:, :6] = 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(half).save(tmp_path / "masks" / "m.png")
    write_nerfstudio(tmp_path, extra={"mask_path": "masks/m.png"})
    posed = load_posed(tmp_path)
    clear = np.random.default_rng(0).integers(0, 256, (8, 12, 4), dtype=np.uint8)
    Image.fromarray(clear).save(posed.paths[0])
    in_memory = decode_posed(posed, downscale=2)
    first = decode_posed(posed, downscale=2, cached=True)
    calls = []
    decode_all = decode._decode_all
    monkeypatch.setattr(decode, "_decode_all", lambda *given: calls.append(1) or decode_all(*given))
    again = decode_posed(posed, downscale=2, cached=True)
    assert not calls
    for found in (first, again):
        for name in ("pixels", "masks", "alpha"):
            part = getattr(found, name)
            assert np.array_equal(part, getattr(in_memory, name)), name
            assert not part.flags.writeable  # the file is mapped
            assert part.flags.c_contiguous
    assert np.ptp(again.alpha) > 0
    decode_posed(posed, "black", downscale=2, cached=True)
    decode_posed(posed, downscale=1, cached=True)
    assert len(calls) == 2
    Image.fromarray(clear[::-1]).save(posed.paths[0])
    assert not np.array_equal(decode_posed(posed, downscale=2, cached=True).pixels, again.pixels)
    posed.paths[0].write_bytes(b"nothing")
    with pytest.raises(BadInput, match="cannot decode"):
        decode_posed(posed, downscale=2, cached=True)
