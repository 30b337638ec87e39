"""Line charts as SVG: curves over two axes, with ticks and a legend."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from genscene.errors import BadInput

Point = tuple[float, float]
Series = Mapping[str, Sequence[Point]]
Span = tuple[float, float]

SIDE, LEFT, TOP = 400, 66, 58  # pixels: side of the square plot, and its place
LAYOUT = {"side": SIDE, "left": LEFT, "top": TOP, "width": LEFT + SIDE + 210, "height": TOP + SIDE + 58}
INK = "#1c2026"
# distinguishable without red or green (Okabe & Ito 2008), dark enough for thin lines on white
COLORS = ("#0072b2", "#d55e00", "#008c69", "#b85c94", "#a07800", "#3c96cd", "#6446a0")
DASHES = ("none", "7 4", "2 3")  # one for each round of colors
NAME_LENGTH = 24  # characters in the legend


@dataclass(frozen=True)
class Axes:
    """Labels of a chart, and the part of the plane it shows."""

    title: str
    x_label: str
    y_label: str
    x: Span | None = None  # None: that of the points
    y: Span | None = None
    dots: bool = False  # whether points are drawn, not only connected
    marked: int | None = None  # index of the point of every curve that is drawn as a large dot
    mark_label: str = ""  # of that point in the legend
    reference: str = ""  # name of the curve that is drawn on top, in black


def line_chart(series: Series, axes: Axes) -> str:
    """Named curves, each of points (x, y) -> SVG; points that are not finite are left out."""
    points = [point for each in series.values() for point in _finite(each)]
    if not points:
        raise BadInput(f"chart {axes.title!r} has no finite points, wanted at least one")
    x, y = axes.x or padded_span([p[0] for p in points]), axes.y or padded_span([p[1] for p in points])
    curves = []
    for row, name in enumerate(sorted(series, key=lambda name: name == axes.reference)):
        color, dash = COLORS[row % len(COLORS)], DASHES[row // len(COLORS) % len(DASHES)]
        if name == axes.reference:
            color, dash = INK, DASHES[0]
        marked = [] if axes.marked is None else [series[name][axes.marked]]
        places, large = ([_place(p, x, y) for p in _finite(each)] for each in (series[name], marked))
        curves.append({"name": shorten(name), "color": color, "dash": dash, "places": places, "large": large})
    x_ticks = [(_place((value, y[0]), x, y)[0], f"{value:.6g}") for value in ticks(x)]
    y_ticks = [(_place((x[0], value), x, y)[1], f"{value:.6g}") for value in ticks(y)]
    loader = PackageLoader("genscene.export", "")
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template, axis_ticks = templates.get_template("chart.svg"), {"x_ticks": x_ticks, "y_ticks": y_ticks}
    return template.render(axes=axes, curves=curves, ink=INK, **axis_ticks, **LAYOUT)


def padded_span(values: Sequence[float]) -> Span:
    """The range of values with a margin on both sides; never empty."""
    low, high = min(values), max(values)
    margin = 0.04 * (high - low) or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def ticks(span: Span, most: int = 6) -> list[float]:
    """Round numbers within a span, at most so many, a multiple of 1, 2 or 2.5 times a power of ten apart."""
    width = span[1] - span[0]
    power = 10.0 ** math.floor(math.log10(width / most))
    step = next(s * power for s in (1, 2, 2.5, 5, 10, 20) if width / (s * power) <= most - 1 + 1e-9)
    first, last = math.ceil(span[0] / step - 1e-9), math.floor(span[1] / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def shorten(name: str) -> str:
    """A name with its middle left out where it is too long for the legend."""
    name, half = " ".join(name.split()), NAME_LENGTH // 2
    return name if len(name) <= NAME_LENGTH else f"{name[:half]}\u2026{name[-half:]}"


def _finite(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if all(map(math.isfinite, point))]


def _place(point: Point, x: Span, y: Span) -> Point:
    """A point -> its place on the chart in pixels."""
    across, down = (point[0] - x[0]) / (x[1] - x[0]), (y[1] - point[1]) / (y[1] - y[0])
    return round(LEFT + SIDE * across, 1), round(TOP + SIDE * down, 1)
