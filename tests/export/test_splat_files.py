"""Gaussians as .sog, .spz and .html: read back by the readers here, which follow the formats' documents."""

import base64
import gzip
import io
import json
import re
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial import cKDTree
from torch.testing import assert_close

from export.test_splats import pictures, random_gaussians
from genscene.errors import BadInput
from genscene.export.splat_files.formats import ENDINGS, Placement, to_format, write_gaussians
from genscene.export.splat_files.quantize import codebook, nearest, palette
from genscene.export.splat_files.sog import write_sog
from genscene.export.splat_files.spz import write_spz
from genscene.export.splats import Splats, from_gaussians, read_splats, to_gaussians
from genscene.geometry.priors import CameraPrior
from genscene.metrics.image import psnr

PLACEMENT = Placement((0.0, 0.0, 1.0), CameraPrior(radius=3.0, up="z").sweep(1, (1, 1)), 40.0)
HALF = 2**-0.5


def rotations(largest, others):
    """Which of 4 components is the largest [N], the others [N, 3] -> unit quaternions [N, 4]."""
    quats = np.zeros((len(others), 4))
    kept = np.arange(4) != largest[:, None]
    quats[kept] = others.ravel()
    quats[~kept] = np.sqrt(np.maximum(0, 1 - np.square(others).sum(-1)))
    return quats


def logit(opacity):
    """The inverse of the sigmoid, of what 8 bits can hold."""
    opacity = np.clip(opacity, 1e-6, 1 - 1e-6)
    return np.log(opacity / (1 - opacity))


def read_sog(path):
    """The Gaussians of a .sog, version 2."""
    with zipfile.ZipFile(path) as archive:
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        files = {name: archive.read(name) for name in archive.namelist()}
    meta = json.loads(files["meta.json"])
    assert meta["version"] == 2

    def pixels(name, channels):
        with Image.open(io.BytesIO(files[name])) as image:
            assert image.format == "WEBP"
            return np.asarray(image.convert("RGBA"))[..., :channels].astype(int).reshape(-1, channels)

    count = meta["count"]
    low, high = (pixels(name, 3)[:count] for name in meta["means"]["files"])
    shares = (low + 256 * high) / 65535
    logs = np.array(meta["means"]["mins"]) * (1 - shares) + np.array(meta["means"]["maxs"]) * shares
    quats, sh0 = pixels("quats.webp", 4)[:count], pixels("sh0.webp", 4)[:count]
    assert ((quats[:, 3] >= 252) & (quats[:, 3] <= 255)).all()
    rest = np.zeros((count, 0, 3))
    if "shN" in meta:
        terms = {1: 3, 2: 8, 3: 15}[meta["shN"]["bands"]]
        centers = pixels("shN_centroids.webp", 3).reshape(-1, terms, 3)
        labels = pixels("shN_labels.webp", 2)[:count] @ [1, 256]
        assert labels.max() < meta["shN"]["count"] <= len(centers)
        rest = np.array(meta["shN"]["codebook"])[centers[labels]]
    return Splats(
        np.sign(logs) * np.expm1(np.abs(logs)),
        np.array(meta["sh0"]["codebook"])[sh0[:, :3]],
        rest,
        logit(sh0[:, 3] / 255),
        np.array(meta["scales"]["codebook"])[pixels("scales.webp", 3)[:count]],
        rotations(quats[:, 3] - 252, (quats[:, :3] / 255 - 0.5) / HALF),
        meta["antialias"],
    )


def read_spz(content):
    """The Gaussians of the content of a .spz, version 3."""
    content = gzip.decompress(content)
    magic, version, count, degree, bits, flags, reserved = struct.unpack_from("<4sII4B", content)
    assert (magic, version, reserved) == (b"NGSP", 3, 0)
    start = 16

    def column(width):
        nonlocal start
        found = np.frombuffer(content, np.uint8, count * width, start).reshape(count, width).astype(np.int64)
        start += count * width
        return found

    places, alphas, colors, sizes = (column(width) for width in (9, 1, 3, 3))
    places = places.reshape(count, 3, 3) @ [1, 1 << 8, 1 << 16]
    words = column(4) @ [1, 1 << 8, 1 << 16, 1 << 24]
    numbers = np.stack([words >> shift & 1023 for shift in (20, 10, 0)], axis=-1)
    others = np.where(numbers & 512, -1, 1) * (numbers & 511) / 511 * HALF
    rest = (column(3 * ((degree + 1) ** 2 - 1)).reshape(count, -1, 3) - 128) / 128
    assert start == len(content)
    quats = rotations(words >> 30, others)[:, [3, 0, 1, 2]]
    means = (places - (places >> 23 << 24)) / 2**bits
    f_dc = (colors - 127.5) / (0.15 * 255)
    return Splats(means, f_dc, rest, logit(alphas[:, 0] / 255), sizes / 16 - 10, quats, bool(flags & 1))


def matched(found, splats):
    """The Gaussians that were read, in the order of those that were written."""
    _, order = cKDTree(found.means).query(splats.means)
    assert len(set(order)) == len(splats.means)
    return found.ordered(order)


def assert_near(found, splats, tolerances):
    """Each column, and turns, within a tolerance."""
    found = matched(found, splats)
    for name, tolerance in tolerances.items():
        if name != "quats":
            a, b = getattr(found, name), getattr(splats, name)
            assert np.abs(a - b).max(initial=0) <= tolerance, name
    angles = np.abs((found.unit_quats() * splats.unit_quats()).sum(-1))
    assert (2 * np.arccos(np.minimum(1, angles))).max() < tolerances["quats"]
    assert np.abs(found.opacities() - splats.opacities()).max() <= 0.5 / 255 + 1e-6
    assert found.antialiased == splats.antialiased


@pytest.mark.parametrize("harmonics", [0, 4, 16])
@pytest.mark.parametrize("antialiased", [False, True])
def test_a_sog_read_back_is_the_same_picture(harmonics, antialiased, tmp_path):
    torch.manual_seed(0)
    cloud = random_gaussians(300, harmonics, antialiased)
    splats = from_gaussians(cloud)
    write_sog(tmp_path / "a.sog", splats)
    found = read_sog(tmp_path / "a.sog")
    tolerances = {"means": 2e-5, "f_dc": 0.03, "sh_rest": 0.03, "log_scales": 0.03, "quats": 0.02}
    assert_near(found, splats, tolerances)
    seen, again = (pictures(to_gaussians(each)) for each in (splats, matched(found, splats)))
    assert psnr((seen - again).square().mean()) > 45


@pytest.mark.parametrize("harmonics", [0, 4, 16])
@pytest.mark.parametrize("antialiased", [False, True])
def test_a_spz_read_back_is_the_same_picture(harmonics, antialiased, tmp_path):
    torch.manual_seed(0)
    cloud = random_gaussians(300, harmonics, antialiased)
    cloud = replace(cloud, colors=cloud.colors.clamp(-0.9, 0.9))  # of harmonics the format holds -1 to 1
    splats = from_gaussians(cloud)
    write_spz(tmp_path / "a.spz", splats)
    found = read_spz((tmp_path / "a.spz").read_bytes())
    tolerances = {"means": 1e-3, "f_dc": 0.0131, "sh_rest": 1 / 16, "log_scales": 1 / 32, "quats": 0.005}
    assert_near(found, splats, tolerances)
    seen, again = (pictures(to_gaussians(each)) for each in (splats, matched(found, splats)))
    assert psnr((seen - again).square().mean()) > 38


@pytest.mark.parametrize("write", [write_sog, write_spz])
def test_files_are_small_and_the_same_every_time(write, tmp_path):
    torch.manual_seed(0)
    splats = from_gaussians(random_gaussians(2000, 1))
    for name in "ab":
        write(tmp_path / name, splats)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_size < 25 * 2000  # of 56 and more


def test_one_gaussian_is_a_file_too(tmp_path):
    splats = from_gaussians(random_gaussians(1, 4))
    write_sog(tmp_path / "a.sog", splats)
    write_spz(tmp_path / "a.spz", splats)
    for found in (read_sog(tmp_path / "a.sog"), read_spz((tmp_path / "a.spz").read_bytes())):
        assert np.abs(found.means - splats.means).max() < 1e-3


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_places_are_as_fine_as_the_gaussians_are_small(scale, tmp_path):
    torch.manual_seed(0)
    cloud = random_gaussians(50, 1)
    cloud = replace(cloud, means=scale * cloud.means, scales=scale * cloud.scales)
    splats = from_gaussians(cloud)
    write_spz(tmp_path / "a.spz", splats)
    found = read_spz((tmp_path / "a.spz").read_bytes())
    assert np.abs(matched(found, splats).means - splats.means).max() < 2e-3 * scale


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scales": 1e-5}, "usual size of its Gaussians is"),
        ({"scales": 1e5}, "usual size"),
        ({"means": 1e8}, "a Gaussian is at"),
    ],
)
def test_what_a_spz_cannot_hold_is_refused(change, words, tmp_path):
    torch.manual_seed(0)
    cloud = random_gaussians(9, 1)
    cloud = replace(cloud, **{name: factor * getattr(cloud, name) for name, factor in change.items()})
    with pytest.raises(BadInput, match=words) as refused:
        write_spz(tmp_path / "a.spz", from_gaussians(cloud))
    assert len(str(refused.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_codebook_is_exact_for_few_numbers_and_close_for_many():
    few = np.array([3.0, -1.0, 3.0, 7.5])
    centers = codebook(few)
    assert np.allclose(centers[nearest(few, centers)], few)
    rng = np.random.default_rng(0)
    many = np.concatenate([rng.normal(size=5000), [40.0]])
    centers = codebook(many)
    assert (np.diff(centers) >= 0).all()
    errors = centers[nearest(many, centers)] - many
    assert np.abs(errors[-1]) < 1
    assert np.sqrt(np.square(errors).mean()) < 0.02


def test_a_palette_is_exact_for_few_vectors_and_close_for_many():
    rng = np.random.default_rng(0)
    groups = rng.normal(size=(20, 6)).astype(np.float32)
    centers, labels = palette(groups, 32)
    assert (centers[labels] == groups).all()
    many = (groups[rng.integers(20, size=3000)] + 0.01 * rng.normal(size=(3000, 6))).astype(np.float32)
    centers, labels = palette(many, 256)
    assert np.sqrt(np.square(centers[labels] - many).mean()) < 0.05


def page_parts(path):
    """The first view of a page, and its Gaussians."""
    text = path.read_text()
    view, splats = re.search(r'VIEW = (\{.*?\}), SPLATS = "([\w+/=]+)"', text).groups()
    return text, json.loads(view), read_spz(base64.b64decode(splats))


def test_a_page_holds_the_gaussians_and_needs_nothing_else(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "<b>car.html"
    write_gaussians(path, random_gaussians(50, 9), PLACEMENT)
    text, view, splats = page_parts(path)
    assert view["title"] == "<b>car"
    assert "<b>car" not in text
    assert view["fov"] == 40.0
    assert np.linalg.norm(view["eye"]) == pytest.approx(1, abs=1e-5)  # in units of the camera's distance
    assert (len(splats.means), splats.sh_rest.shape[1]) == (50, 8)
    assert not re.search(r"https?:|src=|href=|import\(|fetch\(", text)
    assert "default-src 'none'" in text
    assert "#version 300 es" in text


def test_every_format_is_upright_in_its_own_way(tmp_path):
    cloud = random_gaussians(1, 1)
    cloud = replace(cloud, means=torch.tensor([[[0.0, 0.0, 0.5]]]))  # above the origin, z is up
    upright = {".sog": (0, -0.5, 0), ".spz": (0, 0.5, 0), ".html": (0, 0.5 / 3, 0), ".ply": (0, 0, 0.5)}
    for suffix in ENDINGS:
        assert write_gaussians(tmp_path / f"a{suffix}", cloud, PLACEMENT)[0] > 0
    found = {
        ".sog": read_sog(tmp_path / "a.sog"),
        ".spz": read_spz((tmp_path / "a.spz").read_bytes()),
        ".html": page_parts(tmp_path / "a.html")[2],
        ".ply": read_splats(tmp_path / "a.ply"),
    }
    for suffix, splats in found.items():
        assert splats.means[0] == pytest.approx(upright[suffix], abs=2e-3), suffix
    assert found[".ply"].up == (0, 0, 1)


def test_scenes_of_photographs_are_in_the_coordinates_of_their_files_except_on_a_page():
    to_files = torch.eye(4, dtype=torch.float64)
    to_files[:3] *= 7
    to_files[:3, 3] = torch.tensor([100.0, 0, 0])
    placement = replace(PLACEMENT, to_files=to_files)
    assert_close(to_format(".ply", placement)[0], to_files)
    turned, up = to_format(".sog", placement)
    assert up == (0, -1, 0)
    assert_close(turned @ turned.new_tensor([0, 0, 1, 0]), turned.new_tensor([0, -7.0, 0, 0]))
    page, _ = to_format(".html", placement)
    assert_close(page[:3, 3], torch.zeros(3, dtype=torch.float64))
    assert float(torch.linalg.det(page[:3, :3])) == pytest.approx(1 / 27)
