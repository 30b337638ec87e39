"""genscene analyse: the files, and the laws of their numbers; what cannot be analysed."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from conftest import tiny
from genscene.cli import main
from genscene.evaluation.image_sources import GeneratedImages
from genscene.evaluation.protocol import Preparation
from genscene.experiment.serialise import build_seeded
from genscene.export.pictures import save_png
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile
from genscene.layers.mapping import update_w_avg

PICTURES = {"mean_style.png", "profiles.png", "spectra.png"}
FEATURES = {"feature_components.png", "feature_profiles.png", "feature_spectra.png", "zeroed_features.png"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of small generators with new weights: CIPS, without embeddings, of unknown data; pi-GAN, NeRF."""
    folder = tmp_path_factory.mktemp("files")
    experiments = {
        name: tiny(name) for name in ("cips-ffhq-256", "cips-ffhq-256-ne", "pigan-demo", "nerf-llff")
    }
    experiments["converted"] = replace(experiments["cips-ffhq-256"], data="")
    experiments["moved"] = replace(experiments["cips-ffhq-256"], data="moved/away")
    for name, experiment in experiments.items():
        torch.manual_seed(0)
        generator = build_seeded(experiment).generator.eval()
        update_w_avg(generator)
        generator_file.write(folder / f"{name}.safetensors", GeneratorFile(generator, experiment))
    return folder


def analyse(files, name, out, *words):
    """Run the verb on a small number of pictures -> the exit code."""
    return main(["analyse", str(files / f"{name}.safetensors"), "--out", str(out), "--count", "6", *words])


def test_everything_is_written_of_cips_and_beside_it_of_another(files, tmp_path, capsys):
    out, other = tmp_path / "out", str(files / "cips-ffhq-256-ne.safetensors")
    assert analyse(files, "cips-ffhq-256", out, "--against", other, "--seeds", "0-2") == 0
    printed = capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == PICTURES | FEATURES | {"numbers.json"}
    assert all(str(path) in printed for path in out.iterdir())
    numbers = json.loads((out / "numbers.json").read_text())
    assert (numbers["size"], numbers["real"]["pictures"]) == (16, 6)
    assert list(numbers["generators"]) == ["cips-ffhq-256", "cips-ffhq-256-ne"]
    for name, each in numbers["generators"].items():
        pairs = zip(each["profile_db"], numbers["real"]["profile_db"], strict=True)
        gap = sum(abs(a - b) for a, b in list(pairs)[1:]) / 8
        assert each["spectral_gap_db"] == pytest.approx(gap)
        assert f"{name}: spectral gap {gap:.2f} dB" in printed
    assert list(numbers["features"]) == ["Fourier features", "embeddings"]
    assert all(sum(each["variance_shares"]) <= 1 for each in numbers["features"].values())
    for path in out.glob("*.png"):
        with Image.open(path) as image:
            assert min(image.size) > 256
    assert analyse(files, "cips-ffhq-256", tmp_path / "again", "--against", other, "--seeds", "0-2") == 0
    for path in out.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


@pytest.mark.parametrize("name", ["pigan-demo", "cips-ffhq-256-ne"])
def test_what_a_generator_does_not_have_is_left_out_in_one_line(name, files, tmp_path, capsys):
    assert analyse(files, name, tmp_path / "out", "--data", "synthetic:cars", "--samples", "2") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == PICTURES | {"numbers.json"}
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith("left out: the pictures of input features")
    assert f"{name}.safetensors has not two kinds of them" in line


def test_a_generator_is_not_far_from_its_own_pictures(files, tmp_path):
    generator = generator_file.load(files / "cips-ffhq-256.safetensors")
    own = GeneratedImages(generator, Preparation(6), (16, 16)).read(range(6))
    for i, image in enumerate(own):
        save_png(tmp_path / "own" / f"{i}.png", image / 255)
    assert analyse(files, "cips-ffhq-256", tmp_path / "out", "--data", str(tmp_path / "own")) == 0
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert numbers["generators"]["cips-ffhq-256"]["spectral_gap_db"] == 0
    assert (
        analyse(files, "cips-ffhq-256", tmp_path / "half", "--data", str(tmp_path / "own"), "--psi", "0.5")
        == 0
    )
    numbers = json.loads((tmp_path / "half" / "numbers.json").read_text())
    assert numbers["generators"]["cips-ffhq-256"]["spectral_gap_db"] > 0.1
    assert (
        analyse(files, "cips-ffhq-256", tmp_path / "big", "--data", str(tmp_path / "own"), "--size", "24")
        == 0
    )
    assert json.loads((tmp_path / "big" / "numbers.json").read_text())["real"]["enlarged"] == 6


def test_a_generator_may_be_called_real(files, tmp_path):
    (tmp_path / "real.safetensors").write_bytes((files / "cips-ffhq-256.safetensors").read_bytes())
    assert analyse(tmp_path, "real", tmp_path / "out", "--seeds", "0") == 0
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert list(numbers["generators"]) == ["real (generated)"]
    assert numbers["generators"]["real (generated)"]["spectral_gap_db"] > 0


def test_the_gap_is_that_of_evaluate(files, tmp_path):
    assert analyse(files, "cips-ffhq-256", tmp_path / "out") == 0
    words = ["--metrics", "spectrum", "--count", "6", "--reals", "6", "--out", str(tmp_path / "scores.json")]
    assert main(["evaluate", str(files / "cips-ffhq-256.safetensors"), *words]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())["generators"]["cips-ffhq-256"]
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())["generators"]["cips-ffhq-256"]
    assert numbers["spectral_gap_db"] == pytest.approx(scores["spectrum"]["value"], abs=1e-4)


REFUSED = {
    "not square": (
        "cips-ffhq-256 --size 16x12",
        "pictures of 16x12, spectra want square ones of 2x2 or more (--size)",
    ),
    "one pixel": ("cips-ffhq-256 --size 1", "pictures of 1x1, spectra want square ones"),
    "no data": ("converted", "training data is unknown; --data PATH names the real images"),
    "moved data": ("moved", "no such folder or zip: moved/away; --data PATH names other real pictures"),
    "wrong data": ("cips-ffhq-256 --data nowhere", "genscene: no such folder or zip: nowhere"),
    "unknown set": ("cips-ffhq-256 --data synthetic:cups", "cups"),
    "statistics": (
        "cips-ffhq-256 --data x.safetensors",
        "x.safetensors holds statistics or weights: --data wants",
    ),
    "one scene": ("nerf-llff", "holds a single scene: wanted a generator of many scenes"),
    "images": ("cips-ffhq-256 --against pictures", "pictures are images: wanted a generator of many scenes"),
    "no generator": ("cips-ffhq-256 --against nothing", "no generator at nothing"),
    "depth": ("pigan-demo --show depth", "--show depth: wanted image"),
    "window": ("cips-ffhq-256 --window 0,0,2,2", "--window, --outside: wanted neither"),
    "beyond": ("cips-ffhq-256 --outside zeros", "--window, --outside: wanted neither"),
    "count": ("cips-ffhq-256 --count 1", "--count 1: wanted 2 or more"),
    "seeds": ("cips-ffhq-256 --seeds 3-1", "--seeds '3-1': 3-1 is no range"),
}


@pytest.mark.parametrize(("words", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_analysed_is_refused_in_one_line(words, message, files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_png(tmp_path / "pictures" / "0.png", torch.zeros(3, 16, 16))
    name, *rest = words.split()
    words = ["analyse", str(files / f"{name}.safetensors"), "--out", "out", "--device", "cpu", *rest]
    assert main(words) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1, line
    assert message in line
    assert not (tmp_path / "out").exists()


def test_a_place_that_is_taken_is_refused(files, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").touch()
    for name in ("file", "folder"):
        assert analyse(files, "cips-ffhq-256", tmp_path / name) == 2
        assert "exists already and is not an empty folder" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"
