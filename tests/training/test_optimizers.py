"""Learning rates of a player's parts, and optimisers that remember them."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from genscene.errors import BadInput
from genscene.experiment.schema import Optim
from genscene.experiment.serialise import dumps, loads
from genscene.systems import KINDS, PRESETS
from genscene.training.optimizers import advance, build_optimizers, parameter_groups


class Player(nn.Module):
    """Two parts, one of which has a part."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
        self.bodyguard = nn.Linear(2, 2)


class TrainState(nn.Module):
    """A system of one player."""

    def __init__(self):
        super().__init__()
        self.generator = Player()


def moved_by(parts, lr=0.25):
    """How far Adam's first step, whose every move is the learning rate, takes each parameter."""
    torch.manual_seed(0)
    game = TrainState()
    experiment = replace(PRESETS["nerf-grid-demo"], optim={"generator": Optim(0.1, eps=1e-30, parts=parts)})
    (optimizer,) = build_optimizers(game, experiment).values()
    before = copy.deepcopy(dict(game.generator.named_parameters()))
    (game.generator.bodyguard(game.generator.body(torch.randn(8, 2)))).square().sum().backward()
    advance(game.generator, optimizer, lr, 0.0)
    return {
        name: (p - before[name]).abs().max().item() for name, p in game.generator.named_parameters()
    }, optimizer


def test_a_part_learns_at_its_share_and_the_longest_name_counts():
    moves, _ = moved_by({"body.1": 2.0, "body": 0.5, "bodyguard.bias": 0.0})
    wanted = {"body.0": 0.5, "body.1": 2.0, "bodyguard.weight": 1.0, "bodyguard.bias": 0.0}
    for name, move in moves.items():
        share = next(factor for part, factor in wanted.items() if name.startswith(part))
        assert move == pytest.approx(share * 0.25, rel=1e-5), name


def test_an_optimiser_of_parts_is_stored_and_without_parts_it_is_what_it_was():
    _, optimizer = moved_by({"body": 0.5})
    _, other = moved_by({"body": 0.5})
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert [settings["factor"] for settings in other.param_groups] == [1.0, 0.5]
    _, plain = moved_by({})
    stored = plain.state_dict()
    del stored["param_groups"][0]["factor"]  # as runs before there were parts stored it
    plain.load_state_dict(stored)
    player = Player()
    advance(player, plain, 0.01, 0.0)
    assert [settings["lr"] for settings in plain.param_groups] == [0.01]
    assert len(parameter_groups("generator", player, {})) == 1


@pytest.mark.parametrize("name", ["bodi", "bod", "", "body.0.weight.x"])
def test_a_part_that_is_not_there_is_named(name):
    with pytest.raises(BadInput, match=f"generator has no part '{name}'.*known: body, body.0"):
        parameter_groups("generator", Player(), {name: 1.0})


@pytest.mark.parametrize("factor", [-0.1, float("inf"), float("nan")])
def test_a_factor_is_a_number_from_zero(factor):
    with pytest.raises(BadInput, match=r"'body'.*wanted 0 or more"):
        Optim(parts={"body": factor})


def test_parts_are_written_down_and_files_without_them_are_read():
    preset = PRESETS["nerf-grid"]
    assert preset.optim["generator"].parts
    assert loads(dumps(preset), KINDS, "here") == preset
    text = dumps(PRESETS["nerf-grid-harmonics"]).replace(',\n      "parts": {}', "")
    assert "parts" not in text
    assert loads(text, KINDS, "here") == PRESETS["nerf-grid-harmonics"]
