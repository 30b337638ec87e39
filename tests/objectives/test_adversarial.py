"""Adversarial training: losses against their formulas, penalties, shared fakes, minibatch statistics."""

from dataclasses import dataclass, replace
from math import gcd

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from conftest import tiny
from genscene.contract import Generator, ImageBatch, Rendering, StepContext
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.experiment.schema import Stage
from genscene.experiment.validation import validate
from genscene.geometry.priors import PlanePrior
from genscene.layers.minibatch_std import minibatch_std
from genscene.objectives.adversarial import AdversarialConfig, AdversarialSystem, DiscriminatorOutput
from genscene.objectives.gan_loss import GANLoss, nonsaturating_loss, r1_penalty, top_k
from genscene.systems.pigan import discriminator as pigan_discriminator
from genscene.training.loop import requires_grad_only
from genscene.training.run import Run, check

BATCH = ImageBatch(torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(1)))
KINDS = ("logistic", "relativistic", "hinge")
SEEDS = st.integers(0, 2**31)
law = settings(max_examples=30)


class ToyGenerator(Generator):
    """Images of the image plane that are linear in the latent code."""

    latent_dim, prior, bounds = 5, PlanePrior(), None

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 3, 6, 6) / 5)
        self.rendered = 0

    def latents(self, randomness):
        return randomness.normal(5)

    def style(self, z, psi=1.0, camera=None):
        return z

    def bind(self, w):
        return torch.tensordot(w, self.weight, dims=1).sigmoid()

    def render(self, scene, view, options=None):
        self.rendered += 1
        return Rendering(scene)


class ToyDiscriminator(nn.Module):
    """A network of two layers, whose gradient depends on the image."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(108, 7), nn.Softplus(), nn.Linear(7, 1))

    def forward(self, images):
        return self.layers(images)[:, 0]


@dataclass(frozen=True)
class ToyConfig(AdversarialConfig):
    """The configuration of the toy system."""

    def build_generator(self):
        return ToyGenerator()

    def build(self):
        torch.manual_seed(0)
        return ToySystem(self, ToyGenerator(), ToyDiscriminator())

    def check(self, size):
        pass

    def shrunk(self):
        return self


class ToySystem(AdversarialSystem):
    """Both toy networks."""

    def discriminate(self, images, view, windows, context):
        return DiscriminatorOutput(self.discriminator(images))


def toy(**changes):
    loss = GANLoss(**changes.pop("loss", {}))
    return ToyConfig(loss=loss, **changes).build()


def softplus(x):
    return torch.log1p((-x.abs()).exp()) + x.clamp_min(0)


FORMULAS = {
    "logistic": (
        lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        lambda real, fake: softplus(-fake).mean(),
    ),
    "relativistic": (
        lambda real, fake: softplus(-(real - fake)).mean(),
        lambda real, fake: softplus(-(fake - real)).mean(),
    ),
    "hinge": (
        lambda real, fake: (1 - real).clamp_min(0).mean() + (1 + fake).clamp_min(0).mean(),
        lambda real, fake: -fake.mean(),
    ),
}


@law
@given(
    seed=SEEDS, kind=st.sampled_from(KINDS), scale=st.sampled_from([0.1, 1.0, 30.0]), count=st.integers(1, 9)
)
def test_the_losses_of_both_players_are_their_formulas(seed, kind, scale, count):
    real, fake = scale * torch.randn(2, count, generator=torch.Generator().manual_seed(seed)).double()
    loss = GANLoss(kind=kind)
    for_discriminator, for_generator = FORMULAS[kind]
    assert_close(loss.discriminator(real, fake), for_discriminator(real, fake))
    assert_close(loss.generator(fake, real, 0), for_generator(real, fake))


@pytest.mark.parametrize("kind", KINDS)
def test_the_players_of_a_system_minimise_the_losses_of_their_kind(kind):
    system, context = toy(loss={"kind": kind, "gamma": 0.0}), StepContext(3)
    real = system.discriminator(2 * BATCH.images - 1)
    for index, name, turn in ((0, "discriminator", 0), (1, "generator", 1)):
        fakes = system.sample_fakes(BATCH, context, turn)
        fake = system.discriminator(2 * fakes.images - 1)
        loss, stats = getattr(system, f"{name}_loss")(BATCH, context)
        assert_close(loss, FORMULAS[kind][index](real, fake))
        assert_close(stats[name], loss)


@law
@given(seed=SEEDS)
def test_r1_is_half_the_mean_squared_gradient_of_each_image(seed):
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(3, 3, 6, 6, generator=random).double().requires_grad_()
    network = ToyDiscriminator().double()
    by_hand = []
    for image in images.detach():
        alone = image[None].clone().requires_grad_()
        network(alone)[0].backward()
        by_hand.append(alone.grad.square().sum() / 2)
    assert_close(r1_penalty(network(images), images), torch.stack(by_hand).mean())


def squared_gradients(system, images):
    """Mean over images of the squared norm of the logit's gradient []."""
    images = images.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(system.discriminator(images).sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(("gamma", "gamma_fake"), [(4.0, 0.0), (0.0, 6.0), (4.0, 6.0)])
def test_r1_and_r2_are_added_with_half_their_weights_times_the_interval(gamma, gamma_fake, every):
    weights = {"gamma": gamma, "gamma_fake": gamma_fake, "penalty_every": every}
    system, context = toy(loss=weights), StepContext(0)
    plain = toy(loss={"gamma": 0.0})
    loss, stats = system.discriminator_loss(BATCH, context)
    fakes = system.sample_fakes(BATCH, context, 0)
    r1, r2 = (squared_gradients(system, 2 * x - 1) for x in (BATCH.images, fakes.images))
    wanted = every * (gamma / 2 * r1 + gamma_fake / 2 * r2)
    assert_close(loss - plain.discriminator_loss(BATCH, context)[0], wanted, atol=1e-6, rtol=1e-4)
    assert ("r1" in stats, "r2" in stats) == (gamma > 0, gamma_fake > 0)
    if gamma:
        assert_close(stats["r1"], r1 / 2)
    if gamma_fake:
        assert_close(stats["r2"], r2 / 2)


def test_penalties_inside_the_loss_are_added_every_so_many_steps():
    system = toy(loss={"gamma": 2.0, "penalty_every": 2})
    with_penalty, without = (system.discriminator_loss(BATCH, StepContext(step))[1] for step in (2, 3))
    assert "r1" in with_penalty
    assert "r1" not in without


def gradients(system, loss):
    """The discriminator's gradient of a loss, flat."""
    with requires_grad_only(system, "discriminator"):
        parameters = [*system.discriminator.parameters()]
        found = torch.autograd.grad(loss, parameters, materialize_grads=True)
        return torch.cat([gradient.flatten() for gradient in found])


@pytest.mark.parametrize("every", [1, 16])
def test_a_penalty_turn_has_the_gradient_of_the_penalty_inside_the_loss(every):
    weights = {"gamma": 3.0, "penalty_every": every}
    inside, apart = toy(loss=weights), toy(loss=weights | {"penalty_turn": True})
    context = StepContext(0)
    whole = gradients(inside, inside.discriminator_loss(BATCH, context)[0])
    plain = gradients(apart, apart.discriminator_loss(BATCH, context)[0])
    turns = apart.turns()
    assert [(turn.player, turn.every) for turn in turns] == [
        ("discriminator", 1),
        ("generator", 1),
        ("discriminator", every),
    ]
    penalty, stats = turns[-1].loss(BATCH, context)
    assert set(stats) == {"r1"}
    assert_close(plain + gradients(apart, penalty), whole, atol=1e-6, rtol=1e-4)
    assert_close(penalty, every * 1.5 * squared_gradients(apart, 2 * BATCH.images - 1))


def test_a_penalty_turn_penalises_its_own_fakes_too():
    system = toy(loss={"gamma": 3.0, "gamma_fake": 5.0, "penalty_turn": True})
    penalty, stats = system.penalty_loss(BATCH, StepContext(0))
    fakes = system.sample_fakes(BATCH, StepContext(0), 3)
    r1, r2 = (squared_gradients(system, 2 * x - 1) for x in (BATCH.images, fakes.images))
    assert_close(penalty, 1.5 * r1 + 2.5 * r2)
    assert set(stats) == {"r1", "r2"}


def test_the_generator_learns_from_the_fakes_with_the_highest_logits():
    assert_close(top_k(torch.tensor([1.0, 4.0, 2.0, 3.0, 0.0]), 0.5), torch.tensor([4.0, 3.0, 2.0]))
    assert_close(top_k(torch.tensor([1.0, 4.0]), 0.01), torch.tensor([4.0]))
    fake = torch.tensor([1.0, -3.0, 2.0, 0.5]).requires_grad_()
    loss = GANLoss(top_k=0.5, top_k_interval=1)
    loss.generator(fake, None, 10_000).backward()
    assert (fake.grad != 0).tolist() == [True, False, True, False]
    assert_close(loss.generator(fake, None, 0), nonsaturating_loss(fake))


def test_the_share_of_fakes_falls_by_one_percent_an_interval():
    fake = torch.linspace(-1, 1, 1000)
    loss = GANLoss(top_k=0.6, top_k_interval=100)
    for step, share in ((0, 1.0), (100, 0.99), (1000, 0.99**10), (100_000, 0.6)):
        wanted = nonsaturating_loss(fake[-max(1, -(-int(1000 * share * 1000) // 1000)) :])
        assert_close(loss.generator(fake, None, step), wanted, atol=1e-3, rtol=0)


def test_shared_fakes_are_rendered_once_and_none_is_left():
    system, shared = toy(share_fakes=True), {}
    assert [turn.player for turn in system.turns()] == ["generator", "discriminator"]
    for turn in system.turns():
        for first in (0, 2):
            context = StepContext(0, first=first, accumulation=2, shared=shared)
            with requires_grad_only(system, turn.player):
                loss, _ = turn.loss(BATCH[first : first + 2], context)
                loss.backward()
    assert system.generator.rendered == 2
    assert shared == {}


def test_shared_fakes_are_those_of_the_generator_s_turn():
    system, shared = toy(share_fakes=True, loss={"gamma": 0.0}), {}
    fakes = system.sample_fakes(BATCH, StepContext(0), 1)
    system.generator_loss(BATCH, StepContext(0, shared=shared))
    assert_close(shared[0].images, fakes.images)
    assert not shared[0].images.requires_grad
    _, stats = system.discriminator_loss(BATCH, StepContext(0, shared=shared))
    assert_close(stats["fake"], system.discriminator(2 * fakes.images - 1).mean())


def test_without_sharing_every_turn_renders_fakes_of_its_own():
    system, shared = toy(), {}
    for turn in system.turns():
        turn.loss(BATCH, StepContext(0, shared=shared))
    assert system.generator.rendered == 2
    assert shared == {}
    assert [turn.player for turn in system.turns()] == ["discriminator", "generator"]


def with_groups(group, batch=4, accumulation=1, **loss):
    """The experiment of a small pi-GAN whose discriminator has minibatch statistics."""
    preset = tiny("pigan-demo")
    discriminator = replace(preset.system.discriminator, mbstd_group=group)
    patches = replace(preset.system.patches, size=0)
    weights = GANLoss(**{"gamma": 2.0, "penalty_every": 2} | loss)
    system = replace(preset.system, discriminator=discriminator, patches=patches, loss=weights)
    return replace(preset, system=system, stages=(Stage(0, (16, 16), batch, accumulation),))


def constant(system):
    """Replace what the system's generator renders by one constant image."""
    render = system.generator.render

    def rendered(scene, view, options=None):
        image = render(scene, view, options).image
        return Rendering(0 * image + 0.25)

    system.generator.render = rendered
    return system


@pytest.mark.parametrize("step", [0, 1], ids=["with R1", "without R1"])
@pytest.mark.parametrize("group", [2, 4, 8, 64])
def test_minibatch_statistics_of_constant_fakes_are_zero_whatever_the_reals(monkeypatch, step, group):
    channels = []

    def recorded(x, group):
        found = minibatch_std(x, group)
        channels.append(found[:, -1].detach())
        return found

    monkeypatch.setattr(pigan_discriminator, "minibatch_std", recorded)
    system = constant(with_groups(group).system.build())
    context = StepContext(step)
    logits = []
    for seed in (0, 1):
        images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
        logits.append(system.discriminator_loss(ImageBatch(images), context)[1]["fake"])
        reals, fakes = channels
        assert_close(fakes, torch.full_like(fakes, 1e-4))  # the root of the 1e-8 that is added
        assert (reals > 1e-3).all()
        channels.clear()
    assert torch.equal(*logits)


def test_minibatch_statistics_of_reals_do_not_depend_on_the_fakes():
    system = with_groups(4).system.build()
    batch = ImageBatch(torch.rand(4, 3, 16, 16))
    _, rendered = system.discriminator_loss(batch, StepContext(1))
    _, constants = constant(system).discriminator_loss(batch, StepContext(1))
    assert torch.equal(rendered["real"], constants["real"])
    assert not torch.equal(rendered["fake"], constants["fake"])


def refusal(group, batch, world, accumulation):
    """The error line of a run that may not cut its batches so; empty where it may."""
    try:
        check(with_groups(group, batch, accumulation), Run(), ProcessGroup(0, world))
    except BadInput as error:
        return str(error)
    return ""


CUTS = {
    "group of a part": (4, 8, 2),
    "groups larger than a part": (64, 12, 3),
    "groups that do not divide a part": (6, 8, 2),
    "no group": (0, 8, 4),
    "as many groups as parts": (2, 8, 4),
}


@pytest.mark.parametrize("share_fakes", [False, True], ids=["own fakes", "shared fakes"])
@pytest.mark.parametrize("step", [0, 1], ids=["with R1", "without R1"])
@pytest.mark.parametrize(("group", "batch", "parts"), CUTS.values(), ids=CUTS)
def test_losses_of_a_batch_are_the_mean_over_its_parts(group, batch, parts, step, share_fakes):
    """Parts of accumulation, or of ranks: only the place in the joint batch differs."""
    assert not refusal(group, batch, 1, parts)
    assert not refusal(group, batch, parts, 1)
    torch.manual_seed(3)
    system = replace(with_groups(group).system, share_fakes=share_fakes).build()
    images = ImageBatch(torch.rand(batch, 3, 16, 16))
    found = []
    for count in (1, parts):
        size, shared, losses, slopes = batch // count, {}, [], []
        for turn in system.turns():
            parameters = [*system.get_submodule(turn.player).parameters()]
            for first in range(0, batch, size):
                context = StepContext(step, first=first, accumulation=count, shared=shared)
                with requires_grad_only(system, turn.player):
                    loss, _ = turn.loss(images[first : first + size], context)
                    slopes.append(torch.autograd.grad(loss, parameters, allow_unused=True))
                losses.append(loss.detach())
        mean_losses = torch.stack(losses).unflatten(0, (2, count)).mean(dim=1)
        mean_slopes = [
            torch.stack(column).mean(dim=0)
            for part in (slopes[:count], slopes[count:])
            for column in zip(*part, strict=True)
            if column[0] is not None
        ]
        found.append([mean_losses, *mean_slopes])
    for whole, mean in zip(*found, strict=True):
        assert_close(mean, whole, atol=1e-5, rtol=1e-3)


@settings(max_examples=60)
@given(
    group=st.integers(1, 12),
    size=st.integers(1, 6),
    world=st.integers(1, 3),
    accumulation=st.integers(1, 3),
)
def test_cuts_that_would_split_a_group_are_refused(group, size, world, accumulation):
    batch = size * world * accumulation
    error = refusal(group, batch, world, accumulation)
    splits = gcd(group, batch) != gcd(group, size)
    assert bool(error) == splits
    if splits:
        assert "minibatch standard deviation" in error
        assert f"parts of {size} images" in error
        assert "\n" not in error


@law
@given(seed=SEEDS, group=st.integers(1, 6), count=st.integers(1, 12))
def test_minibatch_std_is_the_mean_deviation_within_groups_of_neighbors(seed, group, count):
    x = torch.randn(count, 3, 2, 4, generator=torch.Generator().manual_seed(seed)).double()
    found, size = minibatch_std(x, group), gcd(group, count)
    assert torch.equal(found[:, :3], x)
    for start in range(0, count, size):
        part = x[start : start + size]
        wanted = ((part - part.mean(dim=0)).square().mean(dim=0) + 1e-8).sqrt().mean()
        assert_close(found[start : start + size, 3], wanted.expand(size, 2, 4))


BAD = {
    "gamma": ({"gamma": -1.0}, "--loss.gamma -1.0: wanted 0 or more"),
    "never": ({"penalty_every": 0}, "--loss.penalty-every 0: wanted 1 or more"),
    "top k": ({"top_k": 0.0}, "--loss.top-k 0.0: wanted a number above 0, up to 1"),
    "nan": ({"top_k": float("nan")}, "--loss.top-k nan"),
}


@pytest.mark.parametrize(("changed", "expected"), BAD.values(), ids=BAD)
def test_a_loss_that_cannot_be_computed_is_refused(changed, expected):
    with pytest.raises(BadInput) as error:
        validate(GANLoss(**changed), "loss")
    assert expected in str(error.value)
