"""genscene compare: equal generators, any names, paths that cannot be written, options that do not apply."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import tiny
from genscene.cli import main
from genscene.cli.shared import evaluation_results
from genscene.evaluation.comparison import find_alike, scene_deviation
from genscene.evaluation.extract_features import Measurements
from genscene.evaluation.protocol import select_protocol
from genscene.evaluation.report import Report, Row, Score
from genscene.evaluation.session import EvaluatedModel, EvaluationSession
from genscene.experiment.schema import Stage
from genscene.experiment.serialise import build_seeded
from genscene.io.generator_file import GeneratorFile, write
from genscene.systems import PRESETS
from genscene.training.run import Run, train

WORDS = ["--data", "real", "--resamples", "39", "--device", "cpu"]


def noise_images(folder, count, seed):
    """Images of noise as files."""
    folder.mkdir(parents=True)
    draws = np.random.default_rng(seed)
    for i in range(count):
        Image.fromarray(draws.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{i:04d}.png")


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """Folders of images of one distribution, a small generator and a fitted scene."""
    root = tmp_path_factory.mktemp("there")
    names = (
        ("real", 90),
        ("many", 60),
        ("few", 25),
        ("a/same", 25),
        ("b/same", 25),
        ("名 前", 25),
        ("[bold]x", 25),
    )
    for seed, (name, count) in enumerate(names):
        noise_images(root / name, count, seed)
    experiment = tiny("pigan-carla", steps=1)
    write(root / "gan.safetensors", GeneratorFile(build_seeded(experiment).generator, experiment))
    scene = replace(
        PRESETS["nerf-grid-demo"], data="synthetic:cars", stages=(Stage(0, (16, 16), 64),), steps=1
    )
    train(replace(scene, system=scene.system.shrunk()), Run(root / "scene", device="cpu", grid_every=0))
    return root


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path_factory, there):
    monkeypatch.setenv("GENSCENE_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.chdir(there)


def done(words, capsys):
    assert main(["compare", *words]) == 0, capsys.readouterr()[1]
    return capsys.readouterr()[0]


def refused(words, capsys):
    assert main(["compare", *words]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("genscene: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("other", ["many", "gan.safetensors"])
def test_equal_numbers_of_images_are_compared(other, capsys, tmp_path):
    out = tmp_path / "x.html"
    words = [*WORDS, "--metrics", "frechet", "--count", "40", "--out", str(out)]
    said = done(["few", other, *words], capsys)
    found = json.loads((tmp_path / "x.json").read_text())
    assert said.startswith("25 generated images of each against 90 real ones")
    line = f"Only the first 25 images of each are compared: there are 25 of few, 40 of {other.split('.')[0]}."
    assert line in said
    assert line in found["notes"]
    assert line in out.read_text(encoding="utf-8")
    assert [found["protocol"][f"generator {i}: images"] for i in (1, 2)] == [25, 25]
    done([other, "few", *words, "--count", "25"], capsys)
    alone = json.loads((tmp_path / "x.json").read_text())
    name = other.split(".")[0]
    assert alone["generators"][name] == found["generators"][name]  # cut, or made so few: the same
    assert not any("Only the first" in note for note in alone["notes"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--count", "4"], "4 generated images (--count): wanted at least 5"),
        (["--reals", "4"], "4 real images (--reals): wanted at least 5"),
    ],
)
def test_too_few_images_for_intervals_are_refused_before_data_is_loaded(words, said, capsys, monkeypatch):
    monkeypatch.setattr(EvaluationSession, "real", lambda _: pytest.fail("data was loaded"))
    assert said in refused(["gan.safetensors", "gan.safetensors", *WORDS, *words], capsys)


def test_the_least_images_have_finite_intervals(capsys, tmp_path):
    words = [*WORDS, "--metrics", "frechet,kernel,precision_recall,spectrum", "--count", "5"]
    done(["few", "many", *words, "--out", str(tmp_path / "x.json")], capsys)
    rows = json.loads((tmp_path / "x.json").read_text())["generators"]
    assert all("interval" in rows["few"][key] for key in ("frechet", "kernel_x100", "precision", "spectrum"))


@pytest.mark.parametrize("kind", ["grey", "colors", "copies"])
def test_images_that_are_all_alike_are_told_and_not_marked(kind, capsys, tmp_path):
    draws = np.random.default_rng(9)
    (tmp_path / kind).mkdir()
    copied = draws.integers(0, 256, (16, 16, 3), np.uint8)
    for i in range(25):
        color = np.full((16, 16, 3), 128 if kind == "grey" else draws.integers(0, 256, 3), np.uint8)
        Image.fromarray(copied if kind == "copies" else color).save(tmp_path / kind / f"{i}.png")
    words = [*WORDS, "--metrics", "frechet,precision_recall", "--out", str(tmp_path / "x.html")]
    said = done([str(tmp_path / kind), "few", "many", *words], capsys)
    why = (
        "are all alike (variance of features"
        if kind == "copies"
        else "are of one color (deviation 0.0 of 255 in each"
    )
    assert f"note: the images of {kind} {why}" in said
    assert "the images of few" not in said
    rows = json.loads((tmp_path / "x.json").read_text())["generators"]
    marks = ("best", "not_distinguishable_from_best")
    assert not any(score[mark] for score in rows[kind].values() for mark in marks)
    assert rows["few"]["frechet"]["best"] or rows["many"]["frechet"]["best"]
    assert main(["evaluate", str(tmp_path / kind), "--data", "real", "--metrics", "frechet"]) == 0
    assert f"note: the images of {kind} {why}" in capsys.readouterr().out


def test_scenes_that_are_all_alike_are_told(capsys, tmp_path):
    experiment = tiny("pigan-carla", steps=1)
    generator = build_seeded(experiment).generator
    for name, parameter in generator.named_parameters():
        parameter.data *= 0 if "mapping" in name else 1  # the latent code is not used
    write(tmp_path / "same.safetensors", GeneratorFile(generator, experiment))
    model = EvaluatedModel("same", tmp_path / "same.safetensors", generator, experiment)
    session = EvaluationSession(select_protocol("tracking"), (16, 16), experiment.images, {})
    assert scene_deviation(session, generator) == pytest.approx(0, abs=1e-6)
    measured = Measurements(session, [model], [], [{}], None, {}, [])
    (note,) = find_alike(measured, {"same": torch.rand(4, 3, 16, 16)})
    assert note.startswith("the scenes of same are all alike (deviation 0.0 of 255 between them)")


def test_the_reference_names_its_counts(capsys, tmp_path):
    said = done(["few", "many", *WORDS, "--metrics", "frechet", "--out", str(tmp_path / "x.html")], capsys)
    found = json.loads((tmp_path / "x.json").read_text())
    assert list(found["generators"]) == ["few", "many"]
    assert found["reference"]["name"] == "real images, 25 against 65 others"
    assert set(found["reference"]["scores"]) == {"frechet"}
    said = done(["many", "many", *WORDS, "--metrics", "frechet", "--out", str(tmp_path / "x.html")], capsys)
    assert "real images, 45 against 45 others: the generators: 60 against 90; fewer images" in said
    assert "45 against 45 others" in (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "a generator may score lower" in (tmp_path / "x.html").read_text(encoding="utf-8")


def test_equal_generators_are_kept_apart_and_unmarked(capsys, tmp_path):
    words = [*WORDS, "--metrics", "frechet,precision_recall,spectrum", "--out", str(tmp_path / "x.html")]
    said = done(["few", "few", "few", *words], capsys)
    rows = json.loads((tmp_path / "x.json").read_text())["generators"]
    assert list(rows) == ["few", "few #2", "few #3"]
    assert not any(
        cell["best"] or cell["not_distinguishable_from_best"]
        for row in rows.values()
        for cell in row.values()
    )
    assert "*" not in said.partition("*: best")[0]
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "<small>not distinguishable from the best</small>" not in page
    done(["a/same", "b/same", "a/same", *words], capsys)
    rows = json.loads((tmp_path / "x.json").read_text())["generators"]
    assert list(rows) == ["a/same", "b/same", "a/same #2"]


def test_names_are_printed_unchanged(capsys):
    said = done(["名 前", "[bold]x", *WORDS, "--metrics", "spectrum"], capsys)
    assert "名 前" in said
    assert "[bold]x" in said


def test_a_folder_called_real_has_a_curve_of_its_own(capsys, tmp_path, monkeypatch):
    series = []
    monkeypatch.setattr(
        "genscene.evaluation.page.line_chart", lambda curves, axes: series.append(curves) or "<svg></svg>"
    )
    done(["real", "few", *WORDS, "--metrics", "spectrum"], capsys)
    assert list(series[-1]) == ["real", "real (generated)", "few"]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("page.html", "page.html is a folder"),
        ("numbers.html", "numbers.json is a folder"),
        ("file/deep/x.html", "cannot make the folder"),
        ("/proc/nowhere/x.html", "cannot make the folder"),
    ],
)
def test_paths_that_cannot_be_written_are_refused_before_anything_is_loaded(
    place, said, capsys, tmp_path, monkeypatch
):
    (tmp_path / "page.html").mkdir()
    (tmp_path / "numbers.json").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(
        "genscene.cli.shared.evaluation_options.load_models", lambda *_: pytest.fail("loaded before")
    )
    assert said in refused(["few", "many", *WORDS, "--out", str(tmp_path / place)], capsys)
    assert {p.name for p in tmp_path.iterdir()} == {"page.html", "numbers.json", "file"}


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_refused(capsys, tmp_path):
    tmp_path.chmod(0o500)
    assert "denied" in refused(["few", "many", *WORDS, "--out", str(tmp_path / "x.html")], capsys)


def test_a_later_failure_leaves_no_new_folder(capsys, tmp_path):
    refused(["few", "nowhere", *WORDS, "--out", str(tmp_path / "new" / "deep" / "x.html")], capsys)
    assert not list(tmp_path.iterdir())


def test_page_and_json_are_written_together_or_not_at_all(tmp_path, monkeypatch, capsys):
    report = Report("t", "s", [Row("one", {"a": Score("a", "a", 1.0, "low")})])
    evaluation_results.output(report, tmp_path / "x.html")
    assert capsys.readouterr().out.splitlines()[-2:] == [str(tmp_path / "x.html"), str(tmp_path / "x.json")]
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"x.html", "x.json"}
    monkeypatch.setattr(evaluation_results, "to_json", lambda report: {"value": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        evaluation_results.output(Report("other", "s", report.rows), tmp_path / "x.html")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metrics", "frechet"], "--metrics: of generators of many scenes"),
        (
            ["--protocol", "pigan", "--count", "4", "--psi", "0.5"],
            "--protocol, --count, --psi: of generators",
        ),
        (["--extractor", "squeezenet", "--squeezenet", "x.npz"], "--extractor, --squeezenet: of generators"),
    ],
)
def test_options_that_do_not_apply_to_fitted_scenes_are_refused(words, said, capsys):
    assert said in refused(["scene", "scene/generator.safetensors", *words], capsys)


def test_equal_scenes_have_no_reference_and_no_mark(capsys, tmp_path):
    done(
        ["scene", "scene/generator.safetensors", "--out", str(tmp_path / "x.html"), "--device", "cpu"], capsys
    )
    found = json.loads((tmp_path / "x.json").read_text())
    assert found["reference"] is None
    assert len(found["generators"]) == 2
    assert not any(cell["best"] for row in found["generators"].values() for cell in row.values())
