"""Gaussians fitted to photographs: density control, first places, the loss, resuming, files, pictures."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import pad
from torch.testing import assert_close

from genscene.apps.splat_scene import read_scene
from genscene.cli import main
from genscene.contract import PosedImageBatch, RenderOptions, StepContext
from genscene.data.sources import data_source
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.experiment.schema import EMA, Stage
from genscene.experiment.serialise import build_seeded
from genscene.export.splats import read_splats
from genscene.geometry.priors import CameraPrior
from genscene.metrics.image import ssim_map
from genscene.objectives.reconstruction import similarity_map, structural_dissimilarity
from genscene.randomness import RandomStreams
from genscene.render.spherical_harmonics import C0
from genscene.scenes import SparsePoints
from genscene.systems import PRESETS
from genscene.systems.splats.density import DensityConfig, densify, prune, reset_opacities
from genscene.systems.splats.generator import NAMES, SplatsGenerator, SplatsGeneratorConfig
from genscene.systems.splats.system import SplatsConfig, camera_extent
from genscene.training.run import Run, check, train

SLOTS = SplatsGeneratorConfig(capacity=8, initial=4, degree=1, box=(1.0, 1.0, 1.0), extent=2.0)
CAMERAS = CameraPrior("uniform", radius=4.0, fov=40.0, up="z").sweep(3, (24, 24))


def fitted(slots=SLOTS):
    """A generator with an optimiser that has made a step."""
    generator = SplatsGenerator(slots)
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3)
    scene = generator.bind(torch.zeros(1, 0))
    generator.render(scene, CAMERAS).image.square().sum().backward()
    for name in NAMES:
        getattr(generator, name).grad += torch.randn_like(getattr(generator, name).grad)
    optimizer.step()
    return generator, optimizer


def moments(optimizer, weights):
    """What Adam keeps of each slot -> [N, 2, ...]."""
    state = optimizer.state[weights]
    return torch.stack([state["exp_avg"], state["exp_avg_sq"]], dim=1)


def test_small_gaussians_are_cloned_and_large_ones_split():
    generator, optimizer = fitted()
    with torch.no_grad():
        generator.log_scales[0], generator.log_scales[2] = math.log(1e-3), math.log(0.5)
    before = {name: getattr(generator, name).detach().clone() for name in NAMES}
    gradients = torch.tensor([3.0, 0.0, 5.0, 0.1, 9.0, 9.0, 9.0, 9.0])  # those of dead slots do not count
    config = DensityConfig(gradient=1.0, split_size=0.01)
    assert densify(generator, optimizer, gradients, config, RandomStreams([1])) == (1, 1)
    assert generator.alive.tolist() == [True] * 6 + [False] * 2
    parts = {4: 2, 5: 0}  # the highest gradient goes first
    for name in NAMES:
        after = getattr(generator, name)
        assert torch.equal(after[5], before[name][0])
        assert torch.equal(after[0], before[name][0])
        for new in parts:
            assert not moments(optimizer, after)[new].any()
        assert not moments(optimizer, after)[2].any()
        assert moments(optimizer, after)[0].any() or name in ("sh_rest", "f_dc")
    for slot in (2, 4):
        assert_close(generator.log_scales[slot], before["log_scales"][2] - math.log(1.6))
        assert not torch.equal(generator.means[slot], before["means"][2])
    assert (generator.means[[2, 4]] - before["means"][2]).abs().max() < 4 * 0.5 / 2


def test_with_few_free_slots_those_with_the_highest_gradients_go_first():
    generator, optimizer = fitted(replace(SLOTS, initial=7))
    config = DensityConfig(gradient=1.0, split_size=1e9)
    before = generator.means.detach().clone()
    assert densify(generator, optimizer, torch.arange(8.0), config, RandomStreams([1])) == (1, 0)
    assert torch.equal(generator.means[7], before[6])
    assert densify(generator, optimizer, torch.arange(8.0), config, RandomStreams([1])) == (0, 0)


def test_transparent_and_large_gaussians_are_pruned_and_their_slots_stay_as_they_are():
    generator, optimizer = fitted()
    with torch.no_grad():
        generator.opacity_logits[1] = -9.0
        generator.log_scales.fill_(-2.0)
        generator.log_scales[3] = 2.0
    assert prune(generator, optimizer, DensityConfig()) == 1
    assert prune(generator, optimizer, DensityConfig(), large=True) == 1
    assert generator.slots().tolist() == [0, 2]
    assert generator.bind(torch.zeros(1, 0)).means.shape == (1, 2, 3)
    before = {name: getattr(generator, name).detach()[[1, 3]].clone() for name in NAMES}
    optimizer.zero_grad()
    generator.render(generator.bind(torch.zeros(1, 0)), CAMERAS).image.square().sum().backward()
    optimizer.step()
    for name in NAMES:
        assert torch.equal(getattr(generator, name)[[1, 3]], before[name])
    with torch.no_grad():
        generator.opacity_logits.fill_(-9.0)
        generator.opacity_logits[2] = -8.0
    assert prune(generator, optimizer, DensityConfig()) == 1
    assert generator.slots().tolist() == [2]  # the most opaque one remains


def test_opacities_are_reduced():
    generator, optimizer = fitted()
    with torch.no_grad():
        generator.opacity_logits[0] = -7.0
    reset_opacities(generator, optimizer, 0.01)
    assert_close(generator.opacity_logits[1:4].sigmoid(), torch.full((3,), 0.01))
    assert_close(generator.opacity_logits[0], torch.tensor(-7.0))
    assert not moments(optimizer, generator.opacity_logits)[:4].any()


def test_when_gaussians_are_added_and_opacities_reduced():
    config = DensityConfig(begin=0.1, end=0.5, every=10, reset_every=20)
    assert [step for step in range(100) if config.is_due(step, 100)] == [9, 19, 29, 39, 49]
    assert [step for step in range(100) if config.resets(step, 100)] == [19, 39]
    assert [config.was_reset(step) for step in (19, 20)] == [False, True]
    never = DensityConfig(every=0, reset_every=0)
    assert not any(never.is_due(step, 100) or never.resets(step, 100) for step in range(100))


def test_gradients_by_place_are_those_of_each_picture_however_the_batch_is_cut():
    config = SplatsConfig(generator=SLOTS)
    found = []
    for parts in (1, 3):
        torch.manual_seed(0)
        system = config.build()
        images = torch.rand(3, 3, 24, 24)
        for i in range(parts):
            part = slice(3 * i // parts, 3 * (i + 1) // parts)
            batch = PosedImageBatch(images[part], CAMERAS[part])
            context = StepContext(0, accumulation=parts, steps=100)
            (system.generator_loss(batch, context)[0] / parts).backward()
        found.append((system.gradients, system.pictures))
    assert found[0][1].tolist() == [3, 3, 3, 3, 0, 0, 0, 0]
    assert (found[0][0][:4] > 0).all()
    for one, other in zip(*found, strict=True):
        assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_masked_pixels_have_no_gradient():
    system = SplatsConfig(generator=SLOTS, dissimilarity=0.2).build()
    images = torch.cat([torch.rand(3, 3, 24, 24), torch.zeros(3, 1, 24, 24)], dim=1)
    loss, _ = system.generator_loss(PosedImageBatch(images, CAMERAS), StepContext(0, steps=9))
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)


def test_gaussians_of_the_background_are_seen_on_random_colors():
    """What is as bright as the background costs nothing on it, and something on other colors."""
    system = SplatsConfig(generator=SLOTS, random_background=True).build()
    with torch.no_grad():
        system.generator.f_dc.fill_(0.5 / C0)  # white, on white
    for opacity in (0.0, 1.0):  # a photograph of nothing, and one of a white wall
        images = torch.cat([torch.ones(3, 4, 24, 24), torch.full((3, 1, 24, 24), opacity)], dim=1)
        batch = PosedImageBatch(images, CAMERAS)
        losses = [system.generator_loss(batch, StepContext(i, steps=9))[0].item() for i in range(2)]
        assert min(losses) > 1e-3
        assert losses[0] != losses[1]
    usual = SplatsConfig(generator=SLOTS).build()
    usual.load_state_dict(system.state_dict())
    loss, _ = usual.generator_loss(batch, StepContext(0, steps=9))
    assert loss.item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("color", [(0.0, 0.0, 0.0), (0.2, 0.9, 0.4)])
def test_photographs_and_renderings_are_on_the_same_random_color(color):
    system = SplatsConfig(generator=SLOTS, random_background=True).build()
    context = SimpleNamespace(
        random_streams=lambda *_: SimpleNamespace(uniform=lambda n: torch.tensor([color]))
    )
    generator = system.generator
    white, given = (generator.rasterize(generator.gaussians(), CAMERAS[:1]) for _ in range(2))
    images = torch.cat([white.image, torch.ones_like(white.alpha), white.alpha], dim=1)
    rendered, photographed = system.on_random_colors(given, images, context)
    assert_close(rendered, photographed)
    behind = torch.tensor(color)[:, None, None]
    scene = replace(generator.gaussians(), antialiased=SLOTS.antialiased)
    black = generator.render(scene, CAMERAS[:1], RenderOptions(background="black"))
    assert_close(rendered, black.image + (1 - black.alpha) * behind, atol=1e-6, rtol=1e-5)


def test_random_backgrounds_want_transparency():
    opaque = SimpleNamespace(has_alpha=False, box=None)
    with pytest.raises(BadInput, match="random_background: wanted photographs with transparent"):
        SplatsConfig(random_background=True).adapt(opaque)


def test_structural_dissimilarity_is_that_of_the_metric():
    a, b = torch.rand(2, 3, 30, 40)
    b = 0.6 * a + 0.4 * b
    found = similarity_map(a[None], b[None])[0]
    wanted = ssim_map(a, b)
    assert_close(found[:, 5:-5, 5:-5].double(), wanted[:, 5:-5, 5:-5], atol=1e-5, rtol=0)
    padded = [pad(x, (5,) * 4) for x in (a, b)]  # beyond the border there is 0
    assert_close(found.double(), ssim_map(*padded)[:, 5:-5, 5:-5], atol=1e-5, rtol=0)
    assert float(structural_dissimilarity(a[None], a[None])) == pytest.approx(0, abs=1e-6)


def test_harmonics_are_learned_degree_by_degree():
    system = SplatsConfig(generator=replace(SLOTS, degree=2), degree_every=10).build()
    for step, count in ((0, 0), (9, 0), (10, 3), (20, 8), (90, 8)):
        system.zero_grad()
        batch = PosedImageBatch(torch.rand(3, 3, 24, 24), CAMERAS)
        system.generator_loss(batch, StepContext(step, steps=100))[0].backward()
        learned = system.generator.sh_rest.grad.abs().amax(dim=(0, 2)) > 0
        assert learned.tolist() == [True] * count + [False] * (8 - count)


def test_gaussians_begin_at_the_points_of_the_photographs():
    points = SparsePoints(torch.randn(6, 3), torch.rand(6, 3))
    for slots, count in ((8, 6), (5, 5)):
        system = SplatsConfig(generator=replace(SLOTS, capacity=slots)).build()
        system.initialize(SimpleNamespace(points=points))
        scene = system.generator.bind(torch.zeros(1, 0))
        assert scene.means.shape == (1, count, 3)
        if count == 6:
            assert_close(scene.means[0], points.positions)
            assert_close(C0 * scene.colors[0, :, 0] + 0.5, points.colors)
            apart = torch.cdist(points.positions, points.positions).sort(dim=-1).values[:, 1:4].mean(-1)
            assert_close(scene.scales[0], apart[:, None].expand(-1, 3), atol=1e-4, rtol=1e-3)
    before = system.generator.means.clone()
    system.initialize(SimpleNamespace(points=None))
    assert torch.equal(system.generator.means, before)


def test_what_follows_from_the_photographs():
    dataset = SimpleNamespace(
        camera=CAMERAS,
        bounds=None,
        background="black",
        ground=(0.1, 0.0, 0.0),
        box=(1.0, 2.0, 3.0),
        points=None,
    )
    adapted = SplatsConfig().adapt(dataset).generator
    assert (adapted.box, adapted.background, adapted.ground) == ((1.0, 2.0, 3.0), "black", (0.1, 0.0, 0.0))
    assert adapted.extent == camera_extent(CAMERAS)
    assert adapted.prior == CameraPrior.fit(CAMERAS)
    assert camera_extent(CAMERAS[:1]) == 1.0  # a camera alone has none


def tiny(steps=60, **changes):
    """A quick run on embedded photographs, with all that density control does."""
    preset = PRESETS["splat-demo"]
    density = replace(preset.system.density, begin=0.1, end=0.8, every=10, reset_every=20)
    slots = replace(preset.system.generator, capacity=400, initial=200)
    system = replace(preset.system, generator=slots, density=density, degree_every=20)
    return replace(
        preset, system=system, data="synthetic:cars", steps=steps, stages=(Stage(0, (32, 32), 1),), **changes
    )


def test_a_resumed_run_is_the_unbroken_one_bit_for_bit(tmp_path):
    whole = train(tiny(), Run(tmp_path / "whole", grid_every=0))
    assert int(whole.alive.sum()) != 200
    train(tiny(), Run(tmp_path / "parts", grid_every=0, save_every=25, keep_last=9))
    checkpoint = tmp_path / "parts" / "checkpoints" / "00000025.pt"
    (tmp_path / "parts" / "state.pt").unlink()
    (tmp_path / "parts" / "state.pt").write_bytes(checkpoint.read_bytes())
    again = train(tiny(), Run(tmp_path / "parts", grid_every=0, resume=True))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_one_process_and_no_average():
    two = replace(tiny(), stages=(Stage(0, (32, 32), 2),))
    with pytest.raises(BadInput, match=r"2 processes: .* wanted one process"):
        check(two, Run(), ProcessGroup(rank=0, world=2))
    with pytest.raises(BadInput, match=r"--ema\.decay 0"):
        check(replace(tiny(), ema=EMA(0.9)), Run(), ProcessGroup())


def test_batches_are_whole_photographs_of_every_epoch():
    experiment = replace(tiny(steps=101), stages=(Stage(0, (16, 16), 2),))
    source = data_source(experiment, quiet=True)
    batches = [batch for _, batch in zip(range(50), source.batches(0), strict=False)]
    assert {batch.images.shape for batch in batches} == {(2, 3, 16, 16)}
    poses = torch.cat([batch.cameras.pose for batch in batches])
    assert len(torch.unique(poses, dim=0)) == 100
    later = next(iter(source.batches(49)))
    assert torch.equal(later.images, batches[49].images)


def picture(path):
    """A PNG as numbers."""
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_a_scene_is_fitted_evaluated_exported_and_its_files_are_the_same_pictures(tmp_path, capsys):
    run, size = tmp_path / "run", ["--size", "32"]
    words = ["--data", "synthetic:cars", "--out", str(run), "--steps", "150", *size]
    slots = ["--system.generator.capacity", "6000", "--system.generator.initial", "800"]
    assert main(["train", "splat-demo", *words, *slots, "--grid-every", "0"]) == 0, capsys.readouterr().err
    assert main(["evaluate", str(run), "--out", str(tmp_path / "n.json")]) == 0
    report = json.loads((tmp_path / "n.json").read_text())
    (scores,) = report["generators"].values()
    assert scores["psnr"]["value"] > 20
    for suffix in ("ply", "splat", "glb"):
        assert main(["export", "splats", str(run), "--out", str(tmp_path / f"scene.{suffix}")]) == 0
    alive = int(read_scene(run).generator.alive.sum())
    assert len(read_splats(tmp_path / "scene.ply").means) == alive < 6000  # slots that are dead are left out
    assert main(["export", "cameras", str(run), "--out", str(tmp_path / "path.json"), "--frames", "3"]) == 0
    shown = {}
    for scene in (run, tmp_path / "scene.ply", tmp_path / "scene.splat"):
        out = tmp_path / "sheet.png"
        options = ["--path", str(tmp_path / "path.json"), "--frames", "3", "--background", "white", *size]
        assert main(["render", str(scene), "--out", str(out), *options]) == 0, capsys.readouterr().err
        shown[scene.name] = picture(out)
    assert abs(shown["scene.ply"] - shown["run"]).max() <= 1
    assert abs(shown["scene.splat"] - shown["run"]).mean() < 6  # it knows neither harmonics nor antialiasing
    up = read_splats(tmp_path / "scene.ply").up
    assert up == pytest.approx((0.0, 1.0, 0.0), abs=1e-4)  # of the files' world


def test_weights_go_on_from_a_generator_and_pointclouds_are_refused(tmp_path, capsys):
    build_seeded(tiny())
    train(tiny(steps=2), Run(tmp_path / "a", grid_every=0))
    generator = train(tiny(steps=1, init=str(tmp_path / "a")), Run(tmp_path / "b", grid_every=0))
    assert torch.isfinite(generator.means).all()
    assert main(["export", "pointcloud", str(tmp_path / "a"), "--out", str(tmp_path / "p.ply")]) == 2
    assert "wanted a Camera" in capsys.readouterr().err
    assert main(["export", "mesh", str(tmp_path / "a"), "--out", str(tmp_path / "m.ply")]) == 2
