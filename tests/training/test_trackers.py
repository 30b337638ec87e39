"""Numbers and pictures of runs in Weights & Biases and TensorBoard, by stand-ins of both libraries."""

import json
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from genscene.cli import main
from genscene.errors import BadInput, Diverged
from genscene.training import run as running
from genscene.training.run import Run, train
from genscene.training.trackers import open_trackers


class StandIn(types.ModuleType):
    """wandb without a network: records what it is given."""

    def __init__(self, error=None):
        super().__init__("wandb")
        self.runs, self.error = [], error

    def Settings(self, **given):
        return given

    def Image(self, path):
        with Image.open(path) as image:
            return image.size

    def init(self, **given):
        if self.error:
            raise self.error
        self.runs.append(StandInRun(given))
        return self.runs[-1]


class StandInRun:
    """A run of the stand-in."""

    def __init__(self, given):
        self.given, self.logged, self.ended = given, [], None

    def log(self, numbers, step):
        self.logged.append((step, numbers))

    def finish(self, exit_code):
        self.ended = exit_code


@pytest.fixture
def wandb(monkeypatch):
    """The stand-in, as if installed."""
    library = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", library)
    return library


def test_a_run_sends_losses_scores_and_grids_in_the_order_of_its_steps(experiment, wandb, tmp_path):
    out = tmp_path / "cars"
    short = replace(experiment, steps=4)
    train(short, Run(out, wandb="team/scenes", grid_every=2, evaluate_every=4, evaluate_count=8))
    (run,) = wandb.runs
    assert (run.given["entity"], run.given["project"], run.given["name"]) == ("team", "scenes", "cars")
    assert (run.given["dir"], run.given["resume"]) == (str(out), "allow")
    assert run.given["config"] == json.loads((out / "experiment.json").read_text())
    assert run.ended == 0
    steps = [step for step, _ in run.logged]
    assert steps == sorted(steps)
    names = [(step, set(numbers)) for step, numbers in run.logged]
    assert [step for step, found in names if found == {"grid"}] == [2, 4]
    assert names[-1] == (4, {"frechet"})
    logged = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    losses = {step: numbers for step, numbers in run.logged if len(numbers) > 1}
    assert losses == {
        line["step"]: {name: value for name, value in line.items() if name not in ("step", "seconds")}
        for line in logged
    }


def test_a_resumed_run_is_the_same_there_and_another_folder_is_another(experiment, wandb, tmp_path):
    for out, steps in (("a", 1), ("a", 2), ("b", 1)):
        train(replace(experiment, steps=steps), Run(tmp_path / out, wandb="p", resume=True, grid_every=0))
    train(replace(experiment, steps=3), Run(tmp_path / "a", wandb="q", resume=True, grid_every=0))
    first, again, other, elsewhere = (run.given["id"] for run in wandb.runs)
    assert first == again
    assert len({first, other, elsewhere}) == 3
    assert [step for step, _ in wandb.runs[1].logged] == [1]


def test_nothing_is_sent_without_a_project(experiment, wandb, tmp_path):
    train(replace(experiment, steps=1), Run(tmp_path / "run", grid_every=0))
    assert not wandb.runs
    assert not (tmp_path / "run" / "wandb.json").exists()


def test_a_run_that_fails_ends_as_failed(experiment, wandb, tmp_path, monkeypatch):
    def diverge(*given):
        raise Diverged("a loss is nan")

    monkeypatch.setattr(running, "train_step", diverge)
    with pytest.raises(Diverged):
        train(replace(experiment, steps=2), Run(tmp_path / "run", wandb="p"))
    assert wandb.runs[0].ended == 1


TRAIN = "train pigan-demo --steps 1 --size 8 --batch 2 --system.patches.size 8 --images.limit 4 --device cpu"


@pytest.mark.parametrize("project", ["a/b/c", "a#b", "a b", "/", "x" * 200, "a/", "?"])
def test_a_name_of_no_project_is_one_line_before_anything_is_read(project, wandb, tmp_path, capsys):
    assert main([*TRAIN.split(), "--out", str(tmp_path / "run"), "--wandb", project]) == 2
    err = capsys.readouterr().err
    assert "wanted PROJECT or TEAM/PROJECT" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert main([*TRAIN.split(), "--out", str(tmp_path / "run"), "--wandb", "p"]) == 2
    assert "--wandb p needs wandb: pip install 'genscene[wandb]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_project_that_cannot_be_opened_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", StandIn(RuntimeError("api_key not configured\n(no-tty)")))
    with pytest.raises(BadInput) as caught:
        open_trackers(tmp_path, "p", "{}")
    expected = (
        "--wandb p: RuntimeError: api_key not configured (no-tty); wanted wandb login, or WANDB_MODE=offline"
    )
    assert str(caught.value) == expected


def test_tensorboard_gets_the_same_numbers_and_grids(experiment, tmp_path, monkeypatch):
    written = []

    class SummaryWriter:
        def __init__(self, folder):
            written.append(folder)

        def add_scalar(self, name, value, step):
            written.append((step, name, value))

        def add_image(self, name, pixels, step, dataformats):
            assert dataformats == "HWC"
            written.append((step, name, pixels.shape))

        def close(self):
            written.append("closed")

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    train(replace(experiment, steps=2), Run(tmp_path / "run", grid_every=2))
    assert written[0] == str(tmp_path / "run" / "tensorboard")
    assert written[-1] == "closed"
    (grid,) = [row for row in written[1:-1] if row[1] == "grid"]
    with Image.open(tmp_path / "run" / "grids" / "00000002.png") as image:
        assert grid == (2, "grid", np.asarray(image.convert("RGB")).shape)
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[1])
    found = {name: value for step, name, value in written[1:-1] if step == 1}
    assert found == {name: value for name, value in line.items() if name not in ("step", "seconds")}
