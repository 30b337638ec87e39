"""Embedded sets as files: pictures whose alpha is the mask, cameras, depths."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track

from genscene.data.synthetic import SETS, Truth, synthesize
from genscene.errors import BadInput, suggest
from genscene.geometry.cameras import Size
from genscene.io.atomic import atomic

LOT = 32  # pictures made at once


def write_set(name: str, folder: Path, count: int, size: Size, seed: int) -> None:
    """Write an embedded set: NNNNNN.png with alpha, dataset.json (EG3D's cameras), depth.npy, truth.json.

    The folder must be new or empty; picture i depends on i and the seed alone. Raises BadInput.
    """
    if name not in SETS:
        raise BadInput(f"no embedded set {name!r}; {suggest(name, SETS)}")
    if not 1 <= count <= 10_000_000 or max(size) > 2048:
        raise BadInput(
            f"{count} pictures of {size[0]}x{size[1]}: wanted 1 or more, of at most 2048 pixels a side"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} is there already and not an empty folder; nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    lots = [range(i, min(i + LOT, count)) for i in range(0, count, LOT)]
    console = Console(stderr=True)
    truths = []
    for lot in track(
        lots, f"ray-tracing {name}", console=console, disable=not sys.stderr.isatty(), transient=True
    ):
        truths.append(synthesize(name, lot, size, seed))
        write_pictures(folder, lot, truths[-1])
    write_truth(folder, truths)


def write_pictures(folder: Path, numbers: range, truth: Truth) -> None:
    """One PNG with straight alpha for each picture."""
    rgba = torch.cat([truth.traced.color, truth.traced.alpha], dim=1)
    pixels = (rgba * 255).round().byte().movedim(1, -1).numpy()
    for number, picture in zip(numbers, pixels, strict=True):
        with atomic(folder / file_name(number)) as partial:
            Image.fromarray(picture).save(partial, format="PNG")


def write_truth(folder: Path, truths: list[Truth]) -> None:
    """Cameras in EG3D's form, angles, and distances from the eye in world units, 0 where nothing is."""
    label = torch.cat([t.camera.label() for t in truths])
    yaw, pitch = torch.cat([t.yaw for t in truths]).tolist(), torch.cat([t.pitch for t in truths]).tolist()
    depth = torch.cat([t.traced.depth[:, 0] for t in truths]).numpy().astype(np.float32)
    rows = [[file_name(i), row.tolist()] for i, row in enumerate(label)]
    pairs = enumerate(zip(yaw, pitch, strict=True))
    angles = [{"file": file_name(i), "yaw": y, "pitch": p} for i, (y, p) in pairs]
    with atomic(folder / "depth.npy") as partial:
        np.save(partial, depth)
    with atomic(folder / "truth.json") as partial:
        partial.write_text(json.dumps(angles))
    with atomic(folder / "dataset.json") as partial:
        partial.write_text(json.dumps({"labels": rows}))


def file_name(number: int) -> str:
    """000042.png"""
    return f"{number:06d}.png"
