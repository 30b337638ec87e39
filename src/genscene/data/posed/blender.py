"""Blender's synthetic scenes as NeRF made them: transforms_train.json and its siblings."""

import math
from pathlib import Path

import torch

from genscene.data.posed import Posed, from_opengl, in_sides, pinhole_matrix, size_of, undistorted
from genscene.data.posed.frames import document, motion, named, picture
from genscene.data.posed.values import number, short
from genscene.errors import BadInput


def read(folder: Path, split: str = "train") -> Posed:
    """The cameras and picture files of a split: train, val or test.

    Follows the JSON and never lists the folder, whose test part also holds depths. Raises BadInput, naming file and
    frame, for what is missing or no number.
    """
    path = folder / f"transforms_{split}.json"
    content = document(path)
    frames = content["frames"]
    if "camera_angle_x" not in content:
        raise BadInput(f"{path} has no camera_angle_x, wanted it (in radians) or fl_x (in pixels)")
    angle = number(content["camera_angle_x"], f"{path}: camera_angle_x")
    if not 0 < angle < math.pi:
        raise BadInput(f"{path}: camera_angle_x is {angle:g}, wanted radians between 0 and pi")
    paths = [_picture(folder, path, named(path, i, frame)) for i, frame in enumerate(frames)]
    sizes = [size_of(picture) for picture in paths]
    focals = [0.5 * width / math.tan(0.5 * angle) for _, width in sizes]
    matrices = [pinhole_matrix(f, f, w / 2, h / 2) for f, (h, w) in zip(focals, sizes, strict=True)]
    pose = torch.stack([motion(f, f"{path}: frame {i}") for i, f in enumerate(frames)])
    intrinsics = in_sides(torch.stack(matrices), sizes)
    return Posed(tuple(paths), tuple(sizes), from_opengl(pose), intrinsics, undistorted(len(paths)))


def _picture(folder: Path, path: Path, name: str) -> Path:
    found = picture(folder, name)
    if found is None:
        raise BadInput(f"{path} names {short(name)}, but there is no such picture in {folder}")
    return found
