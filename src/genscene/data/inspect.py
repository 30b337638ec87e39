"""What pictures are there: numbers, sizes, kinds, cameras, damage, and what to do with them."""

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from genscene.data.decode import ALPHA, Broken, opened
from genscene.data.images import Files, listed
from genscene.data.posed import folder
from genscene.errors import BadInput
from genscene.geometry.camera_files import read_labels
from genscene.geometry.cameras import Camera
from genscene.geometry.priors import camera_angles

POSED = ("transforms_train.json", "transforms.json", "poses_bounds.npy", "sparse", "intrinsics.txt")
READERS: dict[folder.Format, str] = {
    "blender": "Blender scene (NeRF), transforms_train.json",
    "nerfstudio": "nerfstudio or instant-ngp scene, transforms.json",
    "nerfstudio splits": "nerfstudio or instant-ngp scene, transforms_train.json",
    "llff": "LLFF scene, poses_bounds.npy",
    "colmap": "COLMAP model",
    "deepvoxels": "DeepVoxels shape, intrinsics.txt",
}


@dataclass
class Found:
    """What the pictures have in common, and not."""

    sizes: Counter[tuple[int, int]]
    modes: Counter[str]
    see_through: int
    broken: dict[str, str]


def inspect(path: Path) -> list[str]:
    """Lines to tell a person. Every file is decoded. Raises BadInput where there are no pictures."""
    files = listed(path)
    found = look(files)
    whole = len(files.names) - len(found.broken)
    place = "folder" if files.root.is_dir() else "zip"
    lines = [f"{files.root}: {place} of {len(files.names)} pictures, {files.others} other files"]
    lines += [f"  sizes: {common(f'{w}x{h}' for (w, h) in found.sizes.elements())}"]
    lines += [f"  kinds: {common(found.modes.elements())}"]
    if found.see_through:
        lines.append(
            f"  transparency in {found.see_through}: shown on --images.background (white, black, random, R,G,B)"
        )
    lines += [f"  broken: {name}: {reason}" for name, reason in found.broken.items()]
    lines += labels(files)
    if files.root.is_dir() and any((files.root / name).exists() for name in POSED):
        lines += posed(files.root)
    elif whole:
        lines += advice(files, found, whole)
    return lines


def posed(root: Path) -> Iterator[str]:
    """What the cameras of photographs are, or why they cannot be used, and what to type next."""
    try:
        kind = folder.format_of(root)
        yield f"  read as: {READERS[kind]}"
        for split in folder.splits(root):
            part = folder.look(root, split)
            distance = part.pose[:, :3, 3].norm(dim=-1)
            assert part.bounds is not None
            near, far = float(part.bounds.min()), float(part.bounds.max())
            yield (
                f"  {split}: {len(part)} photographs with {part.model} cameras,"
                f" distance {mean(distance)}, depths {near:.3g} to {far:.3g}"
            )
    except BadInput as error:
        yield f"  cameras cannot be used: {error}"
        return
    preset = "nerf-grid-demo" if kind == "blender" else "nerf-grid-photos"
    yield f"  train on them: genscene train {preset} --data {root}"


def look(files: Files) -> Found:
    """Decode everything."""
    found = Found(Counter(), Counter(), 0, {})
    with files.open() as reader, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on large pictures; what is too large is broken
        for name in files.names:
            try:
                image = opened(reader.read(name))
            except Broken as error:
                found.broken[name] = str(error)
                continue
            found.sizes[image.size] += 1
            found.modes[kind_of(image)] += 1
            found.see_through += image.mode in ALPHA or "transparency" in image.info
    return found


def kind_of(image: Image.Image) -> str:
    """A mode in words."""
    words = {
        "L": "grey",
        "LA": "grey with alpha",
        "P": "palette",
        "1": "black and white",
        "F": "floating grey",
    }
    return words.get(image.mode, "16-bit grey" if image.mode.startswith("I") else image.mode)


def common(things: Iterable[str], most: int = 4) -> str:
    """The most frequent things and how often they are."""
    counts = Counter(things)
    named = ", ".join(f"{thing} ({count})" for thing, count in counts.most_common(most))
    return named + (f", and {len(counts) - most} more" if len(counts) > most else "")


def labels(files: Files) -> list[str]:
    """What dataset.json says of cameras."""
    with files.open() as reader:
        try:
            content = reader.read("dataset.json")
        except Broken:
            return []
    known = read_labels(content, f"{files.root}/dataset.json", (1, 1))
    if not known:
        return ["  dataset.json: no cameras in it"]
    named = [known[name] for name in files.names if name in known]
    return [f"  dataset.json: cameras for {len(named)} of {len(files.names)} pictures", *poses(named)]


def poses(cameras: list[Camera]) -> Iterator[str]:
    """Where cameras stand."""
    if not cameras:
        return
    pose = torch.cat([camera.pose for camera in cameras])
    joint = Camera(pose, torch.cat([camera.intrinsics for camera in cameras]), (1, 1))
    yaw, pitch = camera_angles(joint, math.pi / 2)
    radius = pose[:, :3, 3].norm(dim=-1)
    fov = torch.rad2deg(2 * torch.atan(0.5 / joint.intrinsics[:, 0, 0]))
    yield f"  cameras: distance {mean(radius)}, field of view {mean(fov)} degrees"
    yield f"  cameras: yaw {mean(yaw)}, pitch {mean(pitch)} radians (pi/2, pi/2 is the front)"


def mean(values: torch.Tensor) -> str:
    """Mean and deviation."""
    return f"{float(values.mean()):.3f} +- {float(values.std(unbiased=False)):.3f}"


def advice(files: Files, found: Found, whole: int) -> Iterator[str]:
    """What to type next."""
    width, height = found.sizes.most_common(1)[0][0]
    if len({w / h for w, h in found.sizes}) > 1 or width != height:
        yield "  shapes differ from a square: --images.fit cover (cut, the default), contain (pad) or stretch"
    if whole < 500:
        yield f"  {whole} pictures are few for a GAN: expect it to learn them by heart"
    yield f"  train on them: genscene train pigan-pictures --data {files.root}"
