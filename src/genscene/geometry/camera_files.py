"""Cameras in files: EG3D's dataset.json, our camera paths, nerfstudio's camera paths."""

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

ROUNDED = 0.01  # how far the rotation of a file may be from one: it may be typed by hand
OPENGL = (
    1.0,
    -1.0,
    -1.0,
    1.0,
)  # right, up, back -> right, down, forward: negate the pose's second and third column


def read_cameras(path: str | Path, size: Size) -> Camera:
    """All cameras of a JSON file of `write_cameras`, nerfstudio or EG3D, for pictures of this size.

    Their shorter side has the field of view of the file. Raises BadInput where the file holds no such
    cameras.
    """
    return load_cameras(path).reframed(size)


def load_cameras(path: str | Path) -> Camera:
    """All cameras of such a file, for square pictures; a file is read and checked once, until it changes."""
    found = Path(path)
    try:
        stamp = found.stat().st_mtime_ns
    except OSError as error:
        raise BadInput(f"no camera file at {found} ({error.strerror})") from None
    return _loaded(str(found), stamp)


def read_labels(content: bytes, path: str, size: Size) -> dict[str, Camera]:
    """Name of the picture -> its camera, as EG3D's dataset.json holds them, in float64; empty without
    labels.
    """
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
    """Cameras as JSON that `read_cameras` reads: poses in OpenCV axes and lenses, evenly over so many
    seconds.

    fov: degrees across the shorter side, at the horizontal focal length; pixel_aspect: the vertical focal
    length over the horizontal one; shift: where the optical axis meets the picture, right of and below its
    middle, in shorter sides. to_files [4, 4]: from their world to that of the file; None: they are the same.
    """
    cameras = replace(
        cameras.to("cpu"), pose=cameras.pose.double().cpu()
    )  # far from a file's origin, 32 bits are few
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
def _loaded(path: str, stamp: int) -> Camera:
    """The cameras of a file at a modification time."""
    try:
        poses, intrinsics = _parsed(path)
    except (OverflowError, RecursionError) as error:
        raise BadInput(
            f"{path}: wanted a list of cameras, got numbers too large or lists too deep ({error})"
        ) from None
    return _sound(Camera(poses, intrinsics, (1, 1)), path)


def _parsed(path: str) -> tuple[Tensor, Tensor]:
    """Poses [B, 4, 4], intrinsics [B, 3, 3] of a square picture."""
    content = Path(path).read_bytes()
    document = _document(content, path)
    if isinstance(document, dict) and "labels" in document:
        cameras = list(read_labels(content, path, (1, 1)).values())
        if not cameras:
            raise BadInput(f"{path}: the labels hold no cameras")
        return torch.cat([c.pose for c in cameras]).float(), torch.cat(
            [c.intrinsics for c in cameras]
        ).float()
    opengl = isinstance(document, dict) and "camera_path" in document
    frames = document
    if isinstance(document, dict):
        frames = document.get("camera_path", document.get("frames"))
    if not isinstance(frames, list) or not frames:
        raise BadInput(f"{path}: wanted a list of cameras ('frames', 'camera_path' or 'labels'), found none")
    poses = torch.stack(
        [matrix(f, "camera_to_world", f"{path}: camera {i}") for i, f in enumerate(frames)]
    ).float()
    lens = pinhole(torch.tensor([_fov(path, i, frame) for i, frame in enumerate(frames)]), (1, 1))
    told = torch.stack([_lens(frame, f"{path}: camera {i}") for i, frame in enumerate(frames)])
    lens[:, 1, 1] *= told[:, 0]
    lens[:, :2, 2] += told[:, 1:]
    return poses * torch.tensor(OPENGL) if opengl else poses, lens


def _document(content: bytes, path: str) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise BadInput(f"{path} is not JSON ({error})") from None


def matrix(frame: Any, key: str, where: str) -> Tensor:
    """The 4 x 4 numbers under a key of a JSON object, float64; BadInput, naming where, if there are none."""
    try:
        pose = torch.tensor(frame[key], dtype=torch.float64).reshape(4, 4)
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise BadInput(f"{where} has no {key!r} of 4x4 numbers") from None
    except OverflowError:
        raise BadInput(f"{where}: its {key!r} is not finite") from None
    if not pose.isfinite().all():
        raise BadInput(f"{where}: its {key!r} is not finite")
    return pose


def _fov(path: str, index: int, frame: Any) -> float:
    fov = frame.get("fov")
    if not isinstance(fov, int | float) or not math.isfinite(fov) or not 0 < fov < 180:
        raise BadInput(f"{path}: camera {index} has fov {fov!r}, wanted degrees between 0 and 180")
    return float(fov)


def _lens(frame: dict[str, Any], where: str) -> Tensor:
    """What a camera says of its lens beside its fov -> [3], pixel_aspect and shift."""
    aspect, shift = frame.get("pixel_aspect", 1.0), frame.get("shift", [0.0, 0.0])
    try:
        lens = torch.tensor([aspect, *shift], dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        lens = torch.empty(0)
    if lens.shape != (3,) or not lens.isfinite().all() or lens[0] <= 0:
        raise BadInput(
            f"{where} has pixel_aspect {aspect!r}, shift {shift!r}, wanted one above 0, and two numbers"
        )
    return lens


def _sound(cameras: Camera, path: str | Path) -> Camera:
    """The same cameras; BadInput, naming the first, where one is no turned and shifted pinhole."""
    pose, lens = cameras.pose.double(), cameras.intrinsics.double()
    turn, last = pose[:, :3, :3], torch.tensor([0.0, 0.0, 0.0, 1.0]).to(pose)
    skewed = (turn.mT @ turn - torch.eye(3).to(turn)).abs().amax(dim=(1, 2)) > ROUNDED
    broken = skewed | (torch.linalg.det(turn) < 0) | ((pose[:, 3] - last).abs().amax(dim=1) > ROUNDED)
    if broken.any():
        i = int(broken.byte().argmax())
        wanted = "wanted a rotation (of length 1, not mirrored) and a place, with 0 0 0 1 below"
        raise BadInput(f"{path}: camera {i}: its pose is {_row(turn[i])} over {_row(pose[i, 3])}; {wanted}")
    blind = (lens[:, [0, 1], [0, 1]] <= 0).any(dim=1) | ((lens[:, 2] - last[1:]).abs().amax(dim=1) > ROUNDED)
    if blind.any():
        i = int(blind.byte().argmax())
        raise BadInput(
            f"{path}: camera {i}: its lens is {_row(lens[i])}; wanted focal lengths above 0, 0 0 1 below"
        )
    return cameras


def _row(numbers: Tensor) -> str:
    """Numbers in a line of words."""
    return " ".join(f"{x:.4g}" for x in numbers.flatten().tolist())
