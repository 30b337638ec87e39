"""COLMAP's sparse model together with the photographs it was made from."""

from pathlib import Path

import torch
from torch import Tensor

from genscene.data.posed import Bending, Posed, in_sides, picture_folder, same_shape, size_of
from genscene.data.posed.colmap import largest, read
from genscene.data.posed.colmap_model import Model, Shot
from genscene.data.posed.undistort import distort
from genscene.errors import BadInput

PLACES = ("sparse", "colmap/sparse")


def model_folder(folder: Path) -> Path:
    """Where a scene's largest model is: below sparse/ or colmap/sparse/, or the folder itself."""
    return largest(next((folder / name for name in PLACES if (folder / name).is_dir()), folder))


def read_posed(folder: Path) -> Posed:
    """The largest model of a scene and its photographs, by name; those that are not there are in `missing`.

    Raises BadInput, naming the model or the file, where none is left or one does not fit its camera.
    """
    place, root = model_folder(folder), picture_folder(folder)
    model = read(place)
    named = sorted(model.shots, key=lambda shot: shot.name)
    shots = [shot for shot in named if (root / shot.name).is_file()]
    if not shots:
        raise BadInput(f"the COLMAP model in {place} names {len(named)} pictures, but none is in {root}")
    for shot in shots:
        if shot.camera not in model.lenses:
            raise BadInput(
                f"the COLMAP model in {place} has no camera {shot.camera}, which {shot.name} was taken with"
            )
    lenses = [model.lenses[shot.camera] for shot in shots]
    paths = [root / shot.name for shot in shots]
    sizes = [size_of(path) for path in paths]
    for path, size, lens in zip(paths, sizes, lenses, strict=True):
        same_shape(path, size, lens.size)
    pose = torch.stack([shot.pose for shot in shots])
    intrinsics = in_sides(torch.stack([lens.intrinsics for lens in lenses]), [lens.size for lens in lenses])
    distortion, bending = torch.stack([lens.distortion for lens in lenses]), kind(place, model, shots)
    return Posed(
        tuple(paths),
        tuple(sizes),
        pose,
        intrinsics,
        distortion,
        bounds=depths(torch.from_numpy(model.points.positions), pose, intrinsics, distortion, bending),
        model=bending,
        missing=tuple(shot.name for shot in named if not (root / shot.name).is_file()),
    )


def kind(place: Path, model: Model, shots: list[Shot]) -> Bending:
    """What the distortion of all these photographs bends."""
    lenses = [model.lenses[shot.camera] for shot in shots]
    kinds: set[Bending] = {lens.model for lens in lenses if lens.model == "fisheye" or lens.distortion.any()}
    if "fisheye" in kinds and any(lens.model != "fisheye" for lens in lenses):
        raise BadInput(f"the COLMAP model in {place} mixes fisheye and other cameras, wanted one kind")
    return kinds.pop() if kinds else "pinhole"


def depths(
    points: Tensor, pose: Tensor, intrinsics: Tensor, distortion: Tensor, model: Bending
) -> Tensor | None:
    """Depths [N, 2] of the points [M, 3] that fall into each photograph, without the last thousandth at both ends.

    A photograph with no point in it gets the widest bounds of the others; None where there is no point at all.
    """
    bounds = torch.full((len(pose), 2), torch.nan, dtype=torch.float64)
    for i, (eye, matrix, terms) in enumerate(zip(pose, intrinsics, distortion, strict=True)):
        depth, inside = seen(points, eye, matrix, terms, model)
        if inside.any():
            ends = torch.tensor([0.001, 0.999], dtype=torch.float64)
            bounds[i] = torch.quantile(depth[inside][: 2**24], ends)  # its limit
    empty = bounds.isnan().any(dim=1)
    if empty.all():
        return None
    whole = bounds[~empty]
    bounds[empty] = torch.stack([whole[:, 0].min(), whole[:, 1].max()])
    return bounds


def seen(
    points: Tensor, pose: Tensor, intrinsics: Tensor, terms: Tensor, model: Bending
) -> tuple[Tensor, Tensor]:
    """Of points [M, 3], the depth before one camera, and whether they fall into its picture -> [M], [M] bool."""
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    depth = local[:, 2]
    ahead = depth > 1e-9
    plane = local[:, :2] / torch.where(ahead, depth, 1.0)[:, None]
    sides = distort(plane, terms, model) @ intrinsics[:2, :2].mT + intrinsics[:2, 2]
    return depth, ahead & ((sides >= 0) & (sides <= 1)).all(dim=-1)
