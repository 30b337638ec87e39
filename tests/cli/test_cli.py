"""The command line: output, error lines, exit codes, files."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import genscene
from genscene.cli import USAGE, main
from genscene.cli.shared.options import parse_seeds, parse_size
from genscene.errors import BadInput
from genscene.training.run import train

VERBS = [line.split()[0] for line in USAGE.splitlines() if line.startswith("  ")]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A small finished run."""
    from conftest import tiny

    folder = tmp_path_factory.mktemp("run") / "cars"
    train(replace(tiny("pigan-carla", steps=2)), folder)
    return folder


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    assert main([verb, "--help"]) == 0
    out, _ = capsys.readouterr()
    assert f"genscene {verb}" in out


@pytest.mark.parametrize(
    "words", [["export", "mesh"], ["export", "cameras"], ["data", "inspect"], ["data", "synthesize"]]
)
def test_every_subverb_has_help(words, capsys):
    assert main([*words, "--help"]) == 0
    assert "genscene" in capsys.readouterr()[0]


USUAL = ("--data", "--resume", "--precision", "--batch", "--init", "--steps", "--size", "--dry-run")
SECTIONS = {"system.generator.march": "samples", "optim.generator": "lr", "images": "fit", "stages.0": "lr"}


def test_help_of_a_preset_lists_the_usual_options_and_the_sections_of_all_others(capsys):
    assert main(["train", "pigan-cats", "--help"]) == 0
    out, _ = capsys.readouterr()
    assert out.startswith("usage: genscene train pigan-cats")
    assert all(f"{flag} " in out or f"{flag}," in out for flag in USUAL)
    assert not re.search(r"--[a-z-]+\.", out)
    assert all(f"  {section}" in out for section in SECTIONS)
    assert out.count("\n") < 85


@pytest.mark.parametrize("preset", ["pigan-demo", "nerf-llff", "nerf-grid-demo"])
def test_every_option_of_training_is_described_for_itself(preset, capsys):
    assert main(["train", preset, "--help-all"]) == 0
    text = re.sub("[│─]", " ", capsys.readouterr()[0])
    _, *entries = re.split(r"\n +--(?=[a-z])", re.sub(r", *\n +--", ", --", text))
    described = [
        " ".join(re.sub(r"\(default.*", "", each, flags=re.S).split("\n")[1:]).split() for each in entries
    ]
    for before, entry, words in zip([[], *described], entries, described, strict=False):
        assert words not in ([], before), entry


def test_help_without_a_preset_lists_the_presets(capsys):
    for word in ("--help", "--help-all"):
        assert main(["train", word]) == 0
        assert "presets: pigan-demo" in capsys.readouterr()[0]


def test_all_options_are_listed_whole_or_by_section(capsys):
    assert main(["train", "pigan-cats", "--help-all"]) == 0
    out, _ = capsys.readouterr()
    assert all(flag in out for flag in USUAL)
    for section, field in SECTIONS.items():
        assert f"--{section}.{field} " in out
        assert main(["train", "pigan-cats", "--help-all", section]) == 0
        one, _ = capsys.readouterr()
        assert f"--{section}.{field} " in one
        assert all(word.startswith(f"--{section}.") for word in re.findall(r"--[a-z][\w-]*\.[\w.-]+", one))
    assert main(["train", "pigan-cats", "--help-all", "optim"]) == 0
    assert "--optim.discriminator.lr" in capsys.readouterr()[0]
    assert main(["train", "pigan-cats", "--help-all", "optimm"]) == 2
    assert "no section 'optimm'; did you mean 'optim." in capsys.readouterr()[1]


def test_the_version_and_a_call_without_words(capsys):
    assert main(["--version"]) == 0
    assert genscene.__version__ in capsys.readouterr()[0]
    assert main([]) == 2


BAD = {
    "no such verb": (["rendre"], "did you mean 'render'"),
    "no such preset": (["train", "pigan-cat"], "did you mean 'pigan-cats'"),
    "no preset": (["train"], "which preset"),
    "misspelt option": (
        ["train", "pigan-cats", "--optim.generator.rl", "1"],
        "did you mean --optim.generator.lr",
    ),
    "no number": (["train", "pigan-cats", "--steps", "many"], "--steps"),
    "no data": (["train", "pigan-cats"], "wants --data PATH"),
    "missing folder": (["train", "pigan-cats", "--data", "nowhere"], "no such folder or zip: nowhere"),
    "odd size": (["train", "pigan-cats", "--size", "48", "--data", "x"], "powers of two"),
    "no batch": (["train", "pigan-cats", "--batch", "0", "--data", "x"], "batch 0: wanted 1 or more"),
    "no size": (["train", "pigan-cats", "--size", "0", "--data", "x"], "--size 0: wanted 1 or more"),
    "no such device": (["train", "pigan-cats", "--device", "tpu"], "--device"),
    "heads": (["train", "pigan-cats", "--system.pose-weight", "3"], "heads"),
    "no generator": (
        ["render", "nowhere.safetensors", "--out", "a.png"],
        "no generator at nowhere.safetensors",
    ),
    "no suffix": (["render", "x", "--out", "a.tiff"], "wanted a file ending with .png"),
    "out is needed": (["render", "x"], "--out"),
    "no mesh suffix": (["export", "mesh", "x", "--out", "a.stl"], ".glb, .obj, .ply"),
    "export what": (["export", "mash", "x"], "did you mean 'mesh'"),
    "convert to what": (["convert", "x", "--out", "a.pt"], ".safetensors"),
    "convert what": (["convert", "nowhere.pth", "--out", "a.safetensors"], "no checkpoint at nowhere.pth"),
    "inspect what": (["data", "inspect", "nowhere"], "no such folder"),
    "synthesize what": (["data", "synthesize", "trains", "--out", "new"], "no embedded set 'trains'"),
    "no metric": (["evaluate", "x", "--metrics", "frechett"], "did you mean 'frechet'"),
}


@pytest.mark.parametrize(("words", "expected"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_code_two(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    _, err = capsys.readouterr()
    assert err.startswith("genscene: ")
    assert err.count("\n") == 1
    assert expected in err
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_dry_run_prints_the_experiment_and_writes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        "train",
        "pigan-carla",
        "--dry-run",
        "--system.loss.gamma",
        "3",
        "--optim.generator.lr",
        "1e-3",
        "--batch",
        "8",
    ]
    assert main(words) == 0
    document = json.loads(capsys.readouterr()[0])
    assert document["system"]["loss"]["gamma"] == 3.0
    assert document["optim"]["generator"]["lr"] == 1e-3
    assert [stage["batch"] for stage in document["stages"]] == [8, 8, 8]
    assert not list(tmp_path.iterdir())


def test_presets_and_doctor(capsys):
    assert main(["presets"]) == 0
    assert "pigan-celeba-release" in capsys.readouterr()[0]
    assert main(["doctor"]) == 0
    out, _ = capsys.readouterr()
    assert "torch" in out
    assert "cache" in out


@pytest.mark.parametrize("show", ["image", "depth", "alpha", "normal"])
def test_a_sheet_of_pictures_of_every_quantity(run_folder, tmp_path, capsys, show):
    out = tmp_path / "sheet.png"
    words = [
        "render",
        str(run_folder),
        "--out",
        str(out),
        "--seeds",
        "0-1,5",
        "--size",
        "8x12",
        "--show",
        show,
    ]
    assert main(words) == 0
    with Image.open(out) as image:
        assert image.size == (5 * 12, 3 * 8)
    assert capsys.readouterr()[0].strip() == str(out)


def test_a_long_rendering_says_its_time_before_the_first_picture_is_done(
    run_folder, tmp_path, capsys, monkeypatch
):
    for name in ("ESTIMATE_AFTER", "LONG", "LINES_EVERY"):
        monkeypatch.setattr(f"genscene.cli.shared.progress.{name}", 0.0)
    words = ["--size", "8", "--frames", "2", "--memory", "0.00001"]
    for verb in (["render", "--seeds", "0"], ["interpolate", "--seeds", "0,1"]):
        out = tmp_path / f"{verb[0]}.gif"
        assert main([verb[0], str(run_folder), "--out", str(out), *verb[1:], *words]) == 0
        lines = capsys.readouterr().err.splitlines()
        assert lines[0].startswith("rendering 2 pictures of 8x8: takes about 0:0")
        assert "--samples" in lines[0]
        assert re.fullmatch(r"rendering 2 pictures of 8x8: \d %, 0:0.*left", lines[1])
        assert lines[-1].startswith("rendering 2 pictures of 8x8: 100 %, 0:00:00 left")


@pytest.mark.parametrize("path", ["orbit", "front", "steep", "elevation", "zoom", "dolly", "spiral"])
def test_videos_along_every_trajectory(run_folder, tmp_path, path):
    out = tmp_path / "video.gif"
    words = [
        "render",
        str(run_folder),
        "--out",
        str(out),
        "--path",
        path,
        "--frames",
        "3",
        "--size",
        "8",
        "--seeds",
        "0,1",
    ]
    assert main(words) == 0
    with Image.open(out) as video:
        assert video.size == (16, 8)


def test_a_seed_gives_the_same_picture_whatever_the_memory_and_the_other_seeds(run_folder, tmp_path):
    contents = []
    for i, extra in enumerate((["--seeds", "3"], ["--seeds", "3", "--memory", "0.0001"], ["--seeds", "1,3"])):
        out = tmp_path / f"{i}.png"
        assert main(["render", str(run_folder), "--out", str(out), "--size", "16", *extra]) == 0
        with Image.open(out) as image:
            contents.append(image.crop((0, image.height - 16, image.width, image.height)).tobytes())
    assert contents[0] == contents[2]
    assert max(abs(a - b) for a, b in zip(contents[0], contents[1], strict=True)) <= 1


def test_interpolating_exporting_and_rendering_along_a_camera_file(run_folder, tmp_path, capsys):
    generator = str(run_folder / "generator.safetensors")
    video, path, mesh = tmp_path / "a.mp4", tmp_path / "p.json", tmp_path / "m.ply"
    assert (
        main(
            ["interpolate", generator, "--seeds", "0,4", "--out", str(video), "--frames", "4", "--size", "8"]
        )
        == 0
    )
    assert video.stat().st_size > 0
    assert main(["export", "cameras", generator, "--out", str(path), "--frames", "3"]) == 0
    assert len(json.loads(path.read_text())["frames"]) == 3
    plot, still = tmp_path / "prior.png", tmp_path / "b.png"
    assert main(["export", "prior", generator, "--out", str(plot), "--count", "50"]) == 0
    assert main(["export", "prior", "pigan-celeba", "--out", str(plot), "--count", "50"]) == 0
    assert (
        main(
            [
                "render",
                generator,
                "--path",
                str(path),
                "--out",
                str(still),
                "--frames",
                "3",
                "--view-lock",
                "--psi",
                "0.5",
            ]
        )
        == 0
    )
    assert (
        main(["export", "mesh", generator, "--out", str(mesh), "--resolution", "12", "--level", "0.01"]) == 0
    )
    said = capsys.readouterr()[0]
    assert "faces" in said
    assert "it moves by" in said
    assert "fog, not a surface" in said  # it was hardly trained
    assert main(["export", "mesh", generator, "--out", str(tmp_path / "n.ply"), "--level", "1e9"]) == 2
    assert "wanted a density of this scene" in capsys.readouterr()[1]
    assert not (tmp_path / "n.ply").exists()


def test_training_and_resuming_from_the_command_line(tmp_path, capsys):
    out = tmp_path / "run"
    small = [
        "--size",
        "16",
        "--batch",
        "2",
        "--images.limit",
        "6",
        "--data",
        "synthetic:objects",
        "--grid-every",
        "0",
    ]
    small += ["--system.generator.field.width", "8", "--system.generator.field.depth", "2", "--device", "cpu"]
    small += ["--system.discriminator.channels", "4", "4", "4", "4", "--system.generator.march.samples", "4"]
    words = ["train", "pigan-carla", "--out", str(out), *small]
    assert main([*words, "--steps", "2"]) == 0
    assert main([*words, "--steps", "2"]) == 2
    assert "--resume" in capsys.readouterr()[1]
    assert main([*words, "--steps", "4", "--resume"]) == 0
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 4


def test_synthesized_images_can_be_inspected(tmp_path, capsys):
    out = tmp_path / "toys"
    assert main(["data", "synthesize", "objects", "--out", str(out), "--count", "3", "--size", "16"]) == 0
    assert main(["data", "inspect", str(out)]) == 0
    text, _ = capsys.readouterr()
    assert "cameras for 3 of 3 images" in text
    assert "transparent pixels in 3" in text
    assert main(["data", "synthesize", "objects", "--out", str(out)]) == 2


def test_seeds_and_sizes_are_parsed():
    assert parse_seeds("0-3,7, 9 - 10") == [0, 1, 2, 3, 7, 9, 10]
    assert parse_size("96x128") == (96, 128)
    assert parse_size("64") == (64, 64)
    for text in ("", "a", "3-1", "1--2", "1,", "-1", "0-9999999"):
        with pytest.raises(BadInput):
            parse_seeds(text)
    for text in ("", "0", "8x", "x8", "8x8x8", "99999", "-4"):
        with pytest.raises(BadInput):
            parse_size(text)


def test_help_does_not_import_torch_and_an_interrupt_exits_with_130():
    environment = os.environ | {"PYTHONPATH": str(Path(genscene.__file__).parents[1])}
    code = "import sys; from genscene.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True).returncode == 0
    code = "import sys, genscene.cli as c\ndef v(n): raise KeyboardInterrupt\n"
    code += "c.verb = v\nsys.exit(c.main(['train']))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr.count("\n") == 1
