"""Rendering styles along views: sheets of pictures, frames of videos."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from genscene.apps.interpolate import style_count, take_styles
from genscene.contract import Generator, RenderOptions
from genscene.export.pictures import Show, depth_range, tile, to_picture
from genscene.geometry.cameras import Camera, Grid


@torch.no_grad()
def render_pictures(
    generator: Generator, w: Any, views: Camera | Grid, show: Show, options: RenderOptions
) -> Tensor:
    """B styles from B views -> pictures [B, 3, H, W] in [0, 1], on the CPU."""
    device = next(generator.parameters()).device
    rendering = generator.render(generator.bind(w), views.to(device), options)
    return to_picture(rendering, show, depth_range(generator)).clamp(0, 1).cpu()


def render_rows(
    generator: Generator, w: Any, views: Camera | Grid, show: Show, options: RenderOptions
) -> Iterator[Tensor]:
    """Each of S styles from all V views -> S rows of pictures [V, 3, H, W]."""
    for s in range(style_count(w)):
        one = take_styles(w, slice(s, s + 1))
        columns = range(len(views))
        yield torch.cat([render_pictures(generator, one, views[i : i + 1], show, options) for i in columns])


def render_frames(
    generator: Generator,
    w: Any,
    views: Camera | Grid,
    show: Show,
    options: RenderOptions,
    interpolated: bool = False,
) -> Iterator[Tensor]:
    """One frame [3, H, W] a view: all styles side by side; interpolated: style i at view i alone."""
    for i in range(len(views)):
        view = views[i : i + 1]
        if interpolated:
            yield render_pictures(generator, take_styles(w, slice(i, i + 1)), view, show, options)[0]
        else:
            styles = [take_styles(w, slice(s, s + 1)) for s in range(style_count(w))]
            yield tile(
                arrange(torch.cat([render_pictures(generator, s, view, show, options) for s in styles]))
            )


def arrange(pictures: Tensor) -> Tensor:
    """S pictures [S, 3, H, W] in rows and columns of about equal number -> [R, C, 3, H, W], padded with white."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = -(-len(pictures) // columns)
    missing = torch.ones(rows * columns - len(pictures), *pictures.shape[1:])
    return torch.cat([pictures, missing]).unflatten(0, (rows, columns))
