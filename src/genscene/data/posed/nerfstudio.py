"""transforms.json of nerfstudio and instant-ngp, or its splits: cameras with distortion, and masks."""

import itertools
import math
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genscene.data.posed.checks import abbreviate, format_value, parse_file_name, parse_number
from genscene.data.posed.json_frames import find_image, frame_file, frame_pose, read_document
from genscene.data.posed.posed_files import (
    DistortionModel,
    PosedFiles,
    from_opengl,
    image_size,
    pinhole_matrix,
    require_same_aspect,
)
from genscene.errors import BadInput, suggest
from genscene.geometry.cameras import Size

NAME = "transforms.json"
DISTORTION = ("k1", "k2", "p1", "p2", "k3", "k4")
# Keys that Blender scenes do not have.
INTRINSICS = {
    "fl_x",
    "fl_y",
    "camera_angle_y",
    "cx",
    "cy",
    "w",
    "h",
    "camera_model",
    "is_fisheye",
    "mask_path",
}
PERSPECTIVE = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")
FISHEYE = ("OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")
IndexedFrames = list[tuple[int, dict[str, Any]]]  # frames whose image exists, with their index in the file


def read(folder: Path, split: str = "") -> PosedFiles:
    """The cameras of the photographs that exist, by name; names of the others are in `missing`.

    split: read transforms_SPLIT.json instead of transforms.json. Raises BadInput, naming file and frame, for
    an unusable camera, and where no photograph is left.
    """
    path = folder / (f"transforms_{split}.json" if split else NAME)
    content = read_document(path)
    names = [frame_file(path, i, frame) for i, frame in enumerate(content["frames"])]
    images = [find_image(folder, name) for name in names]
    found = sorted((image, i) for i, image in enumerate(images) if image is not None)
    if not found:
        raise BadInput(
            f"{path} names {len(names)} images, but none is in {folder}; the first: {abbreviate(names[0])}"
        )
    frames = [(i, content["frames"][i]) for _, i in found]
    sizes = [image_size(image) for image, _ in found]
    pose = from_opengl(torch.stack([frame_pose(frame, f"{path}: frame {i}") for i, frame in frames]))
    cameras = [
        _read_camera(ChainMap(frame, content), image, size, f"{path}: frame {i}")
        for (image, _), size, (i, frame) in zip(found, sizes, frames, strict=True)
    ]
    intrinsics, distortion = (torch.stack(parts) for parts in zip(*cameras, strict=True))
    model = _distortion_model(path, content, frames)
    if model == "fisheye":
        distortion[:, 2:4] = 0  # the fisheye model has no tangential terms
    return PosedFiles(
        tuple(image for image, _ in found),
        tuple(sizes),
        pose,
        intrinsics,
        distortion,
        bounds=_box_bounds(path, content, pose),
        distortion_model=model if model == "fisheye" or distortion.any() else "pinhole",
        masks=_mask_paths(folder, path, frames),
        missing=tuple(name for name, image in zip(names, images, strict=True) if image is None),
    )


def split_files(folder: Path, split: str) -> frozenset[Path] | None:
    """The photographs that transforms.json lists for a split (train, val, test); None where it lists none."""
    path = folder / NAME
    names = read_document(path).get(f"{split}_filenames")
    if names is None:
        return None
    if not isinstance(names, list):
        raise BadInput(f"{path}: {split}_filenames is no list of names")
    names = [parse_file_name(name, f"{path}: {split}_filenames").replace("\\", "/") for name in names]
    return frozenset(image for name in names if (image := find_image(folder, name)) is not None)


def has_intrinsics(content: Mapping[str, Any]) -> bool:
    """Whether a document with frames gives more intrinsics than Blender scenes do."""
    known = INTRINSICS.union(DISTORTION)
    return any(known & values.keys() for values in (content, *content["frames"]))


def _distortion_model(path: Path, content: dict[str, Any], frames: IndexedFrames) -> DistortionModel:
    """The one distortion model of all frames."""
    models: dict[DistortionModel, int] = {}
    for i, frame in frames:
        values = ChainMap(frame, content)
        name = values.get("camera_model", "OPENCV_FISHEYE" if values.get("is_fisheye") else "OPENCV")
        if name not in PERSPECTIVE + FISHEYE:
            known = suggest(str(name)[:80], PERSPECTIVE + FISHEYE)
            raise BadInput(f"{path}: camera_model {format_value(name)}; {known}")
        models.setdefault("fisheye" if name in FISHEYE else "opencv", i)
    if len(models) > 1:
        one, other = models.values()
        raise BadInput(
            f"{path}: of frames {one} and {other} only one is fisheye, wanted one camera model for all"
        )
    return next(iter(models))


def _read_camera(values: Mapping[str, Any], image: Path, size: Size, where: str) -> tuple[Tensor, Tensor]:
    """Intrinsics [3, 3] in image sides and distortion [6] from the values of a frame and of the file."""
    height, width = (_number(values, key, where, pixels) for key, pixels in zip("hw", size, strict=True))
    if min(height, width) <= 0:
        raise BadInput(f"{where}: w and h are {width:g} and {height:g}, wanted pixels")
    if "w" in values and "h" in values:
        require_same_aspect(image, size, (round(height), round(width)))
    focal_x = _focal(values, "x", width, where)
    if focal_x is None:
        raise BadInput(f"{where} has no intrinsics: wanted fl_x or camera_angle_x, there or at the top")
    focal_y = _focal(values, "y", height, where)
    center_x, center_y = _number(values, "cx", where, width / 2), _number(values, "cy", where, height / 2)
    pixels = pinhole_matrix(focal_x, focal_x if focal_y is None else focal_y, center_x, center_y)
    sides = torch.tensor([width, height, 1.0], dtype=torch.float64)
    distortion = [_number(values, key, where, 0.0) for key in DISTORTION]
    return pixels / sides[:, None], torch.tensor(distortion, dtype=torch.float64)


def _box_bounds(path: Path, content: Mapping[str, Any], pose: Tensor) -> Tensor | None:
    """Depths [N, 2] inside instant-ngp's box, whose side is aabb_scale in a world it scales and shifts."""
    if "aabb_scale" not in content:
        return None
    side, scale = _number(content, "aabb_scale", str(path), 1.0), _number(content, "scale", str(path), 0.33)
    values = content.get("offset", [0.5, 0.5, 0.5])
    if not isinstance(values, list) or len(values) != 3:
        raise BadInput(f"{path}: offset is no list of three numbers")
    offset = torch.tensor([parse_number(x, f"{path}: offset") for x in values], dtype=torch.float64)
    if side <= 0 or scale <= 0:
        raise BadInput(f"{path}: aabb_scale and scale are {side:g} and {scale:g}, wanted more than 0")
    corners = torch.tensor(list(itertools.product((-0.5, 0.5), repeat=3)), dtype=torch.float64)
    corners = (0.5 - offset + side * corners) / scale
    far = ((corners - pose[:, None, :3, 3]) * pose[:, None, :3, 2]).sum(dim=-1).max(dim=1).values
    near = torch.full_like(far, 0.1 / scale)  # where instant-ngp's rays begin
    return torch.stack([near, torch.maximum(far, 2 * near)], dim=1)


def _mask_paths(folder: Path, path: Path, frames: IndexedFrames) -> tuple[Path, ...] | None:
    """The masks of all frames; None where no frame has one."""
    masked = sum(frame.get("mask_path") is not None for _, frame in frames)
    if not masked:
        return None
    if masked < len(frames):
        raise BadInput(f"{path}: {masked} of {len(frames)} frames have a mask_path, wanted all or none")
    masks = []
    for i, frame in frames:
        name = frame_file(path, i, frame, "mask_path")
        mask = find_image(folder, name)
        if mask is None:
            raise BadInput(f"{path} names the mask {abbreviate(name)}, but it is not in {folder}")
        masks.append(mask)
    return tuple(masks)


def _focal(values: Mapping[str, Any], axis: str, pixels: float, where: str) -> float | None:
    """The focal length along x or y in pixels, from fl_* or camera_angle_*; None where neither is given."""
    if f"fl_{axis}" in values:
        focal = _number(values, f"fl_{axis}", where, 0.0)
        if focal <= 0:
            raise BadInput(f"{where}: fl_{axis} is {focal:g}, wanted pixels")
        return focal
    if f"camera_angle_{axis}" not in values:
        return None
    angle = _number(values, f"camera_angle_{axis}", where, 0.0)
    if not 0 < angle < math.pi:
        raise BadInput(f"{where}: camera_angle_{axis} is {angle:g}, wanted radians between 0 and pi")
    return 0.5 * pixels / math.tan(0.5 * angle)


def _number(values: Mapping[str, Any], key: str, where: str, default: float) -> float:
    return parse_number(values.get(key, default), f"{where}: {key}")
