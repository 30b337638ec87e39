"""Line charts as SVG: curves over two axes, with ticks and a legend."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from genscene.errors import BadInput

Point = tuple[float, float]
Series = Mapping[str, Sequence[Point]]
Span = tuple[float, float]

SIDE, LEFT, TOP = 400, 66, 58  # pixels: side of the square plot, and its place
WIDTH, HEIGHT = LEFT + SIDE + 210, TOP + SIDE + 58
INK, GRAY, PALE = "#1c2026", "#5c626c", "#e2e5ea"
# distinguishable without red or green (Okabe & Ito 2008), dark enough for thin lines on white
COLORS = ("#0072b2", "#d55e00", "#008c69", "#b85c94", "#a07800", "#3c96cd", "#6446a0")
DASHES = ("none", "7 4", "2 3")  # one for each round of colors
NAME_LENGTH = 24  # characters in the legend
START = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"'
    f' height="{HEIGHT}" font-family="system-ui, sans-serif" font-size="13" fill="{INK}"'
    ' role="img" aria-label="{}">'
    '<rect width="100%" height="100%" fill="white"/>'
)
# an inner svg clips the curves to the plot
BOX = f'viewBox="{LEFT} {TOP} {SIDE} {SIDE}"'
PLOT = f'<svg x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" {BOX}>{{}}</svg>'


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
    finite = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in series.items()}
    points = [point for each in finite.values() for point in each]
    if not points:
        raise BadInput(f"chart {axes.title!r} has no finite points, wanted at least one")
    x, y = axes.x or padded_span([p[0] for p in points]), axes.y or padded_span([p[1] for p in points])
    curves, marks, legend = [], [], []
    colored = [name for name in series if name != axes.reference]
    for row, name in enumerate([*colored, *(name for name in series if name == axes.reference)]):
        color, dash = COLORS[row % len(COLORS)], DASHES[row // len(COLORS) % len(DASHES)]
        if name == axes.reference:
            color, dash = INK, DASHES[0]
        style = f'fill="none" stroke="{color}" stroke-width="2.2" stroke-dasharray="{dash}"'
        places = [_place(point, x, y) for point in finite[name]]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        curves.append(f'<polyline points="{line}" {style} stroke-linejoin="round"/>')
        curves += [_dot(place, 2.6, color) for place in places if axes.dots or len(places) == 1]
        if axes.marked is not None:
            if not -len(series[name]) <= axes.marked < len(series[name]):
                raise BadInput(f"chart {axes.title!r}: {name!r} has no point {axes.marked} to mark")
            marked = series[name][axes.marked]
            marks += [_dot(_place(marked, x, y), 5, color)] if marked in finite[name] else []
        legend += _entry(row, f'<path d="M0 0h22" {style}/>', name)
    if axes.mark_label:
        legend += _entry(len(series), _dot((11, 0), 5, GRAY), axes.mark_label)
    labels = _text(LEFT, 26, axes.title, 'font-size="15"') + _text(LEFT, TOP - 8, axes.y_label)
    labels += _text(LEFT + SIDE / 2, TOP + SIDE + 42, axes.x_label, 'text-anchor="middle"')
    frame = f'<path d="M{LEFT} {TOP}v{SIDE}h{SIDE}" fill="none" stroke="{GRAY}" stroke-width="1.2"/>'
    parts = [START.format(escape(axes.title)), labels, *_grid(x, y), PLOT.format("".join(curves)), frame]
    return "\n".join([*parts, *marks, *legend, "</svg>"])


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


def _place(point: Point, x: Span, y: Span) -> Point:
    """A point -> its place on the chart in pixels."""
    return LEFT + SIDE * (point[0] - x[0]) / (x[1] - x[0]), TOP + SIDE * (y[1] - point[1]) / (y[1] - y[0])


def _grid(x: Span, y: Span) -> list[str]:
    """Grid lines and tick labels of both axes."""
    parts, style = [], f'font-size="12" fill="{GRAY}" text-anchor='
    for value in ticks(x):
        left, top = _place((value, y[0]), x, y)
        parts.append(f'<path d="M{left:.1f} {top:.1f}v{-SIDE}" stroke="{PALE}"/>')
        parts.append(_text(left, top + 18, f"{value:.6g}", style + '"middle"'))
    for value in ticks(y):
        left, top = _place((x[0], value), x, y)
        parts.append(f'<path d="M{left:.1f} {top:.1f}h{SIDE}" stroke="{PALE}"/>')
        parts.append(_text(left - 9, top + 4, f"{value:.6g}", style + '"end"'))
    return parts


def _entry(row: int, sign: str, name: str) -> list[str]:
    """A line of the legend, with the middle of a long name left out."""
    name, half = " ".join(name.split()), NAME_LENGTH // 2
    short = name if len(name) <= NAME_LENGTH else f"{name[:half]}\u2026{name[-half:]}"
    return [
        f'<g transform="translate({LEFT + SIDE + 22} {TOP + 10 + 22 * row})">{sign}{_text(30, 4, short)}</g>'
    ]


def _dot(place: Point, radius: float, color: str) -> str:
    return f'<circle cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="{radius}" fill="{color}" stroke="white"/>'


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(" ".join(text.split()))}</text>'
