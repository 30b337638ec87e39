"""Bad input of training, resuming and evaluating fitted scenes is refused before anything is written."""

import json
import math
from dataclasses import dataclass, field, replace

import pytest
from PIL import Image

from genscene.cli import main
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.experiment.validation import validate
from genscene.io.generator_file import read
from genscene.systems import PRESETS
from genscene.training.run import Run, check, train
from training import fitted
from training.fitted import SMALL, refused

runs = fitted.runs

VOXELS = "--system.generator.voxels"
BAD = {
    "too few levels": ([f"{VOXELS}.levels", "16"], "ends (0.1, 0.3) of levels (16,)"),
    "levels fall": (
        [f"{VOXELS}.levels", "32", "16", "8"],
        f"{VOXELS}.levels (32, 16, 8): wanted numbers that rise",
    ),
    "levels below 0": (
        [f"{VOXELS}.levels", "-3", "4", "5"],
        f"{VOXELS}.levels -3: wanted a number from 2 to 1024",
    ),
    "no levels": ([f"{VOXELS}.levels"], f"{VOXELS}.levels ()"),
    "too fine": ([f"{VOXELS}.levels", "32", "64", "5000"], "from 2 to 1024"),
    "too many ends": (["--system.ends", "0.1", "0.2", "0.3"], "wanted one fewer than levels"),
    "ends fall": (["--system.ends", "0.5", "0.1"], "rising shares from 0 to 1"),
    "ends are none": (["--system.ends", "nan", "0.3"], "--system.ends nan: wanted a finite number"),
    "never updated": (["--system.occupancy-every", "0"], "--system.occupancy-every 0: wanted 1 or more"),
    "no samples": (["--system.generator.march.samples", "0"], "march.samples 0: wanted a number from 1"),
    "far before near": (
        ["--system.generator.march.near", "5", "--system.generator.march.far", "1"],
        "march.far 1.0: wanted more than near (5.0)",
    ),
    "gain": (["--system.generator.march.gain", "-1"], "--system.generator.march.gain -1: wanted"),
    "features": ([f"{VOXELS}.features", "2"], f"{VOXELS}.features 2: wanted a number from 3"),
    "octaves": ([f"{VOXELS}.octaves", "-1"], f"{VOXELS}.octaves -1: wanted a number from 0 to 32"),
    "a flat box": ([f"{VOXELS}.box", "0", "0", "0"], f"{VOXELS}.box 0.0: wanted a number from 1e-06"),
    "a negative box": ([f"{VOXELS}.box", "-1", "1", "1"], f"{VOXELS}.box -1.0: wanted a number from 1e-06"),
    "a box that is no number": ([f"{VOXELS}.box", "nan", "1", "1"], f"{VOXELS}.box nan"),
    "limit": (["--posed.limit", "-1"], "--posed.limit -1: wanted 0 or more"),
    "negative rate": (["--optim.generator.lr", "-1"], "--optim.generator.lr -1: wanted 0 or more"),
    "rate that is no number": (
        ["--optim.generator.lr", "nan"],
        "--optim.generator.lr nan: wanted a finite number",
    ),
    "infinite": (["--posed.downscale", "inf"], "--posed.downscale inf"),
    "stage": (["--stages.0.lr", "nan"], "--stages.0.lr nan"),
    "seed": (["--seed", "9" * 400], "--seed 9999"),
    "average": (["--ema.decay", "2"], "--ema.decay 2: wanted a number from 0 to 1"),
    "save": (["--save-every", "-1"], "--save-every -1: wanted 0 or more"),
    "keep": (["--keep-last", "-1"], "--keep-last -1"),
    "part": (["--optim.generator.lr-multipliers", "zzz", "0.5"], "no part 'zzz'"),
    "no data": (["--data", ""], "a folder of photographs with their cameras"),
}


@pytest.mark.parametrize(("words", "expected"), BAD.values(), ids=BAD)
def test_a_run_that_cannot_be_trained_is_one_line_and_no_file(runs, words, expected, capsys, tmp_path):
    out = tmp_path / "run"
    line = refused(["train", "nerf-grid-demo", "--data", str(runs / "a"), "--out", str(out), *words], capsys)
    assert expected in line
    assert not out.exists()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_accepted(name):
    check(PRESETS[name], Run(), ProcessGroup())


@dataclass(frozen=True)
class Part:
    """A part whose default is infinite."""

    far: float = math.inf
    near: tuple[float, ...] = (0.0,)


@dataclass(frozen=True)
class Whole:
    """Parts in a tuple and in a mapping."""

    parts: tuple[Part, ...] = ()
    named: dict[str, float] = field(default_factory=dict)
    part: Part = Part()


def test_only_a_default_may_be_infinite():
    validate(Part())
    validate(Whole((Part(), Part(3.0)), {"a": 1.5}))
    with pytest.raises(BadInput, match=r"--part\.far -inf"):
        validate(Part(far=-math.inf), "part")
    with pytest.raises(BadInput, match=r"--parts\.1\.near nan"):
        validate(Whole((Part(), Part(near=(0.0, math.nan)))))
    with pytest.raises(BadInput, match=r"--whole\.named\.b inf: wanted a finite number"):
        validate(Whole(named={"a": 1.0, "b": math.inf}), "whole")
    with pytest.raises(BadInput, match=r"--part\.near inf"):
        validate(Whole(part=Part(near=(math.inf,))))


def test_save_every_0_saves_only_the_end(runs, tmp_path):
    words = ["train", "nerf-grid-demo", "--data", str(runs / "a"), "--out", str(tmp_path), *SMALL]
    assert main([*words, "--steps", "3", "--save-every", "0"]) == 0
    assert [p.name for p in (tmp_path / "checkpoints").glob("*.pt")] == ["00000003.pt"]


def test_size_is_the_longer_side_of_the_photographs(runs):
    content = read(runs / "run")
    assert content.experiment.posed.side == 20
    assert content.cameras.size == (20, 20)


def test_multipliers_are_added_to_those_of_the_preset(capsys):
    words = [
        "train",
        "nerf-grid-demo",
        "--dry-run",
        "--optim.generator.lr-multipliers",
        "voxels.color",
        "0.5",
    ]
    assert main(words) == 0
    multipliers = json.loads(capsys.readouterr().out)["optim"]["generator"]["lr_multipliers"]
    assert multipliers == {"voxels.network": 0.1, "voxels.color": 0.5}
    assert main([*words, "voxels.network", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["optim"]["generator"]["lr_multipliers"]["voxels.network"] == 1


def test_the_table_of_presets_has_the_side_of_photographs(capsys):
    assert main(["presets"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "400x4096" in rows["nerf-grid"]
    assert "as it is x4096" in rows["nerf-blender"]


def test_a_file_is_no_folder_of_a_run(tmp_path, experiment):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"--out .*file is a file"):
        train(replace(experiment, steps=1), tmp_path / "file")


def test_photographs_of_another_scene_are_cautioned_about(runs, tmp_path, capsys):
    for folder, other in (("a", False), ("b", True)):
        out = tmp_path / f"{folder}.json"
        assert main(["evaluate", str(runs / "run"), "--data", str(runs / folder), "--out", str(out)]) == 0
        assert ("was fitted to other photographs" in capsys.readouterr().out) == other
        notes = json.loads(out.read_text())["notes"]
        assert any("was fitted to other photographs" in note for note in notes) == other
        assert any("--size 40 scores them" in note for note in notes)  # they are reduced, which is said


@pytest.mark.parametrize(
    "words",
    [["--metrics", "frechet"], ["--count", "3"], ["--vgg16", "x"], ["--statistics", "x"]],
)
def test_options_for_generators_of_many_scenes_are_refused(runs, words, capsys):
    assert f"{words[0]}: of generators of many scenes" in refused(
        ["evaluate", str(runs / "run"), *words], capsys
    )


def test_an_output_that_cannot_be_written_is_refused_before_measuring(runs, tmp_path, capsys, monkeypatch):
    def nothing(*_, **__):
        raise AssertionError("measured")

    (tmp_path / "file").touch()
    monkeypatch.setattr("genscene.evaluation.held_out_views.render_held_out", nothing)
    line = refused(["evaluate", str(runs / "run"), "--out", str(tmp_path / "file" / "e.json")], capsys)
    assert "cannot make the folder" in line
    monkeypatch.setattr("pathlib.Path.touch", full)
    line = refused(["evaluate", str(runs / "run"), "--out", str(tmp_path / "e.json")], capsys)
    assert "No space left on device" in line


def full(*_, **__):
    """A full disk."""
    raise OSError(28, "No space left on device")


def test_files_that_hold_no_weights_are_named(runs, tmp_path, capsys):
    path = tmp_path / "weights.pth"
    Image.new("RGB", (9, 9)).save(path, "PNG")
    line = refused(["evaluate", str(runs / "run"), "--lpips", str(path), str(path)], capsys)
    assert f"{path} is damaged or no checkpoint of torch" in line
    assert f"{path} is damaged" in refused(
        ["convert", str(path), "--system", "nerf", "--out", "x.safetensors"], capsys
    )
