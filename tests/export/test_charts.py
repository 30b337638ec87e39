"""Line charts: round ticks, curves at the places of their points, nothing of values that are not finite."""

import math
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageColor

from genscene.errors import BadInput
from genscene.export.charts import (
    COLORS,
    DASHES,
    DETAIL,
    INK,
    LEFT,
    SIDE,
    TOP,
    Axes,
    lay_out,
    line_chart,
    padded_span,
    save_chart,
    ticks,
)

UNIT = Axes("title", "recall", "precision", (0, 1), (0, 1))
SVG = "{http://www.w3.org/2000/svg}"


def elements(svg, tag):
    return [each.attrib for each in ElementTree.fromstring(svg).iter(SVG + tag)]


def texts(svg):
    return [each.text for each in ElementTree.fromstring(svg).iter(SVG + "text")]


@pytest.mark.parametrize(
    "span", [(0, 1), (-63.2, 4.9), (1e-7, 3e-7), (0, 123456), (-5, -4.99), (0.03, 0.031)]
)
def test_ticks_are_round_and_few(span):
    found = ticks(span)
    assert 2 <= len(found) <= 6
    assert all(span[0] - 1e-9 <= x <= span[1] + 1e-9 for x in found)
    steps = {f"{b - a:.6e}" for a, b in pairwise(found)}
    assert len(steps) == 1
    assert float(steps.pop().split("e")[0]) in (1, 2, 2.5, 5)


def test_tick_labels_are_short():
    for y, wanted in (((0, 1), "0.2"), ((-60, 0), "-20"), ((0, 3e-7), "1e-07")):
        assert wanted in texts(line_chart({"a": [(0.5, y[0])]}, Axes("t", "x", "y", (0, 1), y)))


def test_a_curve_is_at_the_places_of_its_points():
    (curve,) = elements(line_chart({"a": [(0.1, 0.25), (0.9, 0.25)]}, UNIT), "polyline")
    points = [tuple(map(float, point.split(","))) for point in curve["points"].split()]
    wanted = [(LEFT + 0.1 * SIDE, TOP + 0.75 * SIDE), (LEFT + 0.9 * SIDE, TOP + 0.75 * SIDE)]
    assert [pytest.approx(point) for point in wanted] == points
    assert curve["stroke"] == COLORS[0]


def test_the_png_has_the_curve_at_the_same_places(tmp_path):
    save_chart(tmp_path / "chart.png", {"a": [(-1.0, 0.25), (2.0, 0.25)]}, UNIT)
    with Image.open(tmp_path / "chart.png") as image:
        pixels = np.asarray(image)
    rows, columns = np.nonzero((pixels == ImageColor.getrgb(COLORS[0])).all(-1))
    inside = columns < DETAIL * (LEFT + SIDE)  # to the right is the legend
    assert abs(rows[inside].mean() / DETAIL - (TOP + 0.75 * SIDE)) < 2
    assert abs(columns[inside].min() / DETAIL - LEFT) < 2  # clipped to the plot
    assert abs(columns[inside].max() / DETAIL - (LEFT + SIDE)) < 2
    assert 20 <= np.ptp(columns[~inside]) / DETAIL <= 24


def test_curves_are_clipped_to_the_plot():
    root = ElementTree.fromstring(line_chart({"a": [(-1.0, 0.5), (2.0, 0.5)]}, UNIT))
    (plot,) = root.findall(f"{SVG}svg")
    assert plot.attrib["viewBox"] == f"{LEFT} {TOP} {SIDE} {SIDE}"
    assert len(list(root.iter(f"{SVG}polyline"))) == len(plot.findall(f"{SVG}polyline")) == 1


def test_marked_points_and_the_reference():
    points = [(0.2, 0.2), (0.5, 0.5), (0.8, 0.8)]
    assert not elements(line_chart({"a": points}, UNIT), "circle")
    marked = line_chart({"a": points}, Axes("t", "x", "y", (0, 1), (0, 1), marked=1, mark_label="k = 3"))
    middle = f"{LEFT + SIDE / 2:.1f}"
    assert next(each["cx"] for each in elements(marked, "circle")) == middle
    assert "k = 3" in texts(marked)
    axes = Axes("t", "x", "y", (0, 1), (0, 1), dots=True, reference="real")
    found = line_chart({"real": points, "a": points}, axes)
    assert [each["stroke"] for each in elements(found, "polyline")] == [COLORS[0], INK]  # the last is on top
    assert len(elements(found, "circle")) == 6


def test_many_curves_differ_in_dashes():
    curves = {str(i): [(0.0, 0.5), (1.0, 0.5)] for i in range(len(COLORS) + 1)}
    found = elements(line_chart(curves, UNIT), "polyline")
    assert found[0]["stroke"] == found[-1]["stroke"]
    assert [found[0]["stroke-dasharray"], found[-1]["stroke-dasharray"]] == list(DASHES[:2])


def test_names_are_escaped_and_shortened_and_spans_never_empty():
    series = {"a\n<long> name " * 9: [(0.0, math.nan), (1.0, -math.inf), (2.0, 3.0)], "b": [(5.0, 3.0)]}
    found = line_chart(series, Axes("two\n& lines", "x", "y"))
    assert "two & lines" in texts(found)
    assert max(map(len, texts(found))) < 30
    assert [len(each["points"].split()) for each in elements(found, "polyline")] == [1, 1]
    assert padded_span([3.0, 3.0])[0] < 3 < padded_span([3.0, 3.0])[1]
    assert padded_span([0.0]) == (-1, 1)


def test_a_chart_without_points_is_refused():
    with pytest.raises(BadInput, match="no finite points"):
        line_chart({"a": [(0.0, math.nan)]}, UNIT)


def test_logarithmic_axes_have_powers_of_ten_and_power_laws_are_straight():
    law = [(n, 3e-3 * n**1.5) for n in (1, 4, 16, 64, 4096)]
    layout = lay_out({"law": [*law, (0, 1), (2, -1)]}, Axes("t", "x", "y", log=True))
    (curve,) = layout.curves
    assert len(curve.places) == len(law)  # what has no logarithm is left out
    (x0, y0), *_, (x1, y1) = curve.places
    for x, y in curve.places:
        assert math.isclose((x - x0) * (y1 - y0), (y - y0) * (x1 - x0), abs_tol=50)  # rounded to 0.1
    assert [label for _, label in layout.x_ticks] == ["1", "10", "100", "1,000"]
    short = lay_out({"law": [(20, 1), (300, 2)]}, Axes("t", "x", "y", x=(10, 300), log=True))
    assert [label for _, label in short.x_ticks] == ["10", "20", "50", "100", "200"]
    assert short.x_ticks[0][0] == LEFT
