"""Rendering and exporting fitted scenes: exported cameras render the same, bad input is one line."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from genscene.cli import main
from genscene.cli.shared.rendering import views_along
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import Camera, look_at, pinhole
from genscene.geometry.priors import CameraPrior
from genscene.geometry.rotations import rotation
from genscene.io.generator_file import GeneratorFile, read, write
from genscene.systems import PRESETS

SIZE = (6, 10)


def photographs():
    """Seven cameras around the origin, from one side, with lenses that are neither centered nor square."""
    yaw = torch.linspace(2.0, 3.0, 7)
    eye = torch.stack([yaw.cos(), yaw.sin(), torch.linspace(-0.2, 0.5, 7)], dim=-1)
    intrinsics = pinhole(torch.full((7,), 50.0), SIZE)
    intrinsics[:, 1, 1] *= 1.2
    intrinsics[:, :2, 2] += torch.tensor([0.05, -0.08])
    return Camera(look_at(eye, (0.0, 0.0, 1.0)), intrinsics, SIZE)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A scene of random weights, in the file of one fitted to those photographs in another world."""
    torch.manual_seed(0)
    preset = PRESETS["nerf-grid-demo"]
    bounds = torch.tensor([[0.5, 2.0]]).repeat(7, 1)
    system = preset.system.adapt(
        SimpleNamespace(camera=photographs(), bounds=bounds, background=None, ground=None, box=None)
    ).shrunk()
    experiment = replace(preset, system=system)
    generator = build_seeded(experiment).generator
    with torch.no_grad():
        for weights in generator.parameters():
            weights.normal_()
    to_files = torch.eye(4)
    to_files[:3, :3] = 9 * rotation(torch.nn.functional.normalize(torch.tensor([[0.9, 0.3, -0.5, 0.2]])))[0]
    to_files[:3, 3] = torch.tensor([13.0, -5.0, 2.0])
    path = tmp_path_factory.mktemp("scene") / "scene.safetensors"
    write(path, GeneratorFile(generator, experiment, photographs(), to_files))
    return path


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_exported_cameras_render_the_same_pictures(scene, tmp_path):
    path, count = str(tmp_path / "path.json"), ["--frames", "7"]
    assert main(["export", "cameras", str(scene), "--path", "photographs", "--out", path]) == 0
    assert abs(json.loads((tmp_path / "path.json").read_text())["frames"][0]["camera_to_world"][0][3]) > 2
    for extra in ([], ["--size", "12"]):
        for name in (path, "photographs"):
            out = str(tmp_path / f"{name[-5:]}.png")
            assert main(["render", str(scene), "--path", name, "--out", out, *count, *extra]) == 0
        mine, theirs = pixels(tmp_path / ".json.png"), pixels(tmp_path / "raphs.png")
        assert theirs.std() > 5
        assert np.abs(mine - theirs).max() <= 2


@pytest.mark.parametrize("path", ["photographs", "ellipse", "spiral", ""])
@pytest.mark.parametrize("size", [SIZE, (8, 8), (12, 20), (9, 4)])
def test_the_pixel_aspect_is_that_of_the_photographs_at_any_size(scene, path, size):
    made = views_along(read(scene), scene, path, 5, size)
    across, down = made.intrinsics[:, 0, 0] * size[1], made.intrinsics[:, 1, 1] * size[0]
    torch.testing.assert_close(down / across, torch.full((5,), 1.2))
    torch.testing.assert_close(across / min(size), torch.full((5,), 0.5 / math.tan(math.radians(25))))


def test_a_square_picture_is_the_middle_of_the_photograph():
    whole, square = photographs(), photographs().reframed((6, 6))
    rays = whole.rays().directions.unflatten(1, SIZE)[:, :, 2:8]
    torch.testing.assert_close(square.rays().directions.unflatten(1, (6, 6)), rays)


def test_the_front_trajectory_is_where_the_photographs_were_taken(scene):
    content = read(scene)
    assert content.generator.prior == CameraPrior.fit(photographs())
    eye = views_along(content, scene, "front", 12, SIZE).pose[:, :3, 3].mean(dim=0)
    assert math.atan2(eye[1], eye[0]) == pytest.approx(2.5, abs=0.02)


@pytest.mark.parametrize(("word", "known"), [("opacity", "alpha"), ("normals", "normal")])
def test_quantities_have_other_names(scene, tmp_path, word, known):
    for show in (word, known):
        out = str(tmp_path / f"{show}.png")
        assert main(["render", str(scene), "--show", show, "--frames", "1", "--out", out]) == 0
    assert np.array_equal(pixels(tmp_path / f"{word}.png"), pixels(tmp_path / f"{known}.png"))


REFUSED = {
    "keep": ("export mesh --out a.ply --keep 5", "--keep 5.0: wanted a number from 0 to 1"),
    "keep nan": ("export mesh --out a.ply --keep nan", "--keep nan"),
    "mesh seed": ("export mesh --out a.ply --seed 99999999999999999999999", "--seed 9"),
    "mesh psi": ("export mesh --out a.ply --psi nan", "--psi nan"),
    "opaque": ("export pointcloud --out a.ply --opaque 2", "--opaque 2.0"),
    "opaque nan": ("export pointcloud --out a.ply --opaque nan", "--opaque nan"),
    "no points": (
        "export pointcloud --out a.ply --opaque 1 --count 9",
        "opacity above 1.0: too few for 9 points",
    ),
    "count": ("export pointcloud --out a.ply --count 99999999999", "--count 99999999999"),
    "camera fps": ("export cameras --out a.json --fps -3", "--fps -3.0"),
    "camera fps 0": ("export cameras --out a.json --fps 0", "--fps 0.0"),
    "camera fps nan": ("export cameras --out a.json --fps nan", "--fps nan"),
    "camera frames": ("export cameras --out a.json --frames 99999999999", "--frames 99999999999"),
    "camera file": ("export cameras --out a.txt", "--out a.txt: wanted a file ending with .json"),
    "camera path": ("export cameras --out a.json --path elipse", "did you mean 'ellipse'"),
    "psi": ("render --out a.png --psi nan", "--psi nan"),
    "psi above 1": ("render --out a.png --psi 3", "--psi 3.0: wanted a number from 0 to 1"),
    "mesh psi above 1": ("export mesh --out a.ply --psi 3", "--psi 3.0: wanted a number from 0 to 1"),
    "size 0": ("render --out a.png --size 0", "--size '0': wanted a side like 128"),
    "one seed": ("interpolate --seeds 0 --out a.mp4", "--seeds '0': wanted two or more"),
    "one seed twice": ("interpolate --seeds 3,3 --out a.mp4", "--seeds '3,3': wanted two or more"),
    "seeds": ("render --out a.png --seeds x", "--seeds 'x'"),
    "fps high": ("render --out a.mp4 --fps 1e9", "--fps 1000000000.0"),
    "fps 0": ("render --out a.png --fps 0", "--fps 0.0: wanted a number from 0.01 to 1000"),
    "fps nan": ("render --out a.mp4 --fps nan", "--fps nan"),
    "fps inf": ("render --out a.mp4 --fps inf", "--fps inf"),
    "fps low": ("render --out a.gif --fps 1e-9", "--fps 1e-09"),
    "memory nan": ("render --out a.png --memory nan", "--memory nan"),
    "memory inf": ("render --out a.png --memory inf", "--memory inf"),
    "samples": ("render --out a.png --samples 99999999999", "--samples 99999999999"),
    "frames": ("render --out a.png --frames 99999999999", "--frames 99999999999"),
    "path": (
        "render --out a.png --path orbti",
        "known: dolly, elevation, ellipse, front, orbit, photographs",
    ),
}


@pytest.mark.parametrize(("words", "expected"), REFUSED.values(), ids=REFUSED)
def test_bad_options_are_one_line_and_write_nothing(scene, words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    verb, *rest = words.split()
    place = 1 if verb == "export" else 0
    assert main([verb, *rest[:place], str(scene), *rest[place:]]) == 2
    err = capsys.readouterr().err
    assert err.startswith("genscene: ")
    assert err.count("\n") == 1
    assert expected in err
    assert not list(tmp_path.iterdir())


def test_export_without_a_word_is_one_line(capsys):
    assert main(["export"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "mesh, pointcloud, splats, distilled, cameras, prior" in err


def test_weights_that_are_not_finite_are_one_line(scene, tmp_path, capsys):
    content = read(scene)
    for weights in content.generator.parameters():
        weights.fill_(math.nan)
    path, out = tmp_path / "nan.safetensors", tmp_path / "a.png"
    write(path, content)
    assert main(["render", str(path), "--size", "8", "--out", str(out)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "finite" in err
    assert not out.exists()
