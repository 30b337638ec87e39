"""A page holds all scores and images of a report, closes its tags, and escapes every text."""

import base64
import io
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

from genscene.errors import BadInput
from genscene.evaluation.page import LARGEST, render_page
from genscene.evaluation.report import Interval, Report, Row, Score
from genscene.export.charts import Axes, line_chart

EVIL = "<script>alert(\"1\")</script> & 'co'"
VOID = {"meta", "img", "br", "line", "path", "circle", "rect", "polyline"}


class Parsed(HTMLParser):
    """The tags and texts of a page; fails where a tag is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
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
            self.texts.append(data)

    def text(self):
        return " ".join(" ".join(self.texts).split())

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def example(**changed):
    """A report in which every text is hostile."""
    title = f"distance {EVIL}"

    def distance(value, low, high, **more):
        interval = Interval(low, high)
        return Score("d", title, value, "low", extractor=EVIL, digits=1, interval=interval, **more)

    rows = [
        Row("photographs", {"d": distance(1.0, 0.9, 1.1)}, EVIL, reference=True),
        Row(
            EVIL,
            {
                "d": distance(12.34, 11.94, 12.81),
                "psnr": Score("psnr", "PSNR", 27.5, "high", "dB", interval=Interval(27.25, 27.75)),
            },
            EVIL,
        ),
        Row("other", {"d": distance(12.6, 12.1, 13.05, level=True)}),
    ]
    images = torch.rand(3, 3, 8, 8)
    fields = {
        "strips": [(EVIL, images), ("nearest", images)],
        "charts": {"chart": line_chart({EVIL: [(0, 0), (1, 1)]}, Axes(EVIL, EVIL, EVIL))},
        "protocol": {EVIL: EVIL, "size_of_box": "16"},
        "notes": [EVIL],
    }
    return Report(EVIL, EVIL, rows, **{**fields, **changed})


def one_metric(better, *values):
    """Generators whose scores are level with each other."""
    rows = [
        Row(str(i), {"r": Score("r", "recall", value, better, level=True)}) for i, value in enumerate(values)
    ]
    return Report("t", "s", rows)


def test_texts_are_escaped():
    text = render_page(example())
    page = Parsed(text)
    assert "<script" not in text
    assert not page.of("script")
    assert page.text().count("<script>alert(\"1\")</script> & 'co'") == 15  # all that are not attributes
    assert {attrs["alt"] for attrs in page.of("img")} >= {f"{EVIL}, 1"}


def test_all_scores_are_in_the_table():
    text = Parsed(render_page(example())).text()
    for number in (
        "12.3 [11.9, 12.8]",
        "27.50 dB [27.25, 27.75]",
        "12.6 [12.1, 13.1]",
        "1.0 [0.9, 1.1]",
        "\u2013",
    ):
        assert number in text
    assert "low is better" in text
    assert "high is better" in text
    assert text.count("not distinguishable from the best") == 1
    assert "size of box 16" in text


def test_the_best_is_the_best_of_the_generators():
    report = example()
    assert report.marks("d") == ["", "best", "level"]  # not the photographs, whose distance is lower
    assert report.marks("psnr") == ["", "", ""]  # nothing to compare with
    assert render_page(report).count('<td class="best">') == 1
    assert one_metric("high", 1, 2).marks("r") == ["level", "best"]
    assert one_metric("low", 1, 2, 1).marks("r") == ["best", "level", "best"]


def test_equal_scores_are_not_marked():
    same = one_metric("low", 0, 0, 0)
    assert same.marks("r") == ["", "", ""]
    text = render_page(same)
    assert "not distinguishable" not in text
    assert 'class="best"' not in text


def test_details_are_in_the_table_of_a_single_generator_only():
    scores = {name: Score(name, name, 1.0, "low", detail=name == "b") for name in "ab"}
    assert list(Report("t", "s", [Row("one", scores)]).columns) == ["a", "b"]
    other = scores | {"b": replace(scores["b"], value=2.0)}
    both = Report("t", "s", [Row("one", scores), Row("two", other)])
    assert list(both.columns) == ["a"]
    assert both.marks("b") == ["", ""]


def test_bars_share_one_axis():
    bounds = [a for a in Parsed(render_page(example())).of("line") if a["class"] == "bound"]
    first, other, _ = bounds  # of one distance, of the other, of PSNR
    low, high = float(first["x1"]), float(other["x2"])
    place = {11.94: first["x1"], 12.81: first["x2"], 12.1: other["x1"], 13.05: other["x2"]}
    for number, x in place.items():
        assert float(x) == pytest.approx(low + (high - low) * (number - 11.94) / (13.05 - 11.94), abs=0.1)


def test_everything_is_inside_the_file():
    page = Parsed(render_page(example()))
    assert len(page.of("img")) == 3 + 3
    for attrs in page.of("img"):
        kind, data = attrs["src"].split(",")
        assert kind == "data:image/png;base64"
        Image.open(io.BytesIO(base64.b64decode(data))).verify()
    assert len(page.of("polyline")) == 1
    assert not page.of("link")
    urls = [
        value for _, attrs in page.tags for key, value in attrs.items() if key not in ("http-equiv", "xmlns")
    ]
    assert not any("http" in str(value) for value in urls)
    assert "prefers-color-scheme: dark" in render_page(example())


def test_images_are_embedded_at_a_limited_size():
    large = [("large", torch.rand(1, 3, 2 * LARGEST, LARGEST))]
    (attrs,) = Parsed(render_page(example(strips=large))).of("img")
    with Image.open(io.BytesIO(base64.b64decode(attrs["src"].split(",")[1]))) as image:
        assert image.size == (LARGEST // 2, LARGEST)


def test_missing_parts_leave_nothing():
    text = Parsed(render_page(example(strips=[], charts={}, protocol={}, notes=[]))).text()
    assert "Images" not in text
    assert "Charts" not in text
    assert "Protocol" not in text


def test_numbers_have_the_digits_of_their_column():
    report = Report("t", "s", [Row("a", {"k": Score("k", "kernel", -0.12345, "low", deviation=0.0123)})])
    assert report.text("k", -0.12345) == "-0.123"
    assert report.interval_text("k", report.columns["k"]) == "+- 0.012"
    score = Score("k", "kernel", -0.12345, "low", interval=Interval(-0.2, 0))
    assert report.interval_text("k", score) == "[-0.200, 0.000]"


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(BadInput, match="recall is nan: wanted finite numbers"):
        one_metric("low", 1.0, float("nan"))
    with pytest.raises(BadInput, match="a is 1, -inf, 2: wanted finite numbers"):
        Score("a", "a", 1.0, "low", interval=Interval(float("-inf"), 2.0))
