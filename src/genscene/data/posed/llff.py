"""LLFF's forward-facing scenes: poses_bounds.npy beside images/, row k belonging to the k-th file by name."""

from pathlib import Path

import numpy as np
import torch

from genscene.data.images import listed
from genscene.data.posed import (
    Posed,
    from_opengl,
    homogeneous,
    in_sides,
    picture_folder,
    pinhole_matrix,
    same_shape,
    size_of,
    undistorted,
)
from genscene.errors import BadInput
from genscene.geometry.trajectories import average_pose
from genscene.geometry.transforms import WorldTransform


def read(folder: Path, images: str = "") -> Posed:
    """The cameras of a scene for the pictures in one of its folders (images/ or its like), whatever their size.

    Raises BadInput where the table is none, or its rows and the pictures differ in number.
    """
    path = folder / "poses_bounds.npy"
    table = table_of(path)
    files = listed(folder / images if images else picture_folder(folder))
    if len(files.names) != len(table):
        raise BadInput(
            f"{path} has {len(table)} rows, but there are {len(files.names)} pictures in {files.root}"
        )
    paths = [files.root / name for name in files.names]
    sizes = [size_of(picture) for picture in paths]
    rows = torch.from_numpy(table)
    matrix = rows[:, :15].view(-1, 3, 5)
    for picture, size, wanted in zip(paths, sizes, table[:, [4, 9]], strict=True):
        same_shape(picture, size, (round(wanted[0]), round(wanted[1])))
    down, right, back, position, shape = matrix.unbind(-1)
    focals = [f * w / full for f, full, (_, w) in zip(shape[:, 2], shape[:, 1], sizes, strict=True)]
    matrices = [pinhole_matrix(f, f, w / 2, h / 2) for f, (h, w) in zip(focals, sizes, strict=True)]
    pose = homogeneous(torch.stack([right, down, -back, position], dim=-1))
    intrinsics = in_sides(torch.stack(matrices), sizes)
    return Posed(tuple(paths), tuple(sizes), pose, intrinsics, undistorted(len(paths)), rows[:, 15:])


def table_of(path: Path) -> np.ndarray:
    """The rows of poses_bounds.npy -> float64 [N, 17]: 3 x 5 numbers, nearest and farthest depth."""
    try:
        with path.open("rb") as file:
            found = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # NumPy raises a dozen kinds for damaged files
        raise BadInput(f"cannot read {path} as an array ({' '.join(str(error).split())[:160]})") from None
    if found.dtype.kind not in "fiu" or found.ndim != 2 or found.shape[1] != 17:
        raise BadInput(f"{path} has shape {found.shape} of {found.dtype}, wanted (N, 17) numbers")
    table = found.astype(np.float64)
    rules = {
        "is not finite": np.isfinite(table).all(axis=1),
        "has a size, focal length or near that is not positive": (table[:, [4, 9, 14, 15]] > 0).all(axis=1),
        "has a far that is not beyond near": table[:, 16] > table[:, 15],
    }
    for what, kept in rules.items():
        if not kept.all():
            raise BadInput(f"{path}: row {int(kept.argmin())} of {len(table)}, counted from 0, {what}")
    return table


def forward(posed: Posed, factor: float = 0.75) -> WorldTransform:
    """Nearest depth to 1 / factor, average_pose camera to the origin, looking along -z, +y up (NeRF's loader)."""
    assert posed.bounds is not None
    middle = from_opengl(average_pose(posed.pose)[None])[0]
    return WorldTransform(1 / (factor * float(posed.bounds.min())), middle[:3, :3].mT, middle[:3, 3])


def recentred(posed: Posed, factor: float = 0.75) -> Posed:
    """The same cameras in the world of `forward`."""
    return posed.moved(forward(posed, factor))


def holdout(posed: Posed) -> int:
    """The photograph nearest to the average_pose camera: NeRF keeps it for testing."""
    return int((posed.pose[:, :3, 3] - average_pose(posed.pose)[:3, 3]).norm(dim=-1).argmin())
