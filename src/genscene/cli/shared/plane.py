"""Options of scenes that are pictures: the window that is rendered, and what is beyond the frame."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.geometry.priors import CameraPrior
from genscene.layers.coordinates import Outside

FARTHEST = 1000.0  # image sides of a window from the frame: float32 still tells its pixels apart
WANTED = "wanted left,top,right,bottom in image sides, like 0,0,1,1 for the whole"


def parse_numbers(text: str) -> list[float]:
    """Numbers between commas; an empty list where one of them is not finite, or no number."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        return []
    return found if all(map(math.isfinite, found)) else []


def parse_window(text: str) -> Tensor:
    """Left,top,right,bottom in image sides -> the window (scale, x, y, aspect) [1, 4]; or BadInput."""
    numbers = parse_numbers(text)
    if len(numbers) != 4:
        raise BadInput(f"--window {text!r}: {WANTED}")
    if max(map(abs, numbers)) > FARTHEST:
        raise BadInput(f"--window {text!r}: wanted numbers from {-FARTHEST:g} to {FARTHEST:g}")
    left, top, right, bottom = numbers
    width, height = right - left, bottom - top
    if min(width, height) <= 0:
        raise BadInput(f"--window {text!r} is empty: {WANTED}")
    return torch.tensor([[height, left, top, width / height]])


def require_plane(generator: Generator, option: str, source: Path) -> None:
    """Raise BadInput, naming the option, where the scenes of a file are seen by cameras."""
    if isinstance(generator.prior, CameraPrior):
        raise BadInput(
            f"{option}: the scenes of {source} are seen by cameras, wanted those that are pictures"
        )


def set_outside(generator: Generator, outside: Outside, source: Path) -> None:
    """Set what the embeddings of a generator are beyond the frame; BadInput where they cannot be that."""
    canvas: Any = generator
    config = getattr(canvas, "config", None)
    if not hasattr(config, "outside"):
        raise BadInput(f"--outside {outside}: the scenes of {source} have no embeddings, wanted none")
    canvas.config = replace(cast(Any, config), outside=outside)
    try:
        canvas.config.check()
    except BadInput as error:
        raise BadInput(f"--{error} ({source})") from None
