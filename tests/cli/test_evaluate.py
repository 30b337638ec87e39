"""genscene evaluate and compare: the numbers, the files beside them, and how bad input is refused."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import tiny
from genscene.cli import main
from genscene.data.sizes import one_size
from genscene.evaluation.statistics import Statistics
from genscene.experiment.schema import Stage
from genscene.experiment.serialise import build_seeded
from genscene.io.atomic import cache_folder
from genscene.io.generator_file import save_generator
from genscene.metrics.networks.extractor import Extractor
from genscene.systems import PRESETS
from genscene.training.run import Run, train

SMALL = ["--device", "cpu", "--batch", "16"]
QUICK = ["--metrics", "frechet,manifold", "--count", "12", *SMALL]


def painted(folder, count, seed, size=(16, 16)):
    """Pictures of soft colours as files; the colours of two seeds differ."""
    folder.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(seed)
    for i in range(count):
        small = Image.fromarray(draws.integers(seed * 20, 256, (4, 4, 3), np.uint8))
        small.resize(size[::-1], Image.Resampling.BICUBIC).save(folder / f"{i:04d}.png")
    return folder


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """Folders of pictures, two small generators and two small scenes."""
    root = tmp_path_factory.mktemp("there")
    for name, count, seed in (
        ("real", 210, 0),
        ("good", 120, 1),
        ("bad", 120, 6),
        ("few", 8, 2),
        ("one", 1, 3),
    ):
        painted(root / name, count, seed)
    painted(root / "mixed", 3, 4)
    painted(root / "mixed" / "more", 3, 5, (16, 24))
    painted(root / "large", 12, 4, (32, 32))
    (root / "empty").mkdir()
    (root / "text").mkdir()
    (root / "text" / "a.txt").write_text("no picture")
    (root / "garbage.pth").write_bytes(b"garbage" * 99)
    for seed in (0, 1):
        experiment = replace(tiny("pigan-carla", steps=1), seed=seed)
        save_generator(root / f"gan{seed}.safetensors", build_seeded(experiment).generator, experiment)
    train(tiny("pigan-carla", steps=1), Run(root / "cars", device="cpu", grid_every=0))
    scene = replace(
        PRESETS["nerf-grid-demo"], data="synthetic:cars", stages=(Stage(0, (16, 16), 64),), steps=2
    )
    for steps in (2, 40):
        small = replace(scene, system=scene.system.shrunk(), steps=steps)
        train(small, Run(root / f"scene{steps}", device="cpu", grid_every=0))
    return root


@pytest.fixture(autouse=True)
def beside(there, monkeypatch, tmp_path):
    """Names are short in what the tests ask, and nothing is left there."""
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


def opens(path):
    with Image.open(path) as image:
        image.load()
        return min(image.size) > 8


def test_a_folder_of_pictures_is_measured_and_told_of(tmp_path, capsys):
    out = tmp_path / "new" / "x.json"
    said = done(["evaluate", "good", "--data", "real", "--out", str(out), *SMALL], capsys)
    assert "good: 120 generated against 210 real pictures of 16x16" in said
    assert "biased upwards" in said
    found = json.loads(out.read_text())
    shares = {f"manifold_{share}" for share in ("precision", "recall", "density", "coverage")}
    names = {"frechet", "kernel_x100", "copies", "spectrum"} | shares
    assert set(found["metrics"]) == names
    assert all(np.isfinite(number["value"]) for number in found["metrics"].values())
    assert found["metrics"]["frechet"]["better"] == "low"
    assert found["protocol"]["size"] == [16, 16]
    assert found["protocol"]["fields"]["random"]["extractor"] == "random-convolutions-1"
    assert (found["real"]["source"], found["real"]["pictures"], found["generated"]["pictures"]) == (
        "real",
        210,
        120,
    )
    pictures = {"x.png", "x-precision.png", "x-spectrum.png"}
    assert {p.name for p in out.parent.iterdir()} == pictures | {"x.json"}
    assert all(opens(out.parent / name) for name in pictures)
    assert all(name in said for name in pictures)


def test_a_folder_is_as_good_as_itself(tmp_path, capsys):
    out = tmp_path / "x.json"
    done(["evaluate", "good", "--data", "good", "--out", str(out), *SMALL], capsys)
    numbers = {name: number["value"] for name, number in json.loads(out.read_text())["metrics"].items()}
    done(["evaluate", "bad", "--data", "good", "--out", str(out), *SMALL], capsys)
    others = {name: number["value"] for name, number in json.loads(out.read_text())["metrics"].items()}
    assert abs(numbers["frechet"]) < 1e-6 * others["frechet"]
    assert all(numbers[f"manifold_{share}"] == 1 for share in ("precision", "recall", "coverage"))
    assert numbers["copies"] == 1
    assert numbers["spectrum"] == 0
    assert others["copies"] < 0.1
    assert others["manifold_precision"] < 0.9


def test_statistics_that_were_written_give_the_same_numbers(tmp_path, capsys):
    kept, one, other = tmp_path / "kept", tmp_path / "one.json", tmp_path / "other.json"
    done(["evaluate", "good", "--data", "real", "--statistics", str(kept), "--out", str(one), *SMALL], capsys)
    assert {p.name for p in kept.iterdir()} == {"random.safetensors", "spectrum.safetensors"}
    done(["evaluate", "good", "--data", str(kept), "--out", str(other), *SMALL], capsys)
    first, second = (json.loads(p.read_text()) for p in (one, other))
    assert first == second
    assert not other.with_suffix(".png").exists(), "there are no real pictures to show"
    assert opens(tmp_path / "other-precision.png")


def test_what_was_measured_once_is_not_measured_again(capsys, monkeypatch, tmp_path):
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
    assert list(cache_folder().glob("statistics/*/tally.safetensors"))


def test_a_run_is_measured_against_what_it_was_trained_on(capsys):
    said = done(["evaluate", "cars", *QUICK], capsys)
    assert "cars: 12 generated against 8 real pictures of 16x16" in said
    said = done(["evaluate", "cars", "--metrics", "consistency,frechet", "--count", "4", *SMALL], capsys)
    assert "view consistency" in said
    assert "Frechet distance" in said


def test_few_pictures_have_numbers_but_no_curve(tmp_path, capsys):
    out = tmp_path / "x.json"
    words = ["--data", "real", "--metrics", "manifold", "--reals", "8", "--count", "8", *SMALL]
    done(["evaluate", "few", *words, "--out", str(out)], capsys)
    assert {p.name for p in tmp_path.iterdir()} == {"x.json", "x.png"}
    done(["compare", "few", "good", *words, "--out", str(out.with_suffix(".html"))], capsys)
    assert "10 neighbours" not in out.with_suffix(".html").read_text(encoding="utf-8")


def test_a_page_compares_generators(tmp_path, capsys):
    out = tmp_path / "page.html"
    words = ["--data", "real", "--metrics", "frechet,manifold,spectrum,copies", "--resamples", "39", *SMALL]
    said = done(["compare", "good", "bad", *words, "--out", str(out), "--title", "A < B"], capsys)
    page, found = out.read_text(encoding="utf-8"), json.loads((tmp_path / "page.json").read_text())
    assert "good" in page
    assert "bad" in page
    assert "A &lt; B" in page
    assert page.count("data:image/png;base64,") >= 5
    assert set(found["generators"]) == {"good", "bad"}
    assert found["reference"]["name"] == "real pictures, 105 against 105 others"
    good, bad = (found["generators"][name]["frechet"] for name in ("good", "bad"))
    assert good["value"] < bad["value"]
    assert bad["interval"][0] <= bad["value"] <= bad["interval"][1]
    assert (good["not_told_apart_from_best"], bad["not_told_apart_from_best"]) == (False, False)
    assert re.search(r"Frechet distance \(.*\)\s+\d+\.\d+\*", said)
    assert found["protocol"]["size"] == "16x16"


def test_generators_of_one_name_are_told_apart_by_their_places(capsys, tmp_path):
    out = tmp_path / "page.html"
    words = ["--data", "real", "--metrics", "spectrum", "--count", "120", *SMALL, "--out", str(out)]
    done(["compare", "gan0.safetensors", "gan1.safetensors", *words], capsys)
    assert {"gan0", "gan1"} == set(json.loads((tmp_path / "page.json").read_text())["generators"])
    painted(tmp_path / "good", 5, 1)
    said = done(["compare", "good", "good", str(tmp_path / "good"), *words], capsys)
    assert "Only the first 5 pictures of each" in said
    assert {"good", "good #2", str(tmp_path / "good")} == set(
        json.loads((tmp_path / "page.json").read_text())["generators"]
    )


def test_pictures_beside_a_generator_are_all_looked_at_whatever_it_was_trained_on(capsys, tmp_path):
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
    assert [settings[f"generator {i}: pictures"] for i in (1, 2)] == ["20", "20"]
    assert settings["generator 2: of"] == "120"


def test_scenes_are_compared_on_held_out_photographs(capsys, tmp_path):
    out = tmp_path / "page.html"
    said = done(["compare", "scene2", "scene40", "--out", str(out), "--resamples", "39"], capsys)
    assert "PSNR (dB, high)" in said
    found = json.loads((tmp_path / "page.json").read_text())["generators"]
    assert found["scene40"]["psnr"]["value"] > found["scene2"]["psnr"]["value"]
    assert set(found["scene2"]) == {"psnr", "ssim"}
    assert "photograph" in out.read_text(encoding="utf-8")


def test_one_size_is_that_of_the_pictures_as_they_are_decoded(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (24, 16)).save(tmp_path / "lying.jpg", exif=turned)
    Image.new("RGB", (16, 24)).save(tmp_path / "upright.jpg")
    (tmp_path / "broken.png").write_bytes(b"none")
    assert one_size(str(tmp_path)) == (24, 16)


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
        "inception wants weights",
    ),
    "other weights": (
        ["evaluate", "good", "--data", "real", "--metrics", "fid", "--inception", "garbage.pth"],
        "garbage.pth: SHA-256 begins",
    ),
    "weights nowhere": (
        ["evaluate", "good", "--data", "real", "--metrics", "fid", "--inception", "no.pth"],
        "no.pth",
    ),
    "one picture": (["evaluate", "one", "--data", "real"], "one: 1 generated pictures: wanted at least 2"),
    "one real picture": (["evaluate", "good", "--data", "one"], "1 real pictures: wanted at least 2"),
    "too few for a metric": (
        ["evaluate", "good", "--data", "few", "--metrics", "copies"],
        "at least 2 against 100",
    ),
    "mixed data": (["evaluate", "good", "--data", "mixed"], "mixed holds pictures of mixed sizes"),
    "mixed data of a generator": (["evaluate", "gan0.safetensors", "--data", "mixed"], "mixed sizes"),
    "mixed generated": (["evaluate", "mixed", "--data", "real"], "--size N makes them one size"),
    "two sizes": (["evaluate", "large", "--data", "real"], "large holds pictures of 32x32, real of 16x16"),
    "two sizes in a table": (["compare", "good", "large", "--data", "real"], "--size N makes them one size"),
    "ending": (["evaluate", "good", "--data", "real", "--out", "a.txt"], "ending with .json"),
    "ending of a page": (
        ["compare", "good", "bad", "--data", "real", "--out", "a.json"],
        "ending with .html",
    ),
    "one generator": (["compare", "good", "--data", "real"], "wanted at least 2"),
    "few resamples": (["compare", "good", "bad", "--data", "real", "--resamples", "5"], "wants at least 39"),
    "scene and generator": (["compare", "scene2", "gan0.safetensors"], "cannot stand in one table"),
    "identity": (["evaluate", "gan0.safetensors", "--metrics", "identity"], "--mobilefacenet FILE"),
    "identity of two": (
        ["compare", "gan0.safetensors", "cars", "--metrics", "identity"],
        "--mobilefacenet FILE",
    ),
    "pictures are asked": (
        ["evaluate", "good", "--data", "real", "--metrics", "consistency"],
        "good are pictures",
    ),
    "some are pictures": (
        ["compare", "gan0.safetensors", "few", "--metrics", "spectrum,consistency", "--count", "4", *SMALL],
        "few are pictures",
    ),
    "poses": (
        ["evaluate", "gan0.safetensors", "--data", "real", "--metrics", "steadiness", *SMALL],
        "poses are known",
    ),
    "no data": (["evaluate", "good"], "--data PATH names the real"),
    "no data of two": (["compare", "good", "bad"], "--data PATH names the real"),
    "empty": (["evaluate", "empty", "--data", "real"], "empty holds no pictures (0 other files)"),
    "empty data": (["evaluate", "good", "--data", "empty"], "empty holds no pictures"),
    "text": (["evaluate", "text", "--data", "real"], "text holds no pictures (1 other files)"),
    "nowhere": (["evaluate", "good", "--data", "nowhere"], "no such folder or zip: nowhere"),
    "no generator": (["evaluate", "nowhere", "--data", "real"], "no generator at nowhere"),
    "no statistics": (["evaluate", "good", "--data", "gan0.safetensors"], "holds no statistics of genscene"),
    "a run as data": (["evaluate", "good", "--data", "cars"], "--data cars is a run"),
    "count": (["evaluate", "good", "--data", "real", "--count", "1"], "--count 1: wanted a number from 2"),
    "size": (["evaluate", "good", "--data", "real", "--size", "wide"], "wide"),
    "spectra": (["evaluate", "good", "--data", "real", "--size", "16x20"], "spectra want square pictures"),
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


def test_statistics_of_another_protocol_are_refused_with_what_differs(tmp_path, capsys):
    kept = tmp_path / "kept"
    done(["evaluate", "good", "--data", "real", "--statistics", str(kept), *QUICK], capsys)
    before = torch.clone(Statistics.load(kept / "random.safetensors").tally.mean)
    assert main(["evaluate", "good", "--data", str(kept), "--size", "32", *QUICK]) == 2
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert "size (" in err
    assert "16x16" in err
    assert "here: 32x32" in err
    assert main(["evaluate", "good", "--data", str(kept), "--protocol", "cips", *QUICK]) == 2
    assert "format of reals" in capsys.readouterr()[1]
    assert main(["evaluate", "good", "--data", str(kept), *SMALL]) == 2
    assert "no spectrum.safetensors" in capsys.readouterr()[1]
    assert torch.equal(Statistics.load(kept / "random.safetensors").tally.mean, before)
