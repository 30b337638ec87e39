"""pi-GAN's discriminators, its auxiliary losses, growing, patches and rendering."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from conftest import tiny
from genscene.contract import ImageBatch, RenderOptions, StepContext
from genscene.errors import BadInput
from genscene.geometry.priors import camera_angles
from genscene.objectives.gan_loss import GANLoss, nonsaturating_loss
from genscene.randomness import RandomStreams
from genscene.render.patches import PatchSampler
from genscene.systems import PRESETS
from genscene.systems.pigan.discriminator import (
    STRIDED_CHANNELS,
    CoordConv,
    Discriminator,
    DiscriminatorConfig,
)
from genscene.systems.pigan.system import PiGANConfig
from genscene.training.loop import requires_grad_only

PUBLISHED = {
    DiscriminatorConfig(): 12_412_465,
    DiscriminatorConfig(heads=True): 12_825_523,
    # without the released unused pose layer
    DiscriminatorConfig("strided", STRIDED_CHANNELS): 12_805_489 - 1_200,
    DiscriminatorConfig("coord-strided", STRIDED_CHANNELS, heads=True): 13_291_075,
}


@pytest.mark.parametrize(("config", "parameters"), PUBLISHED.items(), ids=lambda x: getattr(x, "kind", ""))
def test_the_number_of_parameters_is_as_published(config, parameters):
    assert sum(p.numel() for p in Discriminator(config, 256).parameters()) == parameters


@pytest.mark.parametrize("kind", ["progressive", "strided", "coord-strided"])
def test_every_size_has_a_from_rgb_layer_and_fading_starts_at_half_the_size(kind):
    discriminator = Discriminator(DiscriminatorConfig(kind, (4, 4, 8, 8, 8), heads=True), 6)
    for size in ((32, 32), (16, 16), (4, 4), (16, 32)):
        output = discriminator(torch.randn(3, 3, *size))
        assert output.logits.shape == (3,)
        assert output.z.shape == (3, 6)
        assert output.pose.shape == (3, 2)
    images = torch.randn(2, 3, 16, 16)
    halved = images[..., ::2, ::2].repeat_interleave(2, -1).repeat_interleave(2, -2)
    # at 0 only the image of half the size counts
    assert_close(discriminator(halved, 0.0).logits, discriminator(images, 0.0).logits)


@pytest.mark.parametrize("size", [3, 1, 24, 64])
def test_other_sizes_are_refused(size):
    with pytest.raises(BadInput, match="powers of two"):
        Discriminator(DiscriminatorConfig(channels=(4, 4, 4, 4, 4)), 4)(torch.zeros(1, 3, size, size))


def test_groups_of_minibatch_statistics_are_neighbors():
    discriminator = Discriminator(DiscriminatorConfig(channels=(4, 4, 8), mbstd_group=2), 4)
    images = torch.randn(4, 3, 8, 8)
    assert_close(discriminator(images).logits[2:], discriminator(images[2:]).logits)


def test_weights_of_heads_that_are_not_there_are_refused():
    with pytest.raises(BadInput, match="heads"):
        PiGANConfig(pose_weight=1.0).check((64, 64))


def system_and_batch(**changes):
    experiment = tiny("pigan-celeba")
    system = replace(experiment.system, **changes).build()
    return system, ImageBatch(torch.rand(4, 3, 16, 16))


def test_fading_starts_with_the_second_stage_unless_configured_as_released():
    system, _ = system_and_batch(fade_steps=10)
    assert system.fade_alpha(StepContext(0)) == 1.0
    assert system.fade_alpha(StepContext(103, stage_start=100)) == pytest.approx(0.3)
    assert system.fade_alpha(StepContext(500, stage_start=100)) == 1.0
    generator = system.config.generator
    legacy = replace(generator, legacy=replace(generator.legacy, fade_first_stage=True))
    released = replace(system.config, generator=legacy).build()
    assert released.fade_alpha(StepContext(5)) == 0.5


def with_max_bytes(render_options, max_bytes, *given):
    """Render options of a system with another limit of memory."""
    return replace(render_options(*given), max_bytes=max_bytes)


def test_recomputed_fakes_have_the_gradient_of_the_whole(monkeypatch):
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        system, batch = system_and_batch(recompute=recompute)
        few_rays = partial(with_max_bytes, system.render_options, 200_000)
        monkeypatch.setattr(system, "render_options", few_rays)
        with requires_grad_only(system, "generator"):
            loss, _ = system.generator_loss(batch, StepContext(3))
            loss.backward()
        gradients.append([p.grad.clone() for p in system.generator.parameters()])
    for whole, parts in zip(*gradients, strict=True):
        assert_close(whole, parts, atol=1e-6, rtol=1e-4)


def test_shared_fakes_are_rendered_once():
    system, batch = system_and_batch(share_fakes=True)
    rendered, sample_fakes, shared = [], system.sample_fakes, {}
    system.sample_fakes = lambda *given: rendered.append(1) or sample_fakes(*given)
    for turn in system.turns():
        with requires_grad_only(system, turn.player):
            loss, _ = turn.loss(batch, StepContext(0, shared=shared))
            loss.backward()
    assert len(rendered) == 1
    assert shared == {}
    assert [turn.player for turn in system.turns()] == ["generator", "discriminator"]


def test_patches_of_reals_and_fakes_have_the_same_size_and_windows_of_their_own():
    system, _ = system_and_batch(patches=PatchSampler(size=8, smallest=0.25, share=1.0))
    batch = ImageBatch(torch.rand(4, 3, 32, 32))
    fakes = system.sample_fakes(batch, StepContext(0), 1)
    assert fakes.images.shape == (4, 3, 8, 8)
    assert fakes.view.size == (8, 8)
    images, cameras, windows = system.prepare_reals(batch, StepContext(0))
    assert images.shape == (4, 3, 8, 8)
    assert cameras is None
    assert windows.shape == (4, 3)
    assert not torch.equal(windows, fakes.windows)


def test_real_images_are_mapped_to_minus_one_to_one():
    system, batch = system_and_batch()
    images, cameras, windows = system.prepare_reals(batch, StepContext(0))
    assert torch.equal(images, 2 * batch.images - 1)
    assert (cameras, windows) == (None, None)


def test_coordinates_of_a_window_are_those_of_the_whole_image():
    conv = CoordConv(3, 2, 1)
    whole = conv(torch.zeros(1, 3, 9, 9))
    part = conv(torch.zeros(1, 3, 5, 5), torch.tensor([[0.5, 0.5, 0.25]]))
    assert_close(part[0], whole[0, :, 2:7, 4:], atol=1e-6, rtol=0)


def test_the_generator_learns_from_the_top_k_fakes_only():
    system, batch = system_and_batch(loss=GANLoss(20.0, top_k=0.5, top_k_interval=1))
    context = StepContext(10_000)
    fakes = system.sample_fakes(batch, context, 1)
    images = fakes.images.detach().requires_grad_()
    system.sample_fakes = lambda *_: replace(fakes, images=images)
    loss, _ = system.generator_loss(batch, context)
    loss.backward()
    assert (images.grad.flatten(1).abs().sum(1) > 0).sum() == 2


def test_r1_every_other_step_weighs_twice():
    system, batch = system_and_batch(loss=GANLoss(gamma=20.0, penalty_every=2))
    fakes = system.sample_fakes(batch, StepContext(0), 0).detach()
    system.sample_fakes = lambda *_: fakes
    _, with_penalty = system.discriminator_loss(batch, StepContext(0))
    _, without = system.discriminator_loss(batch, StepContext(1))
    assert "r1" in with_penalty
    assert "r1" not in without
    extra = with_penalty["discriminator"] - without["discriminator"]
    assert_close(extra, 2 * system.config.loss.gamma * with_penalty["r1"], atol=1e-4, rtol=1e-3)


def test_the_auxiliary_loss_is_the_error_of_the_predicted_latent_code_and_pose():
    discriminator = replace(tiny("pigan-celeba").system.discriminator, heads=True)
    system, batch = system_and_batch(discriminator=discriminator, z_weight=2.0, pose_weight=15.0)
    context = StepContext(0)
    fakes = system.sample_fakes(batch, context, 1)
    output = system.discriminate(2 * fakes.images - 1, fakes.view, None, context)
    yaw, pitch = camera_angles(fakes.view, system.generator.prior.yaw[0])
    z_error = (output.z - fakes.z).square().mean()
    pose_error = (output.pose - torch.stack([pitch, yaw], dim=-1)).square().mean()
    auxiliary = 2 * z_error + 15 * pose_error
    assert_close(system.auxiliary_loss(output, fakes), auxiliary)
    loss, _ = system.generator_loss(batch, context)
    assert_close(loss, nonsaturating_loss(output.logits) + auxiliary)


def test_released_presets_sum_the_generator_s_losses_over_the_parts_of_a_batch():
    generator = tiny("pigan-celeba").system.generator
    legacy = replace(generator.legacy, sum_accumulation=True)
    system, batch = system_and_batch(generator=replace(generator, legacy=legacy))
    once, twice = (system.generator_loss(batch, StepContext(0, accumulation=n)) for n in (1, 2))
    assert_close(twice[0], 2 * once[0])
    assert_close(twice[1]["generator"], once[1]["generator"])


def test_density_noise_decays_to_zero():
    system, _ = system_and_batch(noise_steps=100)
    noise = [
        system.render_options(StepContext(step), RandomStreams([0])).density_noise for step in (0, 25, 200)
    ]
    assert noise == [1.0, 0.75, 0.0]
    system, _ = system_and_batch(noise_steps=0)
    assert system.render_options(StepContext(0), RandomStreams([0])).density_noise == 0


def render(generator, size=(6, 6), **options):
    """A picture of the first seed."""
    camera = generator.prior.sample(RandomStreams([0]), size)
    scene = generator.scene(generator.latents(RandomStreams([0])))
    return generator.render(scene, camera, RenderOptions(**options))


def test_backgrounds_differ_by_what_is_transparent():
    generator = PRESETS["pigan-celeba"].system.shrunk().build().generator.eval()
    images = {}
    for background in ("black", "white", "last"):
        generator.config = replace(generator.config, eval_background=background)
        images[background] = render(generator)
        assert torch.equal(render(generator, background=background).image, images[background].image)
    alpha = images["black"].alpha
    assert_close(images["white"].image, images["black"].image + 1 - alpha)
    assert (images["last"].image >= images["black"].image - 1e-6).all()


def test_the_background_of_training_is_that_of_fakes_and_the_other_that_of_pictures():
    config = tiny("pigan-celeba").system
    config = replace(config, generator=replace(config.generator, background="white", eval_background="last"))
    system = config.build()
    assert system.render_options(StepContext(0), RandomStreams([0])).background == "white"
    last = render(system.generator, background="last").image
    assert torch.equal(render(system.generator).image, last)


def test_samples_of_options_are_those_of_both_passes():
    generator = PRESETS["pigan-celeba"].system.shrunk().build().generator
    counts, field = [], generator.field.forward
    generator.field.forward = lambda points, *rest: counts.append(points.shape[1]) or field(points, *rest)
    with torch.no_grad():
        render(generator, (2, 3))
        render(generator, (2, 3), samples=32)
    assert counts == [6 * 4, 6 * 4, 6 * 32, 6 * 32]
    assert generator.march.samples == 4


def test_pictures_are_deterministic_unless_configured_as_released():
    generator = PRESETS["pigan-celeba"].system.shrunk().build().generator.eval()
    assert torch.equal(render(generator).image, render(generator).image)
    generator.config = replace(generator.config, legacy=replace(generator.config.legacy, eval_jitter=True))
    assert not torch.equal(render(generator).image, render(generator).image)


def test_depth_is_the_distance_to_an_opaque_surface():
    system, _ = system_and_batch()
    generator = system.generator
    with torch.no_grad():
        generator.field.density.bias.fill_(1e4)
        rendering = render(generator, (4, 4))
    assert_close(rendering.depth, torch.full_like(rendering.depth, generator.march.near), atol=1e-3, rtol=0)
    assert_close(rendering.alpha, torch.ones_like(rendering.alpha))
    eye = rendering.rays.origins
    points = rendering.rays.unit().at(rendering.depth.flatten(2).mT)[:, :, 0]
    assert_close((points - eye).norm(dim=-1), torch.full((1, 16), generator.march.near), atol=1e-3, rtol=0)


def test_mixed_precision_rounds_only_the_field():
    system, batch = system_and_batch(patches=PatchSampler(size=8, share=1.0))
    sample_fakes, context = system.sample_fakes, StepContext(0)
    exact_fakes = sample_fakes(batch, context, 1).detach()
    system.sample_fakes = lambda *_: exact_fakes
    with torch.autocast("cpu", torch.bfloat16):
        fakes = sample_fakes(batch, context, 1)
        loss, stats = system.discriminator_loss(batch, context)
    assert fakes.images.dtype == loss.dtype == stats["r1"].dtype == torch.float32
    angles = [torch.stack(camera_angles(each.view, 0.0)) for each in (fakes, exact_fakes)]
    assert torch.equal(*angles)
    assert torch.equal(fakes.view.intrinsics, exact_fakes.view.intrinsics)
    assert_close(loss, system.discriminator_loss(batch, context)[0])
    assert (fakes.images - exact_fakes.images).abs().max() < 0.01
