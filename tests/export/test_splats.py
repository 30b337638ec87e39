"""Gaussians as .ply, .splat and .glb files."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.export.splat_glb import EXTENSION, write_glb
from genscene.export.splats import (
    from_gaussians,
    parse_up,
    read_ply,
    read_splat,
    read_splats,
    to_gaussians,
    write_ply,
    write_splat,
)
from genscene.geometry.priors import CameraPrior
from genscene.render.splatting import render_gaussians
from genscene.scenes import Gaussians

CAMERAS = CameraPrior("uniform", radius=3.0, fov=40.0).sweep(2, (40, 40))


def random_gaussians(count=30, harmonics=16, antialiased=False):
    """One cloud within a unit cube; without harmonics: of colors."""
    quats = torch.nn.functional.normalize(torch.randn(1, count, 4), dim=-1)
    colors = torch.rand(1, count, 3) if not harmonics else 0.4 * torch.randn(1, count, harmonics, 3)
    means, scales = torch.rand(1, count, 3) - 0.5, 0.02 + 0.1 * torch.rand(1, count, 3)
    opacities = 0.1 + 0.85 * torch.rand(1, count)
    return Gaussians(means, quats, scales, opacities, colors, antialiased=antialiased)


def pictures(gaussians):
    """The cloud seen by two cameras -> [2, 3, 40, 40]."""
    return torch.cat([render_gaussians(gaussians, CAMERAS[i : i + 1]).image for i in range(2)])


def glb_parts(path):
    """The JSON and the bytes of a .glb, after its header and chunks are checked."""
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON"
    assert size % 4 == 0
    document, rest = json.loads(content[20 : 20 + size]), content[20 + size :]
    size, kind = struct.unpack_from("<I4s", rest)
    assert kind == b"BIN\0"
    assert size == len(rest) - 8
    return document, rest[8:]


def glb_columns(path):
    """The attributes of the one primitive of a .glb, and its JSON."""
    document, content = glb_parts(path)
    (mesh,) = document["meshes"]
    (primitive,) = mesh["primitives"]
    found = {}
    for name, number in primitive["attributes"].items():
        accessor = document["accessors"][number]
        view = document["bufferViews"][accessor["bufferView"]]
        kind = {5126: "<f4", 5121: "u1"}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        assert view["byteOffset"] % 4 == 0
        assert view["byteLength"] == accessor["count"] * width * np.dtype(kind).itemsize
        column = np.frombuffer(content, kind, accessor["count"] * width, view["byteOffset"])
        found[name] = column.reshape(accessor["count"], width)
    return found, primitive, document


@pytest.mark.parametrize("harmonics", [0, 1, 4, 9, 16])
@pytest.mark.parametrize("antialiased", [False, True])
def test_a_ply_read_back_is_the_same_picture(harmonics, antialiased, tmp_path):
    cloud = random_gaussians(harmonics=harmonics, antialiased=antialiased)
    write_ply(tmp_path / "a.ply", from_gaussians(cloud, (0.0, 0.0, -1.0)))
    splats = read_splats(tmp_path / "a.ply")
    assert (splats.up, splats.antialiased) == ((0.0, 0.0, -1.0), antialiased)
    assert splats.sh_rest.shape == (30, max(0, harmonics - 1), 3)
    again = to_gaussians(splats)
    for name in ("means", "quats", "scales", "opacities"):
        assert_close(getattr(again, name), getattr(cloud, name), atol=1e-6, rtol=1e-5)
    assert (pictures(again) - pictures(cloud)).abs().max() < 1 / 255
    header = (tmp_path / "a.ply").read_bytes()[:300]
    assert (b"comment SplatRenderMode: mip\n" in header) == antialiased


def test_extreme_opacities_survive(tmp_path):
    cloud = replace(random_gaussians(3), opacities=torch.tensor([[0.0, 1.0, 0.5]]))
    write_ply(tmp_path / "a.ply", from_gaussians(cloud))
    assert_close(to_gaussians(read_splats(tmp_path / "a.ply")).opacities, cloud.opacities, atol=1e-6, rtol=0)


def test_a_splat_read_back_is_quantized_and_in_the_order_of_importance(tmp_path):
    cloud = random_gaussians(harmonics=0)
    write_splat(tmp_path / "a.splat", from_gaussians(cloud).by_importance())
    again = to_gaussians(read_splats(tmp_path / "a.splat"))
    weight = again.scales.prod(-1) * again.opacities
    assert (weight.diff() < 1e-6).all()
    order = (cloud.scales.prod(-1) * cloud.opacities)[0].argsort(descending=True)
    assert_close(again.means[0], cloud.means[0, order])
    assert_close(again.opacities[0], cloud.opacities[0, order], atol=1 / 255, rtol=0)
    assert (pictures(again) - pictures(cloud)).abs().max() < 0.03


@pytest.mark.parametrize("harmonics", [0, 4, 16])
def test_a_glb_is_valid_and_holds_the_same_numbers(harmonics, tmp_path):
    cloud = random_gaussians(harmonics=harmonics)
    stored = from_gaussians(cloud, (0.0, 0.0, 1.0))
    write_glb(tmp_path / "a.glb", stored)
    columns, primitive, document = glb_columns(tmp_path / "a.glb")
    assert document["asset"]["version"] == "2.0"
    assert document["extensionsUsed"] == [EXTENSION]
    assert primitive["mode"] == 0
    extension = primitive["extensions"][EXTENSION]
    assert extension["kernel"] == "ellipse"
    assert extension["colorSpace"] == "srgb_rec709_display"
    assert (columns["POSITION"] == cloud.means[0].numpy()).all()
    position = document["accessors"][primitive["attributes"]["POSITION"]]
    assert position["min"] == columns["POSITION"].min(axis=0).tolist()
    assert position["max"] == columns["POSITION"].max(axis=0).tolist()
    assert columns["COLOR_0"].shape == (30, 4)
    assert np.allclose(columns[f"{EXTENSION}:SCALE"], cloud.scales[0], rtol=1e-5)
    assert np.allclose(columns[f"{EXTENSION}:OPACITY"][:, 0], cloud.opacities[0], atol=1e-6)
    assert np.allclose(columns[f"{EXTENSION}:ROTATION"], cloud.quats[0][:, [1, 2, 3, 0]], atol=1e-6)
    names = [name for name in columns if "SH_DEGREE" in name]
    assert len(names) == max(1, harmonics)
    if harmonics:
        assert np.allclose(columns[f"{EXTENSION}:SH_DEGREE_1_COEF_2"], cloud.colors[0, :, 3], atol=1e-6)
    turn = np.array(document["nodes"][0]["rotation"])  # xyzw, takes z to y
    x, y, z, w = turn
    assert np.allclose(
        [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], [0, 1, 0], atol=1e-6
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("y", (0, 1, 0)),
        ("-z", (0, 0, -1)),
        ("0 -2 0", (0, -1, 0)),
        ("3,0,4", (0.6, 0, 0.8)),
        ("", None),
        ("-", None),
        ("up", None),
        ("0 0 0", None),
        ("1 2", None),
        ("nan 0 1", None),
    ],
)
def test_directions_that_are_upwards(text, wanted):
    assert parse_up(text) == wanted


def changed(splats, name, value):
    """Gaussians whose second one has this value."""
    column = getattr(splats, name).copy()
    column[1] = value
    return replace(splats, **{name: column})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: changed(s, "means", np.nan), "a position .* number 1"),
        (lambda s: changed(s, "log_scales", np.inf), "a scale"),
        (lambda s: changed(s, "opacity_logit", np.nan), "an opacity"),
        (lambda s: changed(s, "quats", 0), "a rotation"),
        (lambda s: changed(s, "sh_rest", np.nan), "harmonic"),
        (lambda s: replace(s, sh_rest=s.sh_rest[:, :2]), "has 6 f_rest"),
    ],
)
def test_numbers_that_are_no_gaussians_are_refused(change, words, tmp_path):
    write_ply(tmp_path / "a.ply", change(from_gaussians(random_gaussians())))
    with pytest.raises(BadInput, match=words) as refused:
        read_splats(tmp_path / "a.ply")
    assert len(str(refused.value).splitlines()) == 1


def test_files_without_gaussians_or_of_other_kinds_are_refused(tmp_path):
    none = from_gaussians(random_gaussians(0, 1))
    write_ply(tmp_path / "none.ply", none)
    with pytest.raises(BadInput, match="holds no Gaussians"):
        read_splats(tmp_path / "none.ply")
    with pytest.raises(BadInput, match=r"\.ply, \.splat"):
        read_splats(tmp_path / "a.spz")
    with pytest.raises(BadInput, match="no file of Gaussians at"):
        read_splats(tmp_path / "missing.ply")
    write_ply(tmp_path / "cut.ply", from_gaussians(random_gaussians()))
    (tmp_path / "cut.ply").write_bytes((tmp_path / "cut.ply").read_bytes()[:-9])
    with pytest.raises(BadInput, match="cut short"):
        read_splats(tmp_path / "cut.ply")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"ply\nformat ascii 1.0\nend_header\n", "binary little-endian"),
        (b"nothing", "binary little-endian"),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 9\nproperty float x\nend_header\n\0",
            "cut short",
        ),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 0\nelement face 0\n"
            b"property float x\nend_header\n",
            "more than vertices",
        ),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\nend_header\n\0\0\0\0",
            "have no y",
        ),
    ],
)
def test_files_that_hold_no_gaussians_are_refused(tmp_path, content, words):
    (tmp_path / "a.ply").write_bytes(content)
    with pytest.raises(BadInput, match=words):
        read_ply(tmp_path / "a.ply")
    (tmp_path / "a.splat").write_bytes(b"12345")
    with pytest.raises(BadInput, match="multiple of 32"):
        read_splat(tmp_path / "a.splat")
