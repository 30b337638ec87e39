"""Experiments: stages, overrides, JSON."""

from dataclasses import replace

import pytest
import torch

from genscene.errors import BadInput
from genscene.experiment.schedules import images_before, largest_size, stage_at
from genscene.experiment.schema import Stage
from genscene.experiment.serialise import build_seeded, dumps, loads, with_overrides
from genscene.experiment.validation import validate
from genscene.systems import KINDS, PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_json_round_trip(name):
    assert loads(dumps(PRESETS[name]), KINDS, "here") == PRESETS[name]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda t: t.replace('"gamma"', '"gamme"'), "gamme"),
        (lambda t: t.replace('"steps": 200000', '"steps": "many"'), "steps"),
        (lambda t: t.replace("PiGANConfig", "OtherConfig"), "OtherConfig"),
        (lambda t: t[:50], "here"),
        (lambda t: "[]", "here"),
        (lambda t: t.replace('"distribution": "gaussian"', '"distribution": "gauss"'), "distribution"),
        (
            lambda t: t.replace('"format": 1', '"format": 2'),
            "here is an experiment of format 2, this version reads",
        ),
        (lambda t: t.replace('"format": 1,', ""), "here is an experiment of format 0"),
    ],
)
def test_json_that_is_no_experiment_is_refused_in_one_line(change, word):
    with pytest.raises(BadInput, match=word) as error:
        loads(change(dumps(PRESETS["pigan-celeba"])), KINDS, "here")
    assert "\n" not in str(error.value)


def test_stages_and_the_images_before_a_step(experiment):
    staged = replace(
        experiment, stages=(Stage(0, (8, 8), 4), Stage(10, (16, 16), 2), Stage(20, (32, 16), 1)), steps=25
    )
    assert [stage_at(staged, s).batch for s in (0, 9, 10, 19, 20, 24)] == [4, 4, 2, 2, 1, 1]
    assert [images_before(staged, s) for s in (0, 3, 10, 15, 20, 25)] == [0, 12, 40, 50, 60, 65]
    assert largest_size(staged) == (32, 16)
    assert largest_size(replace(staged, steps=20)) == (16, 16)


@pytest.mark.parametrize(
    "stages",
    [(), (Stage(1),), (Stage(0), Stage(0)), (Stage(0, batch=3, accumulation=2),), (Stage(0, size=(0, 4)),)],
)
def test_stages_that_do_not_follow_one_another_are_refused(experiment, stages):
    with pytest.raises(BadInput, match="--stages"):
        validate(replace(experiment, stages=stages))


def test_overrides_of_batch_and_size():
    preset = PRESETS["pigan-carla-release"]
    assert [s.batch for s in with_overrides(preset, 8, None).stages] == [8, 8, 8]
    assert [s.accumulation for s in with_overrides(preset, 7, None).stages] == [1, 1, 1]
    assert with_overrides(preset, None, 64).stages[0].size == (64, 64)
    assert len(with_overrides(preset, None, 64).stages) == 1
    assert with_overrides(preset, None, None) == preset


def test_a_size_is_the_longer_side_of_posed_photographs():
    assert with_overrides(PRESETS["nerf-grid"], None, 50).posed.side == 50
    assert with_overrides(PRESETS["pigan-carla"], None, 64).posed == PRESETS["pigan-carla"].posed


def test_seeded_weights_are_the_same_every_time_and_leave_the_global_generator(experiment):
    before = torch.random.get_rng_state()
    a, b = (build_seeded(experiment).state_dict() for _ in range(2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    other = build_seeded(replace(experiment, seed=1)).state_dict()
    assert not all(torch.equal(a[name], other[name]) for name in a)
    assert torch.equal(torch.random.get_rng_state(), before)
