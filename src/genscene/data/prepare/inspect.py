"""A report on the images of a folder or zip: sizes, modes, cameras, damaged files, how to train."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image

from genscene.data.images.decode import has_alpha, open_image
from genscene.data.images.files import ImageFiles, list_images
from genscene.data.posed.loader import Format, available_splits, detect_format, load_posed
from genscene.errors import BadInput
from genscene.geometry.camera_files import read_labels
from genscene.geometry.cameras import Camera
from genscene.geometry.priors import camera_angles
from genscene.io.pictures import UnreadableImage, collect_warnings, within

POSE_FILES = ("transforms_train.json", "transforms.json", "poses_bounds.npy", "sparse", "intrinsics.txt")
FEW_IMAGES = 500  # below, a GAN memorises its training set
FORMATS: dict[Format, str] = {
    "blender": "Blender scene (NeRF), transforms_train.json",
    "nerfstudio": "nerfstudio or instant-ngp scene, transforms.json",
    "nerfstudio splits": "nerfstudio or instant-ngp scene, transforms_train.json",
    "llff": "LLFF scene, poses_bounds.npy",
    "colmap": "COLMAP model",
    "deepvoxels": "DeepVoxels shape, intrinsics.txt",
}
MODES = {
    "L": "grey",
    "LA": "grey with alpha",
    "P": "palette",
    "1": "black and white",
    "F": "floating-point grey",
}


@dataclass
class ImageCounts:
    """The decoded images by size and mode."""

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # (width, height)
    modes: Counter[str] = field(default_factory=Counter)
    transparent: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)  # name: reason
    findings: list[str] = field(default_factory=list)  # what the decoder warned of


def inspect(path: Path) -> list[str]:
    """The lines of the report. Every file is decoded. Raises BadInput where there are no images."""
    files = list_images(path)
    counts = _count_images(files)
    kind = "folder" if files.root.is_dir() else "zip"
    lines = [f"{files.root}: {kind} of {len(files.names)} images, {files.others} other files"]
    lines += [f"  sizes: {_most_common(f'{w}x{h}' for (w, h) in counts.sizes.elements())}"]
    lines += [f"  modes: {_most_common(counts.modes.elements())}"]
    if counts.transparent:
        colors = "white, black, random, R,G,B"
        lines.append(f"  alpha in {counts.transparent}: composited on --images.background ({colors})")
    lines += [f"  unreadable: {name}: {reason}" for name, reason in counts.unreadable.items()]
    lines += [f"  {finding}" for finding in counts.findings]
    lines += _label_lines(files)
    if files.root.is_dir() and any((files.root / name).exists() for name in POSE_FILES):
        lines += _posed_lines(files.root)
    elif len(counts.unreadable) < len(files.names):
        lines += _training_lines(files, counts)
    return lines


def _count_images(files: ImageFiles) -> ImageCounts:
    counts = ImageCounts()
    with files.open() as reader, collect_warnings() as findings:
        for name in files.names:
            try:
                with within(name):
                    image = open_image(reader.read(name))
            except UnreadableImage as error:
                counts.unreadable[name] = str(error)
                continue
            counts.sizes[image.size] += 1
            counts.modes[_mode_name(image)] += 1
            counts.transparent += has_alpha(image)
    counts.findings += findings.lines()
    return counts


def _mode_name(image: Image.Image) -> str:
    return MODES.get(image.mode, "16-bit grey" if image.mode.startswith("I") else image.mode)


def _most_common(values: Iterable[str], most: int = 4) -> str:
    """The most frequent values with their counts."""
    counts = Counter(values)
    named = ", ".join(f"{value} ({count})" for value, count in counts.most_common(most))
    return named + (f", and {len(counts) - most} more" if len(counts) > most else "")


def _label_lines(files: ImageFiles) -> list[str]:
    """The cameras of dataset.json: for how many images, and their distribution."""
    with files.open() as reader:
        try:
            content = reader.read("dataset.json")
        except UnreadableImage:
            return []
    labels = read_labels(content, f"{files.root}/dataset.json", (1, 1))
    if not labels:
        return ["  dataset.json: no cameras in it"]
    cameras = [labels[name] for name in files.names if name in labels]
    return [
        f"  dataset.json: cameras for {len(cameras)} of {len(files.names)} images",
        *_camera_lines(cameras),
    ]


def _camera_lines(cameras: list[Camera]) -> Iterator[str]:
    if not cameras:
        return
    pose = torch.cat([camera.pose for camera in cameras])
    joint = Camera(pose, torch.cat([camera.intrinsics for camera in cameras]), (1, 1))
    yaw, pitch = camera_angles(joint, math.pi / 2)
    radius = pose[:, :3, 3].norm(dim=-1)
    fov = torch.rad2deg(2 * torch.atan(0.5 / joint.intrinsics[:, 0, 0]))
    yield f"  cameras: distance {_mean(radius)}, field of view {_mean(fov)} degrees"
    yield f"  cameras: yaw {_mean(yaw)}, pitch {_mean(pitch)} radians (pi/2, pi/2 is the front)"


def _mean(values: torch.Tensor) -> str:
    """Mean and standard deviation."""
    return f"{float(values.mean()):.3f} +- {float(values.std(unbiased=False)):.3f}"


def _posed_lines(root: Path) -> Iterator[str]:
    """The format, splits and cameras of posed photographs, or why they cannot be loaded."""
    try:
        kind = detect_format(root)
        yield f"  read as: {FORMATS[kind]}"
        for split in available_splits(root):
            part = load_posed(root, split)
            distance = part.pose[:, :3, 3].norm(dim=-1)
            assert part.bounds is not None
            near, far = float(part.bounds.min()), float(part.bounds.max())
            yield (
                f"  {split}: {len(part)} photographs with {part.distortion_model} cameras,"
                f" distance {_mean(distance)}, depths {near:.3g} to {far:.3g}"
            )
    except BadInput as error:
        yield f"  cameras cannot be used: {error}"
        return
    preset = "nerf-grid-demo" if kind == "blender" else "nerf-grid-photos"
    yield f"  train on them: genscene train {preset} --data {root}"


def _training_lines(files: ImageFiles, counts: ImageCounts) -> Iterator[str]:
    """Advice and the command for training a GAN."""
    width, height = counts.sizes.most_common(1)[0][0]
    readable = len(files.names) - len(counts.unreadable)
    if len({w / h for w, h in counts.sizes}) > 1 or width != height:
        yield "  not all square: --images.fit cover (crop, the default), contain (pad) or stretch"
    if readable < FEW_IMAGES:
        yield f"  {readable} images are few for a GAN: it will memorise them"
    yield f"  train on them: genscene train pigan-pictures --data {files.root}"
