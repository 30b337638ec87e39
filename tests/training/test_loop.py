"""The training step: players in turn, gradients accumulated over parts, the moving average."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from genscene.contract import ImageBatch, System, Turn
from genscene.errors import Diverged
from genscene.experiment.schema import EMA, Optim, Stage
from genscene.training.loop import TrainState, requires_grad_only, train_player, train_step, update_ema

BATCH = ImageBatch(torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(0)))


class Affine(nn.Module):
    """A weight and a buffer."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("count", torch.tensor(0.0))


class TwoPlayers(System):
    """Each player's loss pulls its own weights and those of the other to the mean of the images."""

    def __init__(self, every=1):
        super().__init__()
        self.generator, self.discriminator = Affine(), Affine()
        self.every, self.contexts = every, []

    def turns(self):
        return Turn("generator", self.loss), Turn("discriminator", self.loss, every=self.every)

    def loss(self, batch, context):
        self.contexts.append(context)
        weights = torch.stack([self.generator.weight, self.discriminator.weight])
        loss = (weights - batch.images.mean(dim=(2, 3))[:, None]).square().mean()
        return loss, {"loss": loss}


def state_of(experiment, every=1, accumulation=1, **changes):
    """A state with plain gradient descent."""
    system = TwoPlayers(every)
    optim = {"generator": Optim(0.1), "discriminator": Optim(0.1)}
    stages = (Stage(0, (16, 16), 4, accumulation),)
    experiment = replace(experiment, optim=optim, stages=stages, ema=EMA(0.5, warmup=0.0), **changes)
    optimizers = {
        name: torch.optim.SGD(player.parameters(), lr=1.0) for name, player in system.named_children()
    }
    ema = Affine()
    return TrainState(experiment, system, ema, optimizers)


def test_a_turn_changes_only_the_weights_of_its_player(experiment):
    state = state_of(experiment)
    for turn in state.system.turns():
        before = {name: p.detach().clone() for name, p in state.system.named_parameters()}
        train_player(state, turn, BATCH, 0, {})
        changed = {name for name, p in state.system.named_parameters() if not torch.equal(p, before[name])}
        assert changed == {f"{turn.player}.weight"}
        assert all(p.grad is None for p in state.system.parameters())


def test_turns_are_taken_every_so_many_steps(experiment):
    state, changed = state_of(experiment, every=3), []
    for step in range(7):
        before = state.system.discriminator.weight.detach().clone()
        train_step(state, BATCH, step)
        changed.append(not torch.equal(before, state.system.discriminator.weight))
    assert changed == [True, False, False, True, False, False, True]


@pytest.mark.parametrize("accumulation", [2, 4])
def test_gradients_and_stats_are_the_mean_over_parts(experiment, accumulation):
    results = []
    for parts in (1, accumulation):
        state = state_of(experiment, accumulation=parts)
        stats = train_player(state, state.system.turns()[0], BATCH, 0, {})
        results.append((state.system.generator.weight.detach(), stats["loss"]))
        contexts = state.system.contexts
        assert [context.first for context in contexts] == list(range(0, 4, 4 // parts))
        assert {context.accumulation for context in contexts} == {parts}
    assert_close(*results)
    assert not results[0][1].requires_grad


def test_turns_of_one_step_share_results_and_steps_do_not(experiment):
    state = state_of(experiment)
    train_step(state, BATCH, 0)
    train_step(state, BATCH, 1)
    first, second, third, _ = (context.shared for context in state.system.contexts)
    assert first is second
    assert first is not third


def test_the_moving_average_follows_the_parameters_and_copies_the_buffers():
    average, model = Affine(), Affine()
    with torch.no_grad():
        model.weight.fill_(3.0)
        model.count.fill_(7.0)
    update_ema(average, model, 0.75)
    assert_close(average.weight.detach(), torch.full((3,), 1.5))
    assert average.count == 7
    update_ema(average, model, 0.0)
    assert torch.equal(average.weight, model.weight)


def test_every_step_updates_the_moving_average(experiment):
    state = state_of(experiment)
    expected = state.ema.weight.detach().clone()
    for step in range(3):
        train_step(state, BATCH, step)
        expected = (expected + state.system.generator.weight.detach()) / 2
    assert_close(state.ema.weight.detach(), expected)


def test_without_a_moving_average_the_generator_is_its_own(experiment):
    state = state_of(experiment)
    state = replace(state, ema=state.system.generator)
    train_step(state, BATCH, 0)
    assert state.ema is state.system.generator


def test_only_one_player_requires_gradients_inside():
    system = TwoPlayers()
    with requires_grad_only(system, "generator"):
        assert [p.requires_grad for p in system.parameters()] == [True, False]
    assert all(p.requires_grad for p in system.parameters())


def test_a_gradient_that_is_not_finite_names_player_and_step(experiment):
    state = state_of(experiment)
    state.system.generator.weight.register_hook(lambda gradient: gradient * float("nan"))
    before = state.system.generator.weight.detach().clone()
    with pytest.raises(Diverged, match="the gradient of the generator has norm nan at step 5"):
        train_step(state, BATCH, 5)
    assert torch.equal(state.system.generator.weight, before)
