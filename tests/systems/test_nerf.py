"""NeRF: sizes as published, laws of the marching, voxels, checkpoints, and that it learns a scene."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from genscene.systems.nerf.field import FieldConfig, NeRFField
from torch.testing import assert_close

from genscene import kernels
from genscene.cli import main
from genscene.data.sources import data_source, posed_images
from genscene.errors import BadInput
from genscene.experiment.schema import Stage
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import Rays
from genscene.randomness import CounterStreams
from genscene.render.march import March, RayNoise
from genscene.render.volume import compute_weights
from genscene.systems import PRESETS
from genscene.systems.nerf.convert import convert, legacy
from genscene.systems.nerf.generator import NeRFGenerator, NeRFGeneratorConfig, unbent
from genscene.systems.voxels.generator import (
    Samples,
    VoxelsGenerator,
    VoxelsGeneratorConfig,
    distortion,
    weigh_packed,
)
from genscene.systems.voxels.grid import VoxelConfig
from genscene.training.run import Run, train


def test_the_network_has_the_published_number_of_parameters():
    official = legacy(NeRFGeneratorConfig()).field
    assert sum(p.numel() for p in NeRFField(official).parameters()) == 595_844
    both = NeRFGenerator(legacy(NeRFGeneratorConfig()))
    assert sum(4 * p.numel() for p in both.parameters()) / 1e6 == pytest.approx(4.77, abs=0.005)


@pytest.mark.parametrize("config", [FieldConfig(), FieldConfig(view_dependent=False), FieldConfig(octaves=0)])
def test_the_network_is_the_oracle_values_and_gradients(config):
    field = NeRFField(replace(config, width=16)).double()
    points, directions = (torch.rand(2, 9, 3, dtype=torch.float64) for _ in range(2))
    results = []
    for door in (kernels.oracle, torch.enable_grad):
        with door():
            colors, density = field(points, directions)
        (colors.sum() + density.sum()).backward()
        results.append([colors, density, *(p.grad.clone() for p in field.parameters())])
        field.zero_grad()
    for a, b in zip(*results, strict=True):
        assert_close(a, b)


def test_a_part_of_a_batch_of_rays_draws_the_numbers_of_the_whole():
    whole, part = CounterStreams(7, 0, 10), CounterStreams(7, 4, 3)
    for draw in ("uniform", "normal"):
        assert torch.equal(getattr(whole, draw)(5)[4:7], getattr(part, draw)(5))
    many = CounterStreams(3, 0, 1000)
    uniform, normal = many.uniform(50), many.normal(50)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert_close(uniform.mean(), torch.tensor(0.5), atol=0.01, rtol=0)
    assert_close(normal.std(), torch.tensor(1.0), atol=0.02, rtol=0)
    assert torch.corrcoef(uniform.T)[0, 1].abs() < 0.1
    assert torch.corrcoef(uniform[:40])[0, 1].abs() < 0.5


def test_bent_rays_meet_the_same_points():
    origins = torch.tensor([[[0.1, 0.2, 0.3]]]).double()
    directions = torch.tensor([[[0.2, -0.1, -1.0]]]).double()
    rays, focal = Rays(origins, directions), (2.5, 3.0)
    t = torch.tensor([[[0.0, 0.3, 0.9]]]).double()
    x, y, z = rays.at(unbent(t, rays)).unbind(-1)
    seen = torch.stack([-focal[0] * x / z, -focal[1] * y / z, 1 + 2 / z], dim=-1)
    assert_close(seen, rays.ndc(focal).at(t))
    assert_close(z[..., 0], torch.tensor([[-1.0]]).double())


def test_packed_samples_weigh_what_dense_ones_do():
    march = March(0, 1, 6, "softplus", gain=9.0, tail=0.1)
    raw, keep = torch.randn(4, 6).double(), torch.rand(4, 6) > 0.4
    t = (torch.arange(6) * 0.1).double().expand(4, 6)
    rays = Rays(torch.zeros(1, 4, 3).double(), torch.tensor([0.0, 0, 1]).double().expand(1, 4, 3))
    dense = compute_weights(torch.where(keep, raw, -1e4)[None], t[None], rays, march)[0]
    owner, place = keep.nonzero().unbind(-1)
    samples = Samples(owner, t[keep], torch.full_like(t[keep], 0.1), torch.zeros(len(owner), 3), 4)
    assert_close(weigh_packed(raw[keep], samples, march), dense[keep])
    assert place.max() < 6


def test_distortion_by_sums_is_the_double_sum():
    ray = torch.tensor([0] * 5 + [2] * 7 + [3])  # the second ray and the last meet nothing
    random = torch.Generator().manual_seed(0)
    weights, shares, lengths = torch.rand(3, len(ray), generator=random, dtype=torch.float64)
    places = torch.sort(ray + shares).values - ray
    weights.requires_grad_()
    apart = (places[:, None] - places).abs() * (ray[:, None] == ray)
    wanted = ((weights[:, None] * weights * apart).sum() + (weights.square() * lengths).sum() / 3) / 5
    found = distortion(weights, places, lengths, ray, 5)
    assert_close(found, wanted)
    slopes = [torch.autograd.grad(value, weights)[0] for value in (found, wanted)]
    assert_close(*slopes)
    nothing = torch.zeros(0, requires_grad=True)
    assert distortion(nothing, nothing, nothing, torch.zeros(0, dtype=torch.long), 5) == 0


@pytest.mark.parametrize("contracted", [False, True])
def test_distortion_pulls_a_ray_s_weights_together(contracted):
    voxels = VoxelConfig(levels=(17,), box=(1.0, 1.0, 1.0), contracted=contracted)
    generator = VoxelsGenerator(
        VoxelsGeneratorConfig(voxels, March(0.05, 9.0, 1, "softplus", gain=3.0, tail=None))
    )
    rays = Rays(torch.tensor([[[0.0, 0.0, -0.9]]]), torch.tensor([[[0.0, 0.0, 1.0]]]))
    scene, measured = generator.bind(torch.zeros(1, 0)), []
    for sheets in ((8, 9), (3, 14), (8,)):
        generator.voxels.density[0].data.fill_(-20.0)[:, :, sheets] = 0.5
        walked = generator.walk(scene, rays)
        value = generator.distortion(walked)
        (slope,) = torch.autograd.grad(value, generator.voxels.density[0])
        assert slope.isfinite().all()
        assert slope.abs().max() > 0
        measured.append(float(value.detach() / walked.weights.detach().sum().square()))
    assert measured[2] < measured[0] < measured[1] < 1


def grown(color="harmonics") -> VoxelsGenerator:
    generator = VoxelsGenerator(
        VoxelsGeneratorConfig(VoxelConfig(levels=(9, 17), box=(1.0, 1.0, 1.0), color=color))
    )
    torch.nn.init.normal_(generator.voxels.density[0], std=2.0)
    torch.nn.init.normal_(generator.voxels.color[0])
    return generator


@pytest.mark.parametrize("color", ["harmonics", "network"])
def test_a_finer_level_begins_as_the_coarser_one(color):
    generator = grown(color)
    points = 2 * torch.rand(50, 3) - 1
    placed, directions = (
        generator.voxels.place(points),
        torch.nn.functional.normalize(torch.randn(50, 3), dim=-1),
    )
    before = generator.voxels.raw_density(placed), generator.voxels.colors(placed, directions)
    generator.voxels.grow(1)
    after = generator.voxels.raw_density(placed), generator.voxels.colors(placed, directions)
    for a, b in zip(before, after, strict=True):
        assert_close(a, b, atol=1e-5, rtol=1e-5)
    colors, density = generator.bind(torch.zeros(1, 0))(points[None], directions[None])
    assert_close(density[0], after[0])
    assert_close(colors[0], after[1])


def test_a_view_network_begins_with_colours_that_do_not_depend_on_the_view():
    voxels = grown("network").voxels
    placed, directions = 2 * torch.rand(2, 50, 3) - 1
    plain = voxels.colors(placed, torch.nn.functional.normalize(directions, dim=-1))
    assert torch.equal(plain, voxels.colors(placed, torch.tensor([0.0, 0, 1]).expand(50, 3)))
    assert plain.std() > 0.05
    torch.nn.init.normal_(voxels.network[-1].weight)
    assert (voxels.colors(placed, directions) - plain).abs().max() > 0.01


def test_skipping_what_is_empty_changes_no_picture():
    generator = grown()
    generator.voxels.density[0].data.fill_(-10.0)[2, 1, 1:3] = 2.0
    camera = PRESETS["nerf-grid-demo"].system.generator.orbit.camera_at(torch.ones(2), torch.ones(2), (7, 9))
    whole = generator.render(generator.bind(torch.zeros(1, 0)), camera)
    generator.look_for_empty(1e-6)
    assert generator.voxels.occupied[: 9**3].float().mean() < 0.5
    skipped = generator.render(generator.bind(torch.zeros(1, 0)), camera)
    assert_close(skipped.image, whole.image, atol=2e-3, rtol=0)
    assert torch.isfinite(skipped.depth).all()


def test_all_of_space_fits_into_contracted_voxels():
    voxels = VoxelsGenerator(VoxelsGeneratorConfig(VoxelConfig(levels=(4,), contracted=True))).voxels
    far = voxels.place(torch.randn(100, 3) * 1e4)
    assert far.abs().max() <= 1
    inner = torch.rand(100, 3) * 0.3
    assert_close(voxels.place(inner), inner / 1.3)


def test_a_scene_is_learnt_rendered_scored_and_exported(tmp_path, capsys):
    run = tmp_path / "run"
    words = [
        "--data",
        "synthetic:cars",
        "--out",
        str(run),
        "--steps",
        "120",
        "--size",
        "32",
        "--grid-every",
        "0",
    ]
    assert main(["train", "nerf-grid-demo", *words, "--batch", "1024"]) == 0
    assert main(["evaluate", str(run), "--out", str(tmp_path / "n.json")]) == 0
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert numbers["mean"]["psnr"] > 18
    assert numbers["protocol"]["split"] == "val"
    assert len(numbers["photographs"]) == 10
    assert main(["render", str(run), "--out", str(tmp_path / "p.png"), "--frames", "2"]) == 0
    assert main(["export", "mesh", str(run), "--out", str(tmp_path / "m.ply"), "--resolution", "24"]) == 0
    assert main(["export", "pointcloud", str(run), "--out", str(tmp_path / "c.ply"), "--count", "2000"]) == 0
    assert (
        main(["export", "cameras", str(run), "--out", str(tmp_path / "c.json"), "--path", "photographs"]) == 0
    )
    frames = json.loads((tmp_path / "c.json").read_text())["frames"]
    album = posed_images(
        replace(PRESETS["nerf-grid-demo"], data="synthetic:cars", stages=(Stage(0, (32, 32), 8),)), "train"
    )
    back = album.transform.inverse().poses(album.camera.pose)
    assert_close(torch.tensor(frames[3]["camera_to_world"]), back[3], atol=1e-4, rtol=1e-4)
    capsys.readouterr()


def test_a_run_of_voxels_resumes_to_the_same_bytes(tmp_path):
    preset = replace(
        PRESETS["nerf-grid-demo"], data="synthetic:cars", stages=(Stage(0, (16, 16), 64),), steps=24
    )
    small = replace(preset, system=preset.system.shrunk())
    train(small, Run(tmp_path / "a", grid_every=0, save_every=7))
    train(replace(small, steps=24), Run(tmp_path / "b", grid_every=0, save_every=7))
    one, other = ((tmp_path / n / "generator.safetensors").read_bytes() for n in "ab")
    assert one == other
    (tmp_path / "b" / "state.pt").unlink()
    (tmp_path / "b" / "checkpoints" / "00000021.pt").rename(tmp_path / "b" / "state.pt")
    train(small, Run(tmp_path / "b", grid_every=0, save_every=7, resume=True))
    assert (tmp_path / "b" / "generator.safetensors").read_bytes() == one


def test_a_checkpoint_of_the_pytorch_port_becomes_ours(tmp_path):
    generator = NeRFGenerator(legacy(NeRFGeneratorConfig(FieldConfig(width=16), fine=8)))
    theirs = {
        "layers": "pts_linears",
        "density": "alpha_linear",
        "feature": "feature_linear",
        "color": "rgb_linear",
    }
    theirs["tint"] = "views_linears.0"

    def named(part):
        return {
            ".".join([theirs[n.split(".")[0]], *n.split(".")[1:]]): p.data for n, p in part.named_parameters()
        }

    content = {
        "network_fn_state_dict": named(generator.coarse),
        "network_fine_state_dict": named(generator.fine),
    }
    torch.save(content | {"global_step": 3}, tmp_path / "000003.tar")
    (tmp_path / "args.txt").write_text(
        "N_importance = 8\nN_samples = 4\nwhite_bkgd = True\ndataset_type = blender\n"
    )
    experiment, made = convert(tmp_path / "000003.tar", "")
    assert made.config.march.samples == 4
    assert made.config.fine == 8
    assert experiment.system.corners
    rays = Rays(torch.rand(1, 5, 3), torch.rand(1, 5, 3) + 0.1)
    generator.config = made.config
    for a, b in zip(
        generator.walk(generator.bind(None), rays, RayNoise()),
        made.walk(made.bind(None), rays, RayNoise()),
        strict=True,
    ):
        assert torch.equal(a.color, b.color)
    torch.save({"something": 1}, tmp_path / "other.tar")
    for name in ("other.tar", "none.tar"):
        with pytest.raises(BadInput, match=name):
            convert(tmp_path / name, "")


def test_official_weights_are_read_and_never_run(tmp_path):
    generator = NeRFGenerator(legacy(NeRFGeneratorConfig(FieldConfig(width=16))))
    parts = ("coarse", "fine")
    for part, name in zip(parts, ("model_000010.npy", "model_fine_000010.npy"), strict=True):
        field = getattr(generator, part)
        layers = [*field.layers, field.feature, field.tint, field.color, field.density]
        flat = [x.detach().numpy() for layer in layers for x in (layer.weight.T.contiguous(), layer.bias)]
        objects = np.empty(len(flat), dtype=object)
        objects[:] = flat
        np.save(tmp_path / name, objects, allow_pickle=True)
    _, made = convert(tmp_path / "model_000010.npy", "")
    for a, b in zip(generator.parameters(), made.parameters(), strict=True):
        assert torch.equal(a, b)

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "pwned",))

    np.save(tmp_path / "model_000011.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    np.save(tmp_path / "model_000012.npy", np.zeros(3))
    for name in ("model_000011.npy", "model_000012.npy", "model_000013.npy"):
        with pytest.raises(BadInput, match=name):
            convert(tmp_path / name, "")
    assert not (tmp_path / "pwned").exists()


def test_released_presets_take_a_photograph_at_a_time_and_corners():
    preset = PRESETS["nerf-blender-release"]
    small = replace(preset, data="synthetic:cars", stages=(Stage(0, (16, 16), 32),))
    source = data_source(small, quiet=True)
    batch = next(source.batches(0, 0, 1))
    assert len(torch.unique(batch.rays.origins[0], dim=0)) == 1
    assert source.experiment.system.generator.photographs == 100
    assert build_seeded(source.experiment).generator.photographed.pose.shape == (100, 4, 4)
