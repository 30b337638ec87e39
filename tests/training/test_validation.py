"""Validation while training: its log, the best generator, and that it changes nothing else."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import genscene.training.run as running
from genscene.cli import main
from genscene.data.images import load_images
from genscene.data.sources import data_source
from genscene.errors import BadInput
from genscene.evaluation.held_out_views import render_held_out
from genscene.evaluation.image_sources import GeneratedImages, StoredImages
from genscene.evaluation.protocol import Preparation
from genscene.evaluation.report import Score
from genscene.experiment.schema import EMA, Stage
from genscene.io.generator_file import load, read
from genscene.metrics.frechet import Moments, frechet_distance
from genscene.metrics.networks.random_features import random_features
from genscene.systems import PRESETS
from genscene.training.interrupts import Interrupted
from genscene.training.run import Run, train
from genscene.training.validation import Validator

COUNT = 12
VALUES = (3.0, 1.0, 5.0, 1.0)


def evaluated(folder, every=2, **changed):
    return Run(folder, device="cpu", grid_every=0, evaluate_every=every, evaluate_count=COUNT, **changed)


def lines(folder):
    return [json.loads(line) for line in (folder / "evaluations.jsonl").read_text().splitlines()]


def scene(steps=6):
    preset = replace(
        PRESETS["nerf-grid-demo"], data="synthetic:cars", stages=(Stage(0, (16, 16), 64),), steps=steps
    )
    return replace(preset, system=preset.system.shrunk())


def frechet_by_hand(path, experiment):
    """Frechet distance in random features of a saved generator, without the code that is tested here."""
    extractor = random_features()
    fakes = GeneratedImages(load(path), Preparation(COUNT), (16, 16)).read(range(COUNT))
    found = load_images(experiment.data, experiment.images, (16, 16), quiet=True)
    reals = StoredImages(found, Preparation(), "").read(range(8))
    return frechet_distance(Moments.of(extractor(fakes)), Moments.of(extractor(reals)))


def assert_saved_with(path, state, measured):
    """A generator file is a checkpoint's, but for the numbers measured of it."""
    best, saved = (load_file(each) for each in (path, state))
    assert best.keys() == saved.keys()
    assert all(torch.equal(best[name], saved[name]) for name in saved)
    headers = []
    for each in (path, state):
        with safe_open(each, framework="pt") as file:
            headers.append(file.metadata())
    assert headers[0] == headers[1] | {"measured": json.dumps(measured)}
    assert read(path).measured == measured


def test_a_run_logs_its_evaluations_and_saves_the_best(experiment, tmp_path):
    train(replace(experiment, steps=5), evaluated(tmp_path, save_every=1, keep_last=9))
    found = lines(tmp_path)
    assert [line["step"] for line in found] == [2, 4, 5]
    assert {line["metric"] for line in found} == {"frechet"}
    assert {line["title"] for line in found} == {f"Frechet distance, {COUNT} against 8"}
    for line in found:
        state = tmp_path / "checkpoints" / f"{line['step']:08d}.safetensors"
        assert frechet_by_hand(state, experiment) == pytest.approx(line["value"], rel=1e-6)
    lowest = min(found, key=lambda line: line["value"])
    best, state = (
        tmp_path / "best.safetensors",
        tmp_path / "checkpoints" / f"{lowest['step']:08d}.safetensors",
    )
    assert_saved_with(best, state, {"frechet": lowest["value"]})
    assert read(best).experiment == replace(experiment, steps=5)
    assert [line["best"] for line in found] == [
        line["value"] < min([other["value"] for other in found[:i]], default=float("inf"))
        for i, line in enumerate(found)
    ]


@pytest.mark.parametrize(("better", "wanted"), [("low", 2), ("high", 3)])
def test_the_best_is_the_lowest_or_the_highest_as_the_metric_says(
    experiment, tmp_path, monkeypatch, better, wanted
):
    values = iter(VALUES)
    monkeypatch.setattr(
        Validator, "measure", lambda self, generator, source: Score("frechet", "X", next(values), better)
    )
    train(replace(experiment, steps=4), evaluated(tmp_path, 1, save_every=1, keep_last=9))
    state = tmp_path / "checkpoints" / f"{wanted:08d}.safetensors"
    value = min(VALUES) if better == "low" else max(VALUES)
    assert_saved_with(tmp_path / "best.safetensors", state, {"frechet": value})
    assert [line["best"] for line in lines(tmp_path)] == {
        "low": [True, True, False, False],
        "high": [True, False, True, False],
    }[better]


@pytest.mark.parametrize("ema", [0.999, 0.0])
def test_validation_changes_no_weight(experiment, tmp_path, ema):
    short = replace(experiment, steps=4, ema=EMA(ema))
    train(short, evaluated(tmp_path / "evaluated", 1))
    train(short, evaluated(tmp_path / "plain", 0))
    one, other = (load_file(tmp_path / name / "generator.safetensors") for name in ("evaluated", "plain"))
    assert all(torch.equal(one[name], other[name]) for name in other)
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("evaluated", "plain")]
    for part in ("system", "ema"):
        for name, value in states[0][part].items():
            assert torch.equal(value, states[1][part][name]), name
    assert not (tmp_path / "plain" / "evaluations.jsonl").exists()
    assert not (tmp_path / "plain" / "best.safetensors").exists()


class RaisedFlag:
    """A stop flag that is set after so many steps."""

    def __init__(self, steps):
        self.left = steps

    def __enter__(self):
        return self.stopped

    def stopped(self):
        self.left -= 1
        return self.left <= 0

    def __exit__(self, *_):
        return None


def test_an_interrupted_run_resumes_to_the_same_log_and_the_same_best(experiment, tmp_path, monkeypatch):
    short = replace(experiment, steps=6)
    train(short, evaluated(tmp_path / "whole"))
    with monkeypatch.context() as patched:
        patched.setattr(running, "stop_flag", lambda: RaisedFlag(3))
        with pytest.raises(Interrupted, match="step 3 of 6"):
            train(short, evaluated(tmp_path / "broken"))
    assert [line["step"] for line in lines(tmp_path / "broken")] == [2]
    train(short, evaluated(tmp_path / "broken", resume=True))
    for name in ("evaluations.jsonl", "best.safetensors", "generator.safetensors"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_evaluations_after_the_last_checkpoint_are_repeated(experiment, tmp_path, monkeypatch):
    """The process was killed after it had evaluated steps 4 and 5, and saved step 3."""
    short, validate_run = replace(experiment, steps=6), running.validate_run
    train(short, evaluated(tmp_path / "whole", 1, save_every=3))

    def killed(*given):
        line = validate_run(*given)
        if given[-1] == 5:
            raise KeyboardInterrupt
        return line

    with monkeypatch.context() as patched:
        patched.setattr(running, "validate_run", killed)
        with pytest.raises(KeyboardInterrupt):
            train(short, evaluated(tmp_path / "broken", 1, save_every=3))
    assert [line["step"] for line in lines(tmp_path / "broken")] == [1, 2, 3, 4, 5]
    train(short, evaluated(tmp_path / "broken", 1, save_every=3, resume=True))
    for name in ("evaluations.jsonl", "best.safetensors"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.parametrize(("count", "best"), [(COUNT, False), (COUNT // 2, True)])
def test_only_numbers_of_as_many_images_are_compared(experiment, tmp_path, count, best):
    train(replace(experiment, steps=2), evaluated(tmp_path, 1))
    perfect = [json.dumps({**line, "value": -1.0}) + "\n" for line in lines(tmp_path)]
    (tmp_path / "evaluations.jsonl").write_text("".join(perfect))
    again = replace(evaluated(tmp_path, 1, resume=True), evaluate_count=count)
    train(replace(experiment, steps=3), again)
    assert lines(tmp_path)[2]["best"] == best


def test_a_scene_is_evaluated_on_held_out_photographs(tmp_path):
    experiment = scene()
    train(experiment, evaluated(tmp_path, 3, save_every=3))
    found = lines(tmp_path)
    assert [(line["step"], line["metric"], line["title"]) for line in found] == [
        (3, "psnr", "PSNR of 10 photographs"),
        (6, "psnr", "PSNR of 10 photographs"),
    ]
    best = max(found, key=lambda line: line["value"])
    source = data_source(experiment, quiet=True)
    views = render_held_out(load(tmp_path / "best.safetensors"), source.held_out)
    values = [view.scores["psnr"] for view in views]
    assert sum(values) / len(values) == pytest.approx(best["value"], rel=1e-5)


BAD = {
    "no metric": ({"best_by": "frechett"}, "did you mean 'frechet'"),
    "of photographs": ({"best_by": "psnr"}, "--best-by psnr: not for what is trained here"),
    "no weights": ({"best_by": "fid"}, "inception needs weights"),
    "no file": ({"best_by": "fid", "evaluate_weights": "nowhere.pth"}, "nowhere.pth"),
    "too much": ({"evaluate_weights": "nowhere.pth"}, "random has no weights"),
    "one": ({"evaluate_count": 1}, "--evaluate-count 1: wanted 2 or more"),
}


@pytest.mark.parametrize(("changed", "expected"), BAD.values(), ids=BAD)
def test_a_metric_that_cannot_be_computed_is_refused_before_anything_is_written(
    experiment, tmp_path, changed, expected
):
    with pytest.raises(BadInput) as error:
        train(replace(experiment, steps=2), replace(evaluated(tmp_path / "run"), **changed))
    assert expected in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_scene_is_evaluated_by_psnr_only(tmp_path):
    with pytest.raises(BadInput, match="--best-by frechet: not for what is trained here; known: psnr"):
        train(scene(), evaluated(tmp_path / "run", best_by="frechet"))
    assert not (tmp_path / "run").exists()


def test_an_unknown_metric_on_the_command_line_is_one_line_and_code_two(tmp_path, capsys):
    words = [
        "train",
        "pigan-carla",
        "--data",
        "synthetic:cars",
        "--out",
        str(tmp_path / "run"),
        "--device",
        "cpu",
    ]
    words += [
        "--size",
        "16",
        "--batch",
        "2",
        "--images.limit",
        "4",
        "--evaluate-every",
        "1",
        "--best-by",
        "frechett",
    ]
    assert main(words) == 2
    err = capsys.readouterr()[1]
    assert err.count("\n") == 1
    assert "did you mean 'frechet'" in err
    assert not (tmp_path / "run").exists()
