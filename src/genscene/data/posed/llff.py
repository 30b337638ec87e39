"""LLFF scenes: poses_bounds.npy beside images/, row k for the k-th image by name."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genscene.data.images.files import list_images
from genscene.data.posed.posed_files import (
    PosedFiles,
    from_opengl,
    image_folder,
    image_size,
    pinhole_matrix,
    require_same_aspect,
)
from genscene.errors import BadInput
from genscene.geometry.trajectories import average_pose
from genscene.geometry.transforms import WorldTransform, spherifying_transform
from genscene.io.arrays import read_array

BOUND_FACTOR = 0.75  # NeRF's loader (bd_factor) puts the nearest depth at its inverse


def read(folder: Path, images: str = "") -> PosedFiles:
    """The cameras of a scene for the images in one of its folders: images/, images_4/, ...

    Raises BadInput where the table is damaged, or its rows and the images differ in number.
    """
    path = folder / "poses_bounds.npy"
    table = _read_table(path)
    files = list_images(folder / images if images else image_folder(folder))
    if len(files.names) != len(table):
        raise BadInput(
            f"{path} has {len(table)} rows, but there are {len(files.names)} images in {files.root}"
        )
    paths = [files.root / name for name in files.names]
    sizes = [image_size(image) for image in paths]
    rows = torch.from_numpy(table)
    for image, size, (height, width) in zip(paths, sizes, table[:, [4, 9]], strict=True):
        require_same_aspect(image, size, (round(height), round(width)))
    down, right, back, position, shape = rows[:, :15].view(-1, 3, 5).unbind(-1)
    focals = [f * w / full for f, full, (_, w) in zip(shape[:, 2], shape[:, 1], sizes, strict=True)]
    matrices = [pinhole_matrix(f, f, w / 2, h / 2) for f, (h, w) in zip(focals, sizes, strict=True)]
    pose = torch.eye(4, dtype=torch.float64).repeat(len(rows), 1, 1)
    pose[:, :3] = torch.stack([right, down, -back, position], dim=-1)
    return PosedFiles.pinhole(paths, sizes, pose, torch.stack(matrices), rows[:, 15:])


def recentering_transform(pose: Tensor, scale: float = 1.0) -> WorldTransform:
    """From poses [N, 4, 4]: the average pose to the origin, facing -z, y up (recenter_poses); scaled."""
    middle = from_opengl(average_pose(pose)[None])[0]
    return WorldTransform(scale, middle[:3, :3].mT, middle[:3, 3])


def forward_facing_transform(posed: PosedFiles) -> WorldTransform:
    """NeRF's world of forward-facing scenes: recentered, the nearest depth at 1 / BOUND_FACTOR."""
    assert posed.bounds is not None
    return recentering_transform(posed.pose, 1 / (BOUND_FACTOR * float(posed.bounds.min())))


def spherified_transform(posed: PosedFiles) -> WorldTransform:
    """The world of NeRF's loader for scenes photographed from all sides: recentered, then spherified.

    The scale of recentering cancels, so bounds are not needed. Where cameras are so symmetric that they have
    no average pose, recentering, which only decides on the direction of the x axis, is left out.
    """
    recentering = recentering_transform(posed.pose)
    if not is_rigid(recentering):
        recentering = WorldTransform()
    return recentering.then(spherifying_transform(recentering.poses(posed.pose)))


def is_rigid(transform: WorldTransform) -> bool:
    """Whether a transform has a rotation of determinant 1; symmetric poses have no average."""
    return bool((torch.linalg.det(transform.rotation) - 1).abs() < 1e-6)


def held_out_index(posed: PosedFiles) -> int:
    """The index of the photograph nearest to the average pose, which NeRF's loader holds out."""
    return int((posed.pose[:, :3, 3] - average_pose(posed.pose)[:3, 3]).norm(dim=-1).argmin())


def _read_table(path: Path) -> np.ndarray:
    """The rows of poses_bounds.npy -> float64 [N, 17]: a 3 x 5 matrix, nearest and farthest depth."""
    found = read_array(path, "table of poses and bounds", "(N, 17) numbers")
    if found.dtype.kind not in "fiu" or found.ndim != 2 or found.shape[1] != 17:
        raise BadInput(f"{path} has shape {found.shape} of {found.dtype}, wanted (N, 17) numbers")
    table = found.astype(np.float64)
    rules = {
        "is not finite": np.isfinite(table).all(axis=1),
        "has a size, focal length or near that is not positive, as it must be": (
            table[:, [4, 9, 14, 15]] > 0
        ).all(axis=1),
        "has a far that is not beyond near": table[:, 16] > table[:, 15],
    }
    for fault, correct in rules.items():
        if not correct.all():
            raise BadInput(f"{path}: row {int(correct.argmin())} of {len(table)}, counted from 0, {fault}")
    return table
