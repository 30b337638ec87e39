"""A report on photographs with cameras: their format, splits and cameras, and the preset that fits them."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from genscene.data.adaptation import object_masks
from genscene.data.posed.decode import PosedImages, decode_posed
from genscene.data.posed.ground import find_ground
from genscene.data.posed.loader import Format, available_splits, detect_format, load_posed
from genscene.data.posed.posed_files import PosedFiles
from genscene.errors import BadInput
from genscene.geometry.transforms import focus_point
from genscene.systems import PRESETS

POSE_FILES = (
    "transforms_train.json",
    "transforms_val.json",
    "transforms_test.json",
    "transforms.json",
    "poses_bounds.npy",
    "sparse",
    "intrinsics.txt",
)
FORMATS: dict[Format, str] = {
    "blender": "Blender scene (NeRF), transforms_train.json",
    "nerfstudio": "nerfstudio or instant-ngp scene, transforms.json",
    "nerfstudio splits": "nerfstudio or instant-ngp scene, transforms_train.json",
    "llff": "LLFF scene, poses_bounds.npy",
    "colmap": "COLMAP model",
    "deepvoxels": "DeepVoxels shape, intrinsics.txt",
}
EXAMINED, EXAMINED_SIDE = 48, 128  # photographs that are decoded for the advice, and their longer side
OBJECT_SIDE = 200  # photographs up to so many pixels are learned whole by the preset for objects
SceneKind = Literal["object", "place"]


def is_scene(folder: Path) -> bool:
    """Whether a folder has files of cameras of photographs."""
    return folder.is_dir() and any((folder / name).exists() for name in POSE_FILES)


def scene_lines(root: Path) -> Iterator[str]:
    """The lines on a folder of posed photographs, or why they cannot be loaded."""
    try:
        yield f"  read as: {FORMATS[detect_format(root)]}"
        splits = available_splits(root)
        for split in splits:
            yield f"  {split}: {describe_cameras(load_posed(root, split))}"
        where = shlex.quote(str(root))
        if "train" not in splits:
            yield f"  none to train on; to evaluate: genscene evaluate RUN --data {where} --split {splits[0]}"
            return
        photographs = load_posed(root)
        kind, reason = scene_kind(_examined(photographs))
        yield f"  {reason}"
        preset, size = recommended(kind, max(max(photographs.sizes, key=max)))
        yield f"  train on them: genscene train {preset} --data {where}{size}"
        if kind == "object" and not size:
            yield f"  finer, and ten times as long: genscene train nerf-grid --data {where}"
    except BadInput as error:
        yield f"  cameras cannot be used: {error}"


def describe_cameras(part: PosedFiles) -> str:
    """Number, model, distances, field of view and depths of photographs, in the units of their files."""
    scale = part.transform.scale
    distance = part.pose[:, :3, 3].norm(dim=-1) / scale
    fov = torch.rad2deg(2 * torch.atan(0.5 / part.intrinsics[:, 0, 0]))
    text = f"{len(part)} photographs with {part.distortion_model} cameras, distance {mean_std(distance)}"
    text += f", field of view {mean_std(fov)} degrees"
    if part.bounds is not None:
        near, far = float(part.bounds.min()) / scale, float(part.bounds.max()) / scale
        text += f", depths {near:.3g} to {far:.3g}"
    return text + " (in the files' units" + (f"; training scales them by {scale:.3g})" if scale != 1 else ")")


def scene_kind(images: PosedImages) -> tuple[SceneKind, str]:
    """An object, where cameras face a common point and what is behind it is one color or transparent."""
    if focus_point(images.camera.pose.double()) is None:
        return "place", "a place: the cameras face no common point"
    if images.opaque is not None:
        return "object", "an object: the photographs are transparent around it"
    ground = find_ground(images.pixels)
    kind: SceneKind = "place" if object_masks(images, ground) is None else "object"
    return kind, f"{'an object on a ground' if kind == 'object' else 'a place'}: {ground}"


def recommended(kind: SceneKind, side: int) -> tuple[str, str]:
    """The preset for photographs with this longer side, and its option of their size where it needs one."""
    if kind == "place":
        return "nerf-grid-photos", ""
    preset = "nerf-grid-demo"
    whole = PRESETS[preset].posed.side < side <= OBJECT_SIDE
    return preset, f" --size {side}" if whole else ""


def mean_std(values: torch.Tensor) -> str:
    """Mean and standard deviation."""
    return f"{float(values.mean()):.3f} +- {float(values.std(unbiased=False)):.3f}"


def _examined(photographs: PosedFiles) -> PosedImages:
    """Some of the photographs, evenly spaced, small."""
    few = np.unique(np.linspace(0, len(photographs) - 1, EXAMINED).round().astype(int))
    return decode_posed(photographs.select(few.tolist()), side=EXAMINED_SIDE)
