"""Voxel grids: sparse samples, distortion, levels, occupancy, contraction, and that a scene is fitted."""

import json
import shlex
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from data.scenes import write_scene
from genscene.cli import main
from genscene.contract import RenderOptions, StepContext
from genscene.data.prepare.inspect import inspect
from genscene.data.sources import data_source
from genscene.experiment.schema import Stage
from genscene.geometry.cameras import Rays, transform_cameras
from genscene.geometry.priors import CameraPrior
from genscene.randomness import RandomStreams
from genscene.render import volume
from genscene.render.march import March
from genscene.systems import PRESETS
from genscene.systems.voxels.generator import (
    Samples,
    VoxelsGenerator,
    VoxelsGeneratorConfig,
    compute_weights,
    distortion,
)
from genscene.systems.voxels.grid import VoxelConfig
from genscene.training.run import Run, train

NOTHING = torch.zeros(1, 0)  # the style of a generator of a single scene


def test_weights_of_sparse_samples_are_those_of_dense_ones():
    march = March(0, 1, 6, "softplus", gain=9.0, last_interval=0.1)
    raw, keep = torch.randn(4, 6).double(), torch.rand(4, 6) > 0.4
    t = (torch.arange(6) * 0.1).double().expand(4, 6)
    rays = Rays(torch.zeros(1, 4, 3).double(), torch.tensor([0.0, 0, 1]).double().expand(1, 4, 3))
    dense = volume.compute_weights(torch.where(keep, raw, -1e4)[None], t[None], rays, march)[0]
    ray, _ = keep.nonzero().unbind(-1)
    samples = Samples(ray, t[keep], torch.full_like(t[keep], 0.1), torch.zeros(len(ray), 3), 4)
    assert_close(compute_weights(raw[keep], samples, march), dense[keep])


def test_distortion_by_cumulative_sums_is_the_double_sum():
    ray = torch.tensor([0] * 5 + [2] * 7 + [3])  # the second ray and the last have no samples
    random = torch.Generator().manual_seed(0)
    weights, shares, lengths = torch.rand(3, len(ray), generator=random, dtype=torch.float64)
    places = torch.sort(ray + shares).values - ray
    weights.requires_grad_()
    apart = (places[:, None] - places).abs()
    samples = Samples(ray, places, lengths, torch.zeros(len(ray), 3), 5)
    found = distortion(weights, places, lengths, samples)
    assert found.shape == (5,)
    for i in range(5):
        own = ray == i
        pairs = (weights[own][:, None] * weights[own] * apart[own][:, own]).sum()
        assert_close(found[i], pairs + (weights[own].square() * lengths[own]).sum() / 3)
    wanted = (weights[:, None] * weights * apart * (ray[:, None] == ray)).sum()
    wanted = (wanted + (weights.square() * lengths).sum() / 3) / 5
    assert_close(*(torch.autograd.grad(value, weights)[0] for value in (found.mean(), wanted)))
    nothing, no_rays = torch.zeros(0, requires_grad=True), torch.zeros(0, dtype=torch.long)
    empty = Samples(no_rays, nothing, nothing, torch.zeros(0, 3), 5)
    assert torch.equal(distortion(nothing, nothing, nothing, empty), torch.zeros(5))


@pytest.mark.parametrize("contracted", [False, True])
def test_distortion_is_less_where_the_weights_of_a_ray_are_closer_together(contracted):
    voxels = VoxelConfig(levels=(17,), box=(1.0, 1.0, 1.0), contracted=contracted)
    march = March(0.05, 9.0, 1, "softplus", gain=3.0, last_interval=None)
    generator = VoxelsGenerator(VoxelsGeneratorConfig(voxels, march))
    rays = Rays(torch.tensor([[[0.0, 0.0, -0.9]]]), torch.tensor([[[0.0, 0.0, 1.0]]]))
    scene, measured = generator.bind(NOTHING), []
    for sheets in ((8, 9), (3, 14), (8,)):
        generator.voxels.density[0].data.fill_(-20.0)[:, :, sheets] = 0.5
        rendering = generator.render(scene, rays, RenderOptions(distortion=True))
        value = rendering.distortion.mean()
        (slope,) = torch.autograd.grad(value, generator.voxels.density[0], retain_graph=True)
        assert slope.isfinite().all()
        assert slope.abs().max() > 0
        measured.append(float((value / rendering.alpha.sum().square()).detach()))
    assert measured[2] < measured[0] < measured[1] < 1
    assert generator.render(scene, rays).distortion is None


def random_voxels(color="harmonics") -> VoxelsGenerator:
    """Two levels, the first with random numbers."""
    voxels = VoxelConfig(levels=(9, 17), box=(1.0, 1.0, 1.0), color=color)
    generator = VoxelsGenerator(VoxelsGeneratorConfig(voxels))
    torch.nn.init.normal_(generator.voxels.density[0], std=2.0)
    torch.nn.init.normal_(generator.voxels.color[0])
    return generator


@pytest.mark.parametrize("color", ["harmonics", "network"])
def test_a_finer_level_begins_as_the_coarser_one(color):
    generator = random_voxels(color)
    points = 2 * torch.rand(50, 3) - 1
    coords = generator.voxels.to_grid(points)
    directions = torch.nn.functional.normalize(torch.randn(50, 3), dim=-1)
    before = generator.voxels.raw_density(coords), generator.voxels.colors(coords, directions)
    generator.voxels.refine(1)
    after = generator.voxels.raw_density(coords), generator.voxels.colors(coords, directions)
    for a, b in zip(before, after, strict=True):
        assert_close(a, b, atol=1e-5, rtol=1e-5)
    colors, density = generator.bind(NOTHING)(points[None], directions[None])
    assert_close(density[0], after[0])
    assert_close(colors[0], after[1])


def test_colors_of_a_new_view_network_do_not_depend_on_the_view():
    voxels = random_voxels("network").voxels
    coords, directions = 2 * torch.rand(2, 50, 3) - 1
    plain = voxels.colors(coords, torch.nn.functional.normalize(directions, dim=-1))
    assert torch.equal(plain, voxels.colors(coords, torch.tensor([0.0, 0, 1]).expand(50, 3)))
    assert plain.std() > 0.05
    torch.nn.init.normal_(voxels.network[-1].weight)
    assert (voxels.colors(coords, directions) - plain).abs().max() > 0.01


def around(size=(7, 9)):
    """Two cameras around the scene."""
    return PRESETS["nerf-grid-demo"].system.generator.prior.camera_at(torch.ones(2), torch.ones(2), size)


def test_skipping_empty_space_does_not_change_the_picture():
    generator = random_voxels()
    generator.voxels.density[0].data.fill_(-10.0)[2, 1, 1:3] = 2.0
    whole = generator.render(generator.bind(NOTHING), around())
    generator.update_occupancy(1e-6)
    assert generator.voxels.occupied[: 9**3].float().mean() < 0.5
    skipped = generator.render(generator.bind(NOTHING), around())
    assert_close(skipped.image, whole.image, atol=2e-3, rtol=0)
    assert torch.isfinite(skipped.depth).all()


def test_parts_and_recomputation_change_neither_pictures_nor_gradients():
    generator, found = random_voxels(), []
    for options in ({}, {"recompute": True, "max_bytes": 40_000}, {"recompute": True}):
        options = RenderOptions(RandomStreams([1, 2]), distortion=True, **options)
        rendering = generator.render(generator.bind(NOTHING), around(), options)
        loss = rendering.image.square().mean() + rendering.distortion.mean()
        gradient = torch.autograd.grad(loss, [generator.voxels.density[0], generator.voxels.color[0]])
        found.append([rendering.image, rendering.depth, rendering.alpha, rendering.distortion, *gradient])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_depth_is_the_distance_along_the_ray():
    generator = VoxelsGenerator(VoxelsGeneratorConfig(VoxelConfig(levels=(65,), box=(1.0, 1.0, 1.0))))
    generator.voxels.density[0].data.fill_(-20.0)[:, :, 32:] = 50.0  # opaque above z = 0
    directions = torch.tensor([[[0.3, 0.0, 1.0], [0.0, 0.0, 4.0]]])
    rays = Rays(torch.tensor([0.0, 0.0, -2.0]).expand(1, 2, 3), directions)
    rendering = generator.render(generator.bind(NOTHING), rays)
    assert_close(rendering.depth.flatten(), torch.tensor([2 * 1.09**0.5, 2.0]), atol=0.05, rtol=0)
    points = rendering.rays.unit().at(rendering.depth.flatten(2).mT)[0, :, 0]
    assert_close(points[:, 2], torch.zeros(2), atol=0.05, rtol=0)


def test_more_samples_are_shorter_steps_and_about_the_same_picture():
    generator = random_voxels()
    scene = generator.bind(NOTHING)
    coarse, fine = (generator.render(scene, around(), RenderOptions(samples=n)) for n in (0, 4))
    assert generator.step_length(4) == pytest.approx(generator.step_length() / 4)
    assert 0 < (coarse.image - fine.image).abs().mean() < 0.05


def test_a_fixed_direction_is_that_of_all_colors():
    generator = random_voxels()
    scene, camera = generator.bind(NOTHING), around()
    reference = VoxelsGenerator(generator.config)
    reference.load_state_dict(generator.state_dict())
    colors = reference.voxels.colors
    reference.voxels.colors = lambda coords, d: colors(coords, torch.tensor([0.0, 0.0, -1.0]).expand_as(d))
    fixed = generator.render(scene, camera, RenderOptions(fixed_direction=(0.0, 0.0, -1.0)))
    assert torch.equal(fixed.image, reference.render(reference.bind(NOTHING), camera).image)
    assert (fixed.image - generator.render(scene, camera).image).abs().max() > 0.01


def test_contracted_voxels_hold_all_of_space():
    voxels = VoxelsGenerator(VoxelsGeneratorConfig(VoxelConfig(levels=(4,), contracted=True))).voxels
    far = voxels.to_grid(torch.randn(100, 3) * 1e4)
    assert far.abs().max() <= 1
    inner = torch.rand(100, 3) * 0.3
    assert_close(voxels.to_grid(inner), inner / 1.3)


def test_the_box_is_that_of_the_photographs_unless_it_is_given():
    system = PRESETS["nerf-grid-demo"].system
    cameras = CameraPrior("uniform", radius=10.0, up="z").sample(RandomStreams(range(9)), (4, 4))
    dataset = SimpleNamespace(
        camera=cameras, background="black", ground=(0.1, 0.0, 0.0), box=(0.65, 0.2, 0.13)
    )
    adapted = system.adapt(dataset).generator
    assert adapted.voxels.box == (0.65, 0.2, 0.13)
    assert adapted.march.gain == pytest.approx(system.generator.march.gain * 2)
    assert (adapted.background, adapted.ground) == ("black", (0.1, 0.0, 0.0))
    assert adapted.prior == CameraPrior.fit(cameras)
    assert system.adapt(dataset).adapt(dataset) == system.adapt(dataset)
    steps = [
        VoxelsGenerator(config).step_length() * config.march.gain for config in (adapted, system.generator)
    ]
    assert steps[0] == pytest.approx(steps[1])  # as opaque at first in a box of any size
    for given in (PRESETS["nerf-grid-photos"].system, system.adapt(dataset)):
        other = given.adapt(SimpleNamespace(**{**vars(dataset), "box": (9.0, 9.0, 9.0)})).generator
        assert (other.voxels, other.march) == (given.generator.voxels, given.generator.march)
    voxels = replace(system.generator.voxels, box=adapted.voxels.box)
    explicit = replace(system, generator=replace(system.generator, voxels=voxels)).adapt(dataset).generator
    assert explicit == adapted  # given, density scales with it, too


def test_the_ground_of_photographs_is_behind_the_scene_unless_another_background_is_asked_for():
    generator = VoxelsGenerator(VoxelsGeneratorConfig(VoxelConfig(levels=(4,)), ground=(0.1, 0.2, 0.3)))
    generator.voxels.density[0].data.fill_(-20.0)
    for background, wanted in ((None, [0.1, 0.2, 0.3]), ("white", [1.0] * 3), ("black", [0.0] * 3)):
        image = generator.render(
            generator.bind(NOTHING), around(), RenderOptions(background=background)
        ).image
        assert_close(image, torch.tensor(wanted)[:, None, None].expand_as(image), atol=1e-3, rtol=0)


def test_a_scene_is_fitted_rendered_evaluated_and_exported(tmp_path, capsys):
    run = tmp_path / "run"
    words = ["--data", "synthetic:cars", "--out", str(run), "--steps", "120", "--size", "32"]
    assert main(["train", "nerf-grid-demo", *words, "--grid-every", "0", "--batch", "1024"]) == 0
    assert main(["evaluate", str(run), "--out", str(tmp_path / "n.json")]) == 0
    report = json.loads((tmp_path / "n.json").read_text())
    (scores,), (views,) = report["generators"].values(), report["views"].values()
    assert scores["psnr"]["value"] > 18
    assert report["protocol"]["split"] == "val"
    assert len(views) == 10
    assert main(["render", str(run), "--out", str(tmp_path / "p.png"), "--frames", "2"]) == 0
    assert main(["export", "mesh", str(run), "--out", str(tmp_path / "m.ply"), "--resolution", "24"]) == 0
    assert main(["export", "pointcloud", str(run), "--out", str(tmp_path / "c.ply"), "--count", "2000"]) == 0
    assert f"{tmp_path / 'c.ply'}: 2000 points" in capsys.readouterr().out
    words = ["--out", str(tmp_path / "c.json"), "--path", "photographs"]
    assert main(["export", "cameras", str(run), *words]) == 0
    frames = json.loads((tmp_path / "c.json").read_text())["frames"]
    preset = PRESETS["nerf-grid-demo"]
    source = data_source(replace(preset, data="synthetic:cars", stages=(Stage(0, (32, 32), 8),)), quiet=True)
    in_files = transform_cameras(source.cameras, source.to_files).pose
    assert_close(torch.tensor(frames[3]["camera_to_world"]), in_files[3], atol=1e-4, rtol=1e-4)
    capsys.readouterr()


def test_a_run_of_voxels_resumes_to_the_same_bytes(tmp_path):
    preset = replace(
        PRESETS["nerf-grid-demo"], data="synthetic:cars", stages=(Stage(0, (16, 16), 64),), steps=24
    )
    small = replace(preset, system=preset.system.shrunk())
    train(small, Run(tmp_path / "a", grid_every=0, save_every=7))
    train(small, Run(tmp_path / "b", grid_every=0, save_every=7))
    one, other = ((tmp_path / n / "generator.safetensors").read_bytes() for n in "ab")
    assert one == other
    (tmp_path / "b" / "state.pt").unlink()
    (tmp_path / "b" / "checkpoints" / "00000021.pt").rename(tmp_path / "b" / "state.pt")
    train(small, Run(tmp_path / "b", grid_every=0, save_every=7, resume=True))
    assert (tmp_path / "b" / "generator.safetensors").read_bytes() == one


@pytest.mark.parametrize(("density", "told"), [(0.0, False), (0.68, True), (20.0, False)])
def test_a_first_fit_that_is_a_fog_is_told(density, told, capsys):
    system = PRESETS["nerf-grid-demo"].system.shrunk().build()
    system.generator.voxels.density[0].data.fill_(density)
    assert (system.generator.half_transparent() > 0.9) == told
    for step in (4, 5, 6):
        system.update_grid(StepContext(step, steps=10))
    assert capsys.readouterr().err.count("first fit is a fog: 100 % of the box") == told


def test_far_steps_in_contracted_space_are_at_most_half_a_voxel():
    voxels = VoxelConfig(box=(2.0, 2.0, 2.0), levels=(33,), contracted=True)
    march = March(0.05, 30.0, 1, "softplus", last_interval=None)
    prior = replace(PRESETS["nerf-grid-demo"].system.generator.prior, radius=0.8)
    counts = []
    for cone in (1e-6, 0.02):
        generator = VoxelsGenerator(VoxelsGeneratorConfig(voxels, march, cone=cone, prior=prior))
        origins = torch.nn.functional.normalize(torch.randn(50, 3), dim=-1) * torch.rand(50, 1)
        directions = torch.nn.functional.normalize(torch.randn(50, 3), dim=-1)
        _, _, edges = generator.intervals(origins, directions)
        coords = generator.voxels.to_grid(origins[:, None] + edges[:, None] * directions[:, None])
        assert edges[-1] >= 30
        if cone < 1e-3:
            assert coords.diff(dim=1).norm(dim=-1).max() <= 0.5 * 2 / 32 * 1.1
        counts.append(len(edges))
        assert len(generator.intervals(origins, directions, samples=2)[2]) > len(edges)
    assert counts[1] <= counts[0] < 120  # at the shortest step it would be 960


def test_empty_space_is_known_in_the_first_level():
    system = PRESETS["nerf-grid-demo"].system.build()
    voxels = system.generator.voxels
    voxels.density[0].data[:16] = -2.0
    for step, wanted in ((0, 1.0), (49, 1.0), (50, 0.53)):
        system.update_grid(StepContext(step, steps=3000))
        assert float(voxels.occupied[: 32**3].float().mean()) == pytest.approx(wanted, abs=0.01)


def test_the_recommended_command_fits_a_figure_on_dark_cloth_through_a_long_lens(tmp_path, capsys):
    folder = write_scene(tmp_path / "figure", ground=8, count=24, side=48)
    (line,) = [line for line in inspect(folder) if "train on them: " in line]
    words = [*shlex.split(line.split(": genscene ")[1]), "--out", str(tmp_path / "run")]
    assert main([*words, "--steps", "150", "--batch", "1024", "--grid-every", "0"]) == 0
    said = capsys.readouterr().err
    assert "background black: 100 % of the border pixels are within 16 of 8,8,8" in said
    assert "fog" not in said
    assert main(["evaluate", str(tmp_path / "run"), "--out", str(tmp_path / "n.json")]) == 0
    (scores,) = json.loads((tmp_path / "n.json").read_text())["generators"].values()
    assert scores["psnr"]["value"] > 27
    capsys.readouterr()
