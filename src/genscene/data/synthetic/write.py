"""Embedded sets written to a folder: images whose alpha is the mask, cameras, depths, objects."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genscene.data.images.files import require_new_folder
from genscene.data.progress import track_progress
from genscene.data.synthetic import PICTURES, GroundTruth, check_name, synthesize, synthesize_pictures
from genscene.errors import BadInput
from genscene.geometry.cameras import Size
from genscene.geometry.priors import CameraPrior
from genscene.io.atomic import atomic, atomic_folder

TRACED_TOGETHER = 32  # images that are ray-traced at once


def write_set(
    name: str, folder: Path, count: int, size: Size, seed: int, camera: CameraPrior | None = None
) -> None:
    """Write an embedded set: NNNNNN.png with alpha, dataset.json (EG3D's labels), depth.npy, truth.json.

    Rooms have ids.npy, too; sets of pictures only NNNNNN.png. The folder must be new or empty, and remains so
    if this is interrupted; image i is a function of i and the seed alone. camera: their prior in place of the
    set's. Raises BadInput.
    """
    check_name(name)
    require_count(count, size)
    require_new_folder(folder)
    parts = [range(i, min(i + TRACED_TOGETHER, count)) for i in range(0, count, TRACED_TOGETHER)]
    written = []
    with atomic_folder(folder) as partial:
        if name in PICTURES:
            for part in track_progress(parts, f"synthesizing {name}"):
                for index, image in zip(
                    part, synthesize_pictures(name, part, size, seed).numpy(), strict=True
                ):
                    save_png(partial / file_name(index), image)
            return
        for part in track_progress(parts, f"ray-tracing {name}"):
            written.append(_write_images(partial, part, synthesize(name, part, size, seed, camera)))
        _write_truth(partial, written)


def require_count(count: int, size: Size) -> None:
    """Raise BadInput for no images, more than anybody stores, or too large ones."""
    if not 1 <= count <= 10_000_000 or max(size) > 2048:
        raise BadInput(
            f"{count} images of {size[0]}x{size[1]}: wanted 1 or more, of at most 2048 pixels a side"
        )


def file_name(index: int) -> str:
    """The name of an image's file: 42 -> 000042.png."""
    return f"{index:06d}.png"


@dataclass(frozen=True)
class Written:
    """What is known of some images whose files are written."""

    labels: list[list[float]]  # of cameras, EG3D's
    rows: list[dict[str, object]]  # of truth.json
    depth: Tensor  # [B, H, W], distances from the eye in world units, 0 where nothing is hit
    ids: Tensor | None  # [B, H, W], uint8, of the objects on a ground; 0: none


def _write_images(folder: Path, indices: range, truth: GroundTruth) -> Written:
    """One PNG with straight alpha for each image."""
    traced, rows = truth.traced, list[dict[str, object]]()
    pixels = (torch.cat([traced.color, traced.alpha], dim=1) * 255).round().byte().movedim(1, -1).numpy()
    for i, index in enumerate(indices):
        save_png(folder / file_name(index), pixels[i])
        row = {"file": file_name(index), "yaw": float(truth.yaw[i]), "pitch": float(truth.pitch[i])}
        rows.append(row if truth.objects is None else {**row, "objects": truth.objects.rows(i)})
    ids = None if traced.masks is None else traced.ids()
    return Written(truth.cameras.label().tolist(), rows, traced.depth[:, 0].clone(), ids)


def save_png(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 [H, W, 3 or 4]."""
    with atomic(path) as partial:
        Image.fromarray(pixels).save(partial, format="PNG")


def _write_truth(folder: Path, written: list[Written]) -> None:
    """Cameras as EG3D's labels, angles and objects, distances, ids."""
    labels = [label for part in written for label in part.labels]
    rows = [row for part in written for row in part.rows]
    arrays = {"depth": [part.depth for part in written], "ids": [p.ids for p in written if p.ids is not None]}
    for name, each in arrays.items():
        if each:
            with atomic(folder / f"{name}.npy") as partial:
                np.save(partial, torch.cat(each).numpy())
    with atomic(folder / "truth.json") as partial:
        partial.write_text(json.dumps(rows))
    with atomic(folder / "dataset.json") as partial:
        partial.write_text(json.dumps({"labels": [[file_name(i), row] for i, row in enumerate(labels)]}))
