"""CGS-GAN: published sizes, values at the start, views, its switches, growth."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from conftest import tiny
from genscene.contract import PosedImageBatch, StepContext
from genscene.devices import without_memory
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.geometry.priors import CameraPrior
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile
from genscene.objectives.adversarial import DISCRIMINATOR, GENERATOR
from genscene.objectives.augmentation import Augmentation
from genscene.objectives.dcgan import DCGANConfig
from genscene.randomness import RandomStreams
from genscene.render.patches import PatchSampler
from genscene.systems import PRESETS
from genscene.systems.cgsgan.generator import CGSGANGenerator, CGSGANGeneratorConfig
from genscene.systems.cgsgan.network import PointNetworkConfig
from genscene.systems.cgsgan.presets import of_levels
from genscene.training.initial_weights import InitialWeights, grown
from genscene.training.loop import train_step
from genscene.training.run import Run, init_state, train

NETWORK = PointNetworkConfig(
    points=16, width=16, heads=2, first_blocks=2, children=(1, 4, 2), features=(16, 8, 4), pe_entries=6
)
AROUND = CameraPrior("uniform", yaw=(1.5, 3.1), radius=2.7, fov=20.0)


def small(**numbers):
    """A generator of 16 points and three levels."""
    return CGSGANGenerator(CGSGANGeneratorConfig(8, 12, network=NETWORK, prior=AROUND, **numbers)).eval()


def posed(count, side=16, seed=0):
    """Random images with cameras all around."""
    torch.manual_seed(seed)
    cameras = AROUND.sample(RandomStreams(range(count)), (side, side))
    return PosedImageBatch(torch.rand(count, 3, side, side), cameras)


@pytest.mark.parametrize(
    ("levels", "side", "gaussians", "millions"),
    [(5, 256, 109_056, 54.8), (6, 512, 240_128, 61.6), (7, 1024, 502_272, 70.5), (8, 2048, 1_026_560, 79.5)],
)
def test_generators_are_as_large_as_published(levels, side, gaussians, millions):
    config, size = of_levels(levels)
    with without_memory():
        generator = CGSGANGenerator(config)
    assert size == side
    assert sum(config.network.counts) == gaussians
    assert round(sum(p.numel() for p in generator.parameters()) / 1e6, 1) == millions


@torch.no_grad()
def test_gaussians_at_the_start_have_the_expected_scales():
    config, _ = of_levels(6)
    generator = CGSGANGenerator(config)
    raw, anchors = generator.raw(generator.style(generator.latents(RandomStreams([0]))))
    means = [each.mean() for each in raw.scale.split(config.network.counts, dim=1)]
    assert_close(torch.stack(means), torch.tensor([-7.5, -7.5, -8.3, -8.9, -9.4, -9.8]), atol=0.15, rtol=0)
    assert [each.xyz.shape[1] for each in anchors] == config.network.counts[:-1]
    assert raw.xyz.abs().max() <= 0.5


@torch.no_grad()
def test_the_shape_of_the_demo_at_its_start():
    config = PRESETS["cgsgan-demo"].system.generator
    generator = CGSGANGenerator(config)
    scene = generator.scene(generator.latents(RandomStreams(range(4))))
    first, second = scene.scales.split(config.network.counts, dim=1)
    assert abs(first.mean() - 0.08) < 0.01
    assert abs(second.mean() - 0.08 / 1.6) < 0.01
    assert scene.scales.max() < 0.14
    spread = scene.anchors.std(dim=1).mean(dim=0)
    assert (spread[0] > 1.5 * spread[1:]).all()


@torch.no_grad()
def test_styles_are_by_blocks_or_one_for_all():
    generator, single = small(), small(legacy_single_w=True)
    single.load_state_dict(generator.state_dict())
    for block in generator.network.blocks:
        for gate in block.gates:
            gate.bias.fill_(1.0)
    single.load_state_dict(generator.state_dict())
    z = generator.latents(RandomStreams([0, 1]))
    w, one = generator.style(z), single.style(z)
    assert (w.shape, one.shape) == ((2, 4, 12), (2, 12))
    assert (generator.layer_dim, single.layer_dim) == (1, None)
    assert_close(generator.bind(w).means, single.bind(one).means)
    mixed = torch.cat([w[:1, :3], w[1:, 3:]], dim=1)
    scene, other = generator.bind(mixed), generator.bind(w[:1])
    first, second = scene.means.split((16 + 64, 128), dim=1), other.means.split((16 + 64, 128), dim=1)
    assert_close(first[0], second[0])  # the last block is that of the last level
    assert not torch.allclose(first[1], second[1])
    assert not torch.equal(generator.style(z, 0.5), w)


@torch.no_grad()
def test_cameras_condition_styles_only_where_they_are_asked_to():
    z, cameras = torch.randn(2, 8), AROUND.sample(RandomStreams([0, 1]), (8, 8))
    plain, seen = small(), small(camera_conditioning=True)
    assert torch.equal(plain.style(z), plain.style(z, camera=cameras))
    assert not torch.allclose(seen.style(z), seen.style(z, camera=cameras))
    front = AROUND.sweep(1, (8, 8))
    assert_close(seen.style(z[:1]), seen.style(z[:1], camera=front))


@torch.no_grad()
def test_published_pictures_are_of_styles_mapped_twice():
    config = CGSGANGeneratorConfig(8, 8, network=NETWORK, legacy_double_mapping=True)
    generator, z = CGSGANGenerator(config), torch.randn(2, 8)
    assert_close(generator.style(z)[:, 0], generator.mapping(generator.mapping(z)))
    with pytest.raises(BadInput, match="legacy_double_mapping: wanted a style_dim"):
        replace(config, style_dim=9).check()


@torch.no_grad()
def test_pictures_are_before_the_background_with_depth_and_opacity():
    generator = small()
    scene, view = generator.scene(torch.randn(1, 8)), AROUND.sample(RandomStreams([0]), (24, 24))
    big = replace(scene, scales=10 * scene.scales)
    found = generator.render(big, view)
    black = CGSGANGenerator(replace(generator.config, background="black"))
    assert_close(found.image - black.render(big, view).image, (1 - found.alpha).expand(-1, 3, -1, -1))
    assert 0 < found.alpha.mean() < 1
    where = found.alpha > 0.5
    assert ((found.depth[where] > 2) & (found.depth[where] < 3.5)).all()
    with pytest.raises(BadInput, match="the view is Rays, wanted a Camera"):
        generator.render(scene, view.rays())


@torch.no_grad()
def test_no_scenes_give_no_pictures():
    generator = small()
    found = generator.render(generator.scene(torch.zeros(0, 8)), AROUND.sample(RandomStreams([]), (6, 5)))
    assert found.image.shape == (0, 3, 6, 5)


def test_mixed_precision_trains_with_places_in_float32():
    experiment = tiny("cgsgan-demo")
    state = init_state(experiment, torch.device("cpu"), ProcessGroup(), "bf16")
    stats = train_step(state, posed(4), 0)
    assert all(value.isfinite() for value in stats.values())
    with torch.autocast("cpu", torch.bfloat16):
        scene = state.system.generator.scene(torch.randn(2, 8))
    assert {scene.means.dtype, scene.scales.dtype} == {torch.float32}


def test_several_views_have_the_gradient_of_their_mean_loss(monkeypatch):
    config = replace(tiny("cgsgan-ffhqc-256").system, views=3)
    discriminator = replace(config.discriminator, mbstd_group=3)
    system = replace(config, discriminator=discriminator).build().double()
    batch, context = posed(3), StepContext(0)
    batch = PosedImageBatch(batch.images.double(), replace(batch.cameras, pose=batch.cameras.pose.double()))
    batch = replace(batch, cameras=replace(batch.cameras, intrinsics=batch.cameras.intrinsics.double()))
    system.discriminator.requires_grad_(False)
    for block in system.generator.network.blocks:
        for gate in block.gates:
            nn.init.constant_(gate.bias, 0.5)
    with torch.no_grad():
        for head in system.generator.network.anchors["scale"]:
            head.bias.fill_(4.0)
    sample = system.sample_latents
    monkeypatch.setattr(system, "sample_latents", lambda randomness: sample(randomness).double())
    z, scene = system.sample_scenes(batch, context, GENERATOR)
    losses = []
    for number in range(3):
        fakes = system.render_view(scene, z, batch, context, (GENERATOR, number))
        output = system.discriminate(2 * fakes.images - 1, fakes.view, None, context)
        losses.append(system.config.loss.generator(output.logits, None, 0))
    mean = sum(losses) / 3 + sum(system.regularizers(scene).values())
    wanted = torch.autograd.grad(mean, list(system.generator.parameters()), allow_unused=True)
    loss, stats = system.generator_loss(batch, context)
    assert_close(loss, mean)
    assert stats.keys() == {"generator", "neighbors", "center"}
    loss.backward()
    assert any(each is not None and each.abs().max() > 1e-6 for each in wanted)
    for parameter, slope in zip(system.generator.parameters(), wanted, strict=True):
        if slope is not None:
            assert_close(parameter.grad, slope, rtol=1e-9, atol=1e-12)


def test_every_view_of_a_scene_has_the_camera_of_another_picture():
    config = replace(tiny("cgsgan-ffhqc-256").system, views=4)
    system = replace(config, discriminator=replace(config.discriminator, mbstd_group=4)).build()
    batch = posed(8)
    seen = torch.stack([system.view_cameras(batch, number).pose for number in range(4)])
    for scene in range(8):
        together = batch.cameras.pose[scene // 4 * 4 : scene // 4 * 4 + 4]
        found = {int((together == pose).flatten(1).all(dim=1).nonzero()) for pose in seen[:, scene]}
        assert found == {0, 1, 2, 3}
    part = torch.stack([system.view_cameras(batch[4:], number).pose for number in range(4)])
    assert torch.equal(part, seen[:, 4:])


def test_backgrounds_of_fakes_are_random_or_one_color():
    config = tiny("cgsgan-ffhqc-256").system
    batch, corner = posed(4), {}
    for background in ("random", "white", "black"):
        system = replace(config, background=background).build()
        fakes = system.sample_fakes(batch, StepContext(3), DISCRIMINATOR)
        corner[background] = fakes.images[:, :, 0, 0]
    assert_close(corner["white"], torch.ones(4, 3))
    assert_close(corner["black"], torch.zeros(4, 3))
    assert len(corner["random"].unique(dim=0)) == 4


def test_patches_are_crops_of_the_cameras_whose_labels_tell_where():
    config = tiny("cgsgan-demo").system
    config = replace(config, patches=PatchSampler(8, smallest=0.25, largest=0.5, share=1.0, start=5))
    config = replace(config, discriminator_camera="label")
    system, batch = config.build(), posed(4)
    for step, whole in ((0, True), (5, False)):
        context = StepContext(step)
        fakes = system.sample_fakes(batch, context, DISCRIMINATOR)
        reals, view, windows = system.prepare_reals(batch, context)
        assert fakes.images.shape == reals.shape == (4, 3, 8, 8)
        assert (windows is None) == (fakes.windows is None) == whole
        for seen, given in ((fakes.view, fakes.windows), (view, windows)):
            assert len(seen) == 4
            if given is not None:
                scale = batch.cameras.intrinsics[:, 0, 0] / seen.intrinsics[:, 0, 0]
                assert_close(scale, given[:, 0])
        assert system.discriminate(2 * reals - 1, view, windows, context).logits.shape == (4,)


def test_fakes_are_averaged_from_finer_ones():
    config = replace(tiny("cgsgan-ffhqc-256").system, background="white")
    fine, coarse = (replace(config, supersample=times).build() for times in (2, 1))
    coarse.load_state_dict(fine.state_dict())
    batch = posed(2)
    found = fine.sample_fakes(batch, StepContext(0), DISCRIMINATOR).images
    twice = posed(2, 32)
    finer = coarse.sample_fakes(twice, StepContext(0), DISCRIMINATOR).images
    assert_close(found, nn.functional.avg_pool2d(finer, 2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["project", "add", "dcgan"])
@pytest.mark.parametrize("camera", ["none", "label", "angles"])
def test_discriminators_are_told_cameras_as_configured(camera, kind):
    config = tiny("cgsgan-ffhqc-256").system
    if kind == "dcgan":
        config = replace(config, dcgan=DCGANConfig((4,), bias=True))
    else:
        config = replace(config, discriminator=replace(config.discriminator, label_use=kind))
    system = replace(config, discriminator_camera=camera).build()
    batch = posed(4)
    other = replace(batch.cameras, pose=batch.cameras.pose.flip(0))
    logits = [
        system.discriminate(2 * batch.images - 1, view, None, StepContext(0)).logits
        for view in (batch.cameras, other)
    ]
    assert torch.equal(*logits) == (camera == "none")


def test_conditioned_generators_see_their_camera_or_another():
    config = tiny("cgsgan-ffhqc-256").system
    generator = replace(config.generator, camera_conditioning=True)
    batch = posed(4)
    swapped, own = (replace(config, generator=generator, camera_swap=x).build() for x in (1.0, 0.0))
    always = torch.ones(4, dtype=torch.bool)
    assert torch.equal(own.conditioning_cameras(batch, ~always).pose, own.view_cameras(batch, 0).pose)
    assert torch.equal(own.conditioning_cameras(batch, always).pose, own.view_cameras(batch, 1).pose)
    for block in own.generator.network.blocks:
        for gate in block.gates:
            nn.init.constant_(gate.bias, 1.0)
    swapped.load_state_dict(own.state_dict())
    fakes = [each.sample_scenes(batch, StepContext(0), GENERATOR)[1].means for each in (own, swapped)]
    assert not torch.allclose(*fakes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"orbit": "learned"}, "orbit learned: wanted given"),
        ({"mask_weight": 1.0}, "mask_weight 1.0: wanted 0"),
        ({"recompute": True}, "recompute: wanted off"),
        ({"augment": Augmentation(flip=True)}, "augment.flip: wanted off"),
        ({"augment": Augmentation(color=True), "views_in_batch": True}, "augment: wanted off with views_in"),
        ({"neighbors": 8}, "neighbors 8: wanted fewer"),
        ({"patches": PatchSampler(4)}, "images of 4x4: wanted 16x16"),
    ],
)
def test_what_gaussians_do_not_have_is_refused(change, message):
    with pytest.raises(BadInput, match=message):
        replace(tiny("cgsgan-ffhqc-256").system, **change).check((16, 16))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 3}, "width 16: wanted an even number, a multiple of heads"),
        ({"features": (16, 8)}, "features of 2 levels: wanted 3"),
    ],
)
def test_networks_that_do_not_fit_together_are_refused(change, message):
    with pytest.raises(BadInput, match=message):
        replace(NETWORK, **change).check()


def test_places_learn_more_slowly():
    experiment = tiny("cgsgan-ffhqc-512")
    assert experiment.optim["generator"].lr_multipliers == dict.fromkeys(
        ("network.points", "network.anchors.xyz", "network.gaussians.xyz"), 0.01
    )
    assert_close(experiment.optim["discriminator"].lr, 2e-3 * 16 / 17)
    assert_close(experiment.optim["discriminator"].betas[1], 0.99 ** (16 / 17))


def test_a_generator_grows_levels_and_a_discriminator_blocks(tmp_path):
    experiment = tiny("cgsgan-ffhqc-256")
    system = experiment.system.build()
    config = experiment.system
    more = replace(config.generator.network, children=(1, 2, 2), features=(8, 4, 4))
    larger = replace(
        config,
        generator=replace(config.generator, network=more),
        discriminator=replace(config.discriminator, size=32),
    ).build()
    given = {name: x.clone() for name, x in system.state_dict().items()}
    found = grown(given, larger)
    assert found.keys() == larger.state_dict().keys()
    larger.load_state_dict(found)
    z = torch.randn(2, 8)
    with torch.no_grad():
        before, after = system.generator.scene(z), larger.generator.scene(z)
    assert torch.equal(after.means[:, : before.means.shape[1]], before.means)
    lost = {name: x for name, x in given.items() if name != "generator.network.points"}
    assert "generator.network.points" not in grown(lost, larger)
    assert grown(given, system).keys() == system.state_dict().keys()
    weights = InitialWeights(tmp_path, lost, {})
    assert weights.ema == {}


def test_a_run_starts_from_one_of_fewer_levels(tmp_path):
    experiment = tiny("cgsgan-ffhqc-256", steps=1)
    train(experiment, Run(tmp_path / "low", grid_every=0))
    config = experiment.system
    more = replace(config.generator.network, children=(1, 2, 2), features=(8, 4, 4))
    system = replace(config, generator=replace(config.generator, network=more))
    for init in (tmp_path / "low", tmp_path / "low" / "generator.safetensors"):
        again = replace(experiment, system=system, init=str(init))
        train(again, Run(tmp_path / f"from {init.name}", grid_every=0))


def test_generator_files_keep_the_camera_that_conditions_by_default(tmp_path):
    config = tiny("cgsgan-ffhqc-256").system
    generator = replace(config.generator, camera_conditioning=True)
    experiment = replace(tiny("cgsgan-ffhqc-256"), system=replace(config, generator=generator))
    network = experiment.system.build_generator()
    generator_file.write(tmp_path / "g.safetensors", GeneratorFile(network, experiment))
    again, z = generator_file.load(tmp_path / "g.safetensors"), torch.randn(1, 8)
    assert_close(again.style(z), network.style(z))
