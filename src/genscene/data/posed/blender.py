"""Blender's synthetic scenes as NeRF made them: transforms_train.json and its siblings."""

import json
import math
from pathlib import Path

import torch

from genscene.cameras import matrix
from genscene.data.posed import Posed, from_opengl, in_sides, pinhole_matrix, size_of
from genscene.errors import BadInput


def read(folder: Path, split: str = "train") -> Posed:
    """The cameras and picture files of a split: train, val or test.

    Follows the JSON and never lists the folder, whose test part also holds depths. Raises BadInput, naming file and
    frame, for what is missing or no number.
    """
    path = folder / f"transforms_{split}.json"
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise BadInput(f"no {path.name} in {folder} ({error.strerror})") from None
    except ValueError as error:
        raise BadInput(f"{path} is not JSON ({error})") from None
    frames = document.get("frames")
    angle = document.get("camera_angle_x")
    if not isinstance(angle, int | float) or not 0 < angle < math.pi:
        raise BadInput(f"{path}: camera_angle_x is {angle!r}, wanted radians between 0 and pi")
    if not isinstance(frames, list) or not frames:
        raise BadInput(f"{path} lists no frames")
    paths = [_picture(folder, path, frame) for frame in frames]
    sizes = [size_of(picture) for picture in paths]
    focals = [0.5 * width / math.tan(0.5 * angle) for _, width in sizes]
    matrices = [pinhole_matrix(f, f, w / 2, h / 2) for f, (h, w) in zip(focals, sizes, strict=True)]
    pose = torch.stack([matrix(f, "transform_matrix", f"{path}: frame {i}") for i, f in enumerate(frames)])
    return Posed(
        tuple(paths),
        tuple(sizes),
        from_opengl(pose),
        in_sides(torch.stack(matrices), sizes),
        torch.zeros(len(paths), 4, dtype=torch.float64),
    )


def _picture(folder: Path, path: Path, frame: dict[str, object]) -> Path:
    name = frame.get("file_path")
    if not isinstance(name, str):
        raise BadInput(f"{path}: a frame without file_path")
    picture = folder / name
    for candidate in (picture, picture.with_name(picture.name + ".png")):
        if candidate.is_file():
            return candidate
    raise BadInput(f"{path} names {name}, but there is no such picture in {folder}")
