"""Prepared sets: cameras from landmarks and files, crops, masks, mirrored pairs, error lines."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from data.faces import face_points
from genscene.cli import main
from genscene.data.images import load_images
from genscene.data.prepare.framing import frame_head, frame_photograph, place_template
from genscene.experiment.schema import ImageConfig
from genscene.geometry.camera_files import write_cameras
from genscene.geometry.cameras import Camera
from genscene.geometry.face_landmarks import FOCAL, RADIUS
from genscene.geometry.priors import CameraPrior
from genscene.randomness import RandomStreams

SIDE = 40  # pixels of a head in its photograph
EG3D = CameraPrior(
    "uniform", (np.pi / 2, 0.5), (np.pi / 2, 0.2), RADIUS, fov=2 * np.degrees(np.arctan(0.5 / FOCAL))
)
TEMPLATE = place_template(face_points())


def cameras(count):
    return EG3D.sample(RandomStreams(range(count)), (1, 1))


def landmarks(camera, place=(0.0, 0.0)):
    """The template seen by a camera [1], in pixels of a head of SIDE pixels at a place."""
    pose = camera.pose[0].double().numpy()
    local = (TEMPLATE - pose[:3, 3]) @ pose[:3, :3]
    sides = (local @ camera.intrinsics[0].double().numpy().T)[:, :2] / local[:, 2:]
    return sides * SIDE + place


def photographs(root, count=3):
    """Photographs of 80 x 60 with a blue square head each, its mask, landmarks.csv and template.csv."""
    (root / "set" / "masks").mkdir(parents=True)
    rows, posed = [], cameras(count)
    for i in range(count):
        x, y = 20 + 5 * i, 10 - 2 * i
        picture, mask = np.zeros((60, 80, 3), np.uint8), np.zeros((60, 80), np.uint8)
        picture[y : y + SIDE, x : x + SIDE, 2], mask[y : y + SIDE, x : x + SIDE] = 200, 255
        Image.fromarray(picture).save(root / "set" / f"{i}.png")
        Image.fromarray(mask).resize((160, 120)).save(root / "set" / "masks" / f"{i}.png")
        rows.append([f"{i}.png", *landmarks(posed[i : i + 1], (x, y)).ravel()])
    write_rows(root / "landmarks.csv", [["name", *range(136)], *rows])
    write_rows(root / "template.csv", face_points().tolist())
    return posed


def write_rows(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def prepare(root, *words):
    options = ["--landmarks", str(root / "landmarks.csv"), "--template", str(root / "template.csv")]
    here = ["data", "prepare", str(root / "set"), "--out", str(root / "out"), "--size", "32"]
    return main([*here, *options, *words])


@pytest.mark.parametrize("seed", range(3))
def test_heads_are_framed_by_eg3ds_camera(seed):
    camera = EG3D.sample(RandomStreams([seed]), (1, 1))
    found = frame_head(TEMPLATE, landmarks(camera, (7, 3)))
    assert [found.left, found.top, found.side] == pytest.approx([7, 3, SIDE], abs=0.01)
    assert_close(torch.from_numpy(found.label)[None].float(), camera.label(), atol=1e-3, rtol=0)
    assert found.error < 1e-4


def test_a_crop_of_a_photograph_is_a_change_of_intrinsics():
    """The known focal length remains, and the principal point is that of the photograph."""
    size = (60, 80)
    intrinsics = torch.tensor([[[1.5, 0, 0.5], [0, 2.0, 0.5], [0, 0, 1]]])  # 120 pixels, 1.5 longer sides
    pose = cameras(1).pose.clone()
    pose[:, :3, 3] += pose[:, :3, 0] * 0.3
    whole = Camera(pose, intrinsics, size)
    points = landmarks(whole) / SIDE * np.array([80, 60])
    found = frame_photograph(TEMPLATE, points, size, 1.5, False)
    window = torch.tensor([[found.side / 80, found.left / 80, found.top / 60]])
    across = whole.crop(window, (1, 1)).intrinsics[0, 0]
    assert_close(torch.from_numpy(found.label[16:19]).float(), across, atol=1e-3, rtol=0)
    assert_close(torch.from_numpy(found.label[:16]).view(4, 4).float(), pose[0], atol=1e-3, rtol=0)


def test_a_prepared_set_has_crops_cameras_masks_and_mirrored_pairs(tmp_path, capsys):
    posed = photographs(tmp_path)
    assert prepare(tmp_path, "--mirror") == 0
    assert "6 pictures, 0 left out" in capsys.readouterr().out
    config = ImageConfig(background="random")
    found = load_images(str(tmp_path / "out"), config, (32, 32), quiet=True, cameras=True)
    assert_close(found.cameras.label()[::2], posed.label(), atol=2e-3, rtol=0)
    assert_close(found.cameras.label()[1::2], posed.mirrored().label(), atol=2e-3, rtol=0)
    assert np.array_equal(found.pixels[1], found.pixels[0][:, ::-1])
    assert found.pixels[..., 3].mean() > 240  # the window is the head
    assert found.pixels[0, 16, 16].tolist() == [0, 0, 200, 255]
    rows = (tmp_path / "out" / "report.csv").read_text().splitlines()
    assert len(rows) == 4


def test_pictures_are_left_out_with_a_line_each(tmp_path, capsys):
    photographs(tmp_path, 5)
    rows = [line.split(",") for line in (tmp_path / "landmarks.csv").read_text().splitlines()]
    rows[1][1:] = rows[1][:0:-1]  # no face
    rows[2][9] = "nan"
    rows[3][1:] = [str(float(x) - 50 * (i % 2 == 0)) for i, x in enumerate(rows[3][1:])]  # beside the picture
    write_rows(tmp_path / "landmarks.csv", [*rows[:4], rows[5]])
    assert prepare(tmp_path) == 0
    lines = capsys.readouterr()
    assert "1 pictures, 4 left out" in lines.out
    for words in ("0.png is left out: landmarks are off by", "1.png is left out: it has no landmarks"):
        assert words in lines.err
    assert "2.png is left out: 50 % of the head's square" in lines.err
    assert "3.png is left out: it has no landmarks" in lines.err


def test_cameras_of_files_are_those_of_the_middle_square(tmp_path):
    photographs(tmp_path, 2)
    posed, source = cameras(2), tmp_path / "set"
    here = ["data", "prepare", str(source), "--size", "32", "--no-masks", "--out"]
    write_cameras(tmp_path / "path.json", posed)
    labels = [[f"{i}.png", posed.label()[i].tolist()] for i in range(2)]
    (source / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert main([*here, str(tmp_path / "a")]) == 0
    assert main([*here, str(tmp_path / "b"), "--cameras", str(tmp_path / "path.json")]) == 0
    for name in "ab":
        found = load_images(str(tmp_path / name), ImageConfig(), (32, 32), quiet=True, cameras=True).cameras
        assert_close(found.pose, posed.pose, atol=1e-5, rtol=0)
        assert_close(found.intrinsics[0, 0], torch.tensor([FOCAL * 80 / 60, 0, 0.5]), atol=1e-3, rtol=0)
        assert_close(found.intrinsics[0, 1], torch.tensor([0, FOCAL, 0.5]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("suffix", ["json", "npz", "folder"])
def test_landmarks_are_read_from_files_of_several_kinds(tmp_path, suffix):
    posed = photographs(tmp_path, 2)
    with (tmp_path / "landmarks.csv").open() as file:
        table = {row[0]: [float(x) for x in row[1:]] for row in list(csv.reader(file))[1:]}
    points = {name: np.array(row).reshape(68, 2) for name, row in table.items()}
    path = tmp_path / ("marks" if suffix == "folder" else f"marks.{suffix}")
    if suffix == "json":
        path.write_text(json.dumps({name: each.tolist() for name, each in points.items()}))
    elif suffix == "npz":
        np.savez(path, **points)
    else:
        path.mkdir()
        np.save(path / "0.npy", points["0.png"])
        write_rows(path / "1.csv", [["x", "y"], *points["1.png"].tolist()])
    assert prepare(tmp_path, "--landmarks", str(path)) == 0
    found = load_images(str(tmp_path / "out"), ImageConfig(), (32, 32), quiet=True, cameras=True)
    assert_close(found.cameras.label(), posed.label(), atol=2e-3, rtol=0)


def test_estimated_focal_lengths_frame_the_head_alike(tmp_path):
    photographs(tmp_path, 1)
    assert prepare(tmp_path, "--focal", "estimate") == 0
    left, top, side = (float(x) for x in (tmp_path / "out" / "report.csv").read_text().split(",")[-3:])
    assert [left, top, side] == pytest.approx([20, 10, SIDE], abs=1.5)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--template", "None"], "wanted --template FILE"),
        (["--landmarks", "None"], "wanted with --landmarks"),
        (["--landmarks", "None", "--template", "None"], "has no dataset.json with cameras"),
        (["--cameras", "x.json"], "wanted one of them"),
        (["--landmarks", "nowhere.csv"], "no landmarks at nowhere.csv"),
        (["--landmarks", "template.csv"], "wanted 68 x 2 numbers"),
        (["--template", "landmarks.csv"], "wanted 68 x 3 numbers"),
        (["--template", "endless.json"], "are not finite, or above 1e+09"),
        (["--landmarks", "other.json"], "its names, like 'a.png', are those of no picture"),
        (["--focal", "wide"], "wanted eg3d, estimate, or 0.1 to 100"),
        (["--largest-error", "-1"], "wanted 0 or more"),
        (["--largest-error", "0"], "none of 2 pictures is left"),
        (["--out", "set/out"], "wanted a folder outside"),
        (["--out", "set"], "is not an empty folder"),
    ],
)
def test_what_cannot_be_prepared_is_one_line(tmp_path, capsys, monkeypatch, words, line):
    photographs(tmp_path, 2)
    (tmp_path / "other.json").write_text(json.dumps({"a.png": [[0, 0]] * 68}))
    (tmp_path / "endless.json").write_text(json.dumps([[1e300, 0, np.inf]] * 68))
    monkeypatch.chdir(tmp_path)
    assert prepare(tmp_path, *words) == 2
    assert line in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_labels_and_masks_that_do_not_match_are_one_line(tmp_path, capsys):
    posed = photographs(tmp_path, 2)
    labels = [["0.png", posed.label()[0].tolist()], ["x.png", posed.label()[1].tolist()]]
    (tmp_path / "set" / "dataset.json").write_text(json.dumps({"labels": labels}))
    here = ["data", "prepare", str(tmp_path / "set"), "--out", str(tmp_path / "out")]
    assert main(here) == 2
    assert "has no camera for 1 images, the first: 1.png" in capsys.readouterr().err
    (tmp_path / "set" / "masks" / "1.png").unlink()
    assert main(here) == 2
    assert "has no masks for 1 images" in capsys.readouterr().err
    write_cameras(tmp_path / "path.json", cameras(3))
    assert main([*here, "--no-masks", "--cameras", str(tmp_path / "path.json")]) == 2
    assert "has 3 cameras without names, wanted 2" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
