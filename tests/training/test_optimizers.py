"""Optimisers: their kinds, and learning rates of a player's parts."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.experiment.schema import Optim
from genscene.experiment.serialise import dumps, loads
from genscene.experiment.validation import validate
from genscene.systems import KINDS, PRESETS
from genscene.training.loop import optimizer_step
from genscene.training.optimizers import build_optimizers, parameter_groups, restore_optimizer


class Player(nn.Module):
    """Two parts, one of which has parts."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
        self.bodyguard = nn.Linear(2, 2)


class OnePlayer(nn.Module):
    """A system of one player."""

    def __init__(self):
        super().__init__()
        self.generator = Player()


def build(optim):
    """A system of one player and its optimiser."""
    torch.manual_seed(0)
    system = OnePlayer()
    (optimizer,) = build_optimizers(
        system, replace(PRESETS["nerf-grid-demo"], optim={"generator": optim})
    ).values()
    return system, optimizer


def first_step(multipliers, lr=0.25):
    """The largest change of each parameter in the first step; Adam changes every one by its learning rate."""
    system, optimizer = build(Optim(0.1, eps=1e-30, lr_multipliers=multipliers))
    before = copy.deepcopy(dict(system.generator.named_parameters()))
    (system.generator.bodyguard(system.generator.body(torch.randn(8, 2)))).square().sum().backward()
    optimizer_step(system.generator, optimizer, lr, 0.0)
    return {
        name: (p - before[name]).abs().max().item() for name, p in system.generator.named_parameters()
    }, optimizer


def test_a_part_has_its_multiplier_and_the_longest_name_counts():
    changes, _ = first_step({"body.1": 2.0, "body": 0.5, "bodyguard.bias": 0.0})
    wanted = {"body.0": 0.5, "body.1": 2.0, "bodyguard.weight": 1.0, "bodyguard.bias": 0.0}
    for name, change in changes.items():
        multiplier = next(factor for part, factor in wanted.items() if name.startswith(part))
        assert change == pytest.approx(multiplier * 0.25, rel=1e-5), name


def test_a_pattern_is_a_name_of_all_that_match_it():
    changes, _ = first_step({"*.bias": 0.5, "bodyguard": 2.0})
    for name, change in changes.items():
        wanted = 2.0 if name.startswith("bodyguard") else 0.5 if name.endswith(".bias") else 1.0
        assert change == pytest.approx(wanted * 0.25, rel=1e-5), name


def test_only_the_named_parts_decay():
    system, optimizer = build(Optim(0.1, lr_multipliers={"body": 2.0, "bodyguard": 0.5}, decaying=("body",)))
    optimizer_step(system.generator, optimizer, 0.01, 0.0, 0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.05]
    with pytest.raises(BadInput, match="decaying 'tail'"):
        build(Optim(0.1, decaying=("tail",)))


def test_multipliers_are_stored_with_the_state_and_default_to_one():
    _, optimizer = first_step({"body": 0.5})
    _, other = first_step({"body": 0.5})
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert [settings["lr_multiplier"] for settings in other.param_groups] == [1.0, 0.5]
    _, plain = first_step({})
    stored = plain.state_dict()
    del stored["param_groups"][0]["lr_multiplier"]
    plain.load_state_dict(stored)
    player = Player()
    optimizer_step(player, plain, 0.01, 0.0)
    assert [settings["lr"] for settings in plain.param_groups] == [0.01]
    assert len(parameter_groups("generator", player, {})) == 1


@pytest.mark.parametrize("name", ["bodi", "bod", "", "body.0.weight.x"])
def test_a_missing_part_is_named(name):
    with pytest.raises(BadInput, match=f"generator has no part '{name}'.*known: body, body.0"):
        parameter_groups("generator", Player(), {name: 1.0})


@pytest.mark.parametrize("factor", [-0.1, float("inf"), float("nan")])
def test_a_multiplier_is_a_finite_number_from_zero(factor):
    with pytest.raises(BadInput, match=r"--optim.lr-multipliers.body.*(wanted a finite number|0 or more)"):
        validate(Optim(lr_multipliers={"body": factor}), "optim")


def test_multipliers_are_written_and_files_without_them_are_read():
    preset = PRESETS["nerf-grid"]
    assert preset.optim["generator"].lr_multipliers
    assert loads(dumps(preset), KINDS, "here") == preset
    text = dumps(PRESETS["nerf-grid-harmonics"]).replace('"lr_multipliers": {},\n', "")
    assert "lr_multipliers" not in text
    assert loads(text, KINDS, "here") == PRESETS["nerf-grid-harmonics"]


GRADIENTS = torch.tensor([[0.5, -2.0, 0.1], [0.3, 1.0, -0.2], [-0.4, 0.2, 0.3]])
LR, EPS = 0.01, 1e-3


def adam(betas):
    """Changes of three parameters by Adam (Kingma and Ba 2015, algorithm 1) without the learning rate."""
    mean, square = torch.zeros(3), torch.zeros(3)
    for step, gradient in enumerate(GRADIENTS, 1):
        mean = betas[0] * mean + (1 - betas[0]) * gradient
        square = betas[1] * square + (1 - betas[1]) * gradient.square()
        yield mean / (1 - betas[0] ** step) / ((square / (1 - betas[1] ** step)).sqrt() + EPS)


def rmsprop(betas):
    """Changes by RMSprop: the gradient over the root of its decaying mean square, which is betas[1]'s."""
    square = torch.zeros(3)
    for gradient in GRADIENTS:
        square = betas[1] * square + (1 - betas[1]) * gradient.square()
        yield gradient / (square.sqrt() + EPS)


@pytest.mark.parametrize(("kind", "formula"), [("adam", adam), ("rmsprop", rmsprop)])
@pytest.mark.parametrize("betas", [(0.0, 0.9), (0.5, 0.99)])
def test_a_kind_of_optimiser_steps_by_its_formula(kind, formula, betas):
    system, optimizer = build(Optim(LR, betas, eps=EPS, kind=kind))
    weight, wanted = system.generator.body[0].bias, system.generator.body[0].bias.detach().clone()
    for gradient, change in zip(GRADIENTS, formula(betas), strict=True):
        weight.grad = gradient.clone()
        optimizer_step(system.generator, optimizer, LR, 0.0)
        wanted -= LR * change
        assert_close(weight.detach(), wanted)


def test_the_kind_is_written_and_read():
    preset = PRESETS["nerf-grid"]
    optim = {"generator": replace(preset.optim["generator"], kind="rmsprop")}
    changed = replace(preset, optim=optim)
    assert loads(dumps(changed), KINDS, "here") == changed
    with pytest.raises(BadInput, match="kind"):
        loads(dumps(changed).replace('"rmsprop"', '"sgd"'), KINDS, "here")


def test_a_gradient_is_clipped_by_its_norm_and_a_step_without_finite_norm_is_not_made():
    system, optimizer = build(Optim(LR, kind="rmsprop", betas=(0.0, 0.0), eps=1.0))
    weight = system.generator.body[0].bias
    before = weight.detach().clone()
    weight.grad = torch.tensor([3.0, 0.0, 4.0])
    assert optimizer_step(system.generator, optimizer, 1.0, 1.0) == 5.0
    clipped = torch.tensor([0.6, 0.0, 0.8])
    assert_close(weight.detach(), before - clipped / (clipped.abs() + 1))
    assert weight.grad is None
    before = weight.detach().clone()
    weight.grad = torch.tensor([1.0, float("nan"), 0.0])
    assert not torch.isfinite(optimizer_step(system.generator, optimizer, 1.0, 1.0))
    assert torch.equal(weight, before)
    assert weight.grad is None


def test_a_state_of_an_optimiser_that_computes_otherwise_is_restored():
    _, optimizer = first_step({})
    _, other = first_step({})
    stored = copy.deepcopy(optimizer.state_dict())
    assert stored["param_groups"][0]["fused"]
    stored["param_groups"][0] |= {"fused": None, "foreach": None}
    restore_optimizer(other, stored, 1, "generator")
    assert other.param_groups[0]["fused"]
    assert_close(other.state_dict()["state"], optimizer.state_dict()["state"])
