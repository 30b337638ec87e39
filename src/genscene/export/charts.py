"""Line charts as SVG: curves over two axes, with ticks and a legend."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from genscene.errors import BadInput

Point = tuple[float, float]
Series = Mapping[str, Sequence[Point]]
Span = tuple[float, float]

SIDE, LEFT, TOP, BOTTOM, LEGEND = (
    400,
    66,
    58,
    58,
    210,
)  # pixels: of the square plot, and of the room around it
INK, GRAY, PALE = "#1c2026", "#5c626c", "#e2e5ea"
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
    dots: bool = False  # whether points are marked, not only connected
    marked: int | None = None  # index of the point of every curve that is marked by a large dot
    mark_label: str = ""  # of that point in the legend
    reference: str = ""  # name of the curve that is drawn on top, in black


def line_chart(series: Series, axes: Axes) -> str:
    """Named curves, each of points (x, y) -> SVG; points that are not finite are left out."""
    finite = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in series.items()}
    points = [point for each in finite.values() for point in each]
    if not points:
        raise BadInput(f"chart {axes.title!r} has no finite points, wanted at least one")
    for name, each in series.items():
        if axes.marked is not None and not -len(each) <= axes.marked < len(each):
            raise BadInput(f"chart {axes.title!r}: {name!r} has no point {axes.marked} to mark")
    x, y = axes.x or padded_span([p[0] for p in points]), axes.y or padded_span([p[1] for p in points])
    styles, curves, dots = _styles(series, axes), [], []
    for name in sorted(finite, key=lambda name: name == axes.reference):
        color, dash = styles[name]
        places = [_place(point, x, y) for point in finite[name]]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        curves.append(f'<polyline points="{path}" stroke="{color}" stroke-dasharray="{dash}"/>')
        curves += [_dot(p, 2.6, color, "none") for p in places if axes.dots or len(places) == 1]
        if axes.marked is not None and all(map(math.isfinite, series[name][axes.marked])):
            dots.append(_dot(_place(series[name][axes.marked], x, y), 5.9, color, "white"))
    width, height = LEFT + SIDE + LEGEND, TOP + SIDE + BOTTOM
    # an inner svg clips the curves to the plot
    plot = f'<svg x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" viewBox="{LEFT} {TOP} {SIDE} {SIDE}">'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' font-family="system-ui, sans-serif" font-size="13" fill="{INK}" role="img" aria-label="{escape(axes.title)}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *_grid(x, y),
        _text(LEFT, 26, axes.title, 'font-size="15"'),
        _text(LEFT + SIDE / 2, TOP + SIDE + 42, axes.x_label, 'text-anchor="middle"'),
        _text(LEFT, TOP - 8, axes.y_label),
        f'{plot}<g fill="none" stroke-width="2.2" stroke-linejoin="round">{"".join(curves)}</g></svg>',
        *dots,
        f'<path d="M{LEFT} {TOP}v{SIDE}h{SIDE}" fill="none" stroke="{GRAY}" stroke-width="1.2"/>',
        *_legend(styles, axes),
    ]
    return "\n".join([*parts, "</svg>"])


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


def tick_label(number: float, step: float) -> str:
    """A tick with as many digits as ticks a step apart need."""
    if number and not 1e-4 <= abs(step) < 1e6:
        return f"{number:.3g}"
    digits = next((d for d in range(7) if abs(round(step, d) - step) < 1e-9 * step), 7)
    return f"{number + 0.0:.{digits}f}"


def _place(point: Point, x: Span, y: Span) -> Point:
    """A point -> its place on the chart in pixels."""
    return LEFT + SIDE * (point[0] - x[0]) / (x[1] - x[0]), TOP + SIDE * (y[1] - point[1]) / (y[1] - y[0])


def _styles(series: Series, axes: Axes) -> dict[str, tuple[str, str]]:
    """Color and dashes of every curve, by its position among those that are not the reference."""
    styles, i = {}, 0
    for name in series:
        styles[name] = (COLORS[i % len(COLORS)], DASHES[i // len(COLORS) % len(DASHES)])
        i += name != axes.reference
    return styles | {name: (INK, DASHES[0]) for name in series if name == axes.reference}


def _grid(x: Span, y: Span) -> list[str]:
    """Grid lines and tick labels of both axes."""
    parts = []
    for span, vertical in ((x, True), (y, False)):
        values = ticks(span)
        step = values[1] - values[0] if len(values) > 1 else abs(values[0]) or 1.0
        for value in values:
            left, top = _place((value, y[0]) if vertical else (x[0], value), x, y)
            line = f"v{-SIDE}" if vertical else f"h{SIDE}"
            parts.append(f'<path d="M{left:.1f} {top:.1f}{line}" stroke="{PALE}"/>')
            place, anchor = ((left, top + 18), "middle") if vertical else ((left - 9, top + 4), "end")
            more = f'font-size="12" fill="{GRAY}" text-anchor="{anchor}"'
            parts.append(_text(*place, tick_label(value, step), more))
    return parts


def _legend(styles: Mapping[str, tuple[str, str]], axes: Axes) -> list[str]:
    """The names of the curves to the right of the plot."""
    left, parts = LEFT + SIDE + 22, []
    for row, (name, (color, dash)) in enumerate(styles.items()):
        top, name = TOP + 10 + 22 * row, " ".join(name.split())
        half = NAME_LENGTH // 2
        short = name if len(name) <= NAME_LENGTH else f"{name[:half]}\u2026{name[-half:]}"
        line = f'stroke="{color}" stroke-width="2.2" stroke-dasharray="{dash}"'
        parts += [f'<path d="M{left} {top}h22" {line}/>', _text(left + 30, top + 4, short)]
    if axes.marked is not None and axes.mark_label:
        top = TOP + 16 + 22 * len(styles)
        parts += [_dot((left + 11, top), 5, GRAY, "none"), _text(left + 30, top + 4, axes.mark_label)]
    return parts


def _dot(place: Point, radius: float, color: str, edge: str) -> str:
    x, y = place
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{color}" stroke="{edge}" stroke-width="1.8"/>'
    )


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(" ".join(words.split()))}</text>'
