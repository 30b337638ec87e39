"""NeRF: sizes as published, normalised device coordinates, adaption to photographs, checkpoints."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genscene import kernels
from genscene.contract import RayBatch, RenderOptions, StepContext
from genscene.data.sources import data_source
from genscene.errors import BadInput
from genscene.experiment.schema import Stage
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import Rays
from genscene.geometry.priors import CameraPrior
from genscene.layers.nerf_field import FieldConfig, NeRFField
from genscene.randomness import RandomStreams
from genscene.systems import PRESETS
from genscene.systems.nerf.convert import convert
from genscene.systems.nerf.generator import NeRFGenerator, NeRFGeneratorConfig
from genscene.systems.nerf.presets import official

NOTHING = torch.zeros(1, 0)  # the style of a generator of a single scene


def test_the_network_has_the_published_number_of_parameters():
    config = official(NeRFGeneratorConfig())
    assert sum(p.numel() for p in NeRFField(config.field).parameters()) == 595_844
    both = NeRFGenerator(config)
    assert sum(4 * p.numel() for p in both.parameters()) / 1e6 == pytest.approx(4.77, abs=0.005)


@pytest.mark.parametrize("config", [FieldConfig(), FieldConfig(view_dependent=False), FieldConfig(octaves=0)])
def test_the_network_agrees_with_the_oracle_values_and_gradients(config):
    field = NeRFField(replace(config, width=16)).double()
    points, directions = (torch.rand(2, 9, 3, dtype=torch.float64) for _ in range(2))
    results = []
    for implementation in (kernels.oracle, torch.enable_grad):
        with implementation():
            colors, density = field(points, directions)
        (colors.sum() + density.sum()).backward()
        results.append([colors, density, *(p.grad.clone() for p in field.parameters())])
        field.zero_grad()
    for a, b in zip(*results, strict=True):
        assert_close(a, b)


def test_rays_in_normalised_device_coordinates_meet_the_same_points():
    origins = torch.tensor([[[0.1, 0.2, 0.3]]]).double()
    directions = torch.tensor([[[0.2, -0.1, -1.0]]]).double()
    rays, focal = Rays(origins, directions), (2.5, 3.0)
    t = torch.tensor([[[0.0, 0.3, 0.9]]]).double()
    x, y, z = rays.at(rays.t_from_ndc(t)).unbind(-1)
    projected = torch.stack([-focal[0] * x / z, -focal[1] * y / z, 1 + 2 / z], dim=-1)
    assert_close(projected, rays.ndc(focal).at(t))
    assert_close(z[..., 0], torch.tensor([[-1.0]]).double())


def forward_facing(count=5):
    """Cameras that look along -z, y upwards, from about (0, 0, 1)."""
    pose = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0])).repeat(count, 1, 1)
    pose[:, :3, 3] = torch.tensor([0.0, 0.0, 1.0]) + RandomStreams([0]).normal(count, 3)[0] / 10
    intrinsics = torch.diag(torch.tensor([0.9, 1.2, 1.0])).repeat(count, 1, 1)
    intrinsics[:, :2, 2] = 0.5
    return SimpleNamespace(pose=pose, intrinsics=intrinsics)


def dataset(cameras, bounds=None, background=None):
    """What a system adapts to."""
    return SimpleNamespace(camera=cameras, bounds=bounds, background=background)


def test_the_system_adapts_to_the_cameras_of_photographs():
    cameras = CameraPrior("uniform", radius=2.5, fov=60.0, up="z").sample(RandomStreams(range(9)), (4, 6))
    bounds = torch.tensor([[1.0, 5.0], [0.5, 7.0]])
    blender = PRESETS["nerf-blender"].system.adapt(dataset(cameras, bounds, "black"))
    assert blender.generator.prior == CameraPrior.fit(cameras)
    assert blender.generator.background == "black"
    assert blender.generator.march == PRESETS["nerf-blender"].system.generator.march
    voxels = PRESETS["nerf-deepvoxels"].system.adapt(dataset(cameras, bounds))
    assert (voxels.generator.march.near, voxels.generator.march.far) == (0.45, 7.0)
    assert voxels.generator.background == PRESETS["nerf-deepvoxels"].system.generator.background


def test_normalised_device_coordinates_have_the_focal_lengths_of_the_cameras():
    adapted = PRESETS["nerf-llff"].system.adapt(dataset(forward_facing(), torch.tensor([[1.0, 9.0]])))
    assert adapted.generator.march.ndc == pytest.approx((1.8, 2.4))
    assert (adapted.generator.march.near, adapted.generator.march.far) == (0.0, 1.0)


@pytest.mark.parametrize("name", ["nerf-blender", "nerf-llff"])
def test_depth_is_the_distance_to_an_opaque_surface_in_world_units(name):
    """A wall at z = -3 in front of cameras at z = 1, in camera units or normalised device coordinates."""
    preset = PRESETS[name].system.generator
    march = replace(preset.march, samples=2000, fine_samples=0)
    march = replace(march, near=0.5, far=9.0) if march.ndc is None else replace(march, ndc=(1.8, 2.4))
    generator = NeRFGenerator(replace(preset, march=march, field=replace(preset.field, width=8)))

    def wall(points, directions):
        z = points[..., 2] if march.ndc is None else 2 / (points[..., 2] - 1)  # NeRF, appendix C
        return points.sigmoid(), torch.where(z < -3, 1e9, 0.0)

    scene = replace(generator.bind(NOTHING), coarse=wall, fine=None)
    directions = torch.tensor([[[0.3, 0.1, -1.0], [0.0, 0.0, -1.0], [-0.2, 0.4, -1.0]]])
    rays = Rays(torch.tensor([0.0, 0.0, 1.0]).expand(1, 3, 3), directions)
    rendering = generator.render(scene, rays)
    assert_close(rendering.depth.flatten(), 4 * directions[0].norm(dim=-1), atol=0.02, rtol=0)
    points = rendering.rays.unit().at(rendering.depth.flatten(2).mT)[0, :, 0]
    assert_close(points[:, 2], torch.full((3,), -3.0), atol=0.02, rtol=0)


def test_the_loss_is_that_of_coarse_and_fine_colors_and_a_sum_is_scaled_by_the_parts():
    preset = PRESETS["nerf-blender"]
    system = replace(preset.system.shrunk(), loss="sum").build()
    origins = torch.tensor([0.0, 0.0, 4.0]).expand(1, 8, 3)
    rays = Rays(origins, torch.cat([0.2 * torch.randn(1, 8, 2), -torch.ones(1, 8, 1)], dim=-1))
    batch = RayBatch(rays, torch.rand(1, 8, 3))
    context = StepContext(0)
    loss, _ = system.generator_loss(batch, context)
    rendering = system.generator.render(
        system.generator.bind(NOTHING), rays, RenderOptions(context.ray_streams(8, 0, "cpu"))
    )
    target = batch.colors.mT[:, :, None]
    wanted = sum((x - target).square().sum() for x in (rendering.image, rendering.coarse))
    assert_close(loss, wanted)
    parts = [
        system.generator_loss(batch[i : i + 4], StepContext(0, first=i, accumulation=2))[0] for i in (0, 4)
    ]
    assert_close(torch.stack(parts).mean(), loss)


def test_a_checkpoint_of_the_pytorch_port_is_converted(tmp_path):
    config = NeRFGeneratorConfig(FieldConfig(width=16))
    generator = NeRFGenerator(official(replace(config, march=replace(config.march, fine_samples=8))))
    theirs = {
        "layers": "pts_linears",
        "density": "alpha_linear",
        "feature": "feature_linear",
        "color": "rgb_linear",
        "color_layer": "views_linears.0",
    }

    def renamed(part):
        return {
            ".".join([theirs[n.split(".")[0]], *n.split(".")[1:]]): p.data for n, p in part.named_parameters()
        }

    content = {
        "network_fn_state_dict": renamed(generator.coarse),
        "network_fine_state_dict": renamed(generator.fine),
    }
    torch.save(content | {"global_step": 3}, tmp_path / "000003.tar")
    (tmp_path / "args.txt").write_text(
        "N_importance = 8\nN_samples = 4\nwhite_bkgd = True\ndataset_type = blender\n"
    )
    experiment, made = convert(tmp_path / "000003.tar", "")
    assert made.config.march.samples == 4
    assert made.config.march.fine_samples == 8
    assert experiment.system.pixels == "corner"
    rays = Rays(torch.rand(1, 5, 3), torch.rand(1, 5, 3) + 0.1)
    generator.config, generator.march = made.config, made.march
    ours, converted = (each.render(each.bind(NOTHING), rays) for each in (generator, made))
    assert torch.equal(ours.image, converted.image)
    assert torch.equal(ours.coarse, converted.coarse)
    torch.save({"something": 1}, tmp_path / "other.tar")
    for name in ("other.tar", "none.tar"):
        with pytest.raises(BadInput, match=name):
            convert(tmp_path / name, "")


def test_official_weights_are_read_and_never_executed(tmp_path):
    generator = NeRFGenerator(official(NeRFGeneratorConfig(FieldConfig(width=16))))
    parts = ("coarse", "fine")
    for part, name in zip(parts, ("model_000010.npy", "model_fine_000010.npy"), strict=True):
        field = getattr(generator, part)
        layers = [*field.layers, field.feature, field.color_layer, field.color, field.density]
        flat = [x.detach().numpy() for layer in layers for x in (layer.weight.T.contiguous(), layer.bias)]
        objects = np.empty(len(flat), dtype=object)
        objects[:] = flat
        np.save(tmp_path / name, objects, allow_pickle=True)
    _, made = convert(tmp_path / "model_000010.npy", "")
    for a, b in zip(generator.parameters(), made.parameters(), strict=True):
        assert torch.equal(a, b)

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    np.save(tmp_path / "model_000011.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    np.save(tmp_path / "model_000012.npy", np.zeros(3))
    for name in ("model_000011.npy", "model_000012.npy", "model_000013.npy"):
        with pytest.raises(BadInput, match=name):
            convert(tmp_path / name, "")
    assert not (tmp_path / "executed").exists()


def test_released_presets_take_rays_of_one_photograph_through_pixel_corners():
    preset = PRESETS["nerf-blender-release"]
    small = replace(preset, data="synthetic:cars", stages=(Stage(0, (16, 16), 32),))
    source = data_source(small, quiet=True)
    batch = next(source.batches(0, 0, 1))
    assert len(torch.unique(batch.rays.origins[0], dim=0)) == 1
    assert source.cameras.pose.shape == (100, 4, 4)
    assert source.experiment.system.pixels == "corner"
    assert build_seeded(source.experiment).generator.prior == CameraPrior.fit(source.cameras)
    corners = source.cameras.rays("corner").directions
    found = torch.nn.functional.normalize(batch.rays.directions[0], dim=-1)
    known = torch.nn.functional.normalize(corners.flatten(0, 1), dim=-1)
    assert ((found[:, None] - known[None]).norm(dim=-1).amin(dim=1) < 1e-5).all()
