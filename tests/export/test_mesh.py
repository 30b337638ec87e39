"""Meshes: exact positions, closed, outward, colored, without small parts; the three file formats."""

import json
import math
import struct

import numpy as np
import pytest
import torch
import trimesh
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.export.mesh import (
    Lattice,
    color_vertices,
    corner_counts,
    extract_surface,
    remove_small_parts,
    sample_density,
    save_mesh,
    surface_level,
    surface_shift,
)

BOX = (1.0, 0.75, 0.5)
CENTER = torch.tensor([0.21, -0.13, 0.07])


def ball(points, directions):
    """A hard ball of radius 0.3 whose colors are positions, off the origin."""
    density = 400 * (0.3 - (points - CENTER).norm(dim=-1))
    return (points + 1) / 2, density


def lattice(field=ball, resolution=64):
    return sample_density(field, torch.relu, BOX, resolution)


def test_the_corners_of_the_lattice_are_those_of_the_box():
    positions = []

    def recorded(points, directions):
        positions.append(points[0])
        return points, points[..., 0]

    found = sample_density(recorded, lambda x: x + 2, BOX, 8)
    points = torch.cat(positions).view(*found.density.shape, 3)
    assert found.density.shape == (9, 7, 5)
    assert_close(points[0, 0, 0], -torch.tensor(BOX))
    assert_close(points[-1, -1, -1], torch.tensor(BOX))
    assert_close(points[4, 3, 2], torch.zeros(3))
    assert_close(torch.tensor(found.spacing), torch.full((3,), 0.25, dtype=torch.float64))


def test_the_surface_of_a_ball_is_round_closed_outward_and_at_its_position():
    made = extract_surface(lattice(), 10.0)  # density 10 is 0.275 from the center
    radii = np.linalg.norm(made.vertices - CENTER.numpy(), axis=1)
    assert abs(radii.mean() - 0.275) < 1e-3
    assert radii.std() < 1e-3
    assert made.is_watertight
    assert made.volume > 0  # faces wind outwards
    assert_close(torch.tensor(made.vertices.mean(0)), CENTER.double(), atol=2e-3, rtol=0)


def test_a_surface_is_closed_at_the_sides_of_the_box():
    everywhere = extract_surface(Lattice(np.ones((5, 5, 5), np.float32), (1.0, 1.0, 1.0)), 0.5)
    assert everywhere.is_watertight
    assert np.abs(everywhere.vertices).max() < 1.3


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_the_level_of_the_surface_follows_the_scale_of_the_world(scale):
    def scaled(points, directions):
        colors, density = ball(points / scale, directions)
        return colors, density / scale

    grid = sample_density(scaled, torch.relu, tuple(scale * b for b in BOX), 48)
    made = extract_surface(grid, surface_level(grid))
    radii = np.linalg.norm(made.vertices / scale - CENTER.numpy(), axis=1)
    assert 0.25 < radii.mean() < 0.31


def test_a_scene_without_a_surface_is_refused():
    empty = Lattice(np.full((4, 4, 4), 1e-3, np.float32), (1.0, 1.0, 1.0))
    with pytest.raises(BadInput, match="no part of the scene is opaque"):
        surface_level(empty)
    with pytest.raises(BadInput, match="wanted a density of this scene"):
        extract_surface(empty, 5.0)


@pytest.mark.parametrize(("slope", "expected"), [(400.0, 15 / 400 / 2), (150.0, 15 / 150 / 2)])
def test_the_shift_of_a_surface_follows_the_slope_of_its_density(slope, expected):
    def soft(points, directions):
        return points, slope * (0.3 - (points - CENTER).norm(dim=-1))

    made = extract_surface(lattice(soft), 10.0)
    # from density 5 to 20 it is 15 / slope, in sides of the box of 2
    assert surface_shift(made, soft, torch.relu, 10.0, 2.0) == pytest.approx(expected, rel=0.02)


def test_fog_has_no_certain_surface():
    def fog(points, directions):
        return points, 10 + (0.3 - (points - CENTER).norm(dim=-1))

    assert surface_shift(extract_surface(lattice(fog), 10.0), fog, torch.relu, 10.0, 2.0) > 1


def test_small_parts_are_removed():
    def two(points, directions):
        far = (points + torch.tensor([0.6, 0.0, 0.0])).norm(dim=-1)
        colors, density = ball(points, directions)
        return colors, torch.maximum(density, 400 * (0.08 - far))

    both = extract_surface(lattice(two), 5.0)
    assert len(both.split()) == 2
    assert len(remove_small_parts(both.copy(), 0.0).split()) == 2
    one = remove_small_parts(both, 0.2)
    assert len(one.split()) == 1
    assert one.vertices[:, 0].min() > -0.2


def test_vertex_colors_are_those_of_the_field():
    made = color_vertices(extract_surface(lattice(), 10.0), ball)
    wanted = 255 * (made.vertices + 1) / 2
    assert np.abs(made.visual.vertex_colors[:, :3] - wanted).max() <= 1


@pytest.mark.parametrize("suffix", ["glb", "obj", "ply"])
def test_files_are_read_back_with_their_colors(tmp_path, suffix):
    made = color_vertices(extract_surface(lattice(resolution=24), 10.0), ball)
    save_mesh(tmp_path / f"ball.{suffix}", made)
    again = trimesh.load(tmp_path / f"ball.{suffix}", force="mesh", process=False)
    assert len(again.faces) == len(made.faces)
    assert np.abs(again.vertices - made.vertices).max() < 1e-5
    if suffix != "glb":
        colors = np.asarray(again.visual.vertex_colors)[:, :3] / 255
    else:  # linear light, beside a material
        colors = colors_of_glb(tmp_path / "ball.glb") / 255
        colors = np.where(colors <= 0.0031308, 12.92 * colors, 1.055 * colors ** (1 / 2.4) - 0.055)
    assert np.abs(colors - np.asarray(made.visual.vertex_colors)[:, :3] / 255).max() < 0.02
    assert [p.name for p in tmp_path.iterdir()] == [f"ball.{suffix}"]


def tree_of_glb(path):
    content = path.read_bytes()
    length = struct.unpack("<I", content[12:16])[0]
    return json.loads(content[20 : 20 + length]), content[28 + length :]


def colors_of_glb(path):
    """trimesh drops colors beside a material, so the file is parsed here."""
    tree, binary = tree_of_glb(path)
    accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    start = tree["bufferViews"][accessor["bufferView"]].get("byteOffset", 0)
    return np.frombuffer(binary, np.uint8, 4 * accessor["count"], start).reshape(-1, 4)[:, :3]


def test_the_material_of_a_glb_is_matte(tmp_path):
    save_mesh(tmp_path / "a.glb", color_vertices(extract_surface(lattice(resolution=16), 10.0), ball))
    tree, _ = tree_of_glb(tmp_path / "a.glb")
    assert tree["materials"][0]["pbrMetallicRoughness"]["metallicFactor"] == 0
    assert tree["meshes"][0]["primitives"][0]["material"] == 0


def test_an_unknown_suffix_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(BadInput, match=r"\.glb, \.obj, \.ply"):
        save_mesh(tmp_path / "a.stl2", extract_surface(lattice(resolution=16), 10.0))
    assert not list(tmp_path.iterdir())


def test_evaluating_the_density_reports_every_corner():
    done = []
    sample_density(lambda points, _: (points, points[..., 0]), torch.relu, BOX, 80, done.append)
    assert sum(done) == math.prod(corner_counts(BOX, 80))
    assert len(done) > 1  # there is progress to see
