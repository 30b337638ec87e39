"""Camera poses by structure from motion, and the errors where there are none."""

import math
import sys

import pytest
import torch
from PIL import Image
from torch.nn.functional import grid_sample, interpolate
from torch.testing import assert_close

from genscene.cli import main
from genscene.data.posed import load_posed
from genscene.data.prepare.poses import PoseEstimate, estimate_poses, natural_key, write_image
from genscene.errors import BadInput
from genscene.geometry.priors import CameraPrior

COUNT, SIZE = 6, (200, 260)


def cameras():
    """Cameras on an arc in front of the corner of a room."""
    yaw = math.pi / 4 + torch.linspace(-0.4, 0.4, COUNT)
    pitch = 1.0 + 0.15 * (torch.arange(COUNT) % 2)
    return CameraPrior(radius=3.0, fov=42.0).camera_at(yaw, pitch, SIZE)


def room(camera):
    """Images of three textured walls x = -1, y = -1, z = -1 -> [N, 3, H, W]."""
    rng = torch.Generator().manual_seed(1)
    noise = (torch.rand(3, 3, n, n, generator=rng) - 0.5 for n in (16, 32, 64, 128))
    walls = 0.5 + 0.5 * sum(interpolate(x, (512, 512), mode="bicubic") for x in noise)
    rays = camera.rays()
    t = (-1 - rays.origins) / rays.directions  # [N, R, 3]
    t, wall = torch.where(t > 0, t, math.inf).min(dim=-1)
    points = rays.origins + t[..., None] * rays.directions
    picture = torch.zeros(*points.shape[:2], 3)
    for i in range(3):
        flat = points[..., [k for k in range(3) if k != i]] / 3
        seen = grid_sample(walls[i : i + 1].expand(len(flat), -1, -1, -1), flat[:, None], align_corners=False)
        picture = torch.where((wall == i)[..., None], seen[:, :, 0].mT, picture)
    return picture.mT.unflatten(-1, camera.size).clamp(0, 1)


def save_images(folder, images):
    folder.mkdir()
    for i, image in enumerate(images):
        pixels = (image * 255).round().byte().movedim(0, -1).numpy()
        Image.fromarray(pixels).save(folder / f"shot {i}.png")
    return folder


def blank(folder, sizes, ending="png"):
    """Images without texture."""
    folder.mkdir()
    for i, size in enumerate(sizes):
        Image.new("RGB", size, (90, 120, 60)).save(folder / f"{i}.{ending}")
    return folder


@pytest.fixture
def colmap():
    return pytest.importorskip("pycolmap")


def test_poses_of_a_room(colmap, tmp_path, capsys):
    true = cameras()
    folder = save_images(tmp_path / "room", room(true))
    Image.effect_noise(SIZE[::-1], 90).convert("RGB").save(folder / "stray.png")
    assert main(["data", "poses", str(folder)]) == 0
    output, progress = capsys.readouterr()
    out = tmp_path / "room-posed"
    assert f"{out}: poses of {COUNT} of {COUNT + 1} photographs" in output
    assert f"--data {out}" in output
    assert "no pose for: stray.png\n" in progress
    assert "matching pairs of photographs: 21" in progress
    assert sorted(p.name for p in tmp_path.iterdir()) == ["room", "room-posed"]
    assert {p.name for p in (out / "sparse" / "0").iterdir()} >= {"cameras.bin", "images.bin", "points3D.bin"}
    posed = load_posed(out, holdout=0, world="given")
    assert [path.name for path in posed.paths] == [f"shot_{i}.png" for i in range(COUNT)]
    assert relative_error(posed.pose[:, :3, 3], true.pose[:, :3, 3].double()) < 0.02
    assert_close(posed.intrinsics[0, 0, 0], true.intrinsics[0, 0, 0].double(), rtol=0.05, atol=0)


def relative_error(found, true):
    """RMS distance of positions [N, 3] after the best similarity transform, relative to their spread."""
    a, b = found - found.mean(dim=0), true - true.mean(dim=0)
    u, s, v = torch.linalg.svd(b.mT @ a)
    sign = torch.diag(torch.stack([*torch.ones(2), torch.det(u @ v).sign()]).to(a))
    scale = (s * sign.diagonal()).sum() / a.square().sum()
    return float((scale * a @ (u @ sign @ v).mT - b).norm() / b.norm())


@pytest.mark.parametrize("matching", ["exhaustive", "sequential"])
def test_images_without_matches_are_refused_with_advice(colmap, tmp_path, capsys, matching):
    folder = blank(tmp_path / "in", [(80, 60)] * 4)
    words = ["data", "poses", str(folder), "--out", str(tmp_path / "out"), "--matching", matching]
    assert main(words) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"genscene: {folder}: no two of 4 photographs match; take them")
    assert "--matching" in line
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_few_mixed_or_damaged_photographs_are_refused(colmap, tmp_path, capsys):
    few = blank(tmp_path / "few", [(80, 60)] * 3)
    (few / "1.png").write_bytes((few / "1.png").read_bytes()[:60])
    with pytest.raises(BadInput, match="few holds 2 photographs: wanted 3 or more"):
        estimate_poses(few, tmp_path / "out")
    assert "1.png" in capsys.readouterr().err
    mixed = blank(tmp_path / "mixed", [(80, 60), (80, 60), (90, 60)])
    with pytest.raises(BadInput, match=r"80x60 and 90x60 pixels.*--no-shared-lens"):
        estimate_poses(mixed, tmp_path / "out")
    with pytest.raises(BadInput, match="no two of 3"):
        estimate_poses(mixed, tmp_path / "out", shared=False)
    assert not (tmp_path / "out").exists()


def test_missing_pycolmap_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    folder = blank(tmp_path / "in", [(8, 8)] * 3)
    assert main(["data", "poses", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert (
        capsys.readouterr().err == "genscene: estimating poses needs pycolmap: pip install 'genscene[sfm]'\n"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


BAD = {
    "no folder": (["nowhere"], "no such folder: nowhere"),
    "a file": (["in/0.png"], "no such folder"),
    "no pictures": (["empty"], "holds no images"),
    "full": (["in", "--out", "full"], "full exists already and is not an empty folder"),
    "inside": (["in", "--out", "in/out"], "lies in in"),
    "side": (["in", "--side", "3"], "side 3"),
    "negative": (["in", "--side", "-5"], "side -5"),
    "matching": (["in", "--matching", "all"], "--matching"),
}


@pytest.mark.parametrize(("words", "expected"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line(words, expected, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blank(tmp_path / "in", [(8, 8)] * 3)
    blank(tmp_path / "full", [(8, 8)])
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert main(["data", "poses", *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert expected in err
    assert sorted(tmp_path.rglob("*")) == before


def test_few_poses_are_a_warning(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "genscene.cli.data.estimate_poses", lambda *_: PoseEstimate(9, tuple("abcde"), 50, 0.4)
    )
    assert main(["data", "poses", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "poses of 4 of 9 photographs, 50 points, reprojection error 0.40 pixels" in out
    assert "no pose for: a, b, c, d, e" in err
    assert "fewer than half" in err


def test_photographs_are_copied_or_transposed_and_downsampled(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    exif.get_ifd(0x8769)[0xA405] = 28  # focal length on 35 mm film
    Image.new("RGB", (80, 40)).save(tmp_path / "a.jpg", exif=exif)
    assert write_image(tmp_path / "a.jpg", tmp_path / "up.jpg", 0, True) == (40, 80)
    assert write_image(tmp_path / "a.jpg", tmp_path / "stored.jpg", 0, False) == (80, 40)
    assert write_image(tmp_path / "a.jpg", tmp_path / "small.jpg", 20, True) == (10, 20)
    for name, size in (("up.jpg", (40, 80)), ("stored.jpg", (80, 40)), ("small.jpg", (10, 20))):
        with Image.open(tmp_path / name) as image:
            assert image.size == size
            assert image.getexif()[0x0112] == 1
            assert image.getexif().get_ifd(0x8769)[0xA405] == 28
    Image.new("RGBA", (80, 40), (9, 9, 9, 100)).save(tmp_path / "b.webp")
    assert write_image(tmp_path / "b.webp", tmp_path / "b.png", 0, True) == (80, 40)
    with Image.open(tmp_path / "b.png") as image:
        assert image.mode == "RGBA"
    write_image(tmp_path / "b.png", tmp_path / "c.png", 80, True)
    assert (tmp_path / "c.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_natural_order_of_names():
    assert sorted(["f10.jpg", "f9.jpg", "a/3", "f1b"], key=natural_key) == ["a/3", "f1b", "f9.jpg", "f10.jpg"]
