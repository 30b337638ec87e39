"""Schedules: learning rates and the decay of the exponential moving average."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import tiny
from genscene.errors import BadInput
from genscene.experiment.schedules import ema_decay, learning_rate
from genscene.experiment.schema import EMA, Optim, Stage
from genscene.experiment.validation import validate
from genscene.systems import PRESETS

BASE = replace(tiny("pigan-carla"), stages=(Stage(0, (16, 16), 4),))
law = settings(max_examples=60)


def with_optim(steps=100, stages=BASE.stages, **changes):
    return replace(BASE, steps=steps, stages=stages, optim={"generator": Optim(1.0, **changes)})


def with_ema(batch=4, **changes):
    return replace(BASE, ema=EMA(**changes), stages=(Stage(0, (16, 16), batch),))


def test_the_learning_rate_decays_linearly():
    optim = {"generator": Optim(1.0, final_lr_ratio=0.1, decay_from=0.5), "discriminator": Optim(2.0)}
    run = replace(BASE, steps=100, optim=optim, stages=(Stage(), Stage(80, lr=0.5)))
    assert learning_rate(run, "generator", 0) == learning_rate(run, "generator", 50) == 1.0
    assert learning_rate(run, "generator", 75) == pytest.approx(0.55)
    assert learning_rate(run, "generator", 100) == pytest.approx(0.5 * 0.1)
    assert learning_rate(run, "discriminator", 79) == 2.0


@law
@given(
    step=st.integers(0, 300),
    ratio=st.floats(0.01, 1),
    decay_from=st.floats(0, 1),
    decay_steps=st.sampled_from([0, 30, 1000]),
    decay=st.sampled_from(["linear", "exponential"]),
)
def test_the_learning_rate_is_its_formula(step, ratio, decay_from, decay_steps, decay):
    changes = {"final_lr_ratio": ratio, "decay_from": decay_from, "decay_steps": decay_steps}
    run = with_optim(steps=200, decay=decay, **changes)
    begin = decay_from * 200
    length = decay_steps or max(1, 200 - begin)
    progress = max(0, step - begin) / length
    # linear decay ends at the ratio, exponential decay continues
    wanted = 1 + (ratio - 1) * min(1, progress) if decay == "linear" else ratio**progress
    assert learning_rate(run, "generator", step) == pytest.approx(wanted)


def test_exponential_decay_is_a_tenth_every_so_many_steps():
    run = with_optim(steps=10, final_lr_ratio=0.1, decay="exponential", decay_steps=250)
    for step, rate in ((0, 1.0), (125, 0.1**0.5), (250, 0.1), (500, 0.01)):
        assert learning_rate(run, "generator", step) == pytest.approx(rate)


def test_without_a_final_ratio_the_learning_rate_is_constant():
    assert {learning_rate(with_optim(), "generator", step) for step in (0, 50, 100, 900)} == {1.0}


@law
@given(
    step=st.integers(0, 5000), batch=st.integers(1, 64), half_life=st.floats(1, 1e5), rampup=st.floats(0, 1)
)
def test_ema_decay_by_half_life_is_that_of_stylegan2(step, batch, half_life, rampup):
    """ema_nimg = min(ema_kimg * 1000, cur_nimg * ema_rampup), cur_nimg before the step."""
    run = with_ema(batch, half_life=half_life, rampup=rampup, warmup=0.0)
    ema_nimg = min(half_life, step * batch * rampup) if rampup else half_life
    wanted = 0.5 ** (batch / max(ema_nimg, 1e-8))
    assert ema_decay(run, step) == pytest.approx(wanted, rel=1e-12, abs=1e-300)


def test_after_half_life_images_the_old_average_weighs_half():
    run, weight = with_ema(4, half_life=100.0, warmup=0.0), 1.0
    for step in range(25):
        weight *= ema_decay(run, step)
    assert weight == pytest.approx(0.5)


def test_the_half_life_counts_images_over_stages():
    run = replace(
        BASE, ema=EMA(half_life=1e9, rampup=0.5, warmup=0.0), stages=(Stage(0, (8, 8), 4), Stage(10, batch=2))
    )
    assert ema_decay(run, 9) == pytest.approx(0.5 ** (4 / (0.5 * 36)))
    assert ema_decay(run, 10) == pytest.approx(0.5 ** (2 / (0.5 * 40)))


@law
@given(step=st.integers(0, 100_000), decay=st.floats(0, 1), warmup=st.sampled_from([1.0, 10.0, 100.0]))
def test_warmup_bounds_the_decay(step, decay, warmup):
    found = ema_decay(with_ema(decay=decay, warmup=warmup), step)
    assert found == min(decay, (1 + step) / (warmup + step))


def test_without_warmup_the_decay_is_constant():
    run = with_ema(decay=0.9, warmup=0.0)
    assert {ema_decay(run, step) for step in (0, 1, 1000)} == {0.9}


def test_an_average_without_decay_and_half_life_is_off():
    assert not EMA(decay=0.0).active
    assert EMA(decay=0.0, half_life=10.0).active
    assert EMA().active
    assert not PRESETS["nerf-blender"].ema.active


BAD = {
    "decay": ({"decay": 1.5}, "--ema.decay 1.5: wanted a number from 0 to 1"),
    "half life": ({"half_life": -1.0}, "--ema.half-life -1.0: wanted 0 or more"),
    "rampup": ({"rampup": float("nan")}, "--ema.rampup nan"),
    "warmup": ({"warmup": -1.0}, "--ema.warmup -1.0: wanted 0 or more"),
}


@pytest.mark.parametrize(("changed", "expected"), BAD.values(), ids=BAD)
def test_an_average_that_cannot_be_computed_is_refused(changed, expected):
    with pytest.raises(BadInput) as error:
        validate(EMA(**changed), "ema")
    assert expected in str(error.value)


def test_parts_that_do_not_decay_have_the_rate_of_the_stage():
    run = with_optim(steps=10, final_lr_ratio=0.1, decay="exponential")
    assert learning_rate(run, "generator", 9, decays=False) == learning_rate(run, "generator", 0)
