"""Plots as pictures: the cameras of a prior."""

import math
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from genscene.geometry.cameras import Camera
from genscene.geometry.priors import CameraPrior, camera_angles
from genscene.io.atomic import atomic
from genscene.randomness import RandomStreams

SIDE, EDGE = 420, 56  # pixels of a panel, and of the room around it
INK, POINT, PALE = (30, 34, 40), (36, 99, 178), (205, 210, 218)


def plot_prior(path: str | Path, prior: CameraPrior, count: int = 2000) -> None:
    """Plot sampled cameras as PNG: yaw and pitch, positions from above and from the front."""
    cameras = prior.sample(RandomStreams(range(count)), (1, 1))
    canvas = Image.new("RGB", (3 * SIDE + 4 * EDGE, SIDE + 2 * EDGE), "white")
    draw = ImageDraw.Draw(canvas)
    _angles(draw, cameras, prior)
    position = cameras.pose[:, :3, 3] / cameras.pose[:, :3, 3].norm(dim=-1).max()
    x, y, z = (column.tolist() for column in position.unbind(-1))
    _disc(draw, 1, list(zip(x, z, strict=True)), "from above: x to the right, z (front) downwards")
    _disc(draw, 2, [(a, -b) for a, b in zip(x, y, strict=True)], "from the front: x to the right, y upwards")
    title = f"{count} cameras, distribution {prior.distribution}, radius {prior.radius:g}"
    title += f", field of view {prior.fov:g} degrees"
    draw.text((EDGE, 12), title, fill=INK, font=_font(15))
    with atomic(path) as partial:
        canvas.save(partial, format="PNG")


def _angles(draw: ImageDraw.ImageDraw, cameras: Camera, prior: CameraPrior) -> None:
    """Yaw to the right over a full turn, pitch downwards from pole to pole, in degrees."""
    yaw, pitch = camera_angles(cameras, prior.yaw[0])
    left = math.degrees(prior.yaw[0]) - 180
    for i in range(5):
        across, down = EDGE + SIDE * i / 4, EDGE + SIDE * i / 4
        draw.line([(across, EDGE), (across, EDGE + SIDE)], fill=PALE)
        draw.line([(EDGE, down), (EDGE + SIDE, down)], fill=PALE)
        draw.text((across - 12, EDGE + SIDE + 6), f"{left + 90 * i:.0f}", fill=INK, font=_font(12))
        draw.text((EDGE - 34, down - 7), f"{45 * i}", fill=INK, font=_font(12))
    draw.text((EDGE, EDGE + SIDE + 24), "yaw and pitch in degrees", fill=INK, font=_font(13))
    shares = (torch.rad2deg(yaw) - left) / 360, torch.rad2deg(pitch) / 180
    for u, v in zip(*(share.tolist() for share in shares), strict=True):
        _dot(draw, EDGE + SIDE * u, EDGE + SIDE * v)


def _disc(draw: ImageDraw.ImageDraw, panel: int, points: list[tuple[float, float]], words: str) -> None:
    """Points of the unit sphere, seen along an axis."""
    left = EDGE + panel * (SIDE + EDGE)
    draw.ellipse([left, EDGE, left + SIDE, EDGE + SIDE], outline=PALE)
    draw.text((left, EDGE + SIDE + 24), words, fill=INK, font=_font(13))
    for u, v in points:
        _dot(draw, left + SIDE * (1 + u) / 2, EDGE + SIDE * (1 + v) / 2)


def _dot(draw: ImageDraw.ImageDraw, x: float, y: float) -> None:
    draw.ellipse([x - 1.5, y - 1.5, x + 1.5, y + 1.5], fill=POINT)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
