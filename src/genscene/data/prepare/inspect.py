"""A report on the images of a folder or zip: sizes, modes, cameras, damaged files, how to train."""

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from genscene.data.images.decode import COLORS, composite, has_alpha, open_image, to_color, to_premultiplied
from genscene.data.images.files import ImageFiles, list_images
from genscene.data.images.names import lookup
from genscene.data.prepare.inspect_scene import is_scene, mean_std, scene_lines
from genscene.errors import BadInput
from genscene.experiment.schedules import largest_size
from genscene.experiment.schema import Experiment
from genscene.geometry.camera_files import read_labels
from genscene.geometry.cameras import Camera
from genscene.geometry.priors import camera_angles
from genscene.io.pictures import UnreadableImage, collect_warnings, within
from genscene.systems import PRESETS

FEW_IMAGES = 500  # below, a GAN memorises its training set
LAYOUTS, LAYOUT_SIDE = 1000, 16  # images whose layouts are compared, and the pixels of these
ALIKE = 0.15  # mean correlation of layouts; CIFAR's cats have 0.04, emoji 0.25, the embedded cars 0.6
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
    transparent: int = 0  # images with transparent pixels
    layouts: list[np.ndarray] = field(default_factory=list)  # of some images, reduced to LAYOUT_SIDE [768]
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
        lines.append(f"  transparent pixels in {counts.transparent}: on --background ({colors})")
    lines += [f"  unreadable: {name}: {reason}" for name, reason in counts.unreadable.items()]
    lines += [f"  {finding}" for finding in counts.findings]
    if files.masks:
        lines.append(f"  masks: {len(files.masks)} in {files.mask_folder}: --images.masks")
    lines += _label_lines(files)
    if is_scene(files.root):
        lines += scene_lines(files.root)
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
            counts.transparent += has_alpha(image) and _is_transparent(image)
            if len(counts.layouts) < LAYOUTS:
                counts.layouts.append(_layout(image))
            del image  # before the next is decoded
    counts.findings += findings.lines()
    return counts


def _is_transparent(image: Image.Image) -> bool:
    """Whether any pixel of an image with an alpha channel, or a transparent color, is transparent."""
    return (image if image.mode == "RGBA" else image.convert("RGBA")).getchannel("A").getextrema() != (
        255,
        255,
    )


def _layout(image: Image.Image) -> np.ndarray:
    """An image on white, reduced to LAYOUT_SIDE squared, less its mean, of length 1 -> [768]."""
    reduced = to_premultiplied(to_color(image).resize((LAYOUT_SIDE, LAYOUT_SIDE), Image.Resampling.BOX))
    values = composite(np.asarray(reduced), COLORS["white"]).astype(np.float64).ravel()
    values = values - values.mean()
    return values / max(float(np.linalg.norm(values)), 1e-6)


def likeness(layouts: Sequence[np.ndarray]) -> float:
    """The mean correlation of two of N >= 2 layouts: 0 for unrelated pictures, 0.2 and more where aligned."""
    count, total = len(layouts), float(np.square(np.sum(layouts, axis=0)).sum())
    return (total - count) / (count * (count - 1))


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
            content = reader.read(files.labels)
        except UnreadableImage:
            return []
    labels = read_labels(content, f"{files.root}/{files.labels}", (1, 1))
    if not labels:
        return ["  dataset.json: no cameras in it"]
    cameras = [c for c in lookup(files, range(len(files.names)), labels) if c is not None]
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
    yield f"  cameras: distance {mean_std(radius)}, field of view {mean_std(fov)} degrees"
    yield f"  cameras: yaw {mean_std(yaw)}, pitch {mean_std(pitch)} radians (pi/2, pi/2 is the front)"


def _training_lines(files: ImageFiles, counts: ImageCounts) -> Iterator[str]:
    """Advice and the command for training a GAN."""
    width, height = counts.sizes.most_common(1)[0][0]
    readable = len(files.names) - len(counts.unreadable)
    if len({w / h for w, h in counts.sizes}) > 1 or width != height:
        yield "  not all square: --images.fit cover (crop, the default), contain (pad), stretch or inside"
    if readable < FEW_IMAGES:
        yield f"  {readable} images are few for a GAN: it will memorise them"
    alike = likeness(counts.layouts) if len(counts.layouts) > 1 else 1.0
    if alike < ALIKE:
        yield (
            f"  the images have no common layout (likeness {alike:.2f}, wanted {ALIKE} or more): a GAN of"
            " scenes wants one kind of object, centered and of one size; expect a blur"
        )
    preset = PRESETS["pigan-pictures"]
    size = _size_option(preset, min(min(size) for size in counts.sizes))
    yield f"  train on them: genscene train pigan-pictures --data {shlex.quote(str(files.root))}{size}"


def _size_option(preset: Experiment, side: int) -> str:
    """The option for images that are smaller than the preset's: the largest power of two it can train on."""
    if side >= min(largest_size(preset)):
        return ""
    for power in range(side.bit_length() - 1, 2, -1):
        try:
            preset.system.check((2**power, 2**power))
            return f" --size {2**power}"
        except BadInput:
            continue
    return ""
