"""COLMAP's sparse models read from their folders, alone or with the photographs they were made from."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from genscene.data.posed.colmap import binary, text
from genscene.data.posed.colmap.model import ColmapCamera, ColmapModel
from genscene.data.posed.posed_files import (
    DistortionModel,
    PosedFiles,
    image_folder,
    image_size,
    normalize_intrinsics,
    require_same_aspect,
)
from genscene.data.posed.undistort import distort_points
from genscene.errors import BadInput
from genscene.scenes import SparsePoints

T = TypeVar("T")
PLACES = ("sparse", "colmap/sparse")  # where a scene's models are
BOUND_QUANTILES = (0.001, 0.999)  # of the depths of the points in a photograph
MAX_QUANTILE_SIZE = 2**24  # torch.quantile's limit


def has_model(folder: Path) -> bool:
    """Whether there is a sparse model in a scene's folder."""
    return any(next(_models(folder / place), None) for place in (*PLACES, "."))


def read_model(folder: Path) -> ColmapModel:
    """The model in a folder, binary before text. Raises BadInput, naming the file, where it is damaged."""
    reader, suffix = (binary, ".bin") if (folder / "cameras.bin").exists() else (text, ".txt")
    paths = [folder / f"{name}{suffix}" for name in ("cameras", "images", "points3D")]
    for path in paths:
        if not path.is_file():
            raise BadInput(f"{folder} holds no complete COLMAP model: {path.name} is missing")
    cameras, images = _parse(paths[0], reader.read_cameras), _parse(paths[1], reader.read_images)
    if not images:
        raise BadInput(f"the COLMAP model in {folder} has no images")
    return ColmapModel(cameras, tuple(images), _parse(paths[2], reader.read_points))


def largest_model(folder: Path) -> Path:
    """The folder of the model with most images: a folder or one of its sub-folders (0 may be a small one)."""
    found = list(_models(folder))
    if not found:
        raise BadInput(f"no COLMAP model in {folder}")
    return max(found, key=_count_images)


def read(folder: Path) -> PosedFiles:
    """The largest model of a scene and its photographs that exist, by name; the others are `missing`.

    Raises BadInput, naming the model or the file, where no photograph is left or one does not fit its camera.
    """
    place = largest_model(next((folder / name for name in PLACES if (folder / name).is_dir()), folder))
    root, model = image_folder(folder), read_model(place)
    listed = sorted(model.images, key=lambda image: image.name)
    images = [image for image in listed if (root / image.name).is_file()]
    if not images:
        raise BadInput(f"the COLMAP model in {place} names {len(listed)} images, but none is in {root}")
    for image in images:
        if image.camera_id not in model.cameras:
            raise BadInput(
                f"the COLMAP model in {place} has no camera {image.camera_id}, that of {image.name}"
            )
    cameras = [model.cameras[image.camera_id] for image in images]
    paths = [root / image.name for image in images]
    sizes = [image_size(path) for path in paths]
    for path, size, camera in zip(paths, sizes, cameras, strict=True):
        require_same_aspect(path, size, camera.size)
    pixels = torch.stack([camera.intrinsics for camera in cameras])
    posed = PosedFiles(
        tuple(paths),
        tuple(sizes),
        torch.stack([image.pose for image in images]),
        normalize_intrinsics(pixels, [camera.size for camera in cameras]),
        torch.stack([camera.distortion for camera in cameras]),
        distortion_model=_common_distortion_model(place, cameras),
        missing=tuple(image.name for image in listed if not (root / image.name).is_file()),
    )
    positions = torch.from_numpy(model.points.positions)
    points = SparsePoints(positions, torch.from_numpy(model.points.colors) / 255) if len(positions) else None
    return replace(posed, bounds=_point_bounds(positions, posed), points=points)


def _common_distortion_model(place: Path, cameras: list[ColmapCamera]) -> DistortionModel:
    """The one distortion model of all cameras."""
    models: set[DistortionModel] = {
        c.distortion_model for c in cameras if c.distortion_model == "fisheye" or c.distortion.any()
    }
    if "fisheye" in models and any(c.distortion_model != "fisheye" for c in cameras):
        raise BadInput(f"the COLMAP model in {place} mixes fisheye and other cameras, wanted one kind")
    return models.pop() if models else "pinhole"


def _point_bounds(points: Tensor, posed: PosedFiles) -> Tensor | None:
    """Near and far [N, 2]: the BOUND_QUANTILES of the depths of the points [M, 3] inside each photograph.

    A photograph without points gets the widest bounds of the others; None where all are without.
    """
    bounds = torch.full((len(posed), 2), torch.nan, dtype=torch.float64)
    for i in range(len(posed)):
        depth, inside = project(points, posed, i)
        if inside.any():
            ends = torch.tensor(BOUND_QUANTILES, dtype=torch.float64)
            bounds[i] = torch.quantile(depth[inside][:MAX_QUANTILE_SIZE], ends)
    empty = bounds.isnan().any(dim=1)
    if empty.all():
        return None
    known = bounds[~empty]
    bounds[empty] = torch.stack([known[:, 0].min(), known[:, 1].max()])
    return bounds


def project(points: Tensor, posed: PosedFiles, index: int) -> tuple[Tensor, Tensor]:
    """Points [M, 3] -> their depth [M] in one photograph, and whether they project into it [M], bool."""
    pose, intrinsics = posed.pose[index], posed.intrinsics[index]
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    depth = local[:, 2]
    in_front = depth > 1e-9
    plane = local[:, :2] / torch.where(in_front, depth, 1.0)[:, None]
    distorted = distort_points(plane, posed.distortion[index], posed.distortion_model)
    sides = distorted @ intrinsics[:2, :2].mT + intrinsics[:2, 2]
    return depth, in_front & ((sides >= 0) & (sides <= 1)).all(dim=-1)


def _models(folder: Path) -> Iterator[Path]:
    """The folders of models: a folder itself and its sub-folders, binary before text."""
    for name in ("cameras.bin", "cameras.txt"):
        for pattern in (name, f"*/{name}"):
            yield from (path.parent for path in folder.glob(pattern))


def _count_images(place: Path) -> int:
    for reader, name in ((binary, "images.bin"), (text, "images.txt")):
        if (place / name).is_file():
            return _parse(place / name, reader.count_images)
    return 0


def _parse(path: Path, parse: Callable[[Path], T]) -> T:
    try:
        return parse(path)
    except ValueError as error:
        raise BadInput(f"{path} is damaged or no COLMAP file ({error})") from None
