"""Cameras read from and written to JSON: camera paths, nerfstudio's camera paths, EG3D's dataset.json."""

import json
import math
import reprlib
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Size, pinhole, transform_cameras
from genscene.io.atomic import atomic
from genscene.io.files import MIB
from genscene.io.json_file import parse_json, read_json

MAX_LABELS = 96 * MIB  # of dataset.json: that of FFHQ has 70
MAX_DISTANCE = 1e12  # of a position: beyond, single precision loses the scene
TOLERANCE = 0.01  # of rotations and last rows, which may have been typed by hand
OPENGL = (1.0, -1.0, -1.0, 1.0)  # factors of a pose's columns: right, up, backward -> right, down, forward


def read_cameras(path: str | Path, size: Size) -> Camera:
    """All cameras of a JSON file written by `write_cameras`, nerfstudio or EG3D, for images of this size.

    The file's fields of view are those of the shorter side. Raises BadInput where it holds no such cameras.
    """
    return load_cameras(path).reframed(size)


def load_cameras(path: str | Path) -> Camera:
    """All cameras of such a file for square images; a file is read and checked once, until it changes."""
    file = Path(path)
    try:
        modified = file.stat().st_mtime_ns
    except OSError as error:
        raise BadInput(f"no camera file at {file} ({error.strerror})") from None
    return _load(str(file), modified)


def read_labels(content: bytes, path: str, size: Size) -> dict[str, Camera]:
    """The content of EG3D's dataset.json -> cameras by image name, in float64; empty where it has none."""
    return _labels(parse_json(content, path, MAX_LABELS), path, size)


def _labels(document: Any, path: str, size: Size) -> dict[str, Camera]:
    labels = document.get("labels") if isinstance(document, dict) else None
    if labels is None:
        return {}
    pairs = isinstance(labels, list) and all(isinstance(label, list) and len(label) == 2 for label in labels)
    if not pairs or not all(isinstance(name, str) for name, _ in labels):
        raise BadInput(f"{path}: labels are {_show(labels)}, wanted pairs [name, 25 numbers]")
    if labels and isinstance(labels[0][1], int):
        return {}  # class ids, not cameras
    rows = {name: parse_numbers(row, 25, f"{path}: the label of {name[:80]!r}") for name, row in labels}
    return {name: Camera.from_label(row[None], size) for name, row in rows.items()}


def write_cameras(
    path: str | Path, cameras: Camera, seconds: float = 0.0, to_files: Tensor | None = None
) -> None:
    """Write cameras as JSON for `read_cameras`: poses with OpenCV axes, intrinsics, evenly spaced times.

    fov: degrees across the shorter side at the horizontal focal length; pixel_aspect: the vertical focal
    length over the horizontal one; shift: the principal point right of and below the image center, in shorter
    sides. to_files [4, 4]: the transform from the cameras' world to that of the file; None: they are the
    same.
    """
    cameras = replace(
        cameras.to("cpu"), pose=cameras.pose.double().cpu()
    )  # positions may be far from the origin
    square = cameras.reframed((1, 1)).intrinsics.double()
    across, down = square[:, 0, 0], square[:, 1, 1]
    columns = {
        "camera_to_world": (
            cameras if to_files is None else transform_cameras(cameras, to_files)
        ).pose.tolist(),
        "fov": torch.rad2deg(2 * torch.atan(0.5 / across)).tolist(),
        "pixel_aspect": (down / across).tolist(),
        "shift": (square[:, :2, 2] - 0.5).tolist(),
        "time": [round(seconds * i / max(1, len(cameras)), 6) for i in range(len(cameras))],
    }
    frames = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    with atomic(path) as partial:
        partial.write_text(json.dumps({"axes": "opencv", "frames": frames}, indent=1) + "\n")


@lru_cache(maxsize=4)
def _load(path: str, modified: int) -> Camera:
    """The cameras of a file at a time of modification."""
    poses, intrinsics = _parse(path)
    return check_cameras(Camera(poses, intrinsics, (1, 1)), path)


def _parse(path: str) -> tuple[Tensor, Tensor]:
    """Poses [B, 4, 4], intrinsics [B, 3, 3] of a square image."""
    document = read_json(path, "list of cameras", MAX_LABELS)
    if isinstance(document, dict) and "labels" in document:
        cameras = list(_labels(document, path, (1, 1)).values())
        if not cameras:
            raise BadInput(f"{path}: the labels hold no cameras")
        pose, intrinsics = torch.cat([c.pose for c in cameras]), torch.cat([c.intrinsics for c in cameras])
        return pose.float(), intrinsics.float()
    opengl = isinstance(document, dict) and "camera_path" in document
    frames = document
    if isinstance(document, dict):
        frames = document.get("camera_path", document.get("frames"))
    if not isinstance(frames, list) or not frames:
        raise BadInput(f"{path}: wanted a list of cameras ('frames', 'camera_path' or 'labels'), found none")
    where = [f"{path}: camera {i}" for i in range(len(frames))]
    poses = torch.stack(
        [matrix(f, "camera_to_world", name) for f, name in zip(frames, where, strict=True)]
    ).float()
    fov = torch.tensor([_fov(*row) for row in zip(frames, where, strict=True)])
    intrinsics = pinhole(fov, (1, 1))
    aspect_and_shift = torch.stack([_aspect_and_shift(*row) for row in zip(frames, where, strict=True)])
    intrinsics[:, 1, 1] *= aspect_and_shift[:, 0]
    intrinsics[:, :2, 2] += aspect_and_shift[:, 1:]
    return poses * torch.tensor(OPENGL) if opengl else poses, intrinsics


def matrix(frame: Any, key: str, where: str) -> Tensor:
    """The 4 x 4 numbers under a key of a JSON object -> [4, 4], float64; errors begin with `where`."""
    if not isinstance(frame, dict) or key not in frame:
        raise BadInput(f"{where} has no {key!r} of 4x4 numbers")
    rows = frame[key]
    if isinstance(rows, list) and len(rows) == 4 and all(isinstance(row, list) for row in rows):
        rows = [number for row in rows for number in row]
    return parse_numbers(rows, 16, f"{where}: its {key!r}", "4x4 numbers").view(4, 4)


def parse_numbers(value: Any, count: int, what: str, wanted: str = "") -> Tensor:
    """A list of `count` finite numbers -> [count], float64; BadInput, beginning with `what`, for all else."""
    wanted = wanted or f"{count} numbers"
    numbers = isinstance(value, list) and all(type(x) in (int, float) for x in value)
    if not numbers or len(value) != count:
        length = f" ({len(value)} long)" if isinstance(value, list) else ""
        raise BadInput(f"{what} is {_show(value)}{length}, wanted {wanted}")
    found = [float(x) if abs(x) <= sys.float_info.max else math.inf for x in value]
    if not all(map(math.isfinite, found)):
        raise BadInput(f"{what} is not finite: {_show(value)}, wanted {wanted}")
    return torch.tensor(found, dtype=torch.float64)


def _show(value: Any) -> str:
    """A value of JSON, abbreviated."""
    return reprlib.repr(value)[:120]


def _fov(frame: Any, where: str) -> float:
    """The field of view of a camera in degrees."""
    fov = frame.get("fov")
    if type(fov) not in (int, float) or not 0 < fov < 180:
        raise BadInput(f"{where} has fov {_show(fov)}, wanted degrees between 0 and 180")
    return float(fov)


def _aspect_and_shift(frame: dict[str, Any], where: str) -> Tensor:
    """The pixel_aspect and shift of a camera -> [3]."""
    aspect = parse_numbers([frame.get("pixel_aspect", 1.0)], 1, f"{where}: pixel_aspect", "a number above 0")
    shift = parse_numbers(frame.get("shift", [0.0, 0.0]), 2, f"{where}: shift")
    if aspect <= 0 or not aspect.float().isfinite() or not shift.float().isfinite().all():
        got = f"pixel_aspect {float(aspect):g}, shift {shift.tolist()}"
        raise BadInput(f"{where} has {got}, wanted one above 0, and two numbers")
    return torch.cat([aspect, shift]).float()


def check_cameras(cameras: Camera, path: str | Path) -> Camera:
    """The same cameras; BadInput, naming the first, for poses that are not rigid and wrong intrinsics."""
    pose, intrinsics = cameras.pose.double(), cameras.intrinsics.double()
    rotation, last = pose[:, :3, :3], torch.tensor([0.0, 0.0, 0.0, 1.0]).to(pose)
    skewed = (rotation.mT @ rotation - torch.eye(3).to(rotation)).abs().amax(dim=(1, 2)) > TOLERANCE
    mirrored = torch.linalg.det(rotation) < 0
    wrong = skewed | mirrored | ((pose[:, 3] - last).abs().amax(dim=1) > TOLERANCE)
    if wrong.any():
        i = int(wrong.byte().argmax())
        got = f"its pose is {_format(rotation[i])} over {_format(pose[i, 3])}"
        raise BadInput(
            f"{path}: camera {i}: {got}; wanted a rotation (of length 1, not mirrored) and a position,"
            " with 0 0 0 1 below"
        )
    if not (far := pose[:, :3, 3].abs().amax(dim=1)).max() < MAX_DISTANCE:
        i = int(far.argmax())
        got = f"its position is {far[i]:.3g} away"
        raise BadInput(f"{path}: camera {i}: {got}, wanted below {MAX_DISTANCE:g}")
    focal, bottom = intrinsics[:, [0, 1], [0, 1]], intrinsics[:, 2]
    wrong = (focal <= 0).any(dim=1) | ((bottom - last[1:]).abs().amax(dim=1) > TOLERANCE)
    if wrong.any():
        i = int(wrong.byte().argmax())
        got = f"its intrinsics are {_format(intrinsics[i])}"
        raise BadInput(f"{path}: camera {i}: {got}; wanted focal lengths above 0, 0 0 1 below")
    return cameras


def _format(numbers: Tensor) -> str:
    """Numbers in one line."""
    return " ".join(f"{x:.4g}" for x in numbers.flatten().tolist())
