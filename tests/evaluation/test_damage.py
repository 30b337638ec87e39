"""Damage that would silently change scores: nan in images, changed files, other counts, broken statistics."""

import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from conftest import tiny
from genscene.cli import main
from genscene.cli.shared.evaluation_options import EvaluationOptions
from genscene.cli.shared.evaluation_results import to_json
from genscene.data.images import list_images, load_images
from genscene.errors import BadInput
from genscene.evaluation.extract_features import extract_features
from genscene.evaluation.generator_metrics.two_views import view_consistency
from genscene.evaluation.image_sources import GeneratedImages, StoredImages
from genscene.evaluation.protocol import PROTOCOLS, Preparation, Protocol, select_protocol
from genscene.evaluation.report import Report, Row, Score
from genscene.evaluation.session import EvaluatedModel, EvaluationSession
from genscene.experiment.schema import ImageConfig
from genscene.experiment.serialise import build_seeded
from genscene.metrics.frechet import Moments, frechet_distance
from genscene.metrics.networks.extractor import Extractor

SIZE = (16, 16)
QUICK = ["--metrics", "frechet", "--device", "cpu", "--batch", "16"]


def noise_images(folder, count, seed=0, side=16):
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{i:04d}.bmp")
    return folder


def generator_of_nan(seed=0):
    """A generator whose last image holds a nan."""
    made = build_seeded(replace(tiny("pigan-carla"), seed=seed)).generator.eval()
    render = made.render

    def render_nan(*arguments):
        found = render(*arguments)
        image = found.image.clone()
        image[-1, 0, 3, 4] = torch.nan
        return replace(found, image=image)

    made.render = render_nan
    return made


def session(psi=1.0, **changed):
    return EvaluationSession(Protocol("a test", (), psi=psi), SIZE, ImageConfig(), {}, **changed)


def refused(words, capsys):
    assert main(list(map(str, words))) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert not out
    return err


@pytest.fixture
def there(tmp_path, monkeypatch):
    """Two folders of images and statistics of one, in the working directory."""
    monkeypatch.chdir(tmp_path)
    noise_images(tmp_path / "fake", 20, 1)
    noise_images(tmp_path / "real", 30, 2)
    assert main(["evaluate", "fake", "--data", "real", "--statistics", "stats", *QUICK]) == 0
    return tmp_path


def test_a_generator_that_renders_nan_is_refused():
    made = generator_of_nan()
    with pytest.raises(BadInput, match="not finite"):
        GeneratedImages(made, Preparation(4), SIZE).read(range(4))
    with pytest.raises(BadInput, match="not finite"):
        view_consistency(session(), EvaluatedModel("a", Path("a"), made), 2)
    with pytest.raises(BadInput, match="not finite"):
        frechet_distance(Moments.of(torch.full((9, 2), torch.nan)), Moments.of(torch.ones(9, 2)))
    extractor = Extractor(
        "nothing", "none", "last", 2, "not resized", lambda images: torch.full((len(images), 2), torch.inf)
    )
    with pytest.raises(BadInput, match="nothing: features that are not finite"):
        extractor(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_scores_that_are_not_finite_are_refused(value):
    with pytest.raises(BadInput, match=r"a distance is (nan|inf): wanted finite"):
        Score("a", "a distance", value, "low")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("psi", "nan"),
        ("psi", "inf"),
        ("psi", "-1"),
        ("psi", "1.5"),
        ("seed", str(2**63)),
        ("seed", str(-(2**63) - 1)),
        ("count", "1"),
        ("reals", "-1"),
        ("batch", "0"),
        ("extractor", "spectrum"),
    ],
)
def test_options_out_of_range_are_named(option, value, capsys):
    said = refused(["evaluate", "nowhere", f"--{option}", value], capsys)
    assert said.startswith(f"genscene: --{option}")
    assert value in said
    assert sum(f"--{name}" in said for name in ("psi", "seed", "count", "reals", "batch")) <= 1


def test_names_of_metrics_are_unique_and_stripped():
    assert EvaluationOptions(metrics="frechet, kernel,frechet ").metric_names == ["frechet", "kernel"]


@pytest.mark.parametrize("zipped", [False, True])
def test_changed_content_is_detected_whatever_the_time_of_the_file(tmp_path, zipped):
    folder = noise_images(tmp_path / "some", 3)
    place = tmp_path / "some.zip" if zipped else folder

    def load():
        if zipped:
            with zipfile.ZipFile(place, "w") as archive:
                for file in sorted(folder.iterdir()):
                    archive.writestr(zipfile.ZipInfo(file.name), file.read_bytes())
            os.utime(place, ns=(1, 1))
        images = load_images(str(place), ImageConfig(), SIZE, quiet=True)
        return np.array(images.pixels), StoredImages(images, Preparation(), "").provenance["content"]

    file = folder / "0001.bmp"
    before, known = load()
    assert load()[1] == known
    status = file.stat()
    Image.fromarray(255 - before[1]).save(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    after, now = load()
    assert np.array_equal(after[1], 255 - before[1])
    assert now != known


def test_counts_that_are_not_the_protocols_are_noted(there, capsys):
    words = ["evaluate", "fake", "--data", "real", "--protocol", "giraffe", "--out", "x.json", *QUICK]
    assert main(words) == 0
    line = "specifies 20000 generated images, used were 20; 20000 real images, used were 30"
    assert line in " ".join(capsys.readouterr().out.split())
    found = json.loads((there / "x.json").read_text())
    assert any(line in note for note in found["notes"])
    counts = [found["protocol"][name] for name in ("generator 1: images", "generated_images")]
    assert counts == [20, 20_000]
    assert [found["protocol"][name] for name in ("real: images", "real_images")] == [30, 20_000]
    chosen = select_protocol("giraffe", real=30, generated=20)
    assert chosen.count_notes(20, 30, 30), "asked for or not"
    assert not PROTOCOLS["giraffe"].count_notes(20_000, 20_000, 90_000)
    assert not PROTOCOLS["stylegan"].count_notes(50_000, 7, 7), "all there are"
    assert "specifies all 8 real images, used were 7:" in PROTOCOLS["stylegan"].count_notes(50_000, 7, 8)[0]


def test_statistics_of_other_counts_are_refused(there, capsys):
    words = ["evaluate", "fake", "--data", "stats", *QUICK]
    assert main(words) == 0
    assert main([*words, "--reals", "30"]) == 0
    assert main([*words, "--reals", "90"]) == 0, "there were no more"
    capsys.readouterr()
    said = refused([*words, "--reals", "10"], capsys)
    assert "--reals (stats/random.safetensors: 30, here: 10)" in said
    part = ["evaluate", "fake", "--data", "real", "--reals", "10", "--statistics", "part", *QUICK]
    assert main(part) == 0
    capsys.readouterr()
    assert "--reals (part/random.safetensors: 10, here: 30)" in refused([*words, "--data", "part"], capsys)
    assert main([*words, "--data", "part", "--reals", "10"]) == 0


def rewritten(path, header=None, **tensors):
    """The same statistics with something else in them."""
    with safe_open(path, framework="pt") as file:
        old = json.loads(file.metadata()["about"])
    save_file(load_file(path) | tensors, path, metadata={"about": json.dumps(old | (header or {}))})


DAMAGED = {
    "nan mean": ({"mean": torch.full((368,), torch.nan).double()}, "mean holds values that are not finite"),
    "inf scatter": ({"scatter": torch.full((368, 368), torch.inf).double()}, "scatter holds values"),
    "nan features": ({"features": torch.full((30, 368), torch.nan)}, "features holds values"),
    "narrow": ({"mean": torch.zeros(9).double()}, "is torch.float32 [30, 368], wanted torch.float32 [30, 9]"),
    "narrow features": ({"features": torch.zeros(30, 9)}, "features is torch.float32 [30, 9]"),
    "deep features": ({"features": torch.zeros(30, 368, 1)}, "features is"),
    "no features": ({"features": torch.zeros(0, 368)}, "but 0 features"),
    "one feature alone": ({"features": torch.tensor(1.0)}, "features is"),
    "halves": ({"mean": torch.zeros(368).half()}, "mean is torch.float16"),
    "whole numbers": ({"features": torch.zeros(30, 368, dtype=torch.int32)}, "features is torch.int32"),
    "all narrow": (
        {"mean": torch.zeros(4).double(), "scatter": torch.eye(4).double(), "features": torch.zeros(30, 4)},
        "width (stats/random.safetensors: 4, here: 368)",
    ),
    **{f"count {count}": ({"header": {"count": count}}, f"count {count}, but") for count in (1, 29, 31)},
    **{
        f"count {count}": ({"header": {"count": count}}, f"random.safetensors: count: {text}, wanted a ")
        for count, text in (
            (-1, "-1"),
            (0, "0"),
            (10**30, 10**30),
            (30.0, "30.0"),
            (True, "true"),
            ("30", '"30"'),
        )
    },
    "no number": (
        {"header": {"provenance": {"images": 30, "available": -5}}},
        "provenance.available -5: wanted",
    ),
    "a list of images": (
        {"header": {"provenance": {"images": [30]}}},
        "provenance.images: [30], wanted a text",
    ),
    "below 0": ({"scatter": -torch.eye(368).double()}, "scatter holds squared deviations below 0"),
    "no provenance": ({"header": {"provenance": {}}}, "None images in its header"),
    "a list": (
        {"header": {"protocol": {"version": [1]}}},
        "protocol.version: [1], wanted a text",
    ),
    "nan in the notes": ({"header": {"provenance": {"psi": float("nan")}}}, "not JSON compliant"),
}


@pytest.mark.parametrize(("changed", "expected"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_statistics_are_refused_by_name(changed, expected, there, capsys):
    path = there / "stats" / "random.safetensors"
    rewritten(path, **changed)
    said = refused(["evaluate", "fake", "--data", "stats", "--out", "x.json", *QUICK], capsys)
    assert "stats/random.safetensors" in said
    assert expected in said
    assert not (there / "x.json").exists()


def test_the_settings_of_generator_metrics_are_in_the_json():
    experiment = tiny("pigan-carla")
    model = EvaluatedModel("it", Path("it"), build_seeded(experiment).generator.eval(), experiment)
    scores = view_consistency(session(psi=0.5, seed=3), model)
    found = to_json(Report("", "", [Row("it", {score.key: score for score in scores})]))
    psnr, *others = found["generators"]["it"].values()
    wanted = {"psi": 0.5, "seed": 3, "size": SIZE, "pairs": 64, "angle": 15.0, "tolerance": 0.05}
    assert wanted.items() <= psnr["settings"].items()
    assert len(psnr["settings"]["generator"]) == 64
    assert 0 < psnr["settings"]["pairs_compared"] <= 64
    assert not any("settings" in score for score in others)


@pytest.mark.parametrize("fit", ["cover", "contain", "stretch"])
def test_enlarged_images_are_counted(tmp_path, fit):
    folder = noise_images(tmp_path / "p", 2)
    for i, side in ((4, 32), (5, 8)):
        Image.new("RGB", (side, side)).save(folder / f"{i:04d}.png")
    Image.new("RGB", (8, 32)).save(folder / "0006.png")
    images = load_images(str(folder), ImageConfig(fit=fit), SIZE, quiet=True)
    assert images.enlarged == ((3,) if fit == "contain" else (3, 4))
    again = load_images(str(folder), ImageConfig(fit=fit), SIZE, quiet=True)
    assert again.enlarged == images.enlarged
    assert StoredImages(again, Preparation(), "").provenance["enlarged"] == len(images.enlarged)
    assert "enlarged" not in StoredImages(again, Preparation(3), "").provenance
    assert load_images(str(folder), ImageConfig(fit=fit, center_crop=0.5), (4, 4), quiet=True).enlarged == ()


def test_enlarged_images_are_noted(there, capsys):
    assert main(["evaluate", "fake", "--data", "real", "--size", "32", "--out", "x.json", *QUICK]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "20 generated images are smaller than 32x32 and were enlarged" in said
    assert "30 real images are smaller than 32x32 and were enlarged" in said
    found = json.loads((there / "x.json").read_text())
    assert [found["protocol"][f"{side}: enlarged"] for side in ("generator 1", "real")] == [20, 30]


def test_error_lines_name_the_input(there, capsys):
    (there / "half.zip").write_bytes(b"PK\x03\x04" + bytes(99))
    with pytest.raises(BadInput, match=r"half\.zip is damaged"):
        list_images(there / "half.zip")
    noise_images(there / "one", 1)
    for words, expected in (
        (["fake/0000.bmp", "--data", "real"], "fake/0000.bmp: wanted a generator"),
        (["one", "--data", "real"], "one: 1 generated images of one"),
        (["fake", "--data", "real", "--extractor", "squeezenet"], "--squeezenet a file"),
        (["fake", "--data", "real", "--metrics", "fid_clean"], "--inception a file, or download"),
    ):
        assert expected in refused(["evaluate", *words], capsys)


def test_fewer_images_than_the_protocol_specifies():
    network = Extractor("means", "none", "colors", 3, "", lambda images: images.double().mean((2, 3)))
    how = EvaluationSession(PROTOCOLS["genscene"], SIZE, ImageConfig(), {"means": network})
    source = GeneratedImages(build_seeded(tiny("pigan-carla")).generator, Preparation(3), SIZE)
    assert extract_features(how, source, "images")["means"].count == 3
