"""A run that is judged while it trains: its lines, its best state, and that judging changes nothing else."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

import genscene.training.run as running
import genscene.training.validation as judging
from genscene.cli import main
from genscene.data.images import load_images
from genscene.data.sources import data_source
from genscene.errors import BadInput
from genscene.evaluation.held_out_views import render_held_out
from genscene.evaluation.image_sources import GeneratedImages, StoredImages
from genscene.evaluation.protocol import Preparation
from genscene.evaluation.report import Score
from genscene.experiment.schema import Stage
from genscene.io.generator_file import load, opened
from genscene.metrics.frechet import Moments, frechet_distance
from genscene.metrics.networks.random_features import random_features
from genscene.systems import PRESETS
from genscene.training.interrupts import Interrupted
from genscene.training.run import Run, train

COUNT = 12


def how(folder, every=2, **changed):
    return Run(folder, device="cpu", grid_every=0, evaluate_every=every, evaluate_count=COUNT, **changed)


def lines(folder):
    return [json.loads(line) for line in (folder / "evaluations.jsonl").read_text().splitlines()]


def scene(steps=6):
    preset = replace(
        PRESETS["nerf-grid-demo"], data="synthetic:cars", stages=(Stage(0, (16, 16), 64),), steps=steps
    )
    return replace(preset, system=preset.system.shrunk())


def judged_by_hand(path, experiment):
    """Frechet distance in random features of a published generator, without any of what is tested here."""
    looks = random_features()
    fakes = GeneratedImages(load(path), Preparation(COUNT), (16, 16)).read(range(COUNT))
    found = load_images(experiment.data, experiment.images, (16, 16), quiet=True)
    reals = StoredImages(found, Preparation(), "").read(range(8))
    return frechet_distance(Moments.of(looks(fakes)), Moments.of(looks(reals)))


def test_a_run_notes_what_it_was_judged_by_and_keeps_the_best(experiment, tmp_path):
    train(replace(experiment, steps=5), how(tmp_path, save_every=1, keep_last=9))
    found = lines(tmp_path)
    assert [line["step"] for line in found] == [2, 4, 5]
    assert {line["metric"] for line in found} == {"frechet"}
    assert {line["title"] for line in found} == {f"Frechet distance, {COUNT} against 8"}
    for line in found:
        state = tmp_path / "checkpoints" / f"{line['step']:08d}.safetensors"
        assert judged_by_hand(state, experiment) == pytest.approx(line["value"], rel=1e-6)
    lowest = min(found, key=lambda line: line["value"])
    best, state = (
        tmp_path / "best.safetensors",
        tmp_path / "checkpoints" / f"{lowest['step']:08d}.safetensors",
    )
    assert best.read_bytes() == state.read_bytes()
    assert opened(best)[0] == replace(experiment, steps=5)
    assert [line["best"] for line in found] == [
        line["value"] < min([other["value"] for other in found[:i]], default=float("inf"))
        for i, line in enumerate(found)
    ]


@pytest.mark.parametrize(("better", "wanted"), [("low", 2), ("high", 3)])
def test_the_best_is_the_lowest_or_the_highest_as_the_metric_has_it(
    experiment, tmp_path, monkeypatch, better, wanted
):
    values = iter([3.0, 1.0, 5.0, 1.0])
    monkeypatch.setattr(
        judging.Judge, "ask", lambda self, generator, source, group: Score("x", "X", next(values), better)
    )
    train(replace(experiment, steps=4), how(tmp_path, 1, save_every=1, keep_last=9))
    state = tmp_path / "checkpoints" / f"{wanted:08d}.safetensors"
    assert (tmp_path / "best.safetensors").read_bytes() == state.read_bytes()
    assert [line["best"] for line in lines(tmp_path)] == {
        "low": [True, True, False, False],
        "high": [True, False, True, False],
    }[better]


@pytest.mark.parametrize("ema", [0.999, 0.0])
def test_judging_changes_no_weight(experiment, tmp_path, ema):
    short = replace(experiment, steps=4, ema=ema)
    train(short, how(tmp_path / "judged", 1))
    train(short, how(tmp_path / "plain", 0))
    one, other = (load_file(tmp_path / name / "generator.safetensors") for name in ("judged", "plain"))
    assert all(torch.equal(one[name], other[name]) for name in other)
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("judged", "plain")]
    for part in ("system", "average"):
        for name, value in states[0][part].items():
            assert torch.equal(value, states[1][part][name]), name
    assert not (tmp_path / "plain" / "evaluations.jsonl").exists()
    assert not (tmp_path / "plain" / "best.safetensors").exists()


class Pressed:
    """Somebody who presses Ctrl-C after so many steps."""

    def __init__(self, steps):
        self.left = steps

    def __enter__(self):
        return self.stopped

    def stopped(self):
        self.left -= 1
        return self.left <= 0

    def __exit__(self, *_):
        return None


def test_an_interrupted_run_goes_on_to_the_same_lines_and_the_same_best(experiment, tmp_path, monkeypatch):
    short = replace(experiment, steps=6)
    train(short, how(tmp_path / "whole"))
    with monkeypatch.context() as patched:
        patched.setattr(running, "stop_flag", lambda: Pressed(3))
        with pytest.raises(Interrupted, match="step 3 of 6"):
            train(short, how(tmp_path / "broken"))
    assert [line["step"] for line in lines(tmp_path / "broken")] == [2]
    train(short, how(tmp_path / "broken", resume=True))
    for name in ("evaluations.jsonl", "best.safetensors", "generator.safetensors"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_lines_after_the_last_checkpoint_are_judged_again(experiment, tmp_path, monkeypatch):
    """A process that was killed had judged steps 4 and 5, and saved step 3."""
    short, killed = replace(experiment, steps=6), running.judge
    train(short, how(tmp_path / "whole", 1, save_every=3))

    def dies(game, folder, source, by, done):
        said = killed(game, folder, source, by, done)
        if done == 5:
            raise KeyboardInterrupt
        return said

    with monkeypatch.context() as patched:
        patched.setattr(running, "judge", dies)
        with pytest.raises(KeyboardInterrupt):
            train(short, how(tmp_path / "broken", 1, save_every=3))
    assert [line["step"] for line in lines(tmp_path / "broken")] == [1, 2, 3, 4, 5]
    train(short, how(tmp_path / "broken", 1, save_every=3, resume=True))
    for name in ("evaluations.jsonl", "best.safetensors"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.parametrize(("count", "best"), [(COUNT, False), (COUNT // 2, True)])
def test_only_numbers_of_as_many_pictures_are_compared(experiment, tmp_path, count, best):
    train(replace(experiment, steps=2), how(tmp_path, 1))
    unbeatable = [json.dumps({**line, "value": -1.0}) + "\n" for line in lines(tmp_path)]
    (tmp_path / "evaluations.jsonl").write_text("".join(unbeatable))
    again = replace(how(tmp_path, 1, resume=True), evaluate_count=count)
    train(replace(experiment, steps=3), again)
    assert lines(tmp_path)[2]["best"] == best


def test_a_scene_is_judged_by_photographs_that_it_is_not_shown(tmp_path):
    experiment = scene()
    train(experiment, how(tmp_path, 3, save_every=3))
    found = lines(tmp_path)
    assert [(line["step"], line["metric"], line["title"]) for line in found] == [
        (3, "psnr", "PSNR of 10 photographs"),
        (6, "psnr", "PSNR of 10 photographs"),
    ]
    best = max(found, key=lambda line: line["value"])
    source = data_source(experiment, quiet=True)
    values = [each.psnr for each in render_held_out(load(tmp_path / "best.safetensors"), source.held_out)]
    assert sum(values) / len(values) == pytest.approx(best["value"], rel=1e-5)


BAD = {
    "no metric": ({"best_by": "frechett"}, "did you mean 'frechet'"),
    "of photographs": ({"best_by": "psnr"}, "--best-by psnr: not for what is trained here"),
    "no weights": ({"best_by": "fid"}, "inception needs weights"),
    "no file": ({"best_by": "fid", "evaluate_weights": "nowhere.pth"}, "nowhere.pth"),
    "too much": ({"evaluate_weights": "nowhere.pth"}, "random has no weights"),
    "one": ({"evaluate_count": 1}, "--evaluate-count 1: wanted at least 2"),
}


@pytest.mark.parametrize(("changed", "expected"), BAD.values(), ids=BAD)
def test_a_judge_that_cannot_be_is_refused_before_anything_is_written(
    experiment, tmp_path, changed, expected
):
    with pytest.raises(BadInput) as error:
        train(replace(experiment, steps=2), replace(how(tmp_path / "run"), **changed))
    assert expected in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_scene_is_judged_by_nothing_else(tmp_path):
    with pytest.raises(BadInput, match="--best-by frechet: not for what is trained here; known: psnr"):
        train(scene(), how(tmp_path / "run", best_by="frechet"))
    assert not (tmp_path / "run").exists()


def test_from_the_command_line_it_is_one_line_and_code_two(tmp_path, capsys):
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
