"""Augmentation: what it does to images, its random numbers, and where the two players meet it."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from conftest import tiny
from genscene.contract import ImageBatch, StepContext
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.experiment.serialise import dumps, loads
from genscene.objectives.adversarial import AUGMENT_FAKES, AUGMENT_REALS
from genscene.objectives.augmentation import Augmentation, change_colors, cut_out, mirror, translate
from genscene.objectives.gan_loss import GANLoss, logistic_loss, nonsaturating_loss, r1_penalty
from genscene.randomness import RandomStreams
from genscene.render.patches import PatchSampler
from genscene.systems import KINDS
from genscene.training.loop import requires_grad_only, train_step
from genscene.training.run import Run, check, init_state

ALL = Augmentation(color=True, translation=0.125, cutout=0.5, flip=True)
SYSTEMS = ("pigan-demo", "graf-demo", "giraffe-demo", "cips-ffhq-256")
SEEDS = st.integers(0, 2**31)
law = settings(max_examples=30)


def images_of(seed, count=3, channels=3, height=9, width=12):
    return 2 * torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(seed)) - 1


@law
@given(seed=SEEDS, down=st.integers(-4, 4), right=st.integers(-4, 4))
def test_a_translation_moves_whole_pixels_and_leaves_gray(seed, down, right):
    images = images_of(seed, count=1)
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    wanted = padded[..., 4 - down : 13 - down, 4 - right : 16 - right]
    assert torch.equal(translate(images, torch.tensor([[down, right]])), wanted)


@law
@given(seed=SEEDS)
def test_translations_are_as_far_as_configured(seed):
    marked = torch.zeros(64, 3, 8, 16)
    marked[:, :, 4, 8] = 1
    moved = Augmentation(translation=0.25).apply(marked, RandomStreams(range(seed, seed + 64)))
    _, _, rows, columns = moved.nonzero().unbind(-1)
    assert {*(rows - 4).tolist()} == {-2, -1, 0, 1, 2}
    assert (columns - 8).abs().max() <= 4
    assert (columns - 8).unique().numel() > 5


@law
@given(seed=SEEDS)
def test_a_cutout_is_a_gray_rectangle_whose_middle_is_in_the_image(seed):
    found = Augmentation(cutout=0.5).apply(torch.ones(16, 3, 8, 12), RandomStreams(range(seed, seed + 16)))
    for image in found:
        rows, columns = (image[0] == 0).nonzero().unbind(-1)
        height, width = (x.max() - x.min() + 1 for x in (rows, columns))
        assert height * width == len(rows)
        assert 2 <= height <= 4
        assert 3 <= width <= 6
        assert torch.equal(image[0], image[2])
    assert torch.equal(cut_out(found, torch.zeros(16, 2), torch.zeros(2)), found)


@law
@given(seed=SEEDS)
def test_colors_change_as_in_diffaugment(seed):
    images, numbers = images_of(seed), torch.rand(3, 3, generator=torch.Generator().manual_seed(seed))
    assert_close(change_colors(images, torch.tensor([[0.5, 0.5, 0.5]]).expand(3, -1)), images)
    for image, (brightness, saturation, contrast), found in zip(
        images, numbers, change_colors(images, numbers), strict=True
    ):
        x = image + (brightness - 0.5)
        gray = x.mean(dim=0, keepdim=True)
        x = (x - gray) * (2 * saturation) + gray
        assert_close(found, (x - x.mean()) * (contrast + 0.5) + x.mean(), atol=1e-5, rtol=1e-5)


def test_masks_move_with_the_image_and_keep_their_values():
    images = images_of(0, 40, channels=4)
    colored = Augmentation(color=True).apply(images, RandomStreams(range(40)))
    assert torch.equal(colored[:, 3], images[:, 3])
    assert not torch.allclose(colored[:, :3], images[:, :3])
    mirrored = Augmentation(flip=True).apply(images, RandomStreams(range(40)))
    chosen = (mirrored != images).flatten(1).any(dim=1)
    assert 10 < chosen.sum() < 30
    assert torch.equal(mirrored, mirror(images, chosen))
    ones, moving = torch.ones(40, 4, 9, 12), Augmentation(translation=0.5, cutout=0.5)
    moved = moving.apply(ones, RandomStreams(range(40)))
    assert torch.equal(moved[:, 3], moved[:, 0])


def test_an_image_is_changed_alike_alone_and_among_others():
    images = images_of(1, 6)
    whole = ALL.apply(images, RandomStreams(range(6)))
    parts = [ALL.apply(images[i : i + 2], RandomStreams(range(i, i + 2))) for i in (0, 2, 4)]
    assert_close(whole, torch.cat(parts))
    assert not torch.allclose(whole, images)
    assert Augmentation().apply(images, RandomStreams(range(6))) is images
    assert not Augmentation().active


def test_all_changes_are_differentiable_twice():
    images = images_of(2, 2, height=5, width=6).double().requires_grad_()

    def changed(x):
        return ALL.apply(x, RandomStreams(range(2))).square()

    assert torch.autograd.gradgradcheck(changed, images)


def augmented(name, **changes):
    preset = tiny(name)
    return replace(preset, system=replace(preset.system, augment=ALL, **changes))


def by_hand(system, images, context, turn):
    """Logits of augmented images, and R1 at the images before."""
    images = images.detach().requires_grad_()
    changed = ALL.apply(images, context.random_streams(len(images), turn, "cpu"))
    logits = system.discriminate(changed, None, None, context).logits
    return logits, r1_penalty(logits, images)


def test_both_players_see_augmented_images_and_penalties_are_of_those_before():
    loss = GANLoss(gamma=3.0, gamma_fake=5.0)
    system = augmented("cips-ffhq-256", loss=loss).system.build()
    batch, context = ImageBatch(images_of(3, 4, height=16, width=16).abs()), StepContext(2)
    fakes = [2 * system.sample_fakes(batch, context, turn).images - 1 for turn in (0, 1)]
    real, r1 = by_hand(system, 2 * batch.images - 1, context, AUGMENT_REALS)
    fake, r2 = by_hand(system, fakes[0], context, AUGMENT_FAKES)
    found, stats = system.discriminator_loss(batch, context)
    assert_close(found, logistic_loss(real, fake) + 3 * r1 + 5 * r2)
    assert_close(stats["r1"], r1)
    assert not torch.allclose(r1, r1_of_unchanged(system, batch, context))
    fooling, _ = by_hand(system, fakes[1], context, AUGMENT_FAKES)
    found, _ = system.generator_loss(batch, context)
    assert_close(found, nonsaturating_loss(fooling))
    with requires_grad_only(system, "generator"):
        found, _ = system.generator_loss(batch, context)
        slopes = torch.autograd.grad(found, [*system.generator.parameters()], allow_unused=True)
    assert any(slope is not None and slope.any() for slope in slopes)


def r1_of_unchanged(system, batch, context):
    images = (2 * batch.images - 1).requires_grad_()
    return r1_penalty(system.discriminate(images, None, None, context).logits, images)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_is_trained_with_augmentation(name):
    experiment = augmented(name)
    system = replace(experiment.system, patches=replace(experiment.system.patches, size=0))
    experiment = replace(experiment, system=system if name == "pigan-demo" else experiment.system)
    check(experiment, Run(), ProcessGroup())
    assert loads(dumps(experiment), KINDS, "here") == experiment
    found = []
    for parts in (1, 2):
        cut = replace(experiment, stages=(replace(experiment.stages[0], accumulation=parts),))
        state = init_state(cut, torch.device("cpu"), ProcessGroup(), "fp32")
        batch = ImageBatch(images_of(4, 4, height=16, width=16).abs())
        for step in (0, 1):
            assert all(value.isfinite().all() for value in train_step(state, batch, step).values())
        found.append([*state.system.parameters()])
    for whole, accumulated in zip(*found, strict=True):
        assert_close(whole, accumulated, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("pigan-demo", {"patches": PatchSampler(8)}),
        ("pigan-celeba-release", {"patches": PatchSampler(), "pose_weight": 1.0}),
        ("cips-ffhq-256", {"discriminator_coords": True}),
    ],
)
def test_mirroring_is_refused_where_the_discriminator_tells_left_from_right(name, changes):
    experiment = augmented(name, **changes)
    with pytest.raises(BadInput, match=r"augment.flip: wanted off with"):
        experiment.system.check((16, 16))
    calm = replace(experiment.system, augment=replace(ALL, flip=False))
    calm.check((16, 16))
