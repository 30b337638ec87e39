"""What a run is made of: schedules, stages, JSON."""

from dataclasses import replace

import pytest

from genscene.errors import BadInput
from genscene.experiment.schedules import images_before, largest_size, stage_at
from genscene.experiment.schema import Optim, Stage
from genscene.experiment.serialise import dumps, loads, with_overrides
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
        (lambda t: t.replace('"law": "gaussian"', '"law": "gauss"'), "law"),
    ],
)
def test_json_that_is_no_experiment_is_one_clear_line(change, word):
    with pytest.raises(BadInput, match=word) as error:
        loads(change(dumps(PRESETS["pigan-celeba"])), KINDS, "here")
    assert "\n" not in str(error.value)


def test_stages_and_pictures_seen(experiment):
    staged = replace(
        experiment, stages=(Stage(0, (8, 8), 4), Stage(10, (16, 16), 2), Stage(20, (32, 16), 1)), steps=25
    )
    assert [stage_at(staged, s).batch for s in (0, 9, 10, 19, 20, 24)] == [4, 4, 2, 2, 1, 1]
    assert [images_before(staged, s) for s in (0, 3, 10, 15, 20, 25)] == [0, 12, 40, 50, 60, 65]
    assert largest_size(staged) == (32, 16)
    assert replace(staged, steps=20).largest() == (16, 16)


def test_the_learning_rate_falls_in_a_straight_line(experiment):
    optim = {"generator": Optim(1.0, end=0.1, decay_from=0.5), "discriminator": Optim(2.0)}
    run = replace(experiment, steps=100, optim=optim, stages=(Stage(), Stage(80, lr=0.5)))
    assert run.lr("generator", 0) == run.lr("generator", 50) == 1.0
    assert run.lr("generator", 75) == pytest.approx(0.55)
    assert run.lr("generator", 100) == pytest.approx(0.5 * 0.1)
    assert run.lr("discriminator", 79) == 2.0


@pytest.mark.parametrize(
    "stages",
    [(), (Stage(1),), (Stage(0), Stage(0)), (Stage(0, batch=3, accumulation=2),), (Stage(0, size=(0, 4)),)],
)
def test_stages_that_cannot_be(experiment, stages):
    with pytest.raises(BadInput):
        replace(experiment, stages=stages)


def test_overriding_batch_and_size():
    preset = PRESETS["pigan-carla-release"]
    assert [s.batch for s in with_overrides(preset, 8, None).stages] == [8, 8, 8]
    assert [s.accumulation for s in with_overrides(preset, 7, None).stages] == [1, 1, 1]
    assert with_overrides(preset, None, 64).stages[0].size == (64, 64)
    assert len(with_overrides(preset, None, 64).stages) == 1
    assert with_overrides(preset, None, None) == preset
