"""A set of heads written to a folder: pictures whose alpha is the mask, cameras, landmarks."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genscene.data.images.files import require_new_folder
from genscene.data.progress import track_progress
from genscene.data.synthetic.heads.model import HeadModel, load_model
from genscene.data.synthetic.heads.render import HeadPicture, render_head, sample_camera
from genscene.data.synthetic.heads.surface_colors import SurfaceColors
from genscene.data.synthetic.write import file_name, require_count, save_png
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Size
from genscene.geometry.priors import camera_angles
from genscene.io.atomic import atomic, atomic_folder

LARGEST = 1024  # pixels of a side


def write_heads(assets: Path | None, folder: Path, count: int, size: Size, seed: int) -> None:
    """Write pictures of heads: NNNNNN.png with alpha, dataset.json (EG3D's), truth.json, landmarks.csv.

    assets: the folder of the model. template.csv has the landmarks of its mean head. Picture i is a function
    of i and the seed alone. Raises BadInput; then nothing is written.
    """
    if assets is None:
        raise BadInput("heads: wanted --assets FOLDER, that of ICT-FaceKit's light model (docs/data.md)")
    if size[0] != size[1] or size[0] > LARGEST:
        raise BadInput(f"--size {size[0]}x{size[1]}: wanted a square of at most {LARGEST} pixels a side")
    require_count(count, size)
    require_new_folder(folder)
    surface = SurfaceColors(load_model(assets))
    labels, truth, landmarks = list[list[object]](), list[dict[str, object]](), list[list[object]]()
    with atomic_folder(folder) as partial:
        for index in track_progress(range(count), "rendering heads"):
            camera, name = sample_camera(seed, index, size[0]), file_name(index)
            picture = render_head(surface, camera, seed, index)
            save_png(partial / name, picture.pixels)
            labels.append([name, camera.label()[0].tolist()])
            truth.append(_describe(name, surface.model, picture, camera))
            landmarks.append([name, *picture.landmarks.round(3).ravel().tolist()])
        for file, document in (("dataset.json", {"labels": labels}), ("truth.json", truth)):
            with atomic(partial / file) as path:
                path.write_text(json.dumps(document))
        header = ["name", *(f"{axis}{i}" for i in range(len(surface.model.landmarks)) for axis in "xy")]
        _write_csv(partial / "landmarks.csv", header, landmarks)
        _write_csv(partial / "template.csv", ["x", "y", "z"], surface.model.mean_landmarks.round(6).tolist())


def _describe(name: str, model: HeadModel, picture: HeadPicture, camera: Camera) -> dict[str, object]:
    """The row of truth.json: angles in radians, weights of identity and of the expressions that are there."""
    yaw, pitch = camera_angles(camera, np.pi / 2)
    weights = zip(model.names, picture.look.expression.tolist(), strict=True)
    return {
        "file": name,
        "yaw": float(yaw),
        "pitch": float(pitch),
        "identity": [round(x, 4) for x in picture.look.identity.tolist()],
        "expression": {key: round(weight, 4) for key, weight in weights if weight},
    }


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with atomic(path) as partial, partial.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
