"""Figures of several pictures: rows and columns with names, a title, and the scale of colors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import interpolate

from genscene.export.pictures import to_bytes
from genscene.io.atomic import atomic

INK, GRAY = "#1c2026", "#5c626c"
GAP, TEXT = 8, 16  # pixels between panels, and height of letters
PANEL, ACROSS = 256, 1600  # pixels: side of a panel of small pictures, at most; of all panels of a row
# black, blue, red, yellow, white in equal steps of brightness: readable in gray, too
COLORS = torch.tensor(
    [
        [0.0, 0.0, 0.02],
        [0.23, 0.06, 0.44],
        [0.55, 0.16, 0.5],
        [0.87, 0.32, 0.38],
        [0.99, 0.65, 0.43],
        [1, 1, 0.8],
    ]
)


@dataclass(frozen=True)
class Figure:
    """Pictures side by side, and what is written beside them."""

    title: str
    note: str  # below the title
    pictures: Tensor  # [rows, columns, 3, H, W], 0 to 1
    rows: Sequence[str] = ()  # names; none: not written
    columns: Sequence[str] = ()
    scale: tuple[float, float] | None = None  # what the first and last of the colors stand for
    unit: str = ""  # of these


def save_figure(path: str | Path, figure: Figure) -> None:
    """Write a figure as PNG; small pictures are enlarged as squares, large ones are reduced."""
    pictures = fit(figure.pictures)
    (rows, columns), (height, width) = pictures.shape[:2], pictures.shape[-2:]
    font, small = ImageFont.load_default(TEXT), ImageFont.load_default(TEXT - 3)
    text = max(font.getlength(figure.title), small.getlength(figure.note))
    left = GAP + int(max((font.getlength(name) + GAP for name in figure.rows), default=0))
    top = 3 * GAP + 2 * TEXT + (TEXT + GAP if figure.columns else 0)
    right = left + columns * (width + GAP)
    bar = 90 if figure.scale else 0
    size = max(right + bar, int(text) + 2 * GAP), top + rows * (height + GAP)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, GAP), figure.title, fill=INK, font=font)
    draw.text((GAP, 2 * GAP + TEXT), figure.note, fill=GRAY, font=small)
    for j, name in enumerate(figure.columns):
        draw.text((left + j * (width + GAP), top - GAP // 2), name, fill=INK, font=small, anchor="ls")
    for i, name in enumerate(figure.rows):
        draw.text((GAP, top + i * (height + GAP) + height // 2), name, fill=INK, font=font, anchor="lm")
    for i in range(rows):
        for j in range(columns):
            place = (left + j * (width + GAP), top + i * (height + GAP))
            canvas.paste(Image.fromarray(to_bytes(pictures[i, j]).numpy()), place)
    if figure.scale:
        steps = color(torch.linspace(1, 0, height)[:, None].expand(-1, 16))
        canvas.paste(Image.fromarray(to_bytes(steps).numpy()), (right, top))
        for value, y, anchor in ((figure.scale[1], top, "la"), (figure.scale[0], top + height, "ld")):
            number = f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
            draw.text((right + 22, y), f"{number} {figure.unit}", fill=INK, font=small, anchor=anchor)
    with atomic(path) as partial:
        canvas.save(partial, format="PNG", optimize=True)


def fit(pictures: Tensor) -> Tensor:
    """[R, C, 3, H, W] -> enlarged a whole number of times, or reduced, to be seen in a row."""
    columns, (height, width) = pictures.shape[1], pictures.shape[-2:]
    factor = min(PANEL // max(height, width), ACROSS // (columns * width))
    if factor >= 1:
        return pictures.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    least = max(1, min(ACROSS // columns, width))
    size = [max(1, round(height * least / width)), least]
    return interpolate(pictures.flatten(0, 1), size, mode="area").unflatten(0, pictures.shape[:2])


def color(values: Tensor) -> Tensor:
    """Values [..., H, W], clamped to 0 to 1 -> colors [..., 3, H, W] from black to white."""
    place = values.clamp(0, 1).float() * (len(COLORS) - 1)
    below = place.floor().long().clamp(max=len(COLORS) - 2)
    return torch.lerp(COLORS[below], COLORS[below + 1], (place - below)[..., None]).movedim(-1, -3)
