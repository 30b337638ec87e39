"""Cameras in files: EG3D's dataset.json, our camera paths, nerfstudio's camera paths."""

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from genscene.errors import BadInput
from genscene.views import Camera, Size, pinhole

OPENGL = (1.0, -1.0, -1.0, 1.0)  # right, up, back -> right, down, forward: negate the pose's second and third column


def read_cameras(path: str | Path, size: Size) -> Camera:
    """All cameras of a JSON file, of whichever known kind, for pictures of this size.

    Raises BadInput where the file is none of them or holds no camera.
    """
    found = Path(path)
    try:
        stamp = found.stat().st_mtime_ns
    except OSError as error:
        raise BadInput(f"no camera file at {found} ({error.strerror})") from None
    poses, lens = _parsed(str(found), stamp)
    if lens.ndim == 1:
        return Camera(poses, pinhole(lens, size), size)
    return Camera(poses, lens, size)


def read_labels(content: bytes, path: str, size: Size) -> dict[str, Camera]:
    """Name of the picture -> its camera, as EG3D's dataset.json holds them, in float64; empty without labels."""
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


def write_path(path: str | Path, cameras: Camera, seconds: float = 0.0) -> None:
    """A camera path as JSON: camera-to-world in OpenCV axes, field of view in degrees, time in seconds."""
    count = len(cameras)
    focal = cameras.intrinsics[:, [0, 1], [0, 1]].max(dim=1).values
    fovs = torch.rad2deg(2 * torch.atan(0.5 / focal))  # across the shorter side, whose focal length is the larger
    frames = [
        {
            "camera_to_world": pose.tolist(),
            "fov": round(float(fov), 6),
            "time": round(seconds * i / max(1, count), 6),
        }
        for i, (pose, fov) in enumerate(zip(cameras.pose, fovs, strict=True))
    ]
    Path(path).write_text(json.dumps({"axes": "opencv", "frames": frames}, indent=1) + "\n")


@lru_cache(maxsize=4)
def _parsed(path: str, stamp: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Poses [B, 4, 4], and fields of view [B] in degrees or intrinsics [B, 3, 3]; stamp renews the cache."""
    content = Path(path).read_bytes()
    document = _document(content, path)
    if isinstance(document, dict) and "labels" in document:
        cameras = list(read_labels(content, path, (1, 1)).values())
        if not cameras:
            raise BadInput(f"{path}: the labels hold no cameras")
        return torch.cat([c.pose for c in cameras]).float(), torch.cat([c.intrinsics for c in cameras]).float()
    opengl = isinstance(document, dict) and "camera_path" in document
    frames = document
    if isinstance(document, dict):
        frames = document.get("camera_path", document.get("frames"))
    if not isinstance(frames, list) or not frames:
        raise BadInput(f"{path}: wanted a list of cameras ('frames', 'camera_path' or 'labels'), found none")
    poses = torch.stack([matrix(f, "camera_to_world", f"{path}: camera {i}") for i, f in enumerate(frames)]).float()
    fovs = torch.tensor([_fov(path, i, frame) for i, frame in enumerate(frames)])
    return poses * torch.tensor(OPENGL) if opengl else poses, fovs


def _document(content: bytes, path: str) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise BadInput(f"{path} is not JSON ({error})") from None


def matrix(frame: Any, key: str, where: str) -> torch.Tensor:
    """The 4 x 4 numbers under a key of a JSON object, float64; BadInput, naming where, if there are none."""
    try:
        pose = torch.tensor(frame[key], dtype=torch.float64).reshape(4, 4)
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise BadInput(f"{where} has no {key!r} of 4x4 numbers") from None
    if not pose.isfinite().all():
        raise BadInput(f"{where}: its {key!r} is not finite")
    return pose


def _fov(path: str, index: int, frame: Any) -> float:
    fov = frame.get("fov")
    if not isinstance(fov, int | float) or not math.isfinite(fov) or not 0 < fov < 180:
        raise BadInput(f"{path}: camera {index} has fov {fov!r}, wanted degrees between 0 and 180")
    return float(fov)
