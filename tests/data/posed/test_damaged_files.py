"""Damaged folders of posed photographs are refused in one line that names the file and the fault."""

import json
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from genscene.data.posed import available_splits, decode_posed, llff, load_posed
from genscene.data.posed.checks import abbreviate, parse_file_name, parse_number
from genscene.data.posed.colmap import loader as colmap
from genscene.data.posed.colmap.binary import read_images
from genscene.data.posed.loader import detect_format
from genscene.data.prepare.inspect import inspect
from genscene.errors import BadInput
from genscene.geometry.cameras import look_at

COUNT = 4
HUGE = 10**400
OPENGL = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)


def refused(action, *words):
    """The one line of a BadInput that an action raises."""
    with pytest.raises(BadInput) as caught:
        action()
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 700
    for word in words:
        assert word in line, line
    return line


def save_image(path, color=0, size=(12, 8), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)


def frames(folder="images", **extra):
    angle = torch.arange(COUNT, dtype=torch.float64)
    eye = torch.stack([4 * angle.cos(), 4 * angle.sin(), torch.ones_like(angle)], dim=-1)
    pose = (look_at(eye, (0.0, 0.0, 1.0)) * OPENGL).tolist()
    return [{"file_path": f"{folder}/{i}.png", "transform_matrix": pose[i], **extra} for i in range(COUNT)]


def scene(root, name="transforms.json", listed=None, **top):
    """A folder with transforms.json and an image for each frame."""
    listed = frames() if listed is None else listed
    for i in range(COUNT):
        save_image(root / "images" / f"{i}.png", (40 * i, 0, 0))
    root.joinpath(name).write_text(json.dumps({"fl_x": 15, "w": 12, "h": 8, "frames": listed} | top))
    return root


def binary(root, names=("a.png", "b.png"), points=2):
    root.mkdir(parents=True, exist_ok=True)
    (root / "cameras.bin").write_bytes(struct.pack("<QiiQQ4d", 1, 1, 1, 12, 8, 15, 15, 6, 4))
    rows = struct.pack("<Q", len(names))
    for i, name in enumerate(names):
        rows += (
            struct.pack("<i7di", i, 1, 0, 0, 0, 0, 0, i, 1)
            + name.encode()
            + b"\0"
            + struct.pack("<Q", points)
        )
        rows += struct.pack("<ddq", 1.5, 2.5, -1) * points
    (root / "images.bin").write_bytes(rows)
    (root / "points3D.bin").write_bytes(struct.pack("<QQ3d3BdQii", 1, 7, 0, 0, 5, 1, 2, 3, 0.5, 1, 0, 0))
    return root


def test_complete_binary_model(tmp_path):
    model = colmap.read_model(binary(tmp_path))
    assert [(image.name, image.point_count) for image in model.images] == [("a.png", 2), ("b.png", 2)]
    assert model.points.ids.tolist() == [7]
    assert model.points.track_lengths.tolist() == [1]


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin", "points3D.bin"])
def test_every_truncation_of_a_binary_file_is_refused(tmp_path, name):
    path = binary(tmp_path) / name
    content = path.read_bytes()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        refused(lambda: colmap.read_model(tmp_path), name, "is damaged")
    for other in (
        content + b"\0",
        b"\xff" * len(content),
        b"hello, this is text " * 20,
        content[:8] + b"\xff" * 99,
    ):
        path.write_bytes(other)
        refused(lambda: colmap.read_model(tmp_path), name, "is damaged")
    path.write_bytes(content)
    colmap.read_model(tmp_path)


def test_counts_are_checked_against_the_bytes_left(tmp_path):
    path = binary(tmp_path) / "images.bin"
    content = path.read_bytes()
    path.write_bytes(struct.pack("<Q", 2**62) + content[8:])
    line = refused(lambda: colmap.largest_model(tmp_path), "images.bin", f"announces {2**62} images")
    assert f"{len(content) - 8} bytes" in line
    path.write_bytes(content[:78] + struct.pack("<Q", 2**64 - 1) + content[86:])
    refused(lambda: read_images(path), f"announces {2**64 - 1} points")
    path.write_bytes(content.replace(b"a.png", b"\xff.png"))
    refused(lambda: colmap.read_model(tmp_path), "images.bin is damaged")


POSE = "{0} 1 0 0 0 0 0 {0} 1 img {0}.png"


def text(root, listing, cameras="1 PINHOLE 12 8 15 15 6 4\n", points=""):
    root.mkdir(parents=True, exist_ok=True)
    (root / "cameras.txt").write_text(cameras)
    (root / "images.txt").write_text(listing)
    (root / "points3D.txt").write_text(points)
    return root


@pytest.mark.parametrize(
    "listing",
    [
        f"# a\n  # indented\n{POSE.format(1)}\n\n{POSE.format(2)}\n1.5 2 -1 3 4.5 7\n",
        f"\n{POSE.format(1)}\r\n1 2 -1\r\n\r\n{POSE.format(2)}\r\n\r\n\r\n",
        f"{POSE.format(1)}\n1 2 -1\n# in between\n{POSE.format(2)}\n3 4 5",
    ],
)
def test_complete_text_model(tmp_path, listing):
    assert [image.name for image in colmap.read_model(text(tmp_path, listing)).images] == [
        "img 1.png",
        "img 2.png",
    ]


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        (f"# a\n{POSE.format(1)}\n{POSE.format(2)}\n", ("line 3: wanted the points", "img 2.png")),
        (f"{POSE.format(1)}\n\n{POSE.format(2)}", ("ends after the pose of img 2.png",)),
        (f"{POSE.format(1)}\n\n1.5 2 -1 3 4.5 7 3 4.5 7 3 4.5 7\n", ("line 3: wanted IMAGE_ID QW",)),
        (f"{POSE.format(1)}\n\n1 2 3 4 5 6 7 8 9 10 11 12\n\n", ("line 3: wanted IMAGE_ID QW",)),
        ("1 1 0 0 0 0 0 2.5 img.png\n\n", ("line 1: wanted IMAGE_ID QW",)),
        ("1 1 0 0 0 0 0 2.5 1.5 img.png\n\n", ("line 1: wanted IMAGE_ID QW",)),
        ("1 nan 0 0 0 0 0 2.5 1 img.png\n\n", ("line 1: a pose of",)),
        (f"1 1 0 0 0 0 0 2.5 1 {'x' * 5000}\n\n", ("line 1: the name of image 1", "xxx...xxx")),
    ],
)
def test_damaged_text_images_are_refused_by_line(tmp_path, listing, words):
    refused(lambda: colmap.read_model(text(tmp_path, listing)), "images.txt is damaged", *words)


@pytest.mark.parametrize(
    ("cameras", "points", "words"),
    [
        ("hello\n", "", ("cameras.txt", "line 1: wanted CAMERA_ID", "'hello'")),
        ("# c\n1 PINHOLE ab 8 15 15 6 4\n", "", ("cameras.txt", "line 2: wanted CAMERA_ID")),
        ("1 PINHOLE 12 8 15\n", "", ("cameras.txt", "line 1: a PINHOLE camera has 4 parameters")),
        (f"1 PINHOLE {HUGE} 8 15 15 6 4\n", "", ("cameras.txt", "line 1: wanted")),
        ("1 PINHOLE 12 8 15 15 6 4\n", "1 2 3\n", ("points3D.txt", "line 1: wanted POINT3D_ID")),
        ("1 PINHOLE 12 8 15 15 6 4\n", "# p\n" + "9" * 40 + " 0 0 0 1 2 3 0.5\n", ("points3D.txt", "line 2")),
        ("1 PINHOLE 12 8 15 15 6 4\n", "1 0 0 0 999 2 3 0.5\n", ("points3D.txt", "line 1")),
    ],
)
def test_damaged_text_cameras_and_points_are_refused_by_line(tmp_path, cameras, points, words):
    refused(lambda: colmap.read_model(text(tmp_path, f"{POSE.format(1)}\n\n", cameras, points)), *words)


def test_split_files_with_intrinsics_are_nerfstudio(tmp_path, capsys):
    scene(tmp_path, "transforms_train.json", k1=0.1, cx=5.0)
    assert detect_format(tmp_path) == "nerfstudio splits"
    found = load_posed(tmp_path)
    assert found.distortion_model == "opencv"
    assert found.distortion[0, 0] == 0.1
    assert found.pixel_intrinsics()[0, [0, 0], [0, 2]].tolist() == [15, 5]
    save_image(tmp_path / "images" / "7.png")
    only = frames()[:1]
    scene(
        tmp_path,
        "transforms_val.json",
        [only[0] | {"file_path": "images/7.png"}, frames()[1] | {"file_path": "no"}],
    )
    assert available_splits(tmp_path) == ("train", "val")
    assert [path.name for path in load_posed(tmp_path, "val").paths] == ["7.png"]
    assert "1 of 2 photographs are missing, the first: no" in capsys.readouterr().err.replace("\n", "")
    assert "  read as: nerfstudio or instant-ngp scene, transforms_train.json" in inspect(tmp_path)
    (tmp_path / "transforms_val.json").unlink()
    content = {"camera_angle_x": 0.7, "frames": frames(w=12)}
    (tmp_path / "transforms_train.json").write_text(json.dumps(content))
    assert detect_format(tmp_path) == "nerfstudio splits"  # what a frame says counts as well
    (tmp_path / "transforms_train.json").write_text(json.dumps(content | {"frames": frames()}))
    assert detect_format(tmp_path) == "blender"
    assert "  read as: Blender scene (NeRF), transforms_train.json" in inspect(tmp_path)


def test_frames_must_have_one_camera_model(tmp_path):
    listed = frames(camera_model="OPENCV_FISHEYE", k1=0.1)
    assert load_posed(scene(tmp_path, listed=listed)).distortion_model == "fisheye"
    listed[1]["camera_model"] = "OPENCV"
    refused(
        lambda: load_posed(scene(tmp_path, listed=listed)),
        "transforms.json: of frames 0 and 1 only one is fisheye",
    )
    listed[2]["camera_model"] = "x" * 500
    refused(lambda: load_posed(scene(tmp_path, listed=listed)), "camera_model 'xxx")


@pytest.mark.parametrize(
    ("lens", "words"),
    [
        (
            {"cx": 5000, "k1": 0.1},
            ("0.png: no pixel to train on is left by its camera",),
        ),
        ({"k1": 1e300}, ("0.png: no pixel to train on is left by its camera",)),
        ({"fl_x": 1e300}, ("the intrinsics of", "0.png", "focal lengths of 8.33e+298")),
        ({"fl_x": 1e-300}, ("the intrinsics of", "0.png")),
        ({"cx": -1e308}, ("the intrinsics of", "0.png")),
    ],
)
def test_unusable_intrinsics_are_refused(tmp_path, lens, words):
    scene(tmp_path, **lens)
    refused(lambda: decode_posed(load_posed(tmp_path, holdout=0)), *words)


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_an_empty_mask_is_refused(tmp_path, mode):
    for i in range(COUNT):
        save_image(tmp_path / "masks" / f"{i}.png", "white")
    listed = [frame | {"mask_path": f"masks/{i}.png"} for i, frame in enumerate(frames())]
    scene(tmp_path, listed=listed)
    assert decode_posed(load_posed(tmp_path, holdout=0)).masks.all()
    save_image(tmp_path / "masks" / "2.png", (255, 255, 255, 0) if mode == "RGBA" else 0, mode=mode)
    refused(
        lambda: decode_posed(load_posed(tmp_path, holdout=0)),
        "masks/2.png, the mask of 2.png, is black or transparent",
    )


def test_photographs_of_one_position_are_refused(tmp_path):
    listed = [frame | {"transform_matrix": frames()[0]["transform_matrix"]} for frame in frames()]
    scene(tmp_path, listed=listed)
    for world in ("around", "given"):
        refused(lambda: load_posed(tmp_path, world=world), "images (4) have one position", "wanted two")  # noqa: B023
    scene(tmp_path, listed=frames()[:1])
    refused(lambda: load_posed(tmp_path, holdout=0), "images (1) have one position")
    assert len(load_posed(tmp_path, holdout=0, world="given")) == 1


def test_mirrored_poses_and_duplicate_photographs_are_refused(tmp_path):
    listed = frames()
    for row in listed[1]["transform_matrix"][:3]:
        row[0] = -row[0]
    refused(lambda: load_posed(scene(tmp_path, listed=listed)), "1.png is mirrored (determinant -1)")
    refused(lambda: load_posed(scene(tmp_path, listed=frames() + frames()[2:3])), "2.png is listed twice")


def llff_table(root):
    rows = []
    for i in range(3):
        save_image(root / "images" / f"{i}.png")
        motion = [[0, 1, 0, i, 8], [1, 0, 0, 0, 12], [0, 0, -1, 0, 10.0]]
        rows.append([*np.array(motion).ravel(), 2.0, 8.0])
    return np.array(rows)


def test_damaged_llff_tables_are_refused(tmp_path):
    table, path = llff_table(tmp_path), tmp_path / "poses_bounds.npy"
    np.save(path, table.astype(np.float32))
    assert len(llff.read(tmp_path)) == 3
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999, 17), }".ljust(117) + b"\n"
    np.savez(tmp_path / "zipped.npz", table)
    damaged = [
        b"",
        b"PK\x03\x04junk",
        b"hello",
        (tmp_path / "zipped.npz").read_bytes(),
        b"\x93NUMPY\x01\x00v\x00" + header,
    ]
    for content in [*damaged, path.read_bytes()[:300], path.read_bytes()[:9]]:
        path.write_bytes(content)
        refused(lambda: llff.read(tmp_path), f"cannot read {path}")
    kinds = [
        table.astype(complex),
        table.astype(str),
        np.zeros(3, [("a", "f8"), ("b", "i4")]),
        table[:, :15],
        table > 1,
    ]
    for other in [*kinds, np.array(3.0)]:
        np.save(path, other)
        refused(lambda: llff.read(tmp_path), "wanted (N, 17) numbers")


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (3, np.nan, "is not finite"),
        (15, np.inf, "not finite"),
        (14, 0, "not positive"),
        (16, 1.0, "beyond near"),
    ],
)
def test_unusable_rows_of_an_llff_table_are_named(tmp_path, column, value, words):
    table = llff_table(tmp_path)
    table[1, column] = value
    np.save(tmp_path / "poses_bounds.npy", table)
    refused(lambda: llff.read(tmp_path), "poses_bounds.npy: row 1 of 3, counted from 0,", words)


@pytest.mark.parametrize("value", [HUGE, float("nan"), float("inf"), None, "1", True, [1]])
def test_parse_number_refuses_all_but_finite_numbers(value):
    assert len(refused(lambda: parse_number(value, "f.json: cx"), "f.json: cx is ", "wanted a number")) < 130


@pytest.mark.parametrize("value", ["", 5, None, "a\0b", "\ud800", "x" * 5000, "a/" * 600, {"a": 1}])
def test_parse_file_name_refuses_impossible_names(value):
    refused(lambda: parse_file_name(value, "f.json"), "f.json is ", "wanted the name of a file").encode()
    assert parse_file_name("a b/ü.png", "") == "a b/ü.png"


def test_names_in_messages_are_abbreviated():
    assert abbreviate("a b.png") == "a b.png"
    assert len(abbreviate("x" * 5000)) == 80
    abbreviate("\ud800").encode()


@pytest.mark.parametrize("key", ["fl_x", "cx", "k1", "w", "aabb_scale"])
def test_huge_intrinsics_are_refused(tmp_path, key):
    refused(lambda: load_posed(scene(tmp_path, **{key: HUGE})), "transforms.json", f"{key} is 1000", "...")


@pytest.mark.parametrize("offset", [[HUGE, 1, 1], [float("nan")] * 3, [1, 2], "abc"])
def test_an_offset_must_be_three_numbers(tmp_path, offset):
    refused(lambda: load_posed(scene(tmp_path, aabb_scale=4, offset=offset)), "transforms.json", "offset is")


@pytest.mark.parametrize("name", ["transforms.json", "transforms_train.json"])
def test_infinite_and_huge_positions_are_refused(tmp_path, name):
    top = {} if name == "transforms.json" else {"camera_angle_x": 0.7}
    for value, words in (
        (HUGE, "frame 1: its 'transform_matrix' is not finite"),
        (1e300, "position or depth of 1e+300"),
    ):
        listed = frames()
        listed[1]["transform_matrix"][0][3] = value
        content = {"frames": listed} | (top or {"fl_x": 15})
        scene(tmp_path)
        (tmp_path / "transforms.json").unlink()
        (tmp_path / name).write_text(json.dumps(content))
        refused(lambda: load_posed(tmp_path), words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("\ud800", r"frame 1: file_path is '\ud800'"),
        ("x" * 5000, "frame 1: file_path is 'xxx"),
        ("a\0", "frame 1: file_path is"),
        ("/", "names /, but"),
        (".", "names ., but"),
        ("y" * 200, "yyy...yyy"),
    ],
)
def test_impossible_names_of_photographs_are_refused(tmp_path, name, words):
    listed = frames()
    listed[1]["file_path"] = name
    scene(tmp_path)
    (tmp_path / "transforms.json").unlink()
    path = tmp_path / "transforms_train.json"
    path.write_text(json.dumps({"camera_angle_x": 0.7, "frames": listed}))
    refused(lambda: load_posed(tmp_path), str(path), words).encode()


def test_json_with_byte_order_mark_and_without_camera_angle(tmp_path):
    path = scene(tmp_path) / "transforms.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(load_posed(tmp_path, holdout=0)) == COUNT
    path.unlink()
    path = tmp_path / "transforms_train.json"
    path.write_text(json.dumps({"frames": frames()}))
    refused(lambda: load_posed(tmp_path), f"{path} has no camera_angle_x, wanted it (in radians) or fl_x")
    path.write_text(json.dumps({"camera_angle_x": None, "frames": {"a": 1}}))
    refused(lambda: load_posed(tmp_path), f"{path}: frames is {{'a': 1}}, wanted a list")
    path.write_text(json.dumps({"camera_angle_x": HUGE, "frames": frames()}))
    refused(lambda: load_posed(tmp_path), "camera_angle_x is 1000")


def test_a_file_instead_of_a_folder_is_refused(tmp_path):
    (tmp_path / "scene.zip").write_bytes(b"PK")
    refused(lambda: load_posed(tmp_path / "scene.zip"), "scene.zip is a file, wanted a folder", "unpack")
    refused(lambda: load_posed(tmp_path / "other.zip"), "no such folder")


@pytest.mark.parametrize("factor", [float("inf"), float("nan"), 9.0, 0.5])
def test_downscale_factors_are_checked(tmp_path, factor):
    posed = load_posed(scene(tmp_path))
    refused(lambda: decode_posed(posed, downscale=factor), "wanted a factor from 1 to 8")
    assert decode_posed(posed, downscale=8.0).camera.size == (1, 2)
