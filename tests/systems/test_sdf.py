"""Signed distances: points on meshes, distances, a sphere that is fitted, traced and exported."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from torch.testing import assert_close

from genscene.cli import main
from genscene.contract import RenderOptions, StepContext
from genscene.data.sources import data_source
from genscene.data.surfaces import FILLED, load_surface, to_surface
from genscene.errors import BadInput
from genscene.experiment.schema import Stage
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import Rays
from genscene.layers.coordinate_network import CoordinateNetworkConfig
from genscene.systems import PRESETS
from genscene.systems.sdf.generator import SDFField, SDFGenerator, SDFGeneratorConfig
from genscene.training.run import Run, train

NOTHING = torch.zeros(1, 0)  # the style of a generator of a single scene


class Sphere(torch.nn.Module):
    """The exact distance to a sphere around the origin."""

    def __init__(self, radius=0.5):
        super().__init__()
        self.radius = torch.nn.Parameter(torch.tensor(radius))

    def forward(self, points):
        """points [..., 3] -> [..., 1]."""
        return points.norm(dim=-1, keepdim=True) - self.radius

    def point_bytes(self, graph):
        """Bytes of a point."""
        return 100


def sphere_generator():
    """A generator whose network is a sphere of radius 0.5."""
    generator = SDFGenerator(SDFGeneratorConfig())
    generator.network = Sphere()
    return generator


def test_points_are_on_the_surface_with_outward_normals():
    surface = to_surface(trimesh.creation.icosphere(3, 5.0), "sphere")
    batch = surface.sample(7, 500)
    assert_close(batch.points.norm(dim=-1), torch.full((1, 500), FILLED), atol=0.01, rtol=0)
    assert (torch.nn.functional.cosine_similarity(batch.points, batch.values[..., :3], dim=-1) > 0.98).all()
    other, distance = batch.values[..., 3:6], batch.values[..., 6]
    assert other.abs().max() <= 1
    assert_close(distance, other.norm(dim=-1) - FILLED, atol=0.01, rtol=0)
    assert torch.equal(surface.sample(7, 500).values, batch.values)
    assert not torch.equal(surface.sample(8, 500).points, batch.points)


def test_points_are_uniform_in_area():
    """A box of sides 4, 1, 1 has 4/9 of its area on each pair of long sides, 1/9 at its ends."""
    surface = to_surface(trimesh.creation.box((4.0, 1.0, 1.0)), "box")
    normals = surface.sample(0, 20_000).values[0, :, :3].abs()
    assert_close(normals.mean(dim=0), torch.tensor([1 / 9, 4 / 9, 4 / 9]), atol=0.01, rtol=0)


def test_distances_to_a_cube_are_exact_and_signed():
    surface = to_surface(trimesh.creation.box((3.0, 3.0, 3.0)), "box")
    points = np.random.default_rng(0).uniform(-1, 1, (2000, 3))
    beyond = np.abs(points) - FILLED
    wanted = np.linalg.norm(beyond.clip(min=0), axis=1) + beyond.max(axis=1).clip(max=0)
    error = np.abs(surface.distance(points) - wanted)
    assert error.max() < 2e-3  # where no point of the closest triangle is among the nearest ones
    assert (error < 1e-9).mean() > 0.99


def test_meshes_that_are_inside_out_are_turned():
    mesh = trimesh.creation.icosphere(2)
    mesh.invert()
    batch = to_surface(mesh, "sphere").sample(0, 50)
    assert ((batch.points * batch.values[..., :3]).sum(dim=-1) > 0).all()


def test_a_mesh_gets_back_to_its_own_coordinates():
    mesh = trimesh.creation.box((2.0, 4.0, 6.0))
    mesh.apply_translation((10.0, 20.0, 30.0))
    surface = to_surface(mesh, "box")
    corners = torch.from_numpy(surface.corners).float().view(-1, 3)
    assert corners.abs().max() == pytest.approx(FILLED)
    there = corners @ surface.to_files[:3, :3].mT + surface.to_files[:3, 3]
    assert_close(there.amin(dim=0), torch.tensor([9.0, 18.0, 27.0]))
    assert_close(there.amax(dim=0), torch.tensor([11.0, 22.0, 33.0]))


def test_rays_meet_a_sphere_where_they_should():
    generator = sphere_generator()
    offsets = torch.tensor([0.0, 0.2, 0.4, 0.6])
    origins = torch.stack([offsets, 0 * offsets, 0 * offsets + 3], dim=-1)[None]
    directions = torch.tensor([0.0, 0.0, -2.0]).expand_as(origins)
    found = generator.render(generator.bind(NOTHING), Rays(origins, directions))
    assert found.alpha[0, 0, 0].tolist() == [1, 1, 1, 0]
    wanted = 3 - (0.25 - offsets[:3].square()).sqrt()
    assert_close(found.depth[0, 0, 0, :3], wanted, atol=2e-3, rtol=0)
    assert found.depth[0, 0, 0, 3] == 0
    assert (found.image[..., 3] == 1).all()
    black = generator.render(
        generator.bind(NOTHING), Rays(origins, directions), RenderOptions(background="black")
    )
    assert (black.image[..., 3] == 0).all()


def test_normals_point_away_and_shade_the_solid():
    field = SDFField(Sphere(), NOTHING)
    points = torch.randn(1, 20, 3)
    with torch.no_grad():
        normals = field.normals(points)
    assert_close(normals, torch.nn.functional.normalize(points, dim=-1))
    generator = sphere_generator()
    image = generator.render(generator.bind(NOTHING), generator.prior.sweep(1, (24, 24))).image
    inside = image[0, 0, 8:16, 8:16]
    assert inside.std() > 0.01
    assert 0.2 < inside.min() < inside.max() < 0.95


def test_density_stops_half_of_the_light_at_the_surface():
    """So the exported level is the distance 0."""
    generator = sphere_generator()
    march = generator.march
    depth = torch.linspace(-march.shift, 0, 2001)  # along the normal, to the surface
    optical = torch.trapezoid(march.gain * (depth + march.shift), depth)
    assert torch.exp(-optical) == pytest.approx(0.5, rel=1e-3)
    assert generator.surface_density == pytest.approx(march.gain * march.shift)


def test_the_loss_is_zero_for_the_true_distance():
    surface = to_surface(trimesh.creation.icosphere(5, 1.0), "sphere")
    system = build_seeded(PRESETS["sdf"])
    system.generator.network = Sphere(FILLED)
    loss, stats = system.generator_loss(surface.sample(0, 200), StepContext(0))
    assert 0 <= loss < 5  # of weights of 3000 and 1000: the mesh is no sphere by about 3e-4
    system.generator.network = Sphere(0.6)
    worse, stats = system.generator_loss(surface.sample(0, 200), StepContext(0))
    assert worse > 500
    assert stats["eikonal"] < 1e-3


def test_a_mesh_is_fitted_rendered_and_exported(tmp_path, capsys):
    """Its surface is found again in the coordinates of its file."""
    trimesh.creation.icosphere(3, 2.0).apply_translation((5.0, 0.0, 0.0)).export(tmp_path / "ball.ply")
    preset, network = PRESETS["sdf"], CoordinateNetworkConfig(width=64, depth=2, omega=10.0)
    config = replace(preset.system, generator=SDFGeneratorConfig(network))
    experiment = replace(preset, system=config, data=str(tmp_path / "ball.ply"), steps=100)
    optim = {"generator": replace(preset.optim["generator"], lr=5e-3)}
    experiment = replace(experiment, stages=(Stage(0, (16, 16), 500),), optim=optim)
    run = tmp_path / "run"
    train(experiment, Run(run, grid_every=0))
    out = tmp_path / "again.ply"
    assert main(["export", "mesh", str(run), "--resolution", "48", "--out", str(out)]) == 0
    again = trimesh.load(out)
    assert again.is_watertight
    radii = np.linalg.norm(again.vertices - (5.0, 0.0, 0.0), axis=1)
    assert np.abs(radii - 2.0).mean() < 0.05
    assert again.volume == pytest.approx(4 / 3 * np.pi * 8, rel=0.06)
    for words in (["--show", "normal"], ["--show", "depth"], ["--frames", "2", "--path", "orbit"]):
        picture = tmp_path / "picture.png"
        assert main(["render", str(run), "--out", str(picture), "--size", "16", *words]) == 0
    assert picture.exists()
    capsys.readouterr()
    for words in ([], ["--data", "synthetic:cars"]):
        assert main(["evaluate", str(run), *words]) == 2
        assert "is a solid, of which nothing is evaluated" in capsys.readouterr().err


def test_ranks_get_parts_of_one_batch():
    experiment = replace(PRESETS["sdf"], data="synthetic:objects", steps=2, stages=(Stage(0, (16, 16), 10),))
    source = data_source(experiment, quiet=True)
    whole, halves = next(source.batches(1)), [next(source.batches(1, rank, 2)) for rank in (0, 1)]
    assert torch.equal(whole.values, torch.cat([half.values for half in halves], dim=1))
    assert source.to_files.shape == (4, 4)


def test_textures_of_a_mesh_are_not_opened(tmp_path, monkeypatch):
    """Some kilobytes can be textures of a gigabyte."""
    scene, opened = trimesh.Scene(), []
    for i in range(2):
        box = trimesh.creation.box().apply_translation((2.0 * i, 0.0, 0.0))
        texture = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.new("L", (8, 8), i))
        box.visual = trimesh.visual.TextureVisuals(uv=box.vertices[:, :2], material=texture)
        scene.add_geometry(box)
    (tmp_path / "boxes.glb").write_bytes(scene.export(file_type="glb"))
    monkeypatch.setattr(Image, "open", lambda *args, **options: opened.append(args))
    assert len(load_surface(str(tmp_path / "boxes.glb")).corners) == 24
    assert not opened


def test_what_is_no_mesh_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "text.obj").write_text("this is no mesh\n")
    (tmp_path / "points.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
    (tmp_path / "flat.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    (tmp_path / "far.obj").write_text("v 0 0 1e30\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (tmp_path / "broken.ply").write_bytes(b"ply\nformat binary_little_endian 1.0\nelement vertex 9\n")
    (tmp_path / "broken.glb").write_bytes(b"glTF" + bytes(40))
    (tmp_path / "picture.png").write_bytes(b"png")
    bad = {
        "text.obj": "wanted",
        "points.obj": "wanted a mesh with faces",
        "flat.obj": "have no area",
        "far.obj": "are not finite, or above",
        "broken.ply": "no mesh that can be read",
        "broken.glb": "no mesh that can be read",
        "picture.png": "wanted a mesh, a file ending with",
        "missing.obj": "no mesh at",
    }
    for name, message in bad.items():
        path = str(tmp_path / name)
        with pytest.raises(BadInput, match=message) as caught:
            load_surface(path)
        assert name in str(caught.value)
        assert main(["train", "sdf", "--data", path, "--out", str(tmp_path / "run"), "--steps", "1"]) == 2
        assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert main(["train", "sdf", "--out", str(tmp_path / "run")]) == 2
    assert "wants --data PATH: a mesh" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
