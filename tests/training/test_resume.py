"""Resuming: a killed run ends with the bytes of an unbroken one; checkpoints, and how runs end early."""

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from genscene.errors import BadInput, Diverged
from genscene.experiment.serialise import dumps
from genscene.training import run as running
from genscene.training.checkpoint import Retention, checkpoints, link, prune
from genscene.training.interrupts import Interrupted, stop_flag
from genscene.training.logger import clock, truncate
from genscene.training.run import Run, train

STEPS = 60
RUNNER = """
import signal, sys
from pathlib import Path
from genscene.experiment.serialise import loads
from genscene.systems import KINDS
from genscene.training.logger import Logger
from genscene.training.run import Run, train
left, recorded = int(sys.argv[3]), Logger.record

def record(*given):
    global left
    recorded(*given)
    left -= 1
    if left == 0:  # the alarm ends the process wherever it is
        signal.setitimer(signal.ITIMER_REAL, float(sys.argv[4]))

Logger.record = record
experiment = loads(Path(sys.argv[1]).read_text(), KINDS, "test")
train(experiment, Run(Path(sys.argv[2]), device="cpu", resume=True, save_every=7, grid_every=0))
"""


def lines_of(out):
    log = out / "metrics.jsonl"
    return log.read_text().splitlines() if log.exists() else []


def killed(recipe, out, steps, later):
    """Start or resume a run, killed seconds after so many steps -> whether that was before its end."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(running.__file__).parents[2])}
    command = [sys.executable, "-c", RUNNER, str(recipe), str(out), str(steps), str(later)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, -signal.SIGALRM), done.stderr
    return done.returncode != 0


def test_a_killed_and_resumed_run_has_the_bytes_of_an_unbroken_one(experiment, tmp_path):
    recipe, whole, broken = (tmp_path / name for name in ("recipe.json", "whole", "broken"))
    recipe.write_text(dumps(replace(experiment, steps=STEPS)))
    assert not killed(recipe, whole, STEPS + 1, 0)
    chance, kills = random.Random(0), 0
    while killed(recipe, broken, chance.randint(8, 25), chance.uniform(0.001, 0.04)):
        kills += 1
    assert kills >= 2
    written = [(out / "generator.safetensors").read_bytes() for out in (whole, broken)]
    assert written[0] == written[1], "not the same bytes"
    states = [torch.load(out / "state.pt", weights_only=True) for out in (whole, broken)]
    for part in ("system", "ema"):
        for key, value in states[0][part].items():
            assert torch.equal(value, states[1][part][key]), key
    assert [json.loads(line)["step"] for line in lines_of(broken)] == list(range(STEPS))


def test_a_finished_run_leaves_these_files(experiment, tmp_path):
    run = Run(tmp_path / "run", save_every=2, keep_last=1, keep_every=4, grid_every=3)
    generator = train(replace(experiment, steps=6), run)
    names = {p.relative_to(tmp_path / "run").as_posix() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    saved = {f"checkpoints/{step:08d}.{ending}" for step in (4, 6) for ending in ("pt", "safetensors")}
    grids = {f"grids/{step:08d}.png" for step in (3, 6)}
    names = {name for name in names if not name.startswith("tensorboard/")}  # where that is installed
    assert names == saved | grids | {"experiment.json", "generator.safetensors", "state.pt", "metrics.jsonl"}
    stored = load_file(tmp_path / "run" / "generator.safetensors")
    assert all(
        torch.equal(value, stored[f"generator.{name}"]) for name, value in generator.state_dict().items()
    )


def test_a_folder_with_a_run_is_not_overwritten(experiment, tmp_path):
    short = replace(experiment, steps=2)
    train(short, tmp_path)
    before = (tmp_path / "generator.safetensors").read_bytes()
    with pytest.raises(BadInput, match="--resume"):
        train(short, tmp_path)
    with pytest.raises(BadInput, match='there "seed": 0, here "seed": 1'):
        train(replace(short, seed=1), Run(tmp_path, resume=True))
    assert (tmp_path / "generator.safetensors").read_bytes() == before
    train(replace(short, steps=4), Run(tmp_path, resume=True))  # longer is allowed


@pytest.mark.parametrize(("resume", "begun"), [(False, False), (True, False), (False, True)])
def test_a_generator_without_its_run_is_not_replaced(experiment, resume, begun, tmp_path):
    path = tmp_path / "generator.safetensors"
    path.write_bytes(b"of another program")
    if begun:
        (tmp_path / "experiment.json").write_text("{}")
    with pytest.raises(BadInput, match=r"generator\.safetensors that would be replaced: choose another"):
        train(replace(experiment, steps=1), Run(tmp_path, resume=resume))
    assert path.read_bytes() == b"of another program"


def test_a_run_by_rmsprop_is_resumed(experiment, tmp_path):
    optim = {player: replace(each, kind="rmsprop", lr=0) for player, each in experiment.optim.items()}
    for steps in (2, 4):
        train(replace(experiment, steps=steps, optim=optim), Run(tmp_path, resume=True, grid_every=0))
    moments = torch.load(tmp_path / "state.pt", weights_only=True)["optimizers"]["generator"]["state"]
    assert {float(each["step"]) for each in moments.values()} == {4.0}


def test_a_damaged_state_names_the_other_checkpoints(experiment, tmp_path):
    train(replace(experiment, steps=2), Run(tmp_path, save_every=1))
    content = (tmp_path / "state.pt").read_bytes()
    (tmp_path / "state.pt").unlink()
    (tmp_path / "state.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match=r"damaged.*00000001\.pt") as error:
        train(replace(experiment, steps=4), Run(tmp_path, resume=True))
    assert "\n" not in str(error.value)


def test_a_loss_that_is_not_finite_names_step_player_and_checkpoint(experiment, tmp_path, monkeypatch):
    system = type(experiment.system.build())
    loss = system.generator_loss

    def not_finite(self, batch, context):
        value, stats = loss(self, batch, context)
        return value * (float("nan") if context.step == 3 else 1.0), stats

    monkeypatch.setattr(system, "generator_loss", not_finite)
    with pytest.raises(Diverged, match=r"loss of the generator is nan at step 3.*state\.pt \(step 2\)"):
        train(replace(experiment, steps=9), Run(tmp_path, save_every=2))
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 2


def test_an_interrupted_run_is_saved_and_the_line_says_how_to_resume(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "stop_flag", lambda: RaisedFlag())
    with pytest.raises(Interrupted, match=r"step 1 of 5; resume with --resume"):
        train(replace(experiment, steps=5), Run(tmp_path, save_every=100))
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 1


class RaisedFlag:
    """A stop flag that is set from the start."""

    def __enter__(self):
        return lambda: True

    def __exit__(self, *_):
        return None


def test_the_first_signal_sets_a_flag_and_the_second_interrupts():
    with stop_flag() as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_pruning_leaves_the_last_and_every_so_many(tmp_path):
    history = tmp_path / "checkpoints"
    history.mkdir()
    for step in range(10, 110, 10):
        for ending in ("pt", "safetensors"):
            (history / f"{step:08d}.{ending}").touch()
    prune(tmp_path, Retention(last=1), 50)  # gone back to there: later ones remain
    assert [int(p.stem) for p in checkpoints(tmp_path)] == [50, 60, 70, 80, 90, 100]
    prune(tmp_path, Retention(last=2, every=40), 100)
    for ending in ("pt", "safetensors"):
        assert [int(p.stem) for p in checkpoints(tmp_path, ending)] == [80, 90, 100]


def test_other_names_among_the_checkpoints_are_left_alone(experiment, tmp_path):
    history = tmp_path / "checkpoints"
    (history / "00000001.pt").mkdir(parents=True)
    (history / "2.old.pt").write_text("mine")
    (history / "00000000.pt").symlink_to("2.old.pt")
    (history / "1e3.safetensors").write_text("mine")
    before = set(history.iterdir())
    train(replace(experiment, steps=4), Run(tmp_path, save_every=2, keep_last=1, grid_every=0))
    assert set(history.iterdir()) - before == {history / "00000004.pt", history / "00000004.safetensors"}
    assert before <= set(history.iterdir())
    assert (history / "2.old.pt").read_text() == "mine"


def test_without_hard_links_files_are_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no hard links")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").write_text("content")
    link(tmp_path / "b", tmp_path / "a")
    assert (tmp_path / "b").read_text() == "content"


def test_lines_of_steps_that_will_be_repeated_are_removed(tmp_path):
    path = tmp_path / "metrics.jsonl"
    damaged = b'\xff\n[1]\n{"step": null}\n' + b"[" * 100_000 + b'\n{"ste'
    path.write_bytes(b'{"step": 0}\n{"step": 1}\n{"step": 2}\n' + damaged)
    truncate(path, 2)
    assert path.read_text() == '{"step": 0}\n{"step": 1}\n'
    assert clock(3671) == "1:01:11"
