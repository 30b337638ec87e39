"""Embedded sets written to a folder: images whose alpha is the mask, cameras, depths."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from genscene.data.images.files import require_new_folder
from genscene.data.progress import track_progress
from genscene.data.synthetic import GroundTruth, synthesize, synthetic_set
from genscene.errors import BadInput
from genscene.geometry.cameras import Size
from genscene.io.atomic import atomic, atomic_folder

TRACED_TOGETHER = 32  # images that are ray-traced at once


def write_set(name: str, folder: Path, count: int, size: Size, seed: int) -> None:
    """Write an embedded set: NNNNNN.png with alpha, dataset.json (EG3D's labels), depth.npy, truth.json.

    The folder must be new or empty, and remains so if this is interrupted; image i is a function of i and the
    seed alone. Raises BadInput.
    """
    synthetic_set(name)
    if not 1 <= count <= 10_000_000 or max(size) > 2048:
        raise BadInput(
            f"{count} images of {size[0]}x{size[1]}: wanted 1 or more, of at most 2048 pixels a side"
        )
    require_new_folder(folder)
    parts = [range(i, min(i + TRACED_TOGETHER, count)) for i in range(0, count, TRACED_TOGETHER)]
    truths = []
    with atomic_folder(folder) as partial:
        for part in track_progress(parts, f"ray-tracing {name}"):
            truths.append(synthesize(name, part, size, seed))
            _write_images(partial, part, truths[-1])
        _write_truth(partial, truths)


def file_name(index: int) -> str:
    """The name of an image's file: 42 -> 000042.png."""
    return f"{index:06d}.png"


def _write_images(folder: Path, indices: range, truth: GroundTruth) -> None:
    """One PNG with straight alpha for each image."""
    rgba = torch.cat([truth.traced.color, truth.traced.alpha], dim=1)
    pixels = (rgba * 255).round().byte().movedim(1, -1).numpy()
    for index, image in zip(indices, pixels, strict=True):
        with atomic(folder / file_name(index)) as partial:
            Image.fromarray(image).save(partial, format="PNG")


def _write_truth(folder: Path, truths: list[GroundTruth]) -> None:
    """Cameras as EG3D's labels, angles, and distances from the eye in world units, 0 where nothing is hit."""
    labels = torch.cat([t.cameras.label() for t in truths]).tolist()
    yaw, pitch = torch.cat([t.yaw for t in truths]).tolist(), torch.cat([t.pitch for t in truths]).tolist()
    depth = torch.cat([t.traced.depth[:, 0] for t in truths]).numpy().astype(np.float32)
    pairs = enumerate(zip(yaw, pitch, strict=True))
    angles = [{"file": file_name(i), "yaw": y, "pitch": p} for i, (y, p) in pairs]
    with atomic(folder / "depth.npy") as partial:
        np.save(partial, depth)
    with atomic(folder / "truth.json") as partial:
        partial.write_text(json.dumps(angles))
    with atomic(folder / "dataset.json") as partial:
        partial.write_text(json.dumps({"labels": [[file_name(i), row] for i, row in enumerate(labels)]}))
