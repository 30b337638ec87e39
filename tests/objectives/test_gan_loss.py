"""The relativistic loss as an option of every adversarial system, penalties by hand, the decay of gamma."""

import json
from dataclasses import dataclass, replace
from math import cos, pi

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus
from torch.testing import assert_close

from conftest import tiny
from genscene.cli import main
from genscene.contract import ImageBatch, StepContext
from genscene.data.sources import data_source
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.experiment.serialise import with_overrides
from genscene.experiment.validation import validate
from genscene.objectives.adversarial import AdversarialConfig, AdversarialSystem, DiscriminatorOutput
from genscene.objectives.gan_loss import GANLoss
from genscene.systems import PRESETS
from genscene.training.loop import train_player, train_step
from genscene.training.run import init_state

ADVERSARIAL = [name for name, each in PRESETS.items() if isinstance(each.system, AdversarialConfig)]
ONE_OF_EACH = {type(PRESETS[name].system): name for name in reversed(ADVERSARIAL)}.values()
BATCH = ImageBatch(torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_every_system_is_trained_with_the_relativistic_loss(name):
    experiment = with_overrides(tiny(name), loss="relativistic")
    validate(experiment)
    state = init_state(experiment, torch.device("cpu"), ProcessGroup(), "fp32")
    batches = data_source(experiment, quiet=True).batches(0, 0, 1)
    first = next(batches)
    for turn in state.system.turns():
        before = {n: p.clone() for n, p in state.system.named_parameters()}
        train_player(state, turn, first, 0, {})
        moved = {n.split(".")[0] for n, p in state.system.named_parameters() if not torch.equal(p, before[n])}
        assert moved == {turn.player}
    for step, batch in zip((0, 1), (first, next(batches)), strict=True):
        stats = train_step(state, batch, step)
        assert {"r1", "r2"} <= stats.keys()
        assert all(value.isfinite().all() for value in stats.values())
    assert all(p.isfinite().all() for p in state.system.parameters())


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_shorthand_gives_both_penalties_one_gamma_at_every_step(name):
    before = PRESETS[name].system.loss
    loss = with_overrides(PRESETS[name], loss="relativistic").system.loss
    assert (loss.kind, loss.gamma, loss.gamma_fake) == ("relativistic", before.gamma, before.gamma)
    assert (loss.penalty_every, loss.penalty_turn, loss.top_k) == (1, False, 1.0)
    assert with_overrides(PRESETS[name], loss=before.kind) == PRESETS[name]
    assert with_overrides(PRESETS[name], loss="hinge").system.loss == replace(before, kind="hinge")


def test_the_option_of_the_command_line_keeps_gammas_that_are_given(capsys):
    words = ["train", "cips-demo", "--loss", "relativistic", "--dry-run"]
    assert main([*words, "--system.loss.gamma", "3", "--system.loss.gamma-fake", "2"]) == 0
    loss = json.loads(capsys.readouterr().out)["system"]["loss"]
    assert (loss["kind"], loss["gamma"], loss["gamma_fake"]) == ("relativistic", 3.0, 2.0)
    for words, line in (
        (["nerf-blender", "--loss", "hinge"], "--loss hinge: only systems with a discriminator"),
        (["pigan-celeba-release", "--system.loss.kind", "relativistic"], "top_k 0.6: wanted 1, the relativ"),
    ):
        assert main(["train", *words, "--dry-run"]) == 2
        error = capsys.readouterr().err
        assert line in error
        assert error.count("\n") == 1


@dataclass(frozen=True)
class LinearConfig(AdversarialConfig):
    """A CIPS generator and a discriminator that is linear in the image."""

    def build_generator(self):
        return tiny("cips-demo").system.build_generator()

    def build(self):
        torch.manual_seed(0)
        return LinearSystem(self, self.build_generator(), nn.Linear(3 * 16 * 16, 1))

    def check(self, size):
        pass

    def shrunk(self):
        return self


class LinearSystem(AdversarialSystem):
    """logits = weight images + bias."""

    def discriminate(self, images, view, windows, context):
        return DiscriminatorOutput(self.discriminator(images.flatten(1))[:, 0])


def linear(**loss):
    return LinearConfig(loss=GANLoss(**loss)).build()


def test_the_losses_of_a_linear_discriminator_are_those_by_hand():
    """Its gradient is its weight at every image: R1 = R2 = |weight|^2 / 2."""
    system, context = linear(kind="relativistic", gamma=3.0, gamma_fake=5.0), StepContext(7)
    weight, bias = system.discriminator.weight, system.discriminator.bias
    square = weight.detach().square().sum()
    fakes = [system.sample_fakes(BATCH, context, turn).images.detach() for turn in (0, 1)]
    real, d_fake, g_fake = ((2 * x - 1).flatten(1) @ weight[0] + bias for x in (BATCH.images, *fakes))
    loss, stats = system.discriminator_loss(BATCH, context)
    by_hand = torch.stack([softplus(d_fake[i] - real[i]) for i in range(4)]).mean()  # pairs by place
    assert_close(stats["r1"], square / 2)
    assert_close(stats["r2"], square / 2)
    assert_close(loss, by_hand + (3.0 + 5.0) / 2 * square)
    (found,) = torch.autograd.grad(loss, weight, retain_graph=True)
    (plain,) = torch.autograd.grad(by_hand, weight, retain_graph=True)
    assert_close(found, plain + (3.0 + 5.0) * weight, atol=1e-6, rtol=1e-4)
    loss, _ = system.generator_loss(BATCH, context)
    assert_close(loss, torch.stack([softplus(real[i] - g_fake[i]) for i in range(4)]).mean())


def test_gamma_falls_along_a_cosine_to_its_ratio():
    square = linear().discriminator.weight.detach().square().sum()
    for step, cosine in ((0, 1.0), (25, (1 + cos(pi / 4)) / 2), (50, 0.5), (100, 0.0), (200, 0.0)):
        system = linear(gamma=4.0, penalty_every=2, penalty_turn=True, final_gamma_ratio=0.1)
        penalty, _ = system.penalty_loss(BATCH, StepContext(step, steps=100))
        assert_close(penalty, 2 * 4.0 / 2 * square * (0.1 + 0.9 * cosine))
        assert GANLoss(penalty_every=2).penalty_factor(step, 100) == 2


def test_a_turn_of_penalties_without_weight_is_left_out():
    system = linear(gamma=0.0, penalty_turn=True)
    assert [turn.player for turn in system.turns()] == ["discriminator", "generator"]
    assert len(linear(gamma=0.0, gamma_fake=1.0, penalty_turn=True).turns()) == 3


def test_pairs_of_which_some_are_left_out_are_refused():
    with pytest.raises(BadInput, match=r"top_k 0.5: wanted 1, the relativistic loss pairs all fakes"):
        validate(GANLoss("relativistic", top_k=0.5))
