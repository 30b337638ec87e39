"""nerfstudio's and instant-ngp's transforms.json or its splits: cameras of real photographs, with distortion, masks."""

import itertools
import math
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genscene.data.posed import Bending, Posed, from_opengl, pinhole_matrix, same_shape, size_of
from genscene.data.posed.frames import document, motion, named, picture
from genscene.data.posed.values import filename, number, short, shown
from genscene.errors import BadInput, suggest

NAME = "transforms.json"
TERMS = ("k1", "k2", "p1", "p2", "k3", "k4")
LENS = {
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
    *TERMS,
}
PERSPECTIVE = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")
FISHEYE = ("OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")


def read(folder: Path, split: str = "") -> Posed:
    """The cameras of the photographs that are there, by name; those that are not are in `missing`.

    They are those of transforms.json, or of transforms_train.json and its siblings where a split is named. Raises
    BadInput, naming file and frame, for what is no camera, and where no photograph is left.
    """
    path = folder / (f"transforms_{split}.json" if split else NAME)
    content = document(path)
    names = [named(path, i, frame) for i, frame in enumerate(content["frames"])]
    found = [picture(folder, name) for name in names]
    kept = sorted((place, i) for i, place in enumerate(found) if place is not None)
    if not kept:
        raise BadInput(
            f"{path} names {len(names)} pictures, but none is in {folder}; the first: {short(names[0])}"
        )
    sizes, matrices, terms, poses = [], [], [], []
    for place, i in kept:
        frame, where = content["frames"][i], f"{path}: frame {i}"
        size = size_of(place)
        intrinsics, distortion = lens(ChainMap(frame, content), place, size, where)
        sizes.append(size)
        matrices.append(intrinsics)
        terms.append(distortion)
        poses.append(motion(frame, where))
    pose, bent = from_opengl(torch.stack(poses)), torch.stack(terms)
    model = bending(path, [(i, ChainMap(content["frames"][i], content)) for _, i in kept])
    if model == "fisheye":
        bent[:, 2:4] = 0  # its formula has no tangential terms
    elif not bent.any():
        model = "pinhole"
    return Posed(
        tuple(place for place, _ in kept),
        tuple(sizes),
        pose,
        torch.stack(matrices),
        bent,
        bounds=boxed(path, content, pose),
        model=model,
        masks=masked(folder, path, [(i, content["frames"][i]) for _, i in kept]),
        missing=tuple(name for name, place in zip(names, found, strict=True) if place is None),
    )


def chosen(folder: Path, split: str) -> frozenset[Path] | None:
    """The photographs the file itself puts into a split (train, val, test); None where it does not split."""
    path = folder / NAME
    names = document(path).get(f"{split}_filenames")
    if names is None:
        return None
    if not isinstance(names, list):
        raise BadInput(f"{path}: {split}_filenames is no list of names")
    names = [filename(name, f"{path}: {split}_filenames").replace("\\", "/") for name in names]
    return frozenset(place for name in names if (place := picture(folder, name)) is not None)


def lensed(content: Mapping[str, Any]) -> bool:
    """Whether a file with frames tells of its lenses more than Blender's scenes do."""
    return any(LENS & values.keys() for values in (content, *content["frames"]))


def bending(path: Path, frames: list[tuple[int, Mapping[str, Any]]]) -> Bending:
    """Which formula the distortion of all frames is for."""
    kinds: dict[Bending, int] = {}
    for i, values in frames:
        name = values.get("camera_model", "OPENCV_FISHEYE" if values.get("is_fisheye") else "OPENCV")
        if name not in PERSPECTIVE + FISHEYE:
            raise BadInput(
                f"{path}: camera_model {shown(name)}; {suggest(str(name)[:80], PERSPECTIVE + FISHEYE)}"
            )
        kinds.setdefault("fisheye" if name in FISHEYE else "opencv", i)
    if len(kinds) > 1:
        one, other = kinds.values()
        raise BadInput(
            f"{path}: of frames {one} and {other} one has a fisheye lens, the other not: wanted one kind"
        )
    return next(iter(kinds))


def lens(values: Mapping[str, Any], place: Path, size: tuple[int, int], where: str) -> tuple[Tensor, Tensor]:
    """Intrinsics [3, 3] in image sides, distortion [6], from a frame's numbers or those of all frames."""
    height, width = (_number(values, key, where, pixels) for key, pixels in zip("hw", size, strict=True))
    if min(height, width) <= 0:
        raise BadInput(f"{where}: w and h are {width:g} and {height:g}, wanted pixels")
    if "w" in values and "h" in values:
        same_shape(place, size, (round(height), round(width)))
    focal_x = _focal(values, "x", width, where)
    if focal_x is None:
        raise BadInput(f"{where} has no intrinsics: wanted fl_x or camera_angle_x, there or at the top")
    focal_y = _focal(values, "y", height, where)
    centre_x, centre_y = _number(values, "cx", where, width / 2), _number(values, "cy", where, height / 2)
    pixels = pinhole_matrix(focal_x, focal_x if focal_y is None else focal_y, centre_x, centre_y)
    sides = torch.tensor([width, height, 1.0], dtype=torch.float64)
    terms = [_number(values, key, where, 0.0) for key in TERMS]
    return pixels / sides[:, None], torch.tensor(terms, dtype=torch.float64)


def boxed(path: Path, content: Mapping[str, Any], pose: Tensor) -> Tensor | None:
    """Depths [N, 2] within instant-ngp's box, whose side is aabb_scale in a world it scales and shifts."""
    if "aabb_scale" not in content:
        return None
    side, scale = _number(content, "aabb_scale", str(path), 1.0), _number(content, "scale", str(path), 0.33)
    shift = content.get("offset", [0.5, 0.5, 0.5])
    if not isinstance(shift, list) or len(shift) != 3:
        raise BadInput(f"{path}: offset is no list of three numbers")
    offset = torch.tensor([number(x, f"{path}: offset") for x in shift], dtype=torch.float64)
    if side <= 0 or scale <= 0:
        raise BadInput(f"{path}: aabb_scale and scale are {side:g} and {scale:g}, wanted more than 0")
    corners = torch.tensor(list(itertools.product((-0.5, 0.5), repeat=3)), dtype=torch.float64)
    places = (0.5 - offset + side * corners) / scale
    depths = ((places - pose[:, None, :3, 3]) * pose[:, None, :3, 2]).sum(dim=-1).max(dim=1).values
    near = torch.full_like(depths, 0.1 / scale)  # where its rays begin
    return torch.stack([near, torch.maximum(depths, 2 * near)], dim=1)


def masked(folder: Path, path: Path, frames: list[tuple[int, dict[str, Any]]]) -> tuple[Path, ...] | None:
    """The masks, for all frames or none."""
    having = [i for i, frame in frames if frame.get("mask_path") is not None]
    if not having:
        return None
    if len(having) < len(frames):
        raise BadInput(f"{path}: {len(having)} of {len(frames)} frames have a mask_path, wanted all or none")
    masks = []
    for i, frame in frames:
        name = named(path, i, frame, "mask_path")
        place = picture(folder, name)
        if place is None:
            raise BadInput(f"{path} names the mask {short(name)}, but it is not in {folder}")
        masks.append(place)
    return tuple(masks)


def _focal(values: Mapping[str, Any], axis: str, pixels: float, where: str) -> float | None:
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
    return number(values.get(key, default), f"{where}: {key}")
