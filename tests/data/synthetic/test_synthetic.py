"""The ray tracer against known shapes; the embedded sets; sets written to folders."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from genscene.cli.data import main
from genscene.data.images import load_images
from genscene.data.synthetic import FULL_CIRCLE, SETS, synthesize, synthesize_pictures, views_of_one
from genscene.data.synthetic.raytrace import trace
from genscene.data.synthetic.solids import Builder, hsv, pad
from genscene.data.synthetic.write import write_set
from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig
from genscene.geometry.priors import CameraPrior
from genscene.io.atomic import atomic_folder

FRONT = CameraPrior("fixed", (math.pi / 2, 0.0), (math.pi / 2, 0.0), radius=3.0, fov=40.0)


def camera(size=(33, 33)):
    return FRONT.camera_at(torch.tensor([math.pi / 2]), torch.tensor([math.pi / 2]), size)


def number(x):
    return torch.tensor([float(x)])


def test_depth_and_outline_of_a_ball():
    builder = Builder(1)
    builder.ellipsoid(torch.zeros(1, 3), torch.full((1, 3), 0.5), torch.tensor([[1.0, 0.0, 0.0]]))
    traced = trace(builder.build(), camera(), 4)
    assert_close(traced.depth[0, 0, 16, 16], torch.tensor(2.5), atol=0.01, rtol=0)
    half = math.tan(math.radians(20)) * math.sqrt(
        9 - 0.25
    )  # half the height of the view at the ball's outline
    radius = 0.5 / half / 2 * 33
    assert_close(traced.alpha.sum(), torch.tensor(math.pi * radius**2), atol=6.0, rtol=0)
    assert traced.color[0, 0, 16, 16] > 0.3
    assert traced.color[0, 1].max() == 0


def test_a_box_has_a_flat_front_and_occludes():
    builder = Builder(1)
    sides = (number(-0.4), number(0.4))
    builder.box(sides, sides, (number(-0.2), number(0.6)), torch.tensor([[0.0, 1.0, 0.0]]))
    builder.ellipsoid(
        torch.tensor([[0.0, 0.0, -0.8]]), torch.full((1, 3), 0.2), torch.tensor([[1.0, 0.0, 0.0]])
    )
    traced = trace(builder.build(), camera(), 1)
    along = camera().rays().unit().directions[0, :, 2].abs().view(33, 33)  # share of each ray along the axis
    inside = traced.alpha[0, 0] > 0
    assert_close(
        (traced.depth[0, 0] * along)[inside], torch.full((int(inside.sum()),), 2.4), atol=1e-4, rtol=0
    )
    assert traced.color[0, 0].max() == 0


def test_cylinders_along_each_axis():
    for axis, (rows, columns) in {0: (13, 33), 1: (33, 13), 2: (13, 13)}.items():
        builder = Builder(1)
        builder.cylinder(torch.zeros(1, 3), number(0.2), number(0.5), axis, torch.ones(1, 3))
        traced = trace(builder.build(), camera((65, 65)), 1).alpha[0, 0] > 0
        height, width = int(traced.any(1).sum()), int(traced.any(0).sum())
        assert (height > width) == (rows > columns)
        assert (height < width) == (rows < columns)


def test_padding_changes_no_image():
    builder = Builder(1)
    builder.ellipsoid(torch.zeros(1, 3), torch.full((1, 3), 0.5), torch.ones(1, 3))
    plain, padded = builder.build(), pad(builder.build(), 5)
    assert_close(trace(plain, camera(), 1).color, trace(padded, camera(), 1).color)


def test_hsv():
    hues = torch.tensor([0.0, 1 / 3, 2 / 3])
    assert_close(hsv(hues, torch.ones(3), torch.ones(3)), torch.eye(3), atol=1e-6, rtol=0)
    assert_close(hsv(hues, torch.zeros(3), torch.full((3,), 0.5)), torch.full((3, 3), 0.5))


@pytest.mark.parametrize("name", [name for name, each in SETS.items() if each.ground is None])
def test_scenes_fill_their_images_within_bounds(name):
    truth = synthesize(name, range(24), (24, 24))
    covered = truth.traced.alpha.mean(dim=(1, 2, 3))
    assert covered.min() > 0.03
    assert covered.max() < 0.7
    assert truth.traced.alpha[:, :, 0].max() == 0  # nothing is cut off above
    inside = truth.traced.alpha[:, 0] > 0.99
    depth = truth.traced.depth[:, 0][inside]
    assert depth.min() > FULL_CIRCLE.radius - 1.2
    assert depth.max() < FULL_CIRCLE.radius + 1.2
    picture = truth.on_white()
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert picture.flatten(1).std(dim=0).mean() > 0.05  # they differ


@pytest.mark.parametrize("name", SETS)
def test_an_image_is_a_function_of_its_index_and_the_seed(name):
    many, one = synthesize(name, range(4), (12, 12)), synthesize(name, range(2, 3), (12, 12))
    assert_close(many.on_white()[2], one.on_white()[0])
    assert not torch.allclose(synthesize(name, range(1), (12, 12), seed=1).on_white(), many.on_white()[:1])


def test_pictures_are_functions_of_index_and_seed_and_differ(tmp_path):
    many, one = (
        synthesize_pictures("landscapes", range(6), (24, 36)),
        synthesize_pictures("landscapes", range(4, 5), (24, 36)),
    )
    assert many.shape == (6, 24, 36, 3)
    assert torch.equal(many[4], one[0])
    assert not torch.equal(synthesize_pictures("landscapes", range(4, 5), (24, 36), seed=1), one)
    assert many.float().flatten(1).std(dim=1).min() > 5
    larger = synthesize_pictures("landscapes", range(6), (48, 72)).float().movedim(-1, 1)
    smaller = many.float().movedim(-1, 1)
    assert (torch.nn.functional.avg_pool2d(larger, 2) - smaller).abs().mean() < 4
    write_set("landscapes", tmp_path / "out", 2, (24, 36), 0)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"000000.png", "000001.png"}
    written = load_images(str(tmp_path / "out"), ImageConfig(), (24, 36), quiet=True)
    embedded = load_images("synthetic:landscapes", ImageConfig(limit=2), (24, 36), quiet=True)
    assert (written.pixels == many[:2].numpy()).all()
    assert (embedded.pixels == many[:2].numpy()).all()
    assert embedded.cameras is None


def test_pictures_have_neither_cameras_nor_masks(tmp_path):
    with pytest.raises(BadInput, match="pictures of the embedded set landscapes have no cameras"):
        views_of_one("landscapes", range(2), (8, 8))
    with pytest.raises(BadInput, match="pictures of the embedded set landscapes have no masks"):
        load_images("synthetic:landscapes", ImageConfig(limit=2), (8, 8), quiet=True, masks=True)
    with pytest.raises(BadInput, match="pictures of the embedded set landscapes have no cameras"):
        load_images("synthetic:landscapes", ImageConfig(limit=2), (8, 8), quiet=True, cameras=True)
    out = str(tmp_path / "out")
    with pytest.raises(BadInput, match="have no cameras"):
        main(["synthesize", "landscapes", "--out", out, "--camera", "circle"])
    assert not (tmp_path / "out").exists()


def test_yaw_and_pitch_cover_their_ranges():
    truth = synthesize("cars", range(200), (4, 4))
    assert torch.histc(truth.yaw, 4, math.pi / 2 - math.pi, math.pi / 2 + math.pi).min() > 25
    assert truth.pitch.min() > math.radians(34.9)
    assert truth.pitch.max() < math.radians(82.1)


def test_a_written_set_loads_as_it_was(tmp_path):
    write_set("cars", tmp_path / "cars", 3, (16, 20), seed=5)
    truth = synthesize("cars", range(3), (16, 20), seed=5)
    depth, angles = (
        np.load(tmp_path / "cars" / "depth.npy"),
        json.loads((tmp_path / "cars" / "truth.json").read_text()),
    )
    assert_close(torch.from_numpy(depth), truth.traced.depth[:, 0])
    assert [round(a["yaw"], 4) for a in angles] == [round(float(y), 4) for y in truth.yaw]
    with Image.open(tmp_path / "cars" / "000001.png") as image:
        assert image.mode == "RGBA"
        alpha = torch.from_numpy(np.asarray(image)[..., 3].copy()).float() / 255
    assert_close(alpha, truth.traced.alpha[1, 0], atol=0.003, rtol=0)
    loaded = load_images(str(tmp_path / "cars"), ImageConfig(), (16, 20), quiet=True, cameras=True)
    assert_close(loaded.cameras.pose, truth.cameras.pose)
    assert np.abs(loaded.pixels[2] - truth.on_white()[2].movedim(0, -1).numpy() * 255).max() < 2.5


def test_sets_are_written_to_new_folders_only(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep me")
    with pytest.raises(BadInput, match="wanted a new one"):
        write_set("cars", tmp_path / "full", 1, (8, 8), 0)
    with pytest.raises(BadInput, match="did you mean 'objects'"):
        write_set("object", tmp_path / "new", 1, (8, 8), 0)
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]
    assert not (tmp_path / "new").exists()


def test_what_an_interrupted_set_left_is_in_no_ones_way(tmp_path):
    for name in ("new", "empty"):
        (tmp_path / f".{name}.partial").mkdir()  # of a process that was killed
        (tmp_path / f".{name}.partial" / "000007.png").touch()
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        write_set("cars", tmp_path / name, 2, (8, 8), 0)
        names = {"000000.png", "000001.png", "dataset.json", "depth.npy", "truth.json"}
        assert {p.name for p in (tmp_path / name).iterdir()} == names
    assert {p.name for p in tmp_path.iterdir()} == {"new", "empty"}


def test_a_set_is_written_into_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_set("cars", Path(), 1, (8, 8), 0)
    assert Path("000000.png").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["here"]


def test_a_set_is_written_by_one_process(tmp_path):
    with atomic_folder(tmp_path / "set"), pytest.raises(BadInput, match="is being written by process"):
        write_set("cars", tmp_path / "set", 1, (8, 8), 0)
    assert [p.name for p in tmp_path.iterdir()] == ["set"]
