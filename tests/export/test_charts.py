"""Charts: round ticks, curves where their numbers say, and nothing drawn of what is no number."""

import math
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from genscene.errors import BadInput
from genscene.export.charts import (
    BOTTOM,
    COLOURS,
    INK,
    KEY,
    LEFT,
    RIGHT,
    TOP,
    Axes,
    curves,
    drawn,
    label,
    reach,
    ticks,
)

UNIT = Axes("title", "recall", "precision", (0, 1), (0, 1), (200, 200), marked="k = 3")


def coloured(image, colour):
    """Whether each pixel has a colour, inside the plot at one pixel for each of the layout."""
    plot = np.asarray(image)[TOP + 2 : TOP + 198, LEFT + 2 : LEFT + 198].astype(int)
    return (np.abs(plot - colour) < 12).all(-1)


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


def test_labels_have_the_digits_of_their_steps():
    assert [label(x, 0.25) for x in (0, 0.25, 1)] == ["0.00", "0.25", "1.00"]
    assert [label(x, 20) for x in (-40, -0.0, 20)] == ["-40", "0", "20"]
    assert label(2e-7, 1e-7) == "2e-07"


def test_a_curve_lies_where_its_numbers_say():
    found = coloured(drawn({"a": [(0.1, 0.25), (0.9, 0.25)]}, UNIT, density=1), COLOURS[0])
    rows, columns = np.nonzero(found)
    assert abs(rows.mean() - (150 - 2)) < 1.5  # a quarter of the way up
    assert abs(columns.min() - 18) <= 2
    assert abs(columns.max() - 178) <= 2


def test_a_curve_ends_where_the_plot_does():
    image = drawn({"a": [(-1.0, 0.5), (2.0, 0.5)]}, UNIT, density=1)
    outside = np.asarray(image)[TOP + 90 : TOP + 110].astype(int)
    beside = np.concatenate([outside[:, : LEFT - 1], outside[:, LEFT + 202 :]], axis=1)
    assert not (np.abs(beside - COLOURS[0]) < 12).all(-1).any()


def test_marked_points_and_the_curve_in_ink_are_seen():
    points = [(0.2, 0.2), (0.5, 0.5), (0.8, 0.8)]
    plain, marked = (coloured(drawn({"a": points}, UNIT, m, 1), COLOURS[0]) for m in (None, {"a": 1}))
    assert marked[90:106, 90:106].sum() > plain[90:106, 90:106].sum() + 20
    axes = Axes("t", "x", "y", (0, 1), (0, 1), (200, 200), against="reals")
    assert coloured(drawn({"a": points, "reals": points}, axes, density=1), INK).sum() > 100


def test_many_curves_differ_in_dashes():
    flat = {str(i): [(0.0, 0.5), (1.0, 0.5)] for i in range(len(COLOURS) + 1)}
    first, last = (
        drawn({**{n: [] for n in flat}, n: flat[n]}, UNIT, density=1) for n in (min(flat), max(flat))
    )
    assert 0.3 < coloured(last, COLOURS[0]).sum() / coloured(first, COLOURS[0]).sum() < 0.9


def test_a_file_of_curves(tmp_path):
    series = {"a\nlong name " * 9: [(0.0, math.nan), (1.0, -math.inf), (2.0, 3.0)], "b": [(5.0, 3.0)]}
    curves(tmp_path / "chart.png", series, Axes("two\nlines", "x", "y"))
    with Image.open(tmp_path / "chart.png") as image:
        assert image.size == (2 * (LEFT + 400 + RIGHT + KEY), 2 * (TOP + 400 + BOTTOM))
    assert reach([3.0, 3.0])[0] < 3 < reach([3.0, 3.0])[1]
    assert reach([0.0]) == (-1, 1)


def test_a_chart_of_nothing_is_refused():
    with pytest.raises(BadInput, match="no points"):
        drawn({"a": [(0.0, math.nan)]}, UNIT)
    with pytest.raises(BadInput, match="point 3 of 'a'"):
        drawn({"a": [(0.0, 1.0)]}, UNIT, {"a": 3})
