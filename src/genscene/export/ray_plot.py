"""The plot of a ray: the picture with its pixel; density, transmittance, weights over the distance."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from genscene.export.charts import COLORS, DETAIL, GRAY, INK, PALE, padded_span, ticks
from genscene.export.pictures import to_bytes
from genscene.io.atomic import atomic

PICTURE, PLOT, HIGH, ROOM = 400, 640, 150, 44  # pixels: side of the picture, sides of a plot, room above it
LEFT, TOP = 70, 56
Points = Sequence[tuple[float, float]]
Place = Callable[[float, float], tuple[float, float]]  # numbers of a plot -> pixels of the canvas


@dataclass(frozen=True)
class Plot:
    """One plot over the distance: curves as lines, samples as stems."""

    title: str
    curves: Mapping[str, Points]
    stems: Mapping[str, Points]


def save_ray_plot(
    path: str | Path, title: str, picture: Tensor, pixel: tuple[int, int], plots: Sequence[Plot], depth: float
) -> None:
    """Write a picture [3, H, W] in [0, 1] with a cross at a pixel (row, column), beside plots, as PNG.

    depth: a distance that is marked in all plots; 0: none.
    """
    points = [p for plot in plots for each in (*plot.curves.values(), *plot.stems.values()) for p in each]
    span = padded_span([p[0] for p in points])
    size = LEFT + PICTURE + LEFT + PLOT + 40, TOP + len(plots) * (HIGH + ROOM) + 30
    canvas = Image.new("RGB", (DETAIL * size[0], DETAIL * max(size[1], TOP + PICTURE + 40)), "white")
    draw = ImageDraw.Draw(canvas)
    write(draw, LEFT // 2, 26, title, 15)
    paste_picture(canvas, picture, pixel)
    for number, plot in enumerate(plots):
        corner = LEFT // 2 + PICTURE + LEFT + 20, TOP + number * (HIGH + ROOM)
        draw_plot(draw, plot, corner, span, depth, last=number + 1 == len(plots))
    with atomic(path) as partial:
        canvas.save(partial, format="PNG", optimize=True)


def paste_picture(canvas: Image.Image, picture: Tensor, pixel: tuple[int, int]) -> None:
    """Put a picture on the canvas, and a cross around one of its pixels."""
    height, width = picture.shape[-2:]
    scale = DETAIL * PICTURE / max(height, width)
    shown = Image.fromarray(to_bytes(picture).numpy())
    nearest = Image.Resampling.NEAREST
    shown = shown.resize((round(width * scale), round(height * scale)), nearest)
    left, top = DETAIL * LEFT // 2, DETAIL * TOP
    canvas.paste(shown, (left, top))
    draw = ImageDraw.Draw(canvas)
    x, y = left + (pixel[1] + 0.5) * scale, top + (pixel[0] + 0.5) * scale
    inner, outer = max(4 * DETAIL, 0.7 * scale), max(4 * DETAIL, 0.7 * scale) + 12 * DETAIL
    for thick, ink in ((4, "white"), (2, COLORS[1])):
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            ends = [(x + r * dx, y + r * dy) for r in (inner, outer)]
            draw.line(ends, fill=ink, width=thick * DETAIL)


def draw_plot(
    draw: ImageDraw.ImageDraw,
    plot: Plot,
    corner: tuple[int, int],
    x_span: tuple[float, float],
    depth: float,
    last: bool,
) -> None:
    """One plot at the corner, in pixels of the layout; the last one has the numbers of the distances."""
    left, top = corner
    every = [p[1] for each in (*plot.curves.values(), *plot.stems.values()) for p in each]
    high = max([*every, 1e-12]) * 1.05

    def place(x: float, y: float) -> tuple[float, float]:
        across, down = (x - x_span[0]) / (x_span[1] - x_span[0]), 1 - y / high
        return DETAIL * (left + PLOT * across), DETAIL * (top + HIGH * down)

    for value in ticks((0, high), 4):
        _, y = place(0, value)
        draw.line([(DETAIL * left, y), (DETAIL * (left + PLOT), y)], fill=PALE, width=DETAIL)
        write(draw, left - 8, y / DETAIL, f"{value:.4g}", 11, "rm", GRAY)
    for value in ticks(x_span, 9):
        x, _ = place(value, 0)
        draw.line([(x, DETAIL * top), (x, DETAIL * (top + HIGH))], fill=PALE, width=DETAIL)
        if last:
            write(draw, x / DETAIL, top + HIGH + 22, f"{value:.4g}", 11, "mm", GRAY)
    if depth and x_span[0] < depth < x_span[1]:
        for piece in range(0, HIGH, 8):
            x, _ = place(depth, 0)
            ends = [(x, DETAIL * (top + piece)), (x, DETAIL * (top + piece + 4))]
            draw.line(ends, fill=GRAY, width=DETAIL)
    draw_series(draw, plot, place, corner)
    draw.line([place(x_span[0], 0), place(x_span[1], 0)], fill=GRAY, width=DETAIL)
    write(draw, left, top - 10, plot.title, 13)
    if last:
        write(draw, left + PLOT / 2, top + HIGH + 42, "distance from the eye, world units", 13, "ms")


def draw_series(draw: ImageDraw.ImageDraw, plot: Plot, place: Place, corner: tuple[int, int]) -> None:
    """Curves as lines, stems as bars with rows of places below, their names above the right end."""
    for number, points in enumerate(plot.curves.values()):
        draw.line([place(*p) for p in points], fill=COLORS[number], width=2 * DETAIL, joint="curve")
    for number, points in enumerate(plot.stems.values()):
        for x, y in points:
            width = 2 * DETAIL if number else 5 * DETAIL
            draw.line([place(x, 0), place(x, y)], fill=COLORS[number], width=width)
            across, bottom = place(x, 0)
            low = bottom + DETAIL * (2 + 7 * number)
            draw.line([(across, low), (across, low + 5 * DETAIL)], fill=COLORS[number], width=DETAIL)
    names, right = [*plot.curves, *plot.stems], corner[0] + PLOT
    for number, name in reversed(list(enumerate(names if len(names) > 1 else []))):
        write(draw, right, corner[1] - 10, name, 12, "rs", COLORS[number])
        right -= int(ImageFont.load_default(12).getlength(name)) + 16


def write(
    draw: ImageDraw.ImageDraw, x: float, y: float, text: str, size: int, anchor: str = "ls", ink: str = INK
) -> None:
    """Text at a place in pixels of the layout."""
    font = ImageFont.load_default(DETAIL * size)
    draw.text((DETAIL * x, DETAIL * y), text, fill=ink, font=font, anchor=anchor)
