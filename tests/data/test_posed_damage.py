"""Damaged and odd folders of posed photographs: each is one line that names the file, and what is wrong there."""

import json
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from genscene.data.inspect import inspect
from genscene.data.posed import colmap, llff
from genscene.data.posed.colmap_binary import images
from genscene.data.posed.folder import format_of, look, splits
from genscene.data.posed.photographs import photographs
from genscene.data.posed.values import filename, number, short
from genscene.errors import BadInput
from genscene.geometry.cameras import look_at

COUNT = 4
HUGE = 10**400
OPENGL = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)


def refused(act, *words):
    """The one line an act is refused with."""
    with pytest.raises(BadInput) as caught:
        act()
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 700
    for word in words:
        assert word in line, line
    return line


def picture(path, color=0, size=(12, 8), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)


def frames(folder="images", **extra):
    angle = torch.arange(COUNT, dtype=torch.float64)
    eye = torch.stack([4 * angle.cos(), 4 * angle.sin(), torch.ones_like(angle)], dim=-1)
    pose = (look_at(eye, (0.0, 0.0, 1.0)) * OPENGL).tolist()
    return [{"file_path": f"{folder}/{i}.png", "transform_matrix": pose[i], **extra} for i in range(COUNT)]


def scene(root, name="transforms.json", listed=None, **top):
    """Frames with a file for each."""
    listed = frames() if listed is None else listed
    for i in range(COUNT):
        picture(root / "images" / f"{i}.png", (40 * i, 0, 0))
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


def test_a_whole_binary_model(tmp_path):
    model = colmap.read(binary(tmp_path))
    assert [(shot.name, shot.points) for shot in model.shots] == [("a.png", 2), ("b.png", 2)]
    assert model.points.ids.tolist() == [7]
    assert model.points.tracks.tolist() == [1]


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin", "points3D.bin"])
def test_every_cut_of_a_binary_file_is_refused(tmp_path, name):
    path = binary(tmp_path) / name
    content = path.read_bytes()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        refused(lambda: colmap.read(tmp_path), name, "is damaged")
    for other in (
        content + b"\0",
        b"\xff" * len(content),
        b"hello, this is text " * 20,
        content[:8] + b"\xff" * 99,
    ):
        path.write_bytes(other)
        refused(lambda: colmap.read(tmp_path), name, "is damaged")
    path.write_bytes(content)
    colmap.read(tmp_path)


def test_counts_are_held_against_what_is_left(tmp_path):
    path = binary(tmp_path) / "images.bin"
    content = path.read_bytes()
    path.write_bytes(struct.pack("<Q", 2**62) + content[8:])
    line = refused(lambda: colmap.largest(tmp_path), "images.bin", f"announces {2**62} images")
    assert f"{len(content) - 8} bytes" in line
    path.write_bytes(content[:78] + struct.pack("<Q", 2**64 - 1) + content[86:])
    refused(lambda: images(path), f"announces {2**64 - 1} points")
    path.write_bytes(content.replace(b"a.png", b"\xff.png"))
    refused(lambda: colmap.read(tmp_path), "images.bin is damaged")


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
def test_a_whole_text_model(tmp_path, listing):
    assert [shot.name for shot in colmap.read(text(tmp_path, listing)).shots] == ["img 1.png", "img 2.png"]


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
def test_text_images_are_refused_by_line(tmp_path, listing, words):
    refused(lambda: colmap.read(text(tmp_path, listing)), "images.txt is damaged", *words)


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
def test_text_cameras_and_points_are_refused_by_line(tmp_path, cameras, points, words):
    refused(lambda: colmap.read(text(tmp_path, f"{POSE.format(1)}\n\n", cameras, points)), *words)


def test_splits_that_tell_of_lenses_are_nerfstudios(tmp_path, capsys):
    scene(tmp_path, "transforms_train.json", k1=0.1, cx=5.0)
    assert format_of(tmp_path) == "nerfstudio splits"
    found = look(tmp_path)
    assert found.model == "opencv"
    assert found.distortion[0, 0] == 0.1
    assert found.pixel_intrinsics()[0, [0, 0], [0, 2]].tolist() == [15, 5]
    picture(tmp_path / "images" / "7.png")
    only = frames()[:1]
    scene(
        tmp_path,
        "transforms_val.json",
        [only[0] | {"file_path": "images/7.png"}, frames()[1] | {"file_path": "no"}],
    )
    assert splits(tmp_path) == ("train", "val")
    assert [path.name for path in look(tmp_path, "val").paths] == ["7.png"]
    assert "1 of 2 photographs are not there, the first: no" in capsys.readouterr().err.replace("\n", "")
    assert "  read as: nerfstudio or instant-ngp scene, transforms_train.json" in inspect(tmp_path)
    (tmp_path / "transforms_val.json").unlink()
    content = {"camera_angle_x": 0.7, "frames": frames(w=12)}
    (tmp_path / "transforms_train.json").write_text(json.dumps(content))
    assert format_of(tmp_path) == "nerfstudio splits"  # what a frame says counts as well
    (tmp_path / "transforms_train.json").write_text(json.dumps(content | {"frames": frames()}))
    assert format_of(tmp_path) == "blender"
    assert "  read as: Blender scene (NeRF), transforms_train.json" in inspect(tmp_path)


def test_a_frame_of_another_kind_of_lens(tmp_path):
    listed = frames(camera_model="OPENCV_FISHEYE", k1=0.1)
    assert look(scene(tmp_path, listed=listed)).model == "fisheye"
    listed[1]["camera_model"] = "OPENCV"
    refused(
        lambda: look(scene(tmp_path, listed=listed)),
        "transforms.json: of frames 0 and 1 one has a fisheye lens",
    )
    listed[2]["camera_model"] = "x" * 500
    refused(lambda: look(scene(tmp_path, listed=listed)), "camera_model 'xxx")


@pytest.mark.parametrize(
    ("lens", "words"),
    [
        ({"cx": 5000, "k1": 0.1}, ("0.png: no pixel to learn from is left by its lens",)),
        ({"k1": 1e300}, ("0.png: no pixel to learn from is left by its lens",)),
        ({"fl_x": 1e300}, ("the lens of", "0.png", "focal lengths of 8.33e+298")),
        ({"fl_x": 1e-300}, ("the lens of", "0.png")),
        ({"cx": -1e308}, ("the lens of", "0.png")),
    ],
)
def test_a_lens_through_which_nothing_is_seen(tmp_path, lens, words):
    scene(tmp_path, **lens)
    refused(lambda: photographs(look(tmp_path, every=0)), *words)


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_a_mask_that_leaves_nothing(tmp_path, mode):
    for i in range(COUNT):
        picture(tmp_path / "masks" / f"{i}.png", "white")
    listed = [frame | {"mask_path": f"masks/{i}.png"} for i, frame in enumerate(frames())]
    scene(tmp_path, listed=listed)
    assert photographs(look(tmp_path, every=0)).masks.all()
    picture(tmp_path / "masks" / "2.png", (255, 255, 255, 0) if mode == "RGBA" else 0, mode=mode)
    refused(lambda: photographs(look(tmp_path, every=0)), "masks/2.png, the mask of 2.png, is black or clear")


def test_photographs_at_one_place(tmp_path):
    listed = [frame | {"transform_matrix": frames()[0]["transform_matrix"]} for frame in frames()]
    scene(tmp_path, listed=listed)
    for world in ("around", "given"):
        refused(lambda: look(tmp_path, world=world), "images (4) stand at one place", "wanted two")  # noqa: B023
    scene(tmp_path, listed=frames()[:1])
    refused(lambda: look(tmp_path, every=0), "images (1) stand at one place")
    assert len(look(tmp_path, every=0, world="given")) == 1


def test_a_mirrored_pose_and_a_photograph_twice(tmp_path):
    listed = frames()
    for row in listed[1]["transform_matrix"][:3]:
        row[0] = -row[0]
    refused(lambda: look(scene(tmp_path, listed=listed)), "1.png is mirrored (determinant -1)")
    refused(lambda: look(scene(tmp_path, listed=frames() + frames()[2:3])), "2.png is listed twice")


def llff_table(root):
    rows = []
    for i in range(3):
        picture(root / "images" / f"{i}.png")
        motion = [[0, 1, 0, i, 8], [1, 0, 0, 0, 12], [0, 0, -1, 0, 10.0]]
        rows.append([*np.array(motion).ravel(), 2.0, 8.0])
    return np.array(rows)


def test_tables_that_are_none(tmp_path):
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
def test_a_bad_row_of_a_table_is_named(tmp_path, column, value, words):
    table = llff_table(tmp_path)
    table[1, column] = value
    np.save(tmp_path / "poses_bounds.npy", table)
    refused(lambda: llff.read(tmp_path), "poses_bounds.npy: row 1 of 3, counted from 0,", words)


@pytest.mark.parametrize("value", [HUGE, float("nan"), float("inf"), None, "1", True, [1]])
def test_a_number_is_finite(value):
    assert len(refused(lambda: number(value, "f.json: cx"), "f.json: cx is ", "wanted a number")) < 130


@pytest.mark.parametrize("value", ["", 5, None, "a\0b", "\ud800", "x" * 5000, "a/" * 600, {"a": 1}])
def test_a_name_is_one_of_a_file(value):
    refused(lambda: filename(value, "f.json"), "f.json is ", "wanted the name of a file").encode()
    assert filename("a b/ü.png", "") == "a b/ü.png"


def test_names_in_messages_are_short():
    assert short("a b.png") == "a b.png"
    assert len(short("x" * 5000)) == 80
    short("\ud800").encode()


@pytest.mark.parametrize("key", ["fl_x", "cx", "k1", "w", "aabb_scale"])
def test_huge_numbers_of_a_lens(tmp_path, key):
    refused(lambda: look(scene(tmp_path, **{key: HUGE})), "transforms.json", f"{key} is 1000", "...")


@pytest.mark.parametrize("offset", [[HUGE, 1, 1], [float("nan")] * 3, [1, 2], "abc"])
def test_an_offset_is_three_numbers(tmp_path, offset):
    refused(lambda: look(scene(tmp_path, aabb_scale=4, offset=offset)), "transforms.json", "offset is")


@pytest.mark.parametrize("name", ["transforms.json", "transforms_train.json"])
def test_positions_that_are_no_place(tmp_path, name):
    top = {} if name == "transforms.json" else {"camera_angle_x": 0.7}
    for value, words in ((HUGE, "frame 1: its 'transform_matrix' is not finite"), (1e300, "1e+300 away")):
        listed = frames()
        listed[1]["transform_matrix"][0][3] = value
        content = {"frames": listed} | (top or {"fl_x": 15})
        scene(tmp_path)
        (tmp_path / "transforms.json").unlink()
        (tmp_path / name).write_text(json.dumps(content))
        refused(lambda: look(tmp_path), words)


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
def test_names_of_photographs_that_are_none(tmp_path, name, words):
    listed = frames()
    listed[1]["file_path"] = name
    scene(tmp_path)
    (tmp_path / "transforms.json").unlink()
    path = tmp_path / "transforms_train.json"
    path.write_text(json.dumps({"camera_angle_x": 0.7, "frames": listed}))
    refused(lambda: look(tmp_path), str(path), words).encode()


def test_json_with_a_mark_of_its_byte_order_and_without_an_angle(tmp_path):
    path = scene(tmp_path) / "transforms.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(look(tmp_path, every=0)) == COUNT
    path.unlink()
    path = tmp_path / "transforms_train.json"
    path.write_text(json.dumps({"frames": frames()}))
    refused(lambda: look(tmp_path), f"{path} has no camera_angle_x, wanted it (in radians) or fl_x")
    path.write_text(json.dumps({"camera_angle_x": None, "frames": {"a": 1}}))
    refused(lambda: look(tmp_path), f"{path}: frames is {{'a': 1}}, wanted a list")
    path.write_text(json.dumps({"camera_angle_x": HUGE, "frames": frames()}))
    refused(lambda: look(tmp_path), "camera_angle_x is 1000")


def test_a_file_where_a_folder_is_wanted(tmp_path):
    (tmp_path / "scene.zip").write_bytes(b"PK")
    refused(lambda: look(tmp_path / "scene.zip"), "scene.zip is a file, wanted a folder", "unpack")
    refused(lambda: look(tmp_path / "other.zip"), "no such folder")


@pytest.mark.parametrize("factor", [float("inf"), float("nan"), 9.0, 0.5])
def test_what_photographs_are_made_smaller_by(tmp_path, factor):
    posed = look(scene(tmp_path))
    refused(lambda: photographs(posed, downscale=factor), "wanted a factor from 1 to 8")
    assert photographs(posed, downscale=8.0).camera.size == (1, 2)
