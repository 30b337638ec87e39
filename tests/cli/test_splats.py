"""Files of Gaussians on the command line: rendered, converted, and refused in one line."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from export.test_splats import random_gaussians
from genscene.apps.splat_scene import read_scene
from genscene.cli import main
from genscene.export.mesh import save_mesh
from genscene.export.splats import from_gaussians, read_splats, write_ply
from genscene.scenes import Gaussians

SIZE = ["--size", "24"]


def tower():
    """A red Gaussian above a blue one, along -y."""
    means = torch.tensor([[[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]]])
    quats = torch.tensor([1.0, 0, 0, 0]).expand(1, 2, 4)
    colors = torch.tensor([[[0.9, 0.0, 0.0], [0.0, 0.0, 0.9]]])
    return Gaussians(means, quats, torch.full((1, 2, 3), 0.3), torch.full((1, 2), 0.95), colors)


def pixels_of(path):
    """The numbers of a picture [H, W, 3]."""
    with Image.open(path) as image:
        return np.asarray(image)


def heights(path):
    """Mean rows of the red and of the blue pixels of a picture on black."""
    pixels = pixels_of(path).astype(float)
    rows = np.arange(len(pixels))[:, None]
    return [float((pixels[..., c] * rows).sum() / pixels[..., c].sum()) for c in (0, 2)]


@pytest.mark.parametrize(
    ("stored", "option", "upright"),
    [
        (None, [], True),  # 3DGS's files have y downwards
        ((0.0, -1.0, 0.0), [], True),
        ((0.0, 1.0, 0.0), [], False),
        ((0.0, 1.0, 0.0), ["--up=-y"], True),
        (None, ["--up", "y"], False),
        (None, ["--up", "0,-2,0"], True),
    ],
)
def test_scenes_are_upright(stored, option, upright, tmp_path):
    write_ply(tmp_path / "a.ply", from_gaussians(tower(), stored))
    out = tmp_path / "a.png"
    words = ["--frames", "1", "--background", "black", *SIZE, *option]
    assert main(["render", str(tmp_path / "a.ply"), "--out", str(out), *words]) == 0
    red, blue = heights(out)
    assert (red < blue) == upright


def test_a_file_is_rendered_in_every_way(tmp_path, capsys):
    file = tmp_path / "a.ply"
    write_ply(file, from_gaussians(random_gaussians()))
    for show in ("image", "depth", "alpha"):
        words = ["render", str(file), "--out", str(tmp_path / f"{show}.png"), "--show", show, "--frames", "2"]
        assert main([*words, *SIZE]) == 0, capsys.readouterr().err
        assert pixels_of(tmp_path / f"{show}.png").shape == (24, 48, 3)
    words = ["render", str(file), "--out", str(tmp_path / "a.gif"), "--path", "orbit", "--frames", "2"]
    assert main([*words, *SIZE, "--view-lock"]) == 0, capsys.readouterr().err
    for color in ("white", "black"):
        words = ["render", str(file), "--out", str(tmp_path / f"{color}.png"), "--background", color]
        assert main([*words, *SIZE, "--frames", "1"]) == 0
    light, dark = (pixels_of(tmp_path / f"{color}.png") for color in ("white", "black"))
    assert light[0, 0].tolist() == [255] * 3
    assert dark[0, 0].tolist() == [0] * 3


def test_a_file_far_from_its_origin_and_of_any_size_is_in_the_middle(tmp_path):
    cloud = random_gaussians()
    moved = Gaussians(1e3 * cloud.means + 5e4, cloud.quats, 1e3 * cloud.scales, cloud.opacities, cloud.colors)
    write_ply(tmp_path / "a.ply", from_gaussians(moved))
    content = read_scene(tmp_path / "a.ply")
    middle = content.generator.gaussians().means[0].mean(dim=0)
    assert middle.norm() < 500
    assert content.to_files is not None
    assert (content.to_files[:3, 3] - 5e4).norm() < 2e3


def test_files_are_converted(tmp_path):
    write_ply(tmp_path / "a.ply", from_gaussians(random_gaussians(), (1.0, 0.0, 0.0)))
    assert main(["export", "splats", str(tmp_path / "a.ply"), "--out", str(tmp_path / "b.ply")]) == 0
    before, after = (read_splats(tmp_path / name) for name in ("a.ply", "b.ply"))
    assert after.up == pytest.approx(before.up, abs=1e-5)
    for name in ("means", "f_dc", "sh_rest", "opacity_logit", "log_scales"):
        assert np.allclose(getattr(before, name), getattr(after, name), atol=1e-4)
    assert main(["export", "splats", str(tmp_path / "b.ply"), "--out", str(tmp_path / "c.splat")]) == 0
    for suffix in ("glb", "sog", "spz", "html"):
        out = tmp_path / f"d.{suffix}"
        assert main(["export", "splats", str(tmp_path / "c.splat"), "--out", str(out)]) == 0
        assert out.stat().st_size > 500


def test_formats_that_cannot_be_written_are_refused_in_one_line(tmp_path, capsys):
    cloud = random_gaussians(9, 1)
    write_ply(tmp_path / "small.ply", from_gaussians(replace(cloud, scales=1e-6 * cloud.scales)))
    for name, words in (("a.ksplat", "wanted a file ending with .ply, .splat, .glb, .sog, .spz, .html"),
                        ("a.spz", "usual size")):  # fmt: skip
        code = main(["export", "splats", str(tmp_path / "small.ply"), "--out", str(tmp_path / name)])
        error = capsys.readouterr().err.strip()
        assert (code, len(error.splitlines()), (tmp_path / name).exists()) == (2, 1, False), error
        assert words in error


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--splats", "9"], "its scenes are Gaussians already"),
        (["--steps", "0"], "its scenes are Gaussians already"),
        (["--splats", "many"], "--splats many: wanted a whole number"),
        (["--splatts", "9"], "did you mean --splats?"),
    ],
)
def test_gaussians_are_not_fitted_again(options, words, tmp_path, capsys):
    write_ply(tmp_path / "a.ply", from_gaussians(random_gaussians(9)))
    code = main(["export", "splats", str(tmp_path / "a.ply"), "--out", str(tmp_path / "b.ply"), *options])
    error = capsys.readouterr().err.strip()
    assert (code, len(error.splitlines()), (tmp_path / "b.ply").exists()) == (2, 1, False), error
    assert words in error


@pytest.mark.parametrize("stored", [None, (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.6, 0.0, 0.8)])
def test_a_scene_is_turned_to_what_viewers_show_upright(stored, tmp_path, capsys):
    """Viewers of .ply and .splat show -y upwards, those of glTF +y after the rotation of the node."""
    write_ply(tmp_path / "a.ply", from_gaussians(random_gaussians(), stored))
    words = ["export", "splats", str(tmp_path / "a.ply"), "--turn-to=-y", "--out"]
    assert main([*words, str(tmp_path / "b.ply")]) == 0
    assert "upwards is 0,-1,0" in capsys.readouterr().out
    before, after = (read_splats(tmp_path / name) for name in ("a.ply", "b.ply"))
    up = np.array(stored or (0.0, -1.0, 0.0))
    assert after.up == pytest.approx((0, -1, 0), abs=1e-6)
    assert np.allclose(before.means @ up, -after.means[:, 1], atol=1e-5)
    bad = ["export", "splats", str(tmp_path / "a.ply"), "--out", str(tmp_path / "c.ply"), "--turn-to", "up"]
    assert main(bad) == 2
    assert "--turn-to 'up': wanted x, -x" in capsys.readouterr().err
    assert not (tmp_path / "c.ply").exists()


def test_what_is_no_scene_of_gaussians_is_refused_in_one_line(tmp_path, capsys):
    import trimesh

    save_mesh(tmp_path / "mesh.ply", trimesh.creation.box())
    write_ply(tmp_path / "good.ply", from_gaussians(random_gaussians(3)))
    (tmp_path / "cut.ply").write_bytes((tmp_path / "good.ply").read_bytes()[:-5])
    (tmp_path / "empty.splat").write_bytes(b"")
    refused = {
        ("mesh.ply",): "holds more than vertices",
        ("cut.ply",): "cut short",
        ("empty.splat",): "multiple of 32",
        ("missing.ply",): "no file of Gaussians at",
        ("good.ply", "--up", "upwards"): "wanted x, -x",
        ("good.ply", "--path", "photographs"): "not fitted to photographs",
        ("good.ply", "--window", "0,0,1,1"): "--window",
        ("run", "--up", "z"): "wanted with a file of Gaussians",
    }
    for (name, *options), words in refused.items():
        out = tmp_path / "out.png"
        code = main(["render", str(tmp_path / name), "--out", str(out), *options, *SIZE])
        error = capsys.readouterr().err.strip()
        assert (code, len(error.splitlines()), out.exists()) == (2, 1, False), f"{name} {options}: {error}"
        assert words in error, error
