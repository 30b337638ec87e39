"""genscene ablate: the table and the runs, what is resumed, what fails without ending the others."""

import json
from dataclasses import replace

import pytest

from conftest import tiny
from genscene.cli import main
from genscene.distributed import ProcessGroup
from genscene.systems import PRESETS, ablations
from genscene.training.ablation import Budget, folder_names, steps_within, train_variants
from genscene.training.run import Run, check

EVALUATION = "--evaluation.count 6 --evaluation.reals 8 --evaluation.size 16 --evaluation.metrics frechet"
COMMON = f"--vary system.patches.size=8 --vary images.limit=8 --size 8 --batch 2 --device cpu {EVALUATION}"
FIELD = "system.generator.field"


def ablate(out, *words):
    """Run the verb on the small pi-GAN -> the exit code."""
    return main(["ablate", *words, *COMMON.split(), "--out", str(out)])


def test_every_variant_is_trained_from_every_seed_once(tmp_path, capsys):
    words = ["pigan-demo", "--vary", f"{FIELD}.activation=sine,relu", "--seeds", "2", "--steps", "2"]
    assert ablate(tmp_path / "out", *words) == 0
    document = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert list(document["generators"]) == ["activation=sine", "activation=relu"]
    runs = document["runs"]
    assert [(run["variant"], run["seed"]) for run in runs] == [
        ("activation=sine", 0),
        ("activation=relu", 0),
        ("activation=sine", 1),
        ("activation=relu", 1),
    ]
    for name, scores in document["generators"].items():
        own = [run["scores"]["frechet"] for run in runs if run["variant"] == name]
        found = scores["frechet"]
        assert found["value"] == pytest.approx(sum(own) / 2)
        assert found["interval"]["low"] < found["value"] < found["interval"]["high"]
    for run in runs:
        experiment = json.loads((tmp_path / "out" / run["folder"] / "experiment.json").read_text())
        assert experiment["seed"] == run["seed"]
        assert f"activation={experiment['system']['generator']['field']['activation']}" == run["variant"]
        assert (run["steps"], experiment["steps"]) == (2, 2)
    table = (tmp_path / "out" / "ablation.md").read_text()
    assert "| activation=sine | " in table
    assert "2 steps in 0:00:00, 2 runs |" in table
    page = (tmp_path / "out" / "ablation.html").read_text()
    assert "activation=relu, seed 1" in page
    capsys.readouterr()
    assert ablate(tmp_path / "out", *words) == 0
    assert "step 1/2" not in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "ablation.json").read_text()) == document
    assert ablate(tmp_path / "out", *words, "--vary", "system.loss.gamma=3") == 2
    assert 'holds a run of another experiment (there "gamma": 1.0, here "gamma": 3' in capsys.readouterr().err


def test_a_variant_that_fails_does_not_end_the_others(tmp_path, capsys):
    """Three of a batch of two have no minibatch statistics, and a rate of 1e30 diverges."""
    words = ["pigan-demo", "--vary", "optim.generator.lr=0.001,1e30", "--steps", "4"]
    assert ablate(tmp_path / "out", *words) == 0
    document = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert document["generators"]["lr=1e+30"] == {}
    assert "frechet" in document["generators"]["lr=0.001"]
    (failed,) = [run for run in document["runs"] if "error" in run]
    assert failed["variant"] == "lr=1e+30"
    assert failed["error"].startswith("Diverged")
    assert any("lr=1e+30, seed 0 failed" in note for note in document["notes"])
    assert "every run failed" in (tmp_path / "out" / "ablation.md").read_text()


def test_scenes_are_compared_on_the_held_out_views_of_each_seed(tmp_path):
    words = "nerf --size 12 --batch 32 --steps 1 --seeds 2 --device cpu --vary system.generator.field.width=8"
    few = "--vary system.generator.march.samples=4"
    assert main([*f"ablate {words} {few}".split(), "--out", str(tmp_path / "out")]) == 0
    document = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert len(document["generators"]) == 9
    for scores in document["generators"].values():
        assert set(scores) == {"psnr", "ssim"}
        assert "interval" in scores["psnr"]
    first, second = (document["views"][f"whole, seed {seed}"] for seed in (0, 1))
    assert len(first) == len(second) == 10
    assert first != second


@pytest.mark.parametrize("table", ablations.ABLATIONS)
def test_every_variant_of_every_table_can_be_trained(table):
    variants = ablations.ABLATIONS[table]()
    assert len(variants) >= 4
    for experiment in variants.values():
        check(experiment, Run(), ProcessGroup())
        assert experiment.data
    assert len({experiment.steps for experiment in variants.values()}) == 1
    assert len({experiment.system for experiment in variants.values()} | {table}) > 3


def test_minutes_become_steps(tmp_path):
    experiment = tiny("pigan-demo")
    one, ten = (steps_within(experiment, Run(tmp_path), Budget(minutes)) for minutes in (0.1, 1.0))
    assert 2 < ten / one < 50
    variants = {"a": experiment}
    (found,) = train_variants(variants, 1, Run(tmp_path / "out", save_every=0, grid_every=0), Budget(0.01))
    assert not found.error
    assert found.steps >= 1
    (again,) = train_variants(variants, 1, Run(tmp_path / "out", save_every=0, grid_every=0), Budget(0.01))
    assert replace(again, seconds=found.seconds) == found


def test_names_of_folders_are_safe_and_differ():
    names = folder_names(["sine, FiLM", "sine; FiLM", "../x", "//", "a" * 200])
    assert list(names.values()) == ["sine-FiLM", "sine-FiLM-2", "x", "variant", "a" * 80]


REFUSED = {
    "pigan-demo": "one variant (pigan-demo), wanted two or more: --vary FIELD=VALUE,VALUE",
    "pigan-dema pigan-demo": "no preset or table 'pigan-dema'; did you mean 'pigan-demo'?",
    "pigan --steps 1 --minutes 1": "--steps and --minutes: wanted one of them",
    "pigan-celeba pigan-cats": "pigan-celeba wants --data PATH",
    "pigan --evaluation.out x.json": "--evaluation.out: wanted none",
    "pigan --seeds 0": "--seeds 0: wanted 1 or more",
    f"pigan-demo --vary {FIELD}.activtion=sine,relu": "did you mean 'activation'",
    "pigan --out full": "--out full holds x: wanted a new folder, or that of an ablation",
    "nerf --only whole;part": "--only: no variant 'part'; ",
    "nerf --only whole": "one variant (whole), wanted two or more",
    "": "which presets, or which table?",
}


@pytest.mark.parametrize("words", REFUSED)
def test_bad_input_is_one_line_and_nothing_is_written(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    assert main(["ablate", *words.split()]) == 2
    error = capsys.readouterr().err
    assert REFUSED[words] in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_presets_are_variants(capsys):
    assert main(["ablate", "pigan-demo", "pigan-pictures", "--data", "x", "--steps", "5", "--dry-run"]) == 0
    assert capsys.readouterr().out == "pigan-demo: x, 5 steps\npigan-pictures: x, 5 steps\n"
    assert PRESETS["pigan-demo"].steps != 5
