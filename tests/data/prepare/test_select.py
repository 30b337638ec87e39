"""Index lists: conditions, computed and given scores, even histograms, error lines."""

import json

import numpy as np
import pytest
from PIL import Image, ImageFilter

from genscene.cli import main
from genscene.data.images import load_images
from genscene.data.prepare.balance import Bins, equalise
from genscene.data.prepare.scores import parse_condition
from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig
from genscene.geometry.priors import CameraPrior
from genscene.randomness import RandomStreams

COUNT = 12


@pytest.fixture
def folder(tmp_path):
    """Pictures 0 to 11 of rising brightness, the odd ones blurred, with cameras and scores.csv."""
    root = tmp_path / "set"
    root.mkdir()
    noise = np.random.default_rng(0).integers(0, 60, (16, 16, 3), dtype=np.uint8)
    for i in range(COUNT):
        image = Image.fromarray(noise + np.uint8(10 * i))
        (image.filter(ImageFilter.GaussianBlur(3)) if i % 2 else image).save(root / f"{i:02d}.png")
    labels = CameraPrior(yaw=(np.pi / 2, 0.5)).sample(RandomStreams(range(COUNT)), (1, 1)).label().tolist()
    document = {"labels": [[f"{i:02d}.png", row] for i, row in enumerate(labels)]}
    (root / "dataset.json").write_text(json.dumps(document))
    rows = [f"{i:02d}.png,{0 if i < 9 else i - 8},{i / 10}" for i in range(COUNT)]
    (tmp_path / "scores.csv").write_text("\n".join(["name,smile,hat size", *rows]) + "\n")
    return root


def select(folder, *words):
    out = folder.parent / "out" / "index.json"
    return main(["data", "select", str(folder), "--out", str(out), *words]), out


def test_conditions_are_parsed_and_nothing_is_executed():
    values = {"yaw": np.array([-20.0, 0, 20, 40]), "hat size": np.array([1.0, 2, 3, 4])}
    for text, expected in {
        "yaw<20": [1, 1, 0, 0],
        " |yaw| <= 2e1": [1, 1, 1, 0],
        "hat size != 2": [1, 0, 1, 1],
        "yaw>=-20": [1, 1, 1, 1],
        "yaw == 40": [0, 0, 0, 1],
    }.items():
        assert parse_condition(text).holds(values).tolist() == [bool(x) for x in expected]
    for text in ("yaw", "<3", "yaw<nan", "yaw<a", "|yaw<3", "1<yaw<3", "__import__('os')<", "yaw=3", ""):
        with pytest.raises(BadInput, match="wanted a column"):
            parse_condition(text)


def test_cells_become_as_full_as_the_fullest_or_repeat_at_most():
    cells = np.array([0] * 7 + [1] * 3 + [5])
    repeats = equalise(cells, 4, 0)
    assert [int(repeats[cells == cell].sum()) for cell in (0, 1, 5)] == [7, 7, 4]
    assert sorted(repeats[cells == 1]) == [2, 2, 3]
    assert np.array_equal(repeats, equalise(cells, 4, 0))
    assert equalise(cells, 1, 0).tolist() == [1] * 11
    bins = Bins.of("x", np.array([0.0, 1, 2, 10]), 5)
    assert bins.count(np.array([0.0, 1, 2, 10])).tolist() == [2, 1, 0, 0, 1]
    assert Bins.of("x", np.ones(3), 5).count(np.ones(3)).tolist() == [3]


def test_an_index_of_given_scores_is_even_and_training_reads_it(folder, capsys):
    scores = ("--scores", str(folder.parent / "scores.csv"))
    code, out = select(folder, *scores, "--balance", "smile", "--bins", "4", "--repeats", "5")
    assert code == 0
    names = json.loads(out.read_text())
    assert names == sorted(names)
    counts = {i: names.count(f"{i:02d}.png") for i in range(COUNT)}
    assert all(counts[i] == 1 for i in range(9))
    assert [counts[9], counts[10], counts[11]] == [5, 5, 5]
    text = capsys.readouterr().out
    assert "24 entries of 12 pictures" in text
    assert "0 to 0.75         9         9" in text
    with Image.open(out.with_name("index-smile.png")) as chart:
        assert chart.width > 500
    found = load_images(str(folder), ImageConfig(index=str(out)), (16, 16), quiet=True, cameras=True)
    assert len(found) == len(found.cameras) == 24


def test_scores_are_computed_from_pictures_and_labels(folder, capsys):
    code, out = select(folder, "--keep", "brightness>0.3", "sharpness>0.05", "|yaw|<90")
    assert code == 0
    assert json.loads(out.read_text()) == [f"{i:02d}.png" for i in (6, 8, 10)]
    assert "brightness>0.3: 7 left" in capsys.readouterr().out
    before = out.read_bytes()
    code, other = select(folder, "--balance", "yaw", "--index", str(out), "--bins", "2")
    assert code == 0
    assert set(json.loads(other.read_text())) == set(json.loads(before))


@pytest.mark.parametrize(
    ("rows", "words", "line"),
    [
        ("", [], "wanted --keep CONDITION, --balance COLUMN, or both"),
        ("", ["--keep", "smle<1"], "no column 'smle'; did you mean 'smile'?"),
        ("", ["--keep", "smile>9"], "no picture of 12 is left by --keep smile>9"),
        ("", ["--balance", "smile", "--bins", "0"], "wanted a number from 1 to 1000"),
        ("", ["--keep", "smile<1", "--out", "x.txt"], "wanted a file ending with .json"),
        ("name,smile\n00.png,1\n", ["--keep", "smile<2"], "no smile for 11 images, the first: 01.png"),
        ("name,smile\n00.png,nan\n", ["--keep", "smile<2"], "row 2: smile is 'nan', wanted a finite number"),
        ("name,smile\n00.png\n", ["--keep", "smile<2"], "row 2 has 1 columns, wanted 2"),
        ("name,smile\n0,1\n0,1\n", ["--keep", "smile<2"], "row 3: 0 was there before"),
        ("smile\n", ["--keep", "smile<2"], "whose first row begins with the column name"),
    ],
)
def test_what_cannot_be_selected_is_one_line(folder, capsys, rows, words, line):
    scores = folder.parent / "scores.csv"
    scores.write_text(rows or scores.read_text())
    code, out = select(folder, "--scores", str(scores), *words)
    assert code == 2
    assert line in capsys.readouterr().err
    assert not out.exists()


def test_scores_of_other_pictures_are_told(folder, capsys):
    scores = folder.parent / "scores.csv"
    scores.write_text(scores.read_text() + "zebra.png,1,1\n")
    assert select(folder, "--scores", str(scores), "--keep", "smile<9")[0] == 0
    assert "1 names are of no picture, the first: zebra.png" in capsys.readouterr().err
    (folder / "dataset.json").unlink()
    assert select(folder, "--keep", "yaw<9")[0] == 2
    assert "wanted cameras in" in capsys.readouterr().err
