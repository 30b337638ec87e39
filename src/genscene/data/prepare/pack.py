"""A set of square pictures of one size, in the files of StyleGAN's dataset_tool: a zip or a folder."""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from os import cpu_count
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from genscene.data.images.decode import DecodeOptions, oriented_size, parse_color
from genscene.data.images.files import FileReader, ImageFiles, list_images, require_new_folder
from genscene.data.images.load import decode_in_order, log_unreadable
from genscene.data.images.names import entries
from genscene.data.prepare.framing import frame_camera
from genscene.data.progress import log_line, track_progress
from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig
from genscene.geometry.camera_files import MAX_LABELS, check_cameras, read_labels
from genscene.geometry.cameras import Camera, Size
from genscene.io.atomic import atomic, atomic_folder
from genscene.io.files import user_path
from genscene.io.json_file import parse_json
from genscene.io.pictures import UnreadableImage, collect_warnings, open_picture

LABELS = "dataset.json"
FOLDER = 1000  # pictures in a folder of the set
DATE = (1980, 1, 1, 0, 0, 0)  # of the members of a zip: the same pictures give the same bytes
PERMISSIONS = 0o644 << 16  # of the members
Label = int | Camera  # a class, or a camera [1] of the whole picture


@dataclass(frozen=True)
class Packed:
    """What was written."""

    names: tuple[str, ...]  # of the pictures in the set
    cameras: int  # labels that are cameras
    classes: int  # labels that are numbers of classes
    unreadable: Mapping[str, str]  # reasons by the names of pictures that were left out
    enlarged: int  # pictures that had fewer pixels


class Writer(Protocol):
    """Writes a file of the set by its name."""

    def __call__(self, name: str, content: bytes) -> None: ...


def pack_pictures(source: str, dest: Path, size: int, background: str = "white") -> Packed:
    """Write pictures, cropped to the square in their middle, and their labels; whole or not at all.

    They are decoded as training decodes them (antialiased; transparency on the background), so that training
    reads the same pixels from either set. Labels of dataset.json are carried over: numbers of classes as they
    are, cameras (EG3D's) as those of the squares. Raises BadInput.
    """
    if background == "random":
        wanted = "wanted one color, white, black or R,G,B; genscene data prepare keeps transparency"
        raise BadInput(f"--background random: {wanted}")
    parse_color(background)
    files, target = list_images(source), user_path(dest)
    if target.resolve().is_relative_to(files.root.resolve()):
        raise BadInput(f"{target} is, or lies in, {files.root}, which is read; wanted a place outside")
    if target.suffix not in ("", ".zip") and not target.is_dir():
        raise BadInput(f"--dest {target}: wanted FILE.zip, or a folder, a name without an ending")
    labels = read_set_labels(files)
    if files.masks:
        log_line(f"{files.root}: its {len(files.masks)} masks are not packed: genscene data prepare")
    options = DecodeOptions((size, size), ImageConfig(background=background))
    written, unreadable, enlarged = list[tuple[str, str, Label | None]](), dict[str, str](), 0
    with open_set(target) as write, files.open() as reader, ThreadPoolExecutor(cpu_count()) as pool:
        with collect_warnings():
            decoded = decode_in_order(pool, reader, list(files.names), options, None)
            for i, (name, found) in enumerate(track_progress(decoded, "packing pictures", len(files.names))):
                if isinstance(found, UnreadableImage):
                    unreadable[name] = str(found)
                    continue
                label = square_label(labels[i], reader, name) if labels else None
                written.append((packed_name(len(written)), name, label))
                write(written[-1][0], png_bytes(found[0]))
                enlarged += found[1]
        if unreadable:
            log_unreadable(unreadable, len(files.names))
        if not written:
            raise BadInput(f"none of the {len(files.names)} images in {files.root} can be read")
        write(LABELS, describe_set(written))
    kinds = [isinstance(label, int) for _, _, label in written if label is not None]
    names = tuple(name for name, _, _ in written)
    return Packed(names, len(kinds) - sum(kinds), sum(kinds), unreadable, enlarged)


def packed_name(index: int) -> str:
    """The name of a picture in the set, as StyleGAN's dataset_tool has it: 1234 -> 00001/img00001234.png."""
    return f"{index // FOLDER:05d}/img{index:08d}.png"


def png_bytes(pixels: np.ndarray) -> bytes:
    """uint8 [H, W, 3] -> the bytes of a PNG."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="PNG", compress_level=6)
    return content.getvalue()


def describe_set(written: list[tuple[str, str, Label | None]]) -> bytes:
    """Names in the set, those of the source, and labels -> the text of dataset.json."""
    rows = [
        [name, label if isinstance(label, int) else label.label()[0].tolist()]
        for name, _, label in written
        if label is not None
    ]
    document = {"labels": rows or None, "sources": [source for _, source, _ in written]}
    return json.dumps(document, ensure_ascii=True).encode()


@contextmanager
def open_set(target: Path) -> Iterator[Writer]:
    """A function that writes the files of a set, to a zip or a new folder, which appears when it is whole."""
    if target.suffix != ".zip" or target.is_dir():
        require_new_folder(target)
        with atomic_folder(target) as partial:

            def write_file(name: str, content: bytes) -> None:
                path = partial / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)

            yield write_file
        return
    with atomic(target) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:

        def write_member(name: str, content: bytes) -> None:
            member = zipfile.ZipInfo(name, DATE)
            member.create_system, member.external_attr = 3, PERMISSIONS
            archive.writestr(member, content)

        yield write_member


def read_set_labels(files: ImageFiles) -> list[Label] | None:
    """The labels of all pictures in dataset.json; None where it has none, BadInput where some are missing."""
    path = f"{files.root}/{files.labels}"
    with files.open() as reader:
        try:
            content = reader.read(files.labels)
        except UnreadableImage:
            return None
    found: Mapping[str, Label] = read_labels(content, path, (1, 1)) or read_classes(content, path)
    if not found:
        return None
    labels = entries(files, range(len(files.names)), found, f"{path} has no label")
    cameras = [label for label in labels if isinstance(label, Camera)]
    if cameras:
        pose, intrinsics = (torch.cat([getattr(c, key) for c in cameras]) for key in ("pose", "intrinsics"))
        check_cameras(Camera(pose, intrinsics, (1, 1)), path)
    return labels


def read_classes(content: bytes, path: str) -> dict[str, int]:
    """The numbers of classes in dataset.json by name; empty where it has no labels."""
    document: Any = parse_json(content, path, MAX_LABELS)
    rows = document.get("labels") if isinstance(document, dict) else None
    wrong = next((row for row in rows or () if type(row[1]) is not int or row[1] < 0), None)
    if wrong is not None:
        raise BadInput(f"{path}: the label of {str(wrong[0])[:80]!r} is none of 0, 1, 2, ...")
    return dict(rows or ())


def square_label(label: Label, reader: FileReader, name: str) -> Label:
    """The label of the square in the middle of a picture: of a camera the intrinsics change."""
    if isinstance(label, int):
        return label
    size: Size = oriented_size(open_picture(reader.read(name)))
    if size[0] == size[1]:
        return label
    return Camera.from_label(torch.from_numpy(frame_camera(label, size).label)[None], (1, 1))
