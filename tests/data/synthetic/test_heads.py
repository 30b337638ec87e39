"""Heads of a tiny model: the rasteriser, determinism, labels, masks and landmarks, error lines."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from data.faces import face_points, write_model
from genscene.cli import main
from genscene.data.images import load_images
from genscene.data.synthetic.heads.raster import rasterize, vertex_normals
from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig
from genscene.geometry.face_landmarks import EYES, EYES_APART, FOCAL, LEFT_EYE, RADIUS, RIGHT_EYE, head_frame

HERE = ["data", "synthesize", "heads", "--size", "24"]


def test_the_nearest_triangle_is_seen_and_interpolated_in_perspective():
    points = np.array([[0.0, 0], [0, 8], [8, 0], [0, 0], [0, 8], [8, 0]])
    depth = np.array([1.0, 2, 4, 3, 3, 3])
    found = rasterize(points, depth, np.array([[0, 1, 2], [3, 4, 5]]), (8, 8))
    assert len(found.pixels) == 36  # of 64, the diagonal belongs to the triangle
    assert_close(found.weights.sum(axis=1), np.ones(36))
    y, x = found.pixels // 8 + 0.5, found.pixels % 8 + 0.5
    exact = 1 / ((1 - (x + y) / 8) / 1 + y / 8 / 2 + x / 8 / 4)
    assert (found.triangles == (exact > 3)).all()
    here = found.triangles == 0
    got = found.interpolate(np.array([[0, 1, 2], [3, 4, 5]]), depth[:, None])[:, 0]
    assert_close(got[here], exact[here])
    assert len(rasterize(points, depth, np.array([[0, 2, 1]]), (8, 8)).pixels) == 0  # it faces away
    assert len(rasterize(points - 20, depth, np.array([[0, 1, 2]]), (8, 8)).pixels) == 0


def test_triangles_that_share_an_edge_leave_no_hole():
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(9.0), np.arange(9.0), indexing="xy"), -1) * 2
    grid[1:-1, 1:-1] += rng.uniform(-0.7, 0.7, (7, 7, 2))
    index = np.arange(81).reshape(9, 9)
    a, b, c, d = (x.ravel() for x in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    found = rasterize(grid.reshape(-1, 2), np.ones(81), triangles, (16, 16))
    assert len(found.pixels) == 256
    flat = np.concatenate([grid.reshape(-1, 2) * [1, -1], np.zeros((81, 1))], axis=1)
    assert_close(vertex_normals(flat, triangles), np.tile([0.0, 0, 1], (81, 1)))


def test_landmarks_of_any_axes_and_unit_stand_in_the_frame_of_heads():
    points = torch.from_numpy(face_points())
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.manual_seed(0)).double())
    turn = turn * torch.det(turn).sign()
    for given in (points, points @ turn.T * 7 + 3):
        frame = head_frame(given)
        placed = given @ frame[:3, :3].T + frame[:3, 3]
        left, right = placed[LEFT_EYE].mean(0), placed[RIGHT_EYE].mean(0)
        assert_close(left - right, torch.tensor([EYES_APART, 0, 0]).double(), atol=1e-6, rtol=0)
        assert_close((left + right) / 2, torch.tensor(EYES).double())
    for wrong in (points * torch.tensor([-1.0, 1, 1]), points * 0, points.flip(0)):
        with pytest.raises(BadInput, match="no face in iBUG's order"):
            head_frame(wrong)


def test_heads_have_labels_masks_and_landmarks(tmp_path, capsys):
    assets = str(write_model(tmp_path / "assets"))
    for out, count in (("a", "3"), ("b", "2")):
        assert main([*HERE, "--assets", assets, "--out", str(tmp_path / out), "--count", count]) == 0
    for name in ("000000.png", "000001.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    config = ImageConfig(background="random")
    found = load_images(str(tmp_path / "a"), config, (24, 24), quiet=True, cameras=True)
    assert len({image.tobytes() for image in found.pixels}) == 3
    alpha = found.pixels[..., 3]
    assert alpha[:, 12, 12].min() == 255
    assert alpha.min() == 0
    assert ((alpha > 0) & (alpha < 255)).any()  # antialiased
    assert_close(found.cameras.pose[:, :3, 3].norm(dim=1), torch.full((3,), RADIUS))
    assert_close(found.cameras.intrinsics[0], torch.tensor([[FOCAL, 0, 0.5], [0, FOCAL, 0.5], [0, 0, 1]]))
    rows = list(csv.reader((tmp_path / "a" / "landmarks.csv").read_text().splitlines()))
    assert [len(row) for row in rows] == [137] * 4
    assert len((tmp_path / "a" / "template.csv").read_text().splitlines()) == 69
    truth = json.loads((tmp_path / "a" / "truth.json").read_text())
    assert [row["file"] for row in truth] == [f"{i:06d}.png" for i in range(3)]
    with Image.open(tmp_path / "a" / "000000.png") as image:
        assert image.mode == "RGBA"
    assert "3 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quads": None}, "has no array 'quads'"),
        ({"identity_modes": np.zeros((2, 5, 3), np.float16)}, "identity_modes has shape [2, 5, 3]"),
        ({"quad_material": np.full(768, 9, np.uint8)}, "quad_material holds other numbers than 0 to 2"),
        ({"expression_names": np.array(["a"])}, "wanted a name for each of 2 expressions"),
        ({"vertices": np.full((868, 3), np.nan)}, "vertices holds numbers that are not finite"),
    ],
)
def test_a_wrong_model_is_one_line(tmp_path, capsys, changes, words):
    assets = write_model(tmp_path / "assets", **changes)
    assert main([*HERE, "--assets", str(assets), "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "wanted --assets FOLDER"),
        (["--assets", "nowhere"], "no model of heads at nowhere"),
        (["--assets", "nowhere", "--size", "24x32"], "wanted a square"),
        (["--assets", "nowhere", "--count", "0"], "wanted 1 or more"),
        (["--assets", "nowhere", "--fov", "30"], "heads have the cameras of EG3D's labels"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, capsys, monkeypatch, words, line):
    monkeypatch.chdir(tmp_path)
    assert main([*HERE, "--out", "out", *words]) == 2
    assert line in capsys.readouterr().err
    assert main(["data", "synthesize", "cars", "--out", "out", "--assets", "x"]) == 2
    assert "wanted with the set heads" in capsys.readouterr().err
