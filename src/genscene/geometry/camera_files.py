"""Cameras read from and written to JSON: camera paths, nerfstudio's camera paths, EG3D's dataset.json."""

import json
import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Size, pinhole, transform_cameras
from genscene.io.atomic import atomic

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
    document = _document(content, path)
    labels = document.get("labels") if isinstance(document, dict) else None
    if labels is None:
        return {}
    try:
        rows = [(str(name), torch.tensor([row], dtype=torch.float64)) for name, row in labels]
    except (TypeError, ValueError) as error:
        raise BadInput(f"{path}: labels must be [name, 25 numbers] pairs ({error})") from None
    if rows and rows[0][1].ndim == 1:
        return {}  # class ids, not cameras
    for name, row in rows:
        if row.shape != (1, 25) or not row.isfinite().all():
            raise BadInput(f"{path}: the label of {name} is not 25 finite numbers (got {row.numel()})")
    return {name: Camera.from_label(row, size) for name, row in rows}


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
    try:
        poses, intrinsics = _parse(path)
    except (OverflowError, RecursionError) as error:
        raise BadInput(
            f"{path}: wanted a list of cameras, got numbers too large or lists too deep ({error})"
        ) from None
    return _check_cameras(Camera(poses, intrinsics, (1, 1)), path)


def _parse(path: str) -> tuple[Tensor, Tensor]:
    """Poses [B, 4, 4], intrinsics [B, 3, 3] of a square image."""
    content = Path(path).read_bytes()
    document = _document(content, path)
    if isinstance(document, dict) and "labels" in document:
        cameras = list(read_labels(content, path, (1, 1)).values())
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


def _document(content: bytes, path: str) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise BadInput(f"{path} is not JSON ({error})") from None


def matrix(frame: Any, key: str, where: str) -> Tensor:
    """The 4 x 4 numbers under a key of a JSON object -> [4, 4], float64; errors begin with `where`."""
    try:
        pose = torch.tensor(frame[key], dtype=torch.float64).reshape(4, 4)
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise BadInput(f"{where} has no {key!r} of 4x4 numbers") from None
    except OverflowError:
        raise BadInput(f"{where}: its {key!r} is not finite") from None
    if not pose.isfinite().all():
        raise BadInput(f"{where}: its {key!r} is not finite")
    return pose


def _fov(frame: Any, where: str) -> float:
    """The field of view of a camera in degrees."""
    fov = frame.get("fov")
    if not isinstance(fov, int | float) or not math.isfinite(fov) or not 0 < fov < 180:
        raise BadInput(f"{where} has fov {fov!r}, wanted degrees between 0 and 180")
    return float(fov)


def _aspect_and_shift(frame: dict[str, Any], where: str) -> Tensor:
    """The pixel_aspect and shift of a camera -> [3]."""
    aspect, shift = frame.get("pixel_aspect", 1.0), frame.get("shift", [0.0, 0.0])
    try:
        numbers = torch.tensor([aspect, *shift], dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        numbers = torch.empty(0)
    if numbers.shape != (3,) or not numbers.isfinite().all() or numbers[0] <= 0:
        raise BadInput(
            f"{where} has pixel_aspect {aspect!r}, shift {shift!r}, wanted one above 0, and two numbers"
        )
    return numbers


def _check_cameras(cameras: Camera, path: str | Path) -> Camera:
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
