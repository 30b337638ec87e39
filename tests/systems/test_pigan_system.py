"""pi-GAN's discriminators, losses, growing and rendering."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from conftest import tiny
from genscene.contract import ImageBatch, StepContext
from genscene.errors import BadInput
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
from genscene.training.loop import only

PUBLISHED = {
    DiscriminatorConfig(): 12_412_465,
    DiscriminatorConfig(heads=True): 12_825_523,
    DiscriminatorConfig("strided", STRIDED_CHANNELS): 12_805_489
    - 1_200,  # without the released unused pose layer
    DiscriminatorConfig("coord-strided", STRIDED_CHANNELS, heads=True): 13_291_075,
}


@pytest.mark.parametrize(("config", "parameters"), PUBLISHED.items(), ids=lambda x: getattr(x, "kind", ""))
def test_parameters_as_published(config, parameters):
    assert sum(p.numel() for p in Discriminator(config, 256).parameters()) == parameters


@pytest.mark.parametrize("kind", ["progressive", "strided", "coord-strided"])
def test_every_size_has_an_entrance_and_fading_starts_at_half_the_size(kind):
    judge = Discriminator(DiscriminatorConfig(kind, (4, 4, 8, 8, 8), heads=True), 6)
    for size in ((32, 32), (16, 16), (4, 4), (16, 32)):
        verdict = judge(torch.randn(3, 3, *size))
        assert verdict.logits.shape == (3,)
        assert verdict.z.shape == (3, 6)
        assert verdict.pose.shape == (3, 2)
    images = torch.randn(2, 3, 16, 16)
    rest = judge(images[..., ::2, ::2].repeat_interleave(2, -1).repeat_interleave(2, -2), 0.0)
    assert_close(rest.logits, judge(images, 0.0).logits)  # at 0 only the picture of half the size counts


@pytest.mark.parametrize("size", [3, 1, 24, 64])
def test_other_sizes_are_refused(size):
    with pytest.raises(BadInput, match="powers of two"):
        Discriminator(DiscriminatorConfig(channels=(4, 4, 4, 4, 4)), 4)(torch.zeros(1, 3, size, size))


def test_groups_are_of_neighbours_so_that_slices_see_the_same():
    judge = Discriminator(DiscriminatorConfig(channels=(4, 4, 8), group=2), 4)
    images = torch.randn(4, 3, 8, 8)
    assert_close(judge(images).logits[2:], judge(images[2:]).logits)


def test_weights_without_heads_are_refused_when_configured():
    with pytest.raises(BadInput, match="heads"):
        PiGANConfig(pose_weight=1.0)


def system_and_batch(**changes):
    experiment = tiny("pigan-celeba")
    system = replace(experiment.system, **changes).build()
    return system, ImageBatch(torch.rand(4, 3, 16, 16))


def test_fading_starts_with_the_second_stage_unless_legacy_says_otherwise():
    system, _ = system_and_batch(fade_steps=10)
    assert system.fade(StepContext(0)) == 1.0
    assert system.fade(StepContext(103, stage_start=100)) == pytest.approx(0.3)
    assert system.fade(StepContext(500, stage_start=100)) == 1.0
    generator = system.config.generator
    legacy = replace(generator, legacy=replace(generator.legacy, fade_first_stage=True))
    old = replace(system.config, generator=legacy).build()
    assert old.fade(StepContext(5)) == 0.5


def test_deferred_backpropagation_has_the_gradient_of_the_whole(monkeypatch):
    gradients = []
    for deferred in (False, True):
        torch.manual_seed(0)
        system, batch = system_and_batch(deferred=deferred)
        monkeypatch.setattr(system.generator, "chunk", lambda *_: 37, raising=False)
        with only(system, "generator"):
            loss, _ = system.generator_loss(batch, StepContext(3))
            loss.backward()
        gradients.append([p.grad.clone() for p in system.generator.parameters()])
    for whole, parts in zip(*gradients, strict=True):
        assert_close(whole, parts, atol=1e-6, rtol=1e-4)


def test_shared_fakes_are_rendered_once():
    system, batch = system_and_batch(share_fakes=True)
    painted = []
    paint = system.paint
    system.paint = lambda *given: painted.append(1) or paint(*given)
    for turn in system.turns():
        with only(system, turn.player):
            loss, _ = turn.loss(batch, StepContext(0))
            loss.backward()
    assert len(painted) == 1
    assert [turn.player for turn in system.turns()] == ["generator", "discriminator"]


def test_patches_show_both_players_the_same_kind_of_window():
    system, _ = system_and_batch(patches=PatchSampler(size=8, smallest=0.25, share=1.0))
    batch = ImageBatch(torch.rand(4, 3, 32, 32))
    assert system.paint(batch, StepContext(0), 1).images.shape == (4, 3, 8, 8)
    images, windows = system.seen(batch, StepContext(0))
    assert images.shape == (4, 3, 8, 8)
    assert windows.shape == (4, 3)
    assert not torch.equal(windows, system.paint(batch, StepContext(0), 1).windows)


def test_a_window_tells_each_pixel_its_place_in_the_whole_picture():
    conv = CoordConv(3, 2, 1)
    whole = conv(torch.zeros(1, 3, 9, 9))
    part = conv(torch.zeros(1, 3, 5, 5), torch.tensor([[0.5, 0.5, 0.25]]))
    assert_close(part[0], whole[0, :, 2:7, 4:], atol=1e-6, rtol=0)


def test_topk_learns_from_the_best_fakes_only():
    system, batch = system_and_batch(topk=0.5, topk_interval=1)
    fakes = system.paint(batch, StepContext(10_000), 1)
    images = fakes.images.detach().requires_grad_()
    loss, _ = system.deception(replace(fakes, images=images), StepContext(10_000))
    loss.backward()
    assert (images.grad.flatten(1).abs().sum(1) > 0).sum() == 2


def test_r1_every_other_step_weighs_twice():
    system, batch = system_and_batch(r1_every=2)
    fakes = system.paint(batch, StepContext(0), 0).detach()
    _, with_penalty = system.judgement(batch, fakes, StepContext(0))
    _, without = system.judgement(batch, fakes, StepContext(1))
    assert "r1" in with_penalty
    assert "r1" not in without
    extra = with_penalty["discriminator"] - without["discriminator"]
    assert_close(extra, 2 * system.config.gamma * with_penalty["r1"], atol=1e-4, rtol=1e-3)


def test_backgrounds():
    generator = PRESETS["pigan-celeba"].system.shrunk().build().generator.eval()
    camera = generator.orbit.sample(RandomStreams([0]), (6, 6))
    scene = generator.scene(generator.latents(RandomStreams([0])))
    images = {}
    for background in ("black", "white", "last"):
        generator.config = replace(generator.config, eval_background=background)
        images[background] = generator.render(scene, camera)
    alpha = images["black"].alpha
    assert_close(images["white"].image, images["black"].image + 1 - alpha)
    assert (images["last"].image >= images["black"].image - 1e-6).all()


def test_more_samples_share_the_weights():
    generator = PRESETS["pigan-celeba"].system.shrunk().build().generator
    finer = generator.resampled(32)
    assert finer.march.samples == 32
    assert generator.march.samples == 4
    assert finer.field is generator.field


def test_depth_is_a_distance_where_something_is():
    system, _ = system_and_batch()
    generator = system.generator
    with torch.no_grad():
        generator.field.density.bias.fill_(1e4)
        rendering = generator.render(
            generator.scene(generator.latents(RandomStreams([0]))),
            generator.orbit.sample(RandomStreams([0]), (4, 4)),
        )
    assert_close(rendering.depth, torch.full_like(rendering.depth, generator.march.near), atol=1e-3, rtol=0)
    assert_close(rendering.alpha, torch.ones_like(rendering.alpha))


def test_in_mixed_precision_only_the_field_is_rounded():
    system, batch = system_and_batch(patches=PatchSampler(size=8, share=1.0))
    exact_fakes = system.paint(batch, StepContext(0), 1)
    with torch.autocast("cpu", torch.bfloat16):
        fakes = system.paint(batch, StepContext(0), 1)
        loss, stats = system.judgement(batch, exact_fakes.detach(), StepContext(0))
    assert fakes.images.dtype == loss.dtype == stats["r1"].dtype == torch.float32
    assert torch.equal(fakes.pose, exact_fakes.pose)
    assert_close(loss, system.judgement(batch, exact_fakes.detach(), StepContext(0))[0])
    assert (fakes.images - exact_fakes.images).abs().max() < 0.01
