"""A set of square pictures with a camera each, written to a folder with EG3D's labels."""

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image, ImageOps

from genscene.data.images.decode import open_image, open_mask, to_color, with_mask
from genscene.data.images.files import FileReader, ImageFiles, list_images, require_new_folder
from genscene.data.images.load import log_unreadable
from genscene.data.images.names import mask_names
from genscene.data.prepare.cameras import Preparation, from_cameras, from_landmarks
from genscene.data.prepare.framing import Framed
from genscene.data.progress import log_line, track_progress
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera
from genscene.geometry.priors import camera_angles
from genscene.io.atomic import atomic, atomic_folder
from genscene.io.files import user_path
from genscene.io.pictures import UnreadableImage, collect_warnings

LEAST_INSIDE = 0.75  # share of a window that must lie in its picture
MIRROR = "_mirror"  # end of the names of mirrored pictures
SAID = 20  # pictures that are left out with a line each


@dataclass(frozen=True)
class Prepared:
    """What was written."""

    rows: tuple[tuple[str, Framed], ...]  # names of the written pictures, without the mirrored ones
    refused: dict[str, str]  # reasons by the names of pictures that were left out
    enlarged: int  # windows that have fewer pixels than they were written with


def prepare_pictures(source: str, out: Path, how: Preparation) -> Prepared:
    """Write pictures, dataset.json and report.csv to a new folder; BadInput, and nothing, where none is left.

    Pictures with landmarks are cropped as EG3D's; others are squares from the middle.
    """
    files, target = list_images(source), user_path(out)
    require_new_folder(target)
    if files.root.is_dir() and target.resolve().is_relative_to(files.root.resolve()):
        raise BadInput(f"{target} lies in {files.root}, which is read; wanted a folder outside")
    names = _written_names(files)
    masks = mask_names(files, range(len(files.names))) if how.masks and files.masks else None
    framing = from_landmarks(files, how) if how.landmarks else from_cameras(files, how)
    rows, refused, unreadable, enlarged = list[tuple[str, Framed]](), dict[str, str](), dict[str, str](), 0
    with atomic_folder(target) as partial, files.open() as reader, collect_warnings():
        for i in track_progress(range(len(names)), "preparing pictures"):
            try:
                image = _read(reader, files.names[i], masks[i] if masks else None)
                framed = framing.frame(i, (image.height, image.width))
            except UnreadableImage as error:
                unreadable[files.names[i]] = str(error)
                continue
            reason = _refuse(framed, image, how)
            if framed is None or reason:
                refused[files.names[i]] = reason
                continue
            enlarged += framed.side < how.size
            _write(partial / names[i], crop(image, framed, how.size), how.mirror)
            rows.append((names[i], framed))
        if unreadable:
            log_unreadable(unreadable, len(names))
        _log_refused(refused, len(names))
        if not rows:
            raise BadInput(f"{files.root}: none of {len(names)} pictures is left")
        _write_tables(partial, rows, how.mirror)
    return Prepared(tuple(rows), refused, enlarged)


def _written_names(files: ImageFiles) -> list[str]:
    """The names that pictures are written with; BadInput where two would be the same."""
    names = [str(PurePosixPath(name.removeprefix(files.shared)).with_suffix(".png")) for name in files.names]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadInput(f"{files.root}: two pictures would be written as {twice}, wanted names that differ")
    return names


def _read(reader: FileReader, name: str, mask: str | None) -> Image.Image:
    """A picture as RGB or premultiplied RGBa."""
    image = open_image(reader.read(name))
    return to_color(image if mask is None else with_mask(image, open_mask(reader.read(mask))))


def _refuse(framed: Framed | None, image: Image.Image, how: Preparation) -> str:
    """Why a picture is left out; nothing where it is not."""
    if framed is None:
        return "it has no landmarks, or some that are not finite"
    if framed.error > how.largest_error:
        off = f"{100 * framed.error:.0f} % of the distance of the eyes"
        return f"landmarks are off by {off}, wanted at most {100 * how.largest_error:.0f} %"
    inside = framed.inside((image.height, image.width))
    if inside < LEAST_INSIDE:
        return (
            f"{100 * inside:.0f} % of the head's square are in the picture, wanted {100 * LEAST_INSIDE:.0f} %"
        )
    return ""


def _log_refused(refused: dict[str, str], count: int) -> None:
    for name, reason in list(refused.items())[:SAID]:
        log_line(f"{name} is left out: {reason}")
    if len(refused) > SAID:
        log_line(f"and {len(refused) - SAID} more of {count} pictures")


def crop(image: Image.Image, framed: Framed, size: int) -> Image.Image:
    """A window of a picture, RGB or RGBa; outside, borders are repeated, or nothing is where it has alpha."""
    box = np.array([framed.left, framed.top, framed.left + framed.side, framed.top + framed.side])
    limit = np.array([image.width, image.height] * 2)
    out = np.ceil(np.maximum([-box[0], -box[1], box[2] - limit[0], box[3] - limit[1]], 0)).astype(int)
    if out.any():
        pad = ((out[1], out[3]), (out[0], out[2]), (0, 0))
        clear = image.mode == "RGBa"
        padded = np.pad(np.asarray(image), pad, mode="constant" if clear else "edge")
        box += np.array([out[0], out[1]] * 2)
        image = Image.frombytes(image.mode, padded.shape[1::-1], padded.tobytes())
    whole = box.clip(0, [image.width, image.height] * 2).tolist()
    return image.resize((size, size), Image.Resampling.BICUBIC, tuple(whole))


def _write(path: Path, image: Image.Image, mirror: bool) -> None:
    """Write a picture as PNG with straight alpha, and its mirror image."""
    straight = image.convert("RGBA") if image.mode == "RGBa" else image
    path.parent.mkdir(parents=True, exist_ok=True)
    straight.save(path, format="PNG")
    if mirror:
        ImageOps.mirror(straight).save(path.with_stem(path.stem + MIRROR), format="PNG")


def _labels(rows: list[tuple[str, Framed]], mirror: bool) -> Iterator[list[object]]:
    """Names and labels, each followed by that of the mirrored picture."""
    for name, framed in rows:
        camera = Camera.from_label(torch.from_numpy(framed.label)[None], (1, 1))
        yield [name, framed.label.tolist()]
        if mirror:
            other = str(PurePosixPath(name).with_stem(PurePosixPath(name).stem + MIRROR))
            yield [other, camera.mirrored().label()[0].tolist()]


def _write_tables(folder: Path, rows: list[tuple[str, Framed]], mirror: bool) -> None:
    """dataset.json, and report.csv: the error of each picture's landmarks, its angles, and its window."""
    with atomic(folder / "dataset.json") as path:
        path.write_text(json.dumps({"labels": list(_labels(rows, mirror))}))
    cameras = Camera.from_label(torch.from_numpy(np.stack([framed.label for _, framed in rows])), (1, 1))
    yaw, pitch = camera_angles(cameras, math.pi / 2)
    with atomic(folder / "report.csv") as path, path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["name", "error", "yaw", "pitch", "distance", "focal", "left", "top", "side"])
        for i, (name, framed) in enumerate(rows):
            angles = [math.degrees(float(yaw[i])) - 90, 90 - math.degrees(float(pitch[i]))]
            lens = [float(cameras.pose[i, :3, 3].norm()), float(framed.label[16])]
            numbers = [framed.error, *angles, *lens, framed.left, framed.top, framed.side]
            table.writerow([name, *(round(x, 4) for x in numbers)])
