"""Line charts: curves over two axes, with ticks and a legend, as SVG or PNG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image, ImageDraw, ImageFont

from genscene.errors import BadInput
from genscene.io.atomic import atomic

Point = tuple[float, float]
Series = Mapping[str, Sequence[Point]]
Span = tuple[float, float]

SIDE, LEFT, TOP = 400, 66, 58  # pixels: side of the square plot, and its place
LAYOUT = {"side": SIDE, "left": LEFT, "top": TOP, "width": LEFT + SIDE + 210, "height": TOP + SIDE + 58}
INK, GRAY, PALE = "#1c2026", "#5c626c", "#e2e5ea"
DETAIL = 2  # pixels of a PNG for one of the SVG
# distinguishable without red or green (Okabe & Ito 2008), dark enough for thin lines on white
COLORS = ("#0072b2", "#d55e00", "#008c69", "#b85c94", "#a07800", "#3c96cd", "#6446a0")
DASHES = ("none", "7 4", "2 3")  # one for each round of colors
NAME_LENGTH = 26  # characters in the legend


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
    log: bool = False  # both axes are logarithmic: points that are not positive are left out


SPECTRUM_AXES = Axes("mean power spectrum", "frequency / highest frequency", "power, dB", reference="real")


@dataclass(frozen=True)
class Curve:
    """A curve of a chart, its points in pixels."""

    name: str
    color: str
    dash: str
    places: Sequence[Point]
    large: Sequence[Point]  # the marked one, if any


@dataclass(frozen=True)
class Layout:
    """The curves of a chart and its ticks, in pixels."""

    curves: Sequence[Curve]
    x_ticks: Sequence[tuple[float, str]]  # places and labels
    y_ticks: Sequence[tuple[float, str]]


def line_chart(series: Series, axes: Axes) -> str:
    """Named curves, each of points (x, y) -> SVG; points that are not finite are left out."""
    loader = PackageLoader("genscene.export", "")
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    found = vars(lay_out(series, axes))
    return templates.get_template("chart.svg").render(axes=axes, ink=INK, **found, **LAYOUT)


def save_chart(path: str | Path, series: Series, axes: Axes) -> None:
    """Write the same curves as PNG, solid and without large dots, on both axes twice as many pixels."""
    layout = lay_out(series, axes)
    canvas = Image.new("RGB", (DETAIL * LAYOUT["width"], DETAIL * LAYOUT["height"]), "white")
    plot = Image.new("RGB", (DETAIL * SIDE, DETAIL * SIDE), "white")  # curves end at its border
    draw, inside = ImageDraw.Draw(canvas), ImageDraw.Draw(plot)

    def write(x: float, y: float, text: str, size: int, anchor: str, color: str = INK) -> None:
        font = ImageFont.load_default(DETAIL * size)
        draw.text((DETAIL * x, DETAIL * y), text, fill=color, font=font, anchor=anchor)

    for x, label in layout.x_ticks:
        inside.line([(DETAIL * (x - LEFT), 0), (DETAIL * (x - LEFT), DETAIL * SIDE)], fill=PALE, width=DETAIL)
        write(x, TOP + SIDE + 8, label, 12, "ma", GRAY)
    for y, label in layout.y_ticks:
        inside.line([(0, DETAIL * (y - TOP)), (DETAIL * SIDE, DETAIL * (y - TOP))], fill=PALE, width=DETAIL)
        write(LEFT - 9, y, label, 12, "rm", GRAY)
    for row, curve in enumerate(layout.curves):
        points = [(DETAIL * (x - LEFT), DETAIL * (y - TOP)) for x, y in curve.places]
        inside.line(points, fill=curve.color, width=2 * DETAIL, joint="curve")
        left, middle = DETAIL * (LEFT + SIDE + 22), DETAIL * (TOP + 10 + 22 * row)
        draw.line([(left, middle), (left + 22 * DETAIL, middle)], fill=curve.color, width=2 * DETAIL)
        write(LEFT + SIDE + 52, TOP + 10 + 22 * row, curve.name, 13, "lm")
    inside.line([(0, 0), (0, DETAIL * SIDE - 1), (DETAIL * SIDE, DETAIL * SIDE - 1)], fill=GRAY, width=DETAIL)
    canvas.paste(plot, (DETAIL * LEFT, DETAIL * TOP))
    write(LEFT, 26, axes.title, 15, "ls")
    write(LEFT, TOP - 8, axes.y_label, 13, "ls")
    write(LEFT + SIDE / 2, TOP + SIDE + 42, axes.x_label, 13, "ms")
    with atomic(path) as partial:
        canvas.save(partial, format="PNG", optimize=True)


def lay_out(series: Series, axes: Axes) -> Layout:
    """Named curves, each of points (x, y) -> their places; points that are not finite are left out."""
    if axes.log:
        series = {name: [_logarithm(point) for point in each] for name, each in series.items()}
    points = [point for each in series.values() for point in _finite(each)]
    if not points:
        raise BadInput(f"chart {axes.title!r} has no finite points, wanted at least one")
    spans = ((axes.x, [p[0] for p in points]), (axes.y, [p[1] for p in points]))
    x, y = (_span(given, values, axes.log) for given, values in spans)
    mark = log_ticks if axes.log else linear_ticks
    curves = []
    for row, name in enumerate(sorted(series, key=lambda name: name == axes.reference)):
        color, dash = COLORS[row % len(COLORS)], DASHES[row // len(COLORS) % len(DASHES)]
        if name == axes.reference:
            color, dash = INK, DASHES[0]
        marked = [] if axes.marked is None else [series[name][axes.marked]]
        places, large = ([_place(p, x, y) for p in _finite(each)] for each in (series[name], marked))
        curves.append(Curve(shorten(name), color, dash, places, large))
    x_ticks = [(_place((value, y[0]), x, y)[0], label) for value, label in mark(x)]
    y_ticks = [(_place((x[0], value), x, y)[1], label) for value, label in mark(y)]
    return Layout(curves, x_ticks, y_ticks)


def spectrum_series(profiles: Mapping[str, Sequence[float]]) -> Series:
    """Radial profiles [K] in dB by name -> their curves over SPECTRUM_AXES, without frequency 0."""
    return {
        name: [(i / (len(profile) - 1), value) for i, value in enumerate(profile) if i]
        for name, profile in profiles.items()
    }


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


def linear_ticks(span: Span) -> list[tuple[float, str]]:
    """Round numbers within a span, and their labels."""
    return [(value, f"{value:.6g}") for value in ticks(span)]


def log_ticks(span: Span) -> list[tuple[float, str]]:
    """Decimal logarithms within a span of 1, 2 and 5 (of 1 alone, where it is long) times powers of ten."""
    digits = (1, 2, 5) if span[1] - span[0] < 2 else (1,)
    powers = range(math.floor(span[0]), math.ceil(span[1]) + 1)
    numbers = [digit * 10.0**power for power in powers for digit in digits]
    return [(math.log10(n), f"{n:,.12g}") for n in numbers if span[0] <= math.log10(n) <= span[1]]


def shorten(name: str) -> str:
    """A name with its middle left out where it is too long for the legend."""
    name, half = " ".join(name.split()), NAME_LENGTH // 2
    return name if len(name) <= NAME_LENGTH else f"{name[:half]}\u2026{name[-half:]}"


def _span(given: Span | None, values: Sequence[float], log: bool) -> Span:
    """The given part of an axis, its logarithms where the axis is logarithmic; None: that of the values."""
    if given is None:
        return padded_span(values)
    return (math.log10(given[0]), math.log10(given[1])) if log else given


def _logarithm(point: Point) -> Point:
    """Decimal logarithms; not a number where they do not exist."""
    x, y = (math.log10(value) if value > 0 else math.nan for value in point)
    return x, y


def _finite(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if all(map(math.isfinite, point))]


def _place(point: Point, x: Span, y: Span) -> Point:
    """A point -> its place on the chart in pixels."""
    across, down = (point[0] - x[0]) / (x[1] - x[0]), (y[1] - point[1]) / (y[1] - y[0])
    return round(LEFT + SIDE * across, 1), round(TOP + SIDE * down, 1)
