"""Any folder of photographs with cameras: which format lies there, what is kept for testing, where its world goes."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from genscene.data import say
from genscene.data.posed import Posed, blender, deepvoxels, llff, nerfstudio
from genscene.data.posed.checked import apart, checked
from genscene.data.posed.frames import document
from genscene.data.posed.sparse import PLACES, read_posed
from genscene.data.posed.values import short
from genscene.errors import BadInput, suggest
from genscene.geometry.transforms import WorldTransform, around, target

Split = Literal["train", "val", "test"]
World = Literal["around", "forward", "given"]
Format = Literal["blender", "llff", "nerfstudio", "nerfstudio splits", "deepvoxels", "colmap"]
SPLITS, WORLDS = ("train", "val", "test"), ("around", "forward", "given")
MODELS = ("cameras.bin", "*/cameras.bin", "cameras.txt", "*/cameras.txt")


def look(folder: str | Path, split: Split = "train", every: int = 8, world: World = "around") -> Posed:
    """The photographs of a split and their cameras, whatever format lies in a folder; bounds are always there.

    Blender's scenes name their splits, transforms.json may; of others every so many-th photograph by name, from the
    first, is both val and test, and every=0 keeps none from training. The world they are put into is that of
    `around`, of `llff.forward`, or the file's; one with splits stays as it is where its makers have centred it. The map
    is `normal` of what is returned, and made of all photographs, so that it is the same for every split.
    """
    root = Path(folder).expanduser()
    for word, known in ((split, SPLITS), (world, WORLDS)):
        if word not in known:
            raise BadInput(f"{word!r}: {suggest(word, known)}")
    if every < 0:
        raise BadInput(f"every {every}-th photograph for testing: wanted 0 or more")
    kind = format_of(root)
    if kind in SPLIT:
        wanted = told(root, checked(SPLIT[kind](root, split)))
        everything = wanted if split == "train" else checked(SPLIT[kind](root, "train"))
        normal = placed(everything, world, kind)
        return bounded(wanted.moved(normal), everything.moved(normal).pose)
    everything = told(root, checked(READERS[kind](root)))
    everything = everything.moved(placed(everything, world, kind))
    everything = bounded(everything, everything.pose)
    return everything.part(numbers(root, everything, kind, split, every))


def format_of(folder: Path) -> Format:
    """Which format lies in a folder; splits that tell of lenses are nerfstudio's, however they are called."""
    if not folder.exists():
        raise BadInput(f"no such folder: {folder}")
    if not folder.is_dir():
        raise BadInput(
            f"{folder} is a file, wanted a folder with photographs and their poses (a zip: unpack it)"
        )
    lists = [path for split in SPLITS if (path := folder / f"transforms_{split}.json").is_file()]
    if lists:
        return "nerfstudio splits" if any(nerfstudio.lensed(document(path)) for path in lists) else "blender"
    if (folder / "poses_bounds.npy").is_file():
        return "llff"
    if (folder / nerfstudio.NAME).is_file():
        return "nerfstudio"
    if deepvoxels.there(folder):
        return "deepvoxels"
    if any(any((folder / place).glob(pattern)) for place in (*PLACES, ".") for pattern in MODELS):
        return "colmap"
    looked = "transforms_train.json (Blender), poses_bounds.npy (LLFF), transforms.json (nerfstudio), sparse/ (COLMAP)"
    looked += ", intrinsics.txt and pose/ (DeepVoxels)"
    raise BadInput(f"{folder} holds no photographs with cameras: looked for {looked}")


def splits(folder: str | Path) -> tuple[Split, ...]:
    """The splits `look` finds in a folder."""
    root = Path(folder).expanduser()
    kind = format_of(root)
    every: tuple[Split, ...] = ("train", "val", "test")
    if kind == "deepvoxels":
        return tuple(split for split in every if deepvoxels.there(deepvoxels.sibling(root, split)))
    if kind not in SPLIT:
        return every
    return tuple(split for split in every if (root / f"transforms_{split}.json").is_file())


def numbers(folder: Path, posed: Posed, kind: Format, split: Split, every: int) -> list[int]:
    """Which photographs are in a split."""
    named = nerfstudio.chosen(folder, split) if kind == "nerfstudio" else None
    if named is not None:
        found = [i for i, path in enumerate(posed.paths) if path in named]
    else:
        kept = {i for i in range(len(posed)) if every and i % every == 0}
        found = [i for i in range(len(posed)) if (i in kept) == (split != "train")]
    if not found:
        raise BadInput(
            f"{folder}: none of {len(posed)} photographs is for {split} (every {every}-th is kept for testing)"
        )
    return found


def told(folder: Path, posed: Posed) -> Posed:
    """The same photographs, after a line about those that are not there."""
    if posed.missing:
        names, count = posed.missing, len(posed)
        say(
            f"{folder}: {len(names)} of {len(names) + count} photographs are not there, the first: {short(names[0])}"
        )
    return posed


def placed(posed: Posed, world: World, kind: Format) -> WorldTransform:
    """The map to the world that was asked for."""
    apart(posed, 2)
    if world == "given":
        return WorldTransform()
    if world == "forward":
        if posed.bounds is None:
            raise BadInput(
                f"the world 'forward' needs depths, which {posed.paths[0].parent.parent} does not give"
            )
        return llff.forward(posed)
    if kind in SPLIT and centred(posed.pose):
        return WorldTransform()
    apart(posed, 1)
    return around(posed.pose)


def centred(pose: Tensor) -> bool:
    """Whether cameras look at the world's origin, within a quarter of their distance."""
    middle = target(pose)
    return middle is None or bool(middle.norm() < 0.25 * (pose[:, :3, 3] - middle).norm(dim=-1).mean())


def bounded(posed: Posed, pose: Tensor) -> Posed:
    """Depths where the format gives none: what Blender's scenes have, 2 to 6 for cameras [M, 4, 4] at a distance of 4.

    Cameras that look at no common point get a hundredth of their spread to ten times of it.
    """
    if posed.bounds is not None:
        return posed
    middle = target(pose)
    position = pose[:, :3, 3]
    if middle is None:
        spread = float((position - position.mean(dim=0)).norm(dim=-1).max()) or 1.0
        ends = [0.01 * spread, 10 * spread]
    else:
        unit = float(f"{float((position - middle).norm(dim=-1).mean()) / 4:.2g}")  # 4.03 counts as 4
        ends = [2 * unit, 6 * unit]
    return replace(posed, bounds=torch.tensor([ends], dtype=torch.float64).repeat(len(posed), 1))


SPLIT = {
    "blender": blender.read,
    "nerfstudio splits": nerfstudio.read,
    "deepvoxels": deepvoxels.read,
}  # they name them
READERS = {"llff": llff.read, "nerfstudio": nerfstudio.read, "colmap": read_posed}
