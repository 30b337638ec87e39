"""Charts as pictures: curves over two axes, with ticks and a legend."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from genscene.errors import BadInput
from genscene.io.atomic import atomic

Point = tuple[float, float]
Colour = tuple[int, int, int]
Series = Mapping[str, Sequence[Point]]
Span = tuple[float, float]

FINE = 2  # drawn so many times larger, then shrunk
LEFT, RIGHT, TOP, BOTTOM, KEY = 66, 20, 58, 58, 190  # room around the plot, and of the legend within RIGHT
INK, QUIET, PALE = (28, 32, 38), (92, 98, 108), (226, 229, 234)
# told apart by eyes that see no red or no green (Okabe & Ito 2008), dark enough for thin lines on white
COLOURS = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 140, 105),
    (184, 92, 148),
    (160, 120, 0),
    (60, 150, 205),
    (100, 70, 160),
)
DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (7, 4),
    (2, 3),
)  # pixels drawn and left out; a round of colours each
MARK = 5.0  # pixels, radius of a marked point


@dataclass(frozen=True)
class Axes:
    """What a chart says beside its curves, and which part of the plane it shows."""

    title: str
    across: str  # what the axis to the right counts, with its unit
    up: str
    x: Span | None = None  # None: as far as the points reach
    y: Span | None = None
    size: tuple[int, int] = (400, 400)  # pixels of the plot itself
    marked: str = ""  # what marked points are, e.g. k = 3
    against: str = ""  # the curve the others are measured by, drawn in ink
    dots: bool = False  # whether every point is shown, not only the line


@dataclass(frozen=True)
class Frame:
    """Where numbers lie on a drawing."""

    x: Span
    y: Span
    size: tuple[int, int]  # of the plot, in pixels before enlarging
    scale: float  # pixels of the drawing for each of these

    def at(self, point: Point) -> Point:
        """A point -> its place on the drawing."""
        (left, right), (low, high) = self.x, self.y
        across = LEFT + self.size[0] * (point[0] - left) / (right - left)
        down = TOP + self.size[1] * (high - point[1]) / (high - low)
        return across * self.scale, down * self.scale


def curves(path: str | Path, series: Series, axes: Axes, marks: Mapping[str, int] | None = None) -> None:
    """Write a chart of named curves as PNG; marks: which point of a curve is marked."""
    chart = drawn(series, axes, marks)
    with atomic(path) as partial:
        chart.save(partial, format="PNG", optimize=True)


def drawn(
    series: Series, axes: Axes, marks: Mapping[str, int] | None = None, density: float = 2
) -> Image.Image:
    """A chart of named curves, in `density` pixels for each that the layout counts (2: sharp on fine
    screens).
    """
    finite = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in series.items()}
    for name, index in (marks or {}).items():
        if name not in series or not -len(series[name]) <= index < len(series[name]):
            raise BadInput(
                f"chart {axes.title!r}: point {index} of {name!r} is to be marked, wanted one there is"
            )
    every = [point for points in finite.values() for point in points]
    if not every:
        raise BadInput(
            f"chart {axes.title!r} has no points that are numbers, wanted at least one curve of them"
        )
    spans = axes.x or reach([x for x, _ in every]), axes.y or reach([y for _, y in every])
    frame = Frame(*spans, axes.size, FINE * density)
    width, height = LEFT + axes.size[0] + RIGHT + KEY, TOP + axes.size[1] + BOTTOM
    whole = Image.new("RGB", (round(width * frame.scale), round(height * frame.scale)), "white")
    draw = ImageDraw.Draw(whole)
    _ground(draw, frame, axes)
    _curves(whole, frame, axes, series, finite, marks or {})
    _outline(draw, frame)
    _legend(draw, frame, axes, list(series), bool(marks))
    return whole.resize((round(width * density), round(height * density)), Image.Resampling.BOX)


def reach(numbers: Sequence[float]) -> Span:
    """The span of some numbers with a little room on both sides; never empty."""
    low, high = min(numbers), max(numbers)
    room = 0.04 * (high - low) or abs(high) * 0.1 or 1.0
    return low - room, high + room


def ticks(span: Span, most: int = 6) -> list[float]:
    """Round numbers within a span, at most so many and evenly apart by 1, 2, 2.5 or 5 times a power
    of ten.
    """
    width = span[1] - span[0]
    ten = 10.0 ** math.floor(math.log10(width / most))
    step = next(s * ten for s in (1, 2, 2.5, 5, 10, 20) if width / (s * ten) <= most - 1 + 1e-9)
    first, last = math.ceil(span[0] / step - 1e-9), math.floor(span[1] / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def label(number: float, step: float) -> str:
    """A tick as it is written: so many digits as ticks a step apart need."""
    if number and not 1e-4 <= abs(step) < 1e6:
        return f"{number:.3g}"
    digits = next((d for d in range(7) if abs(round(step, d) - step) < 1e-9 * step), 7)
    return f"{number + 0.0:.{digits}f}"


def _looks(names: Sequence[str], axes: Axes) -> dict[str, tuple[Colour, tuple[float, ...]]]:
    """Colour and dashes of every curve, by its place among those that are compared."""
    compared = [name for name in names if name != axes.against]
    places = {name: divmod(place, len(COLOURS)) for place, name in enumerate(compared)}
    looks = {name: (COLOURS[place], DASHES[turn % len(DASHES)]) for name, (turn, place) in places.items()}
    return {name: looks.get(name, (INK, DASHES[0])) for name in names}


def _ground(draw: ImageDraw.ImageDraw, frame: Frame, axes: Axes) -> None:
    """Grid, ticks, and all words around the plot."""
    s, (width, height) = frame.scale, frame.size
    for values, upright in (
        (ticks(frame.x, max(2, width // 56)), True),
        (ticks(frame.y, max(2, height // 48)), False),
    ):
        step = values[1] - values[0] if len(values) > 1 else abs(values[0]) or 1.0
        for value in values:
            x, y = frame.at((value, frame.y[0]) if upright else (frame.x[0], value))
            end = (x, TOP * s) if upright else ((LEFT + width) * s, y)
            draw.line([(x, y), end], fill=PALE, width=round(s))
            place = (x, y + 8 * s) if upright else (x - 9 * s, y)
            draw.text(
                place, label(value, step), fill=QUIET, font=_font(12, s), anchor="mt" if upright else "rm"
            )
    draw.text((LEFT * s, 14 * s), _line_of(axes.title), fill=INK, font=_font(15, s), anchor="lt")
    draw.text(
        ((LEFT + width / 2) * s, (TOP + height + 30) * s),
        axes.across,
        fill=INK,
        font=_font(13, s),
        anchor="mt",
    )
    draw.text((LEFT * s, (TOP - 6) * s), axes.up, fill=INK, font=_font(13, s), anchor="lb")


def _outline(draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    (left, right), (low, high) = frame.x, frame.y
    corners = [frame.at(p) for p in ((left, high), (left, low), (right, low))]
    draw.line(corners, fill=QUIET, width=round(1.2 * frame.scale))


def _curves(
    whole: Image.Image, frame: Frame, axes: Axes, series: Series, finite: Series, marks: Mapping[str, int]
) -> None:
    """All curves, cut off at the edges of the plot; marked points above all of them, and nowhere cut
    in half.
    """
    s, (width, height) = frame.scale, frame.size
    layer, draw = whole.copy(), ImageDraw.Draw(whole)
    pen, looks = ImageDraw.Draw(layer), _looks(list(series), axes)
    for name in sorted(
        finite, key=lambda name: name == axes.against
    ):  # what they are measured by lies on top
        colour, dashes = looks[name]
        places = [frame.at(point) for point in finite[name]]
        _line(pen, places, colour, dashes, s)
        for place in places if axes.dots or len(places) == 1 else ():
            _dot(pen, place, 2.6 * s, colour)
    left, top, right, bottom = (round(e * s) for e in (LEFT, TOP - 1, LEFT + width + 1, TOP + height + 1))
    whole.paste(layer.crop((left, top, right, bottom)), (left, top))
    for name, index in marks.items():
        point = series[name][index]
        if all(map(math.isfinite, point)):
            _dot(draw, frame.at(point), (MARK + 1.8) * s, (255, 255, 255))
            _dot(draw, frame.at(point), MARK * s, looks[name][0])


def _line(
    draw: ImageDraw.ImageDraw, places: list[Point], colour: Colour, dashes: tuple[float, ...], s: float
) -> None:
    """A line through places of a drawing, whole or in dashes that run on around its corners."""
    width = round(2.2 * s)
    if not dashes:
        draw.line(places, fill=colour, width=width, joint="curve")
        return
    period, shown, gone = sum(dashes) * s, dashes[0] * s, 0.0
    for (x, y), (u, v) in pairwise(places):
        far, done = math.hypot(u - x, v - y), 0.0
        while done < far:
            phase = gone % period
            step = min((shown if phase < shown else period) - phase + 1e-6, far - done)
            if phase < shown:
                ends = [(x + (u - x) * d / far, y + (v - y) * d / far) for d in (done, done + step)]
                draw.line(ends, fill=colour, width=width)
            done, gone = done + step, gone + step


def _dot(draw: ImageDraw.ImageDraw, place: Point, radius: float, colour: Colour) -> None:
    x, y = place
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)


def _legend(draw: ImageDraw.ImageDraw, frame: Frame, axes: Axes, names: list[str], marks: bool) -> None:
    """Which curve is whose, to the right of the plot, where it hides none of them."""
    s, left, font = frame.scale, LEFT + frame.size[0] + 22, _font(13, frame.scale)
    for row, (name, (colour, dashes)) in enumerate(_looks(names, axes).items()):
        down = (TOP + 10 + 22 * row) * s
        _line(draw, [(left * s, down), ((left + 22) * s, down)], colour, dashes, s)
        draw.text(
            ((left + 30) * s, down), _short(name, font, (KEY - 36) * s), fill=INK, font=font, anchor="lm"
        )
    if marks and axes.marked:
        down = (TOP + 16 + 22 * len(names)) * s
        _dot(draw, ((left + 11) * s, down), MARK * s, QUIET)
        draw.text(((left + 30) * s, down), axes.marked, fill=QUIET, font=font, anchor="lm")


def _short(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """As much of a name as fits, with dots where some is left out of its middle."""
    name = _line_of(name)
    kept, shown = len(name), name
    while font.getlength(shown) > width and kept > 2:
        kept -= 1
        shown = f"{name[: (kept + 1) // 2]}...{name[len(name) - kept // 2 :]}"
    return shown


def _line_of(words: str) -> str:
    return " ".join(words.split())


def _font(size: float, scale: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * scale)
