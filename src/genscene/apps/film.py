"""Filming: scenes along a camera path, frame by frame."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.contract import MAX_BYTES, Generator
from genscene.export.pictures import Show, shown, span_of, tile
from genscene.geometry.cameras import Camera


@dataclass(frozen=True)
class Look:
    """What is shown of a scene, and what it may cost."""

    show: Show = "image"
    view_lock: bool = False  # pi-GAN: colours as seen from the front, from wherever one looks
    budget: int = MAX_BYTES  # bytes for intermediate results


@torch.no_grad()
def picture(generator: Generator, w: Tensor, cameras: Camera, look: Look) -> Tensor:
    """Styles w [B, ...] from B cameras -> pictures [B, 3, H, W] in [0, 1], on the CPU."""
    scene = generator.bind(w)
    if look.view_lock:
        scene = generator.lock_view(scene)
    rendering = generator.render(scene, cameras.to(w.device), look.budget)
    return shown(rendering, look.show, span_of(generator)).clamp(0, 1).cpu()


def sheet(generator: Generator, w: Tensor, cameras: Camera, look: Look) -> Iterator[Tensor]:
    """Rows of pictures: each style of w [S, ...] from all C cameras -> S times [C, 3, H, W]."""
    for one in w:
        yield torch.cat(
            [picture(generator, one[None], cameras[i : i + 1], look) for i in range(len(cameras))]
        )


def film(
    generator: Generator, w: Tensor, cameras: Camera, look: Look, moving: bool = False
) -> Iterator[Tensor]:
    """Frames [3, ...]: all styles of w [S, ...] side by side at each camera; moving: style i at camera i alone."""
    for i in range(len(cameras)):
        if moving:
            yield picture(generator, w[i : i + 1], cameras[i : i + 1], look)[0]
        else:
            pictures = torch.cat([picture(generator, one[None], cameras[i : i + 1], look) for one in w])
            yield tile(arranged(pictures))


def arranged(pictures: Tensor) -> Tensor:
    """S pictures [S, 3, H, W] in rows of about equal number -> [R, C, 3, H, W], white where none is left."""
    columns = max(1, round(len(pictures) ** 0.5 + 0.499))
    rows = -(-len(pictures) // columns)
    missing = torch.ones(rows * columns - len(pictures), *pictures.shape[1:])
    return torch.cat([pictures, missing]).unflatten(0, (rows, columns))
