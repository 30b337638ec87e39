"""genscene evaluate and compare: scores, the files they write, and how bad input is refused."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import tiny
from genscene.cli import main
from genscene.cli.shared.evaluation_options import unique_names
from genscene.cli.shared.evaluation_results import check_output
from genscene.data.images import common_size
from genscene.errors import BadInput
from genscene.evaluation.statistics import FeatureStatistics
from genscene.experiment.schema import Stage
from genscene.experiment.serialise import build_seeded
from genscene.io.atomic import cache_folder
from genscene.io.generator_file import GeneratorFile, write
from genscene.metrics.networks.extractor import Extractor
from genscene.systems import PRESETS
from genscene.training.run import Run, train

SMALL = ["--device", "cpu", "--batch", "16"]
QUICK = ["--metrics", "frechet,precision_recall", "--count", "12", *SMALL]


def color_images(folder, count, seed, size=(16, 16)):
    """Images of smooth colors as files; the colors of two seeds differ."""
    folder.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(seed)
    for i in range(count):
        small = Image.fromarray(draws.integers(seed * 20, 256, (4, 4, 3), np.uint8))
        small.resize(size[::-1], Image.Resampling.BICUBIC).save(folder / f"{i:04d}.png")
    return folder


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """Folders of images, two small generators and two small fitted scenes."""
    root = tmp_path_factory.mktemp("there")
    for name, count, seed in (
        ("real", 210, 0),
        ("good", 120, 1),
        ("bad", 120, 6),
        ("few", 8, 2),
        ("one", 1, 3),
    ):
        color_images(root / name, count, seed)
    color_images(root / "mixed", 3, 4)
    color_images(root / "mixed" / "more", 3, 5, (16, 24))
    color_images(root / "large", 12, 4, (32, 32))
    (root / "empty").mkdir()
    (root / "text").mkdir()
    (root / "text" / "a.txt").write_text("no image")
    (root / "garbage.pth").write_bytes(b"garbage" * 99)
    for seed in (0, 1):
        experiment = replace(tiny("pigan-carla", steps=1), seed=seed)
        content = GeneratorFile(build_seeded(experiment).generator, experiment)
        write(root / f"gan{seed}.safetensors", content)
    train(tiny("pigan-carla", steps=1), Run(root / "cars", device="cpu", grid_every=0))
    scene = replace(
        PRESETS["nerf-grid-demo"], data="synthetic:cars", stages=(Stage(0, (16, 16), 64),), steps=2
    )
    for steps in (2, 40):
        small = replace(scene, system=scene.system.shrunk(), steps=steps)
        train(small, Run(root / f"scene{steps}", device="cpu", grid_every=0))
    return root


@pytest.fixture(autouse=True)
def working_folder(there, monkeypatch, tmp_path):
    """Paths are relative to the folder of the data, and nothing is written there."""
    monkeypatch.chdir(there)
    monkeypatch.setenv("COLUMNS", "200")
    before = sorted(there.rglob("*"))
    yield
    assert sorted(there.rglob("*")) == before


def done(words, capsys):
    code = main(words)
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def values(path, name):
    return {key: score["value"] for key, score in json.loads(path.read_text())["generators"][name].items()}


def test_a_folder_of_images_is_evaluated(tmp_path, capsys):
    out = tmp_path / "new" / "x.json"
    said = done(["evaluate", "good", "--data", "real", "--out", str(out), *SMALL], capsys)
    assert "120 generated images against 210 real ones (real), 16x16 pixels" in said
    assert "biased upwards" in said
    found = json.loads(out.read_text())
    scores, protocol = found["generators"]["good"], found["protocol"]
    shares = {"precision", "recall", "density", "coverage"}
    assert set(scores) == {"frechet", "kernel_x100", "memorization", "spectrum"} | shares
    assert all(np.isfinite(score["value"]) for score in scores.values())
    assert scores["frechet"]["better"] == "low"
    assert scores["frechet"]["extractor"] == "random-convolutions-1"
    assert protocol["size"] == "16x16"
    assert protocol["extractor (random)"] == "random-convolutions-1"
    assert [protocol[f"real: {name}"] for name in ("source", "images")] == ["real", 210]
    assert protocol["generator 1: images"] == 120
    assert {p.name for p in out.parent.iterdir()} == {"x.json", "x.html"}
    page = (out.parent / "x.html").read_text(encoding="utf-8")
    assert (page.count("<img"), page.count("<polyline")) == (3 * 8, 1 + 2)
    assert all(title in page for title in ("nearest real images", "mean power spectrum"))
    assert "x.html" in said


def test_a_folder_compared_with_itself(tmp_path, capsys):
    out = tmp_path / "x.json"
    done(["evaluate", "good", "--data", "good", "--out", str(out), *SMALL], capsys)
    numbers = values(out, "good")
    done(["evaluate", "bad", "--data", "good", "--out", str(out), *SMALL], capsys)
    others = values(out, "bad")
    assert abs(numbers["frechet"]) < 1e-6 * others["frechet"]
    assert all(numbers[share] == 1 for share in ("precision", "recall", "coverage"))
    assert numbers["memorization"] == 1
    assert numbers["spectrum"] == 0
    assert others["memorization"] < 0.1
    assert others["precision"] < 0.9


def test_written_statistics_give_the_same_scores(tmp_path, capsys):
    kept, one, other = tmp_path / "kept", tmp_path / "one.json", tmp_path / "other.json"
    done(["evaluate", "good", "--data", "real", "--statistics", str(kept), "--out", str(one), *SMALL], capsys)
    assert {p.name for p in kept.iterdir()} == {"random.safetensors", "spectrum.safetensors"}
    done(["evaluate", "good", "--data", str(kept), "--out", str(other), *SMALL], capsys)
    first, second = (json.loads(p.read_text()) for p in (one, other))
    assert first == second
    page = other.with_suffix(".html").read_text(encoding="utf-8")
    assert page.count("<img") == 8, "generated images without the real ones"
    assert page.count("<polyline") == 1 + 2


def test_features_are_extracted_once(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GENSCENE_CACHE", str(tmp_path))
    words = ["evaluate", "gan0.safetensors", "--data", "real", *QUICK]
    first, calls = done(words, capsys), []
    look = Extractor.__call__
    monkeypatch.setattr(
        Extractor, "__call__", lambda self, images: calls.append(len(images)) or look(self, images)
    )
    assert done(words, capsys) == first
    assert not calls
    assert done([*words, "--no-cache"], capsys) == first
    assert sum(calls) == 210 + 12, "the limit of its run is not that of other data"
    calls.clear()
    assert done([*words, "--seed", "3"], capsys) != first
    assert calls == [12]
    assert list(cache_folder().glob("statistics/*/moments.safetensors"))


def test_a_run_is_compared_with_its_training_data(capsys):
    said = done(["evaluate", "cars", *QUICK], capsys)
    assert "12 generated images against 8 real ones (synthetic:cars), 16x16 pixels" in said
    said = done(["evaluate", "cars", "--metrics", "view_consistency,frechet", "--count", "4", *SMALL], capsys)
    assert "view consistency" in said
    assert "Frechet distance" in said


def test_few_images_have_scores_but_no_curve(tmp_path, capsys):
    out = tmp_path / "x.json"
    words = ["--data", "real", "--metrics", "precision_recall", "--reals", "8", "--count", "8", *SMALL]
    done(["evaluate", "few", *words, "--out", str(out)], capsys)
    assert "10 neighbors" not in out.with_suffix(".html").read_text(encoding="utf-8")
    done(["compare", "few", "good", *words, "--out", str(out)], capsys)
    assert "10 neighbors" not in out.with_suffix(".html").read_text(encoding="utf-8")


def test_a_page_compares_generators(tmp_path, capsys):
    out = tmp_path / "page.html"
    words = [
        "--data",
        "real",
        "--metrics",
        "frechet,precision_recall,spectrum,memorization",
        "--resamples",
        "39",
        *SMALL,
    ]
    said = done(["compare", "good", "bad", *words, "--out", str(out), "--title", "A < B"], capsys)
    page, found = out.read_text(encoding="utf-8"), json.loads((tmp_path / "page.json").read_text())
    assert "good" in page
    assert "bad" in page
    assert "A &lt; B" in page
    assert page.count("data:image/png;base64,") >= 5
    assert page.count("<polyline") == 2 + 3
    assert set(found["generators"]) == {"good", "bad"}
    assert found["reference"]["name"] == "real images, 105 against 105 others"
    good, bad = (found["generators"][name]["frechet"] for name in ("good", "bad"))
    assert good["value"] < bad["value"]
    assert bad["interval"]["low"] <= bad["value"] <= bad["interval"]["high"]
    assert (good["not_distinguishable_from_best"], bad["not_distinguishable_from_best"]) == (False, False)
    assert re.search(r"Frechet distance \(.*\)\s+\d+\.\d+\*", said)
    assert found["protocol"]["size"] == "16x16"


def test_generators_of_one_name_are_called_by_their_paths(capsys, tmp_path):
    out = tmp_path / "page.html"
    words = ["--data", "real", "--metrics", "spectrum", "--count", "120", *SMALL, "--out", str(out)]
    done(["compare", "gan0.safetensors", "gan1.safetensors", *words], capsys)
    assert {"gan0", "gan1"} == set(json.loads((tmp_path / "page.json").read_text())["generators"])
    color_images(tmp_path / "good", 5, 1)
    said = done(["compare", "good", "good", str(tmp_path / "good"), *words], capsys)
    assert "Only the first 5 images of each" in said
    assert {"good", "good #2", str(tmp_path / "good")} == set(
        json.loads((tmp_path / "page.json").read_text())["generators"]
    )


def test_names_are_folders_of_runs_or_files():
    paths = ["runs/cars/generator.safetensors", "runs/birds", "a/cats.zip", "a/x.safetensors"]
    assert unique_names([Path(path) for path in paths]) == ["cars", "birds", "cats", "x"]
    twice = ["runs/cars", "a/cars.zip", "a/cars.zip"]
    assert unique_names([Path(path) for path in twice]) == ["runs/cars", "a/cars.zip", "a/cars.zip #2"]


def test_the_limit_of_a_generators_data_is_not_that_of_other_images(capsys, tmp_path):
    words = [
        "--data",
        "real",
        "--metrics",
        "spectrum",
        "--count",
        "20",
        *SMALL,
        "--out",
        str(tmp_path / "p.html"),
    ]
    done(["compare", "gan0.safetensors", "good", *words], capsys)
    settings = json.loads((tmp_path / "p.json").read_text())["protocol"]
    assert [settings[f"generator {i}: images"] for i in (1, 2)] == [20, 20]
    assert settings["generator 2: available"] == 120


def test_scenes_are_compared_on_held_out_views(capsys, tmp_path):
    out = tmp_path / "page.html"
    said = done(["compare", "scene2", "scene40", "--out", str(out), "--resamples", "39"], capsys)
    assert "PSNR (dB, high)" in said
    found = json.loads((tmp_path / "page.json").read_text())["generators"]
    assert found["scene40"]["psnr"]["value"] > found["scene2"]["psnr"]["value"]
    assert set(found["scene2"]) == {"psnr", "ssim"}
    assert "photograph" in out.read_text(encoding="utf-8")


def test_common_size_is_that_of_decoded_images(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (24, 16)).save(tmp_path / "lying.jpg", exif=turned)
    Image.new("RGB", (16, 24)).save(tmp_path / "upright.jpg")
    (tmp_path / "broken.png").write_bytes(b"none")
    assert common_size(str(tmp_path)) == (24, 16)


BAD = {
    "unknown protocol": (
        ["evaluate", "good", "--data", "real", "--protocol", "pigam"],
        "did you mean 'pigan'",
    ),
    "unknown metric": (
        ["evaluate", "good", "--data", "real", "--metrics", "frechett"],
        "did you mean 'frechet'",
    ),
    "no extractor": (["evaluate", "good", "--data", "real", "--extractor", "rndom"], "did you mean 'random'"),
    "fid without weights": (
        ["evaluate", "good", "--data", "real", "--metrics", "fid"],
        "inception needs weights: --inception a file",
    ),
    "other weights": (
        ["evaluate", "good", "--data", "real", "--metrics", "fid", "--inception", "garbage.pth"],
        "garbage.pth: SHA-256 begins",
    ),
    "weights nowhere": (
        ["evaluate", "good", "--data", "real", "--metrics", "fid", "--inception", "no.pth"],
        "no.pth",
    ),
    "one image": (
        ["evaluate", "one", "--data", "real"],
        "one: 1 generated images of one: wanted at least 2",
    ),
    "one real image": (["evaluate", "good", "--data", "one"], "1 real images: wanted at least 2"),
    "too few for a metric": (
        ["evaluate", "good", "--data", "few", "--metrics", "memorization"],
        "at least 2 against 100",
    ),
    "mixed data": (["evaluate", "good", "--data", "mixed"], "mixed holds images of mixed sizes"),
    "mixed data of a generator": (["evaluate", "gan0.safetensors", "--data", "mixed"], "mixed sizes"),
    "mixed generated": (["evaluate", "mixed", "--data", "real"], "--size N resizes them to one"),
    "two sizes": (["evaluate", "large", "--data", "real"], "large holds images of 32x32, real of 16x16"),
    "two sizes in a table": (["compare", "good", "large", "--data", "real"], "--size N resizes them to one"),
    "ending": (["evaluate", "good", "--data", "real", "--out", "a.txt"], "ending with .html, .json"),
    "ending of a page": (
        ["compare", "good", "bad", "--data", "real", "--out", "a"],
        "ending with .html, .json",
    ),
    "one generator": (["compare", "good", "--data", "real"], "wanted at least 2"),
    "few resamples": (["compare", "good", "bad", "--data", "real", "--resamples", "5"], "needs at least 39"),
    "scene and generator": (["compare", "scene2", "gan0.safetensors"], "cannot be compared"),
    "identity": (["evaluate", "gan0.safetensors", "--metrics", "identity"], "--mobilefacenet a file"),
    "identity of two": (
        ["compare", "gan0.safetensors", "cars", "--metrics", "identity"],
        "--mobilefacenet a file",
    ),
    "a metric of the generator of images": (
        ["evaluate", "good", "--data", "real", "--metrics", "view_consistency"],
        "good are images",
    ),
    "some are images": (
        [
            "compare",
            "gan0.safetensors",
            "few",
            "--metrics",
            "spectrum,view_consistency",
            "--count",
            "4",
            *SMALL,
        ],
        "few are images",
    ),
    "poses": (
        ["evaluate", "gan0.safetensors", "--data", "real", "--metrics", "pose_accuracy", *SMALL],
        "poses are known",
    ),
    "no data": (["evaluate", "good"], "--data PATH names the real"),
    "no data of two": (["compare", "good", "bad"], "--data PATH names the real"),
    "empty": (["evaluate", "empty", "--data", "real"], "empty holds no images (0 other files)"),
    "empty data": (["evaluate", "good", "--data", "empty"], "empty holds no images"),
    "text": (["evaluate", "text", "--data", "real"], "text holds no images (1 other files)"),
    "nowhere": (["evaluate", "good", "--data", "nowhere"], "no such folder or zip: nowhere"),
    "no generator": (["evaluate", "nowhere", "--data", "real"], "no generator at nowhere"),
    "no statistics": (["evaluate", "good", "--data", "gan0.safetensors"], "wanted genscene statistics"),
    "a run as data": (["evaluate", "good", "--data", "cars"], "--data cars is a run"),
    "count": (["evaluate", "good", "--data", "real", "--count", "1"], "--count 1: wanted 2 or more"),
    "a split of a generator of scenes": (
        ["evaluate", "gan0.safetensors", "--split", "test"],
        "gan0.safetensors: --split compares with photographs",
    ),
    "size": (["evaluate", "good", "--data", "real", "--size", "wide"], "wide"),
    "spectra": (["evaluate", "good", "--data", "real", "--size", "16x20"], "spectra need square images"),
    "too small": (["evaluate", "good", "--data", "real", "--size", "8"], "sides of at least 16"),
}


@pytest.mark.parametrize(("words", "expected"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_nothing_is_written(words, expected, capsys, tmp_path):
    if "--out" not in words:
        words = [*words, "--out", str(tmp_path / f"x.{'html' if words[0] == 'compare' else 'json'}")]
    if words[0] == "evaluate":
        words = [*words, "--statistics", str(tmp_path / "kept")]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert err.startswith("genscene: ")
    assert err.count("\n") == 1, err
    assert expected in err
    assert not out
    assert not list(tmp_path.iterdir())


def test_statistics_of_another_protocol_are_refused_by_field(tmp_path, capsys):
    kept = tmp_path / "kept"
    done(["evaluate", "good", "--data", "real", "--statistics", str(kept), *QUICK], capsys)
    before = torch.clone(FeatureStatistics.load(kept / "random.safetensors").running.mean)
    assert main(["evaluate", "good", "--data", str(kept), "--size", "32", *QUICK]) == 2
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert "size (" in err
    assert "16x16" in err
    assert "here: 32x32" in err
    assert main(["evaluate", "good", "--data", str(kept), "--protocol", "cips", *QUICK]) == 2
    assert "real_format" in capsys.readouterr()[1]
    assert main(["evaluate", "good", "--data", str(kept), *SMALL]) == 2
    assert "no spectrum.safetensors" in capsys.readouterr()[1]
    assert torch.equal(FeatureStatistics.load(kept / "random.safetensors").running.mean, before)


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="this system has no /proc")
def test_a_place_that_cannot_be_written_to_is_told_by_the_option():
    with pytest.raises(BadInput, match=r"--out /proc/x\.json: No such file.*; wanted a place"):
        check_output(Path("/proc/x.json"))
