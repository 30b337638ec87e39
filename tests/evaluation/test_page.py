"""A page holds all numbers and pictures of a report, closes what it opens, and shows words as words."""

import base64
import io
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

from genscene.errors import BadInput
from genscene.evaluation.bootstrap import Interval
from genscene.evaluation.page import encoded, page, png, written
from genscene.evaluation.report import Cell, Chart, Column, Gallery, Report, Row, Strip
from genscene.evaluation.sheet import EDGE, enlarged, sheet

EVIL = "<script>alert(\"1\")</script> & 'co'"
VOID = {"meta", "img", "br", "line"}


class Reader(HTMLParser):
    """What a browser would make of a page: it fails where a tag is not closed, and keeps texts and tags."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    def text(self):
        return " ".join(" ".join(self.words).split())

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def example(**changed):
    """A report in which every word is hostile."""
    columns = (Column(f"distance {EVIL}", True, 1, note=EVIL), Column("PSNR", False, 2, "dB"))
    rows = (
        Row("photographs", (Cell(1.0, Interval(0.9, 1.1)), None), reference=True),
        Row(EVIL, (Cell(12.34, Interval(11.94, 12.81)), Cell(27.5, Interval(27.25, 27.75))), EVIL),
        Row("other", (Cell(12.6, Interval(12.1, 13.05), level=True), None)),
    )
    images = torch.rand(3, 3, 8, 8)
    galleries = (Gallery(EVIL, (Strip(EVIL, images), Strip("nearest", images)), EVIL),)
    charts = (Chart(EVIL, encoded(Image.new("RGB", (4, 4))), 300, EVIL),)
    fields = {
        "galleries": galleries,
        "charts": charts,
        "protocol": {EVIL: EVIL, "resize": "box"},
        "remarks": (EVIL,),
    }
    return Report(EVIL, EVIL, columns, rows, **{**fields, **changed})


def one_column(low, *values):
    """Generators that are level with each other in one number."""
    rows = tuple(Row(str(i), (Cell(value, level=True),)) for i, value in enumerate(values))
    return Report("t", "l", (Column("recall", low=low),), rows)


def test_words_stay_words():
    text = page(example())
    read = Reader(text)
    assert "<script" not in text
    assert not read.of("script")
    assert read.text().count("<script>alert(\"1\")</script> & 'co'") == 14  # all that are no attributes
    assert {attrs["alt"] for attrs in read.of("img")} >= {EVIL, f"{EVIL}, 1"}


def test_all_numbers_stand_in_the_table():
    said = Reader(page(example())).text()
    for number in (
        "12.3 [11.9, 12.8]",
        "27.50 dB [27.25, 27.75]",
        "12.6 [12.1, 13.1]",
        "1.0 [0.9, 1.1]",
        "\u2013",
    ):
        assert number in said
    assert "low is better" in said
    assert "high is better" in said
    assert said.count("cannot be told apart from the best") == 1
    assert "resize box" in said


def test_the_best_is_the_best_of_the_generators():
    report = example()
    assert report.marks(0) == ("", "best", "level")  # not the photographs, though they are nearer
    assert report.marks(1) == ("", "", "")  # one number has nothing to be better than
    assert page(report).count('<td class="best">') == 1
    assert one_column(False, 1, 2).marks(0) == ("level", "best")
    assert one_column(True, 1, 2, 1).marks(0) == ("best", "level", "best")


def test_where_all_have_the_same_number_none_is_marked():
    same = one_column(True, 0, 0, 0)
    assert same.marks(0) == ("", "", "")
    text = page(same)
    assert "cannot be told apart" not in text
    assert 'class="best"' not in text


def test_bars_lie_on_one_line_for_all():
    spans = [a for a in Reader(page(example())).of("line") if a["class"] == "bound"]
    first, other, _ = spans  # of one distance, of the other, of PSNR
    low, high = float(first["x1"]), float(other["x2"])
    place = {11.94: first["x1"], 12.81: first["x2"], 12.1: other["x1"], 13.05: other["x2"]}
    for number, x in place.items():
        assert float(x) == pytest.approx(low + (high - low) * (number - 11.94) / (13.05 - 11.94), abs=0.1)


def test_everything_is_inside():
    read = Reader(page(example()))
    assert len(read.of("img")) == 3 + 3 + 1
    for attrs in read.of("img"):
        kind, data = attrs["src"].split(",")
        assert kind == "data:image/png;base64"
        Image.open(io.BytesIO(base64.b64decode(data))).verify()
    assert not read.of("link")
    assert not any(
        "http" in str(value) for _, attrs in read.tags for key, value in attrs.items() if key != "http-equiv"
    )
    assert "prefers-color-scheme: dark" in page(example())


def test_parts_that_are_not_there_leave_nothing():
    said = Reader(page(example(galleries=(), charts=(), protocol={}, remarks=()))).text()
    assert "Charts" not in said
    assert "Protocol" not in said


def test_a_picture_comes_back():
    image = torch.rand(3, 5, 7)
    with Image.open(io.BytesIO(png(image))) as found:
        assert found.size == (7, 5)
    assert written(-0.12345, Column("kernel", digits=3), Interval(-0.2, 0)) == "-0.123 [-0.200, 0.000]"


def test_what_is_no_report_is_refused():
    with pytest.raises(BadInput, match="1 numbers, wanted one for each of 2"):
        Report("t", "l", (Column("a"), Column("b")), (Row("r", (None,)),))
    with pytest.raises(BadInput, match="recall of '1' is nan: wanted finite"):
        one_column(True, 1.0, float("nan"))
    with pytest.raises(BadInput, match="a of 'r' is 1, -inf, 2: wanted finite"):
        Report(
            "t", "l", (Column("a"),), (Row("r", (Cell(1.0, Interval(float("-inf"), 2.0)),), reference=True),)
        )
    with pytest.raises(BadInput, match="of 'flat'"):
        page(example(galleries=(Gallery("g", (Strip("flat", torch.zeros(3, 8, 8)),)),)))


def test_a_sheet_shows_pixels_as_squares():
    real, fake, near = torch.rand(3, 2, 3, 16, 16)
    whole = sheet(real, fake, near)
    assert whole.min() >= 0
    assert whole.max() <= 1
    wanted = (enlarged(fake)[0] * 255).round() / 255
    assert wanted.shape == (3, 128, 128)
    column = whole[:, :, EDGE : EDGE + 128].unfold(1, 128, 1).movedim(1, 0).movedim(-1, -2)
    assert ((column - wanted).abs().flatten(1).max(dim=1).values < 1e-6).sum() == 1
    assert enlarged(torch.zeros(1, 3, 200, 200)).shape == (1, 3, 200, 200)
    with pytest.raises(BadInput, match="three times the same"):
        sheet(real, fake[:1], near)
