"""Posed photographs loaded from a folder in any known format: splits, and the world they are put into."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from genscene.data.posed import blender, deepvoxels, llff, nerfstudio
from genscene.data.posed.checks import abbreviate, check_cameras, require_distinct_positions
from genscene.data.posed.colmap import loader as colmap
from genscene.data.posed.json_frames import read_document
from genscene.data.posed.posed_files import PosedFiles
from genscene.data.progress import log_line
from genscene.errors import BadInput, suggest
from genscene.geometry.transforms import WorldTransform, centering_transform, focus_point
from genscene.io.files import user_path

Split = Literal["train", "val", "test"]
World = Literal["around", "forward", "spherified", "given"]
Format = Literal["blender", "llff", "nerfstudio", "nerfstudio splits", "deepvoxels", "colmap"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
WORLDS: tuple[World, ...] = ("around", "forward", "spherified", "given")
SPLIT_READERS = {"blender": blender.read, "nerfstudio splits": nerfstudio.read, "deepvoxels": deepvoxels.read}
READERS = {"llff": llff.read, "nerfstudio": nerfstudio.read, "colmap": colmap.read}
EXPECTED = (
    "transforms_train.json (Blender), poses_bounds.npy (LLFF), transforms.json (nerfstudio),"
    " sparse/ (COLMAP), intrinsics.txt and pose/ (DeepVoxels)"
)


def load_posed(
    folder: str | Path,
    split: Split = "train",
    holdout: int = 8,
    world: World | WorldTransform = "around",
) -> PosedFiles:
    """The photographs of a split with cameras and bounds, whatever format the folder has.

    Blender and DeepVoxels scenes define their splits, transforms.json may; of others every holdout-th
    photograph by name, from the first, is both val and test, and holdout=0 trains on all. The world is that
    of `centering_transform` (around), `llff.forward_facing_transform` (forward), `llff.spherified_transform`
    (spherified), or the files' (given); scenes with splits that are centered already are left as they are by
    "around". It is a function of all photographs, or of the training split, so that it is the same for every
    split; where the transform of the world is given, no training split is needed.
    """
    root = user_path(folder)
    name = "given" if isinstance(world, WorldTransform) else world
    for word, known in ((split, SPLITS), (name, WORLDS)):
        if word not in known:
            raise BadInput(f"{word!r}: {suggest(word, known)}")
    if holdout < 0:
        raise BadInput(f"holdout {holdout}: wanted 0 or more")
    kind = detect_format(root)
    if kind in SPLIT_READERS:
        wanted = _log_missing(root, check_cameras(SPLIT_READERS[kind](root, split)))
        given = isinstance(world, WorldTransform)
        alone = split == "train" or given or "train" not in available_splits(root)
        train = wanted if alone else check_cameras(SPLIT_READERS[kind](root, "train"))
        transform = _world_transform(train, world, kind)
        return _with_bounds(wanted.transformed(transform), train.transformed(transform).pose)
    everything = _log_missing(root, check_cameras(READERS[kind](root)))
    everything = everything.transformed(_world_transform(everything, world, kind))
    everything = _with_bounds(everything, everything.pose)
    return everything.select(_split_indices(root, everything, kind, split, holdout))


def detect_format(folder: Path) -> Format:
    """The format of a folder; split files with more intrinsics than Blender writes are nerfstudio's."""
    if not folder.exists():
        raise BadInput(f"no such folder: {folder}")
    if not folder.is_dir():
        raise BadInput(
            f"{folder} is a file, wanted a folder with photographs and their poses (a zip: unpack it)"
        )
    lists = [path for split in SPLITS if (path := folder / f"transforms_{split}.json").is_file()]
    if lists:
        has_intrinsics = any(nerfstudio.has_intrinsics(read_document(path)) for path in lists)
        return "nerfstudio splits" if has_intrinsics else "blender"
    if (folder / "poses_bounds.npy").is_file():
        return "llff"
    if (folder / nerfstudio.NAME).is_file():
        return "nerfstudio"
    if deepvoxels.is_scene(folder):
        return "deepvoxels"
    if colmap.has_model(folder):
        return "colmap"
    raise BadInput(f"{folder} holds no photographs with cameras: looked for {EXPECTED}")


def available_splits(folder: str | Path) -> tuple[Split, ...]:
    """The splits that `load_posed` finds in a folder."""
    root = user_path(folder)
    kind = detect_format(root)
    if kind == "deepvoxels":
        split_folder, is_scene = deepvoxels.split_folder, deepvoxels.is_scene
        return tuple(s for s in SPLITS if s == "train" or is_scene(split_folder(root, s)))
    if kind not in SPLIT_READERS:
        return SPLITS
    return tuple(split for split in SPLITS if (root / f"transforms_{split}.json").is_file())


def _split_indices(folder: Path, posed: PosedFiles, kind: Format, split: Split, holdout: int) -> list[int]:
    """The indices of the photographs in a split."""
    listed = nerfstudio.split_files(folder, split) if kind == "nerfstudio" else None
    if listed is not None:
        found = [i for i, path in enumerate(posed.paths) if path in listed]
    else:
        held_out = {i for i in range(len(posed)) if holdout and i % holdout == 0}
        found = [i for i in range(len(posed)) if (i in held_out) == (split != "train")]
    if not found:
        raise BadInput(
            f"{folder}: none of {len(posed)} photographs is for {split} (every {holdout}-th is held out)"
        )
    return found


def _log_missing(folder: Path, posed: PosedFiles) -> PosedFiles:
    """The same photographs, after a log line about those that do not exist."""
    if posed.missing:
        count, total = len(posed.missing), len(posed.missing) + len(posed)
        first = abbreviate(posed.missing[0])
        log_line(f"{folder}: {count} of {total} photographs are missing, the first: {first}")
    return posed


def _world_transform(posed: PosedFiles, world: World | WorldTransform, kind: Format) -> WorldTransform:
    """The transform from the files' world to the configured one."""
    if isinstance(world, WorldTransform):
        return world
    require_distinct_positions(posed, 2)
    folder = posed.paths[0].parent.parent
    if world == "given":
        return WorldTransform()
    if world == "forward":
        if posed.bounds is None:
            raise BadInput(f"the world 'forward' needs depths, which {folder} does not give")
        transform = llff.forward_facing_transform(posed)
        if not llff.is_rigid(transform):
            raise BadInput(f"the world 'forward' needs cameras that face one way, those of {folder} do not")
        return transform
    require_distinct_positions(posed, 1)
    if world == "spherified":
        if not _is_one_sided(posed.pose):
            raise BadInput(
                f"the world 'spherified' needs cameras facing a common point from one side, unlike {folder}"
            )
        return llff.spherified_transform(posed)
    if kind in SPLIT_READERS and _is_centered(posed.pose):
        return WorldTransform()
    return centering_transform(posed.pose)


def _is_centered(pose: Tensor) -> bool:
    """Whether the focus point of poses [N, 4, 4] is the origin, within 1/4 of the mean camera distance."""
    center = focus_point(pose)
    return center is None or bool(center.norm() < 0.25 * (pose[:, :3, 3] - center).norm(dim=-1).mean())


def _is_one_sided(pose: Tensor) -> bool:
    """Whether poses [N, 4, 4] have a focus point and a mean offset from it, the up direction."""
    center = focus_point(pose)
    offsets = pose[:, :3, 3] - (0 if center is None else center)
    return center is not None and bool(offsets.mean(dim=0).norm() > 1e-6 * offsets.norm(dim=-1).mean())


def _with_bounds(posed: PosedFiles, pose: Tensor) -> PosedFiles:
    """Bounds where the format gives none: Blender's, 2 to 6 for cameras at distance 4, scaled alike.

    pose [M, 4, 4]: the training cameras; where these face no common point, 0.01 and 10 times their spread.
    """
    if posed.bounds is not None:
        return posed
    center = focus_point(pose)
    position = pose[:, :3, 3]
    if center is None:
        spread = float((position - position.mean(dim=0)).norm(dim=-1).max()) or 1.0
        ends = [0.01 * spread, 10 * spread]
    else:
        unit = float(f"{float((position - center).norm(dim=-1).mean()) / 4:.2g}")  # 4.03 counts as 4
        ends = [2 * unit, 6 * unit]
    return replace(posed, bounds=torch.tensor([ends], dtype=torch.float64).repeat(len(posed), 1))
