"""Blender scenes in the format of NeRF's synthetic data: transforms_train.json, _val.json, _test.json."""

import math
from pathlib import Path

import torch

from genscene.data.posed.checks import abbreviate, parse_number
from genscene.data.posed.json_frames import find_image, frame_file, frame_pose, read_document
from genscene.data.posed.posed_files import PosedFiles, from_opengl, image_size, pinhole_matrix
from genscene.errors import BadInput


def read(folder: Path, split: str = "train") -> PosedFiles:
    """The cameras and image files of a split: train, val or test.

    Images are those the JSON lists, since test folders also hold depth maps. Raises BadInput, naming file and
    frame, for a missing image or an unusable number.
    """
    path = folder / f"transforms_{split}.json"
    content = read_document(path)
    frames = content["frames"]
    if "camera_angle_x" not in content:
        raise BadInput(f"{path} has no camera_angle_x, wanted it (in radians) or fl_x (in pixels)")
    angle = parse_number(content["camera_angle_x"], f"{path}: camera_angle_x")
    if not 0 < angle < math.pi:
        raise BadInput(f"{path}: camera_angle_x is {angle:g}, wanted radians between 0 and pi")
    paths = [_image(folder, path, frame_file(path, i, frame)) for i, frame in enumerate(frames)]
    sizes = [image_size(image) for image in paths]
    focals = [0.5 * width / math.tan(0.5 * angle) for _, width in sizes]
    matrices = [pinhole_matrix(f, f, w / 2, h / 2) for f, (h, w) in zip(focals, sizes, strict=True)]
    pose = torch.stack([frame_pose(f, f"{path}: frame {i}") for i, f in enumerate(frames)])
    return PosedFiles.pinhole(paths, sizes, from_opengl(pose), torch.stack(matrices))


def _image(folder: Path, path: Path, name: str) -> Path:
    found = find_image(folder, name)
    if found is None:
        raise BadInput(f"{path} names {abbreviate(name)}, but there is no such image in {folder}")
    return found
