"""genscene compare: equals in one table, names of any kind, places nobody can write, options that do not apply."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from conftest import tiny
from genscene.cli import comparing, main
from genscene.evaluation.report import Cell, Column, Report, Row
from genscene.experiment.schema import Stage
from genscene.experiment.serialise import build_seeded
from genscene.io.generator_file import save_generator
from genscene.systems import PRESETS
from genscene.training.run import Run, train

WORDS = ["--data", "real", "--resamples", "39", "--device", "cpu"]


def painted(folder, count, seed):
    """Pictures of noise as files."""
    folder.mkdir(parents=True)
    draws = np.random.default_rng(seed)
    for i in range(count):
        Image.fromarray(draws.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{i:04d}.png")


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """Folders of pictures of one law, a small generator and a scene learnt from photographs."""
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
        painted(root / name, count, seed)
    experiment = tiny("pigan-carla", steps=1)
    save_generator(root / "gan.safetensors", build_seeded(experiment).generator, experiment)
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
def test_all_are_cut_to_as_many_pictures_as_there_are_of_each(other, capsys, tmp_path):
    out = tmp_path / "x.html"
    words = [*WORDS, "--metrics", "frechet", "--count", "40", "--out", str(out)]
    said = done(["few", other, *words], capsys)
    found = json.loads((tmp_path / "x.json").read_text())
    assert said.startswith("25 generated pictures of each against 90 real ones")
    line = (
        f"Only the first 25 pictures of each are compared: there are 25 of few, 40 of {other.split('.')[0]}."
    )
    assert line in said
    assert line in found["remarks"]
    assert line in out.read_text(encoding="utf-8")
    assert [found["protocol"][f"generator {i}: pictures"] for i in (1, 2)] == ["25", "25"]
    done([other, "few", *words, "--count", "25"], capsys)
    alone = json.loads((tmp_path / "x.json").read_text())
    name = other.split(".")[0]
    assert alone["generators"][name] == found["generators"][name]  # cut, or made so few: the same
    assert not any("Only the first" in remark for remark in alone["remarks"])


def test_the_reference_stands_beside_the_generators_and_tells_its_counts(capsys, tmp_path):
    said = done(["few", "many", *WORDS, "--metrics", "frechet", "--out", str(tmp_path / "x.html")], capsys)
    found = json.loads((tmp_path / "x.json").read_text())
    assert list(found["generators"]) == ["few", "many"]
    assert found["reference"]["name"] == "real pictures, 25 against 65 others"
    assert set(found["reference"]["numbers"]) == {"frechet"}
    assert "95 % of what" not in said + (tmp_path / "x.html").read_text(encoding="utf-8")
    said = done(["many", "many", *WORDS, "--metrics", "frechet", "--out", str(tmp_path / "x.html")], capsys)
    assert "real pictures, 45 against 45 others: the generators: 60 against 90; fewer pictures" in said
    assert "45 against 45 others" in (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "a generator may lie lower" in (tmp_path / "x.html").read_text(encoding="utf-8")


def test_the_same_twice_keeps_both_and_marks_neither(capsys, tmp_path):
    words = [*WORDS, "--metrics", "frechet,manifold,spectrum", "--out", str(tmp_path / "x.html")]
    said = done(["few", "few", "few", *words], capsys)
    rows = json.loads((tmp_path / "x.json").read_text())["generators"]
    assert list(rows) == ["few", "few #2", "few #3"]
    assert not any(
        cell["best"] or cell["not_told_apart_from_best"] for row in rows.values() for cell in row.values()
    )
    assert "*" not in said.partition("*: the best")[0]
    assert "cannot be told apart" not in (tmp_path / "x.html").read_text(encoding="utf-8")
    done(["a/same", "b/same", "a/same", *words], capsys)
    rows = json.loads((tmp_path / "x.json").read_text())["generators"]
    assert list(rows) == ["a/same", "b/same", "a/same #2"]


def test_names_are_shown_as_they_are(capsys):
    said = done(["名 前", "[bold]x", *WORDS, "--metrics", "spectrum"], capsys)
    assert "名 前" in said
    assert "[bold]x" in said


def test_a_folder_called_real_has_a_curve_of_its_own(capsys, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "genscene.evaluation.exhibit.drawn",
        lambda curves, *rest: drawn.append(curves) or Image.new("L", (2, 2)),
    )
    done(["real", "few", *WORDS, "--metrics", "spectrum"], capsys)
    assert list(drawn[-1]) == ["real", "real (generated)", "few"]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("page.html", "page.html is a folder"),
        ("numbers.html", "numbers.json is a folder"),
        ("file/deep/x.html", "cannot make the folder"),
        ("/proc/nowhere/x.html", "cannot make the folder"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_of_before_anything_is_measured(
    place, said, capsys, tmp_path, monkeypatch
):
    (tmp_path / "page.html").mkdir()
    (tmp_path / "numbers.json").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("genscene.cli.compare.subject", lambda path: pytest.fail("loaded before"))
    assert said in refused(["few", "many", *WORDS, "--out", str(tmp_path / place)], capsys)
    assert {p.name for p in tmp_path.iterdir()} == {"page.html", "numbers.json", "file"}


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_is_only_read_is_told_of(capsys, tmp_path):
    tmp_path.chmod(0o500)
    assert "denied" in refused(["few", "many", *WORDS, "--out", str(tmp_path / "x.html")], capsys)


def test_what_fails_later_leaves_no_new_folder(capsys, tmp_path):
    refused(["few", "nowhere", *WORDS, "--out", str(tmp_path / "new" / "deep" / "x.html")], capsys)
    assert not list(tmp_path.iterdir())


def test_page_and_numbers_appear_together_or_not_at_all(tmp_path, monkeypatch):
    report = Report("t", "l", (Column("a"),), (Row("one", (Cell(1.0),)),))
    assert [path.name for path in comparing.save_generator(tmp_path / "x.html", report)] == [
        "x.html",
        "x.json",
    ]
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(comparing, "document", lambda report: {"value": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        comparing.save_generator(tmp_path / "x.html", Report("other", "l", report.columns, report.rows))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metrics", "frechet"], "--metrics: of generators of many scenes"),
        (
            ["--protocol", "pigan", "--count", "4", "--size", "16"],
            "--protocol, --count, --size: of generators",
        ),
        (["--extractor", "squeezenet", "--squeezenet", "x.npz"], "--extractor, --squeezenet: of generators"),
    ],
)
def test_options_that_say_nothing_of_photographs_are_refused(words, said, capsys):
    assert said in refused(["scene", "scene/generator.safetensors", *words], capsys)


def test_scenes_have_no_reference_and_none_is_the_best_of_one_scene_twice(capsys, tmp_path):
    done(
        ["scene", "scene/generator.safetensors", "--out", str(tmp_path / "x.html"), "--device", "cpu"], capsys
    )
    found = json.loads((tmp_path / "x.json").read_text())
    assert found["reference"] is None
    assert len(found["generators"]) == 2
    assert not any(cell["best"] for row in found["generators"].values() for cell in row.values())
