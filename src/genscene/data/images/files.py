"""Folders and zips of image files: listed, read by name, never unpacked to disk."""

import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePosixPath

from PIL import Image

from genscene.data.images.decode import oriented_size
from genscene.errors import BadInput
from genscene.geometry.cameras import Size
from genscene.io.archives import member_bytes, open_zip
from genscene.io.files import user_path
from genscene.io.pictures import (
    MAX_BYTES,
    UnreadableImage,
    collect_warnings,
    open_picture,
    read_picture,
    reason,
)

SUFFIXES = frozenset(s for s in Image.registered_extensions() if s not in (".pdf", ".mpg", ".mpeg"))
MASKS = ("masks/", "mask/")  # folders of the masks of a set
LABELS = "dataset.json"  # the file of its cameras
Fingerprint = tuple[int, ...]
Entry = tuple[str, Fingerprint]  # name relative to the root, with forward slashes


@dataclass(frozen=True)
class ImageFiles:
    """The image files of a folder or zip, sorted by name."""

    root: Path
    names: tuple[str, ...]  # relative to the root, with forward slashes
    fingerprints: tuple[Fingerprint, ...]  # of each file: changes whenever its content does
    others: int  # number of files without the suffix of an image
    masks: Mapping[str, Fingerprint] = field(default_factory=dict)  # the files of the folder of masks
    top: str = ""  # what the names of all pictures, masks too, begin with, "" or folders and a slash
    mask_folder: str = ""  # that of the masks, where there are any, with a slash
    labels: str = LABELS  # the file of the cameras

    @cached_property
    def shared(self) -> str:
        """What the names of all images begin with, "" or folders and a slash."""
        return shared_folders(self.names)

    @contextmanager
    def open(self) -> Iterator["FileReader"]:
        """A reader of these files by name."""
        if not self.root.is_file():
            yield FileReader(self.root, None)
            return
        with open_zip(self.root, "zip of images") as archive:
            yield FileReader(self.root, archive)


@dataclass(frozen=True)
class FileReader:
    """Reads files by name out of a folder or an open zip."""

    root: Path
    archive: zipfile.ZipFile | None

    def read(self, name: str) -> bytes:
        """The content of a file; UnreadableImage where it cannot be read."""
        if self.archive is None:
            return read_picture(self.root / name)
        try:
            return member_bytes(self.archive, name, MAX_BYTES)
        except BadInput as error:
            raise UnreadableImage(reason(error)) from None


def require_folder_or_zip(path: str | Path) -> Path:
    """The path with ~ replaced; BadInput where nothing is there."""
    root = user_path(path)
    if not root.exists():
        raise BadInput(f"no such folder or zip: {root}")
    return root


def list_images(path: str | Path) -> ImageFiles:
    """The image files of a folder or zip, hidden ones excluded; BadInput where there are none."""
    root = require_folder_or_zip(path)
    found = list(_folder_entries(root)) if root.is_dir() else _zip_entries(root)
    found.sort()
    pictures = [entry for entry in found if is_picture(entry[0])]
    # folders that hold all pictures, as in zips of a folder; of a folder of masks alone these are the images
    top = shared_folders([name for name, _ in pictures])
    folders = tuple(top + name for name in MASKS)
    images = [entry for entry in pictures if not entry[0].startswith(folders)]
    if not images:
        raise BadInput(f"{root} holds no images ({len(found)} other files)")
    names, fingerprints = zip(*images, strict=True)
    masks = dict(entry for entry in pictures if entry[0].startswith(folders))
    folder, labels = next((name for name in folders if any(m.startswith(name) for m in masks)), ""), LABELS
    if not masks and _is_resolution(root):
        labels = f"../{LABELS}"
        folder = next((f"../{name}" for name in MASKS if (root.parent / name).is_dir()), "")
        masks = {folder + name: mark for name, mark in (_folder_entries(root / folder) if folder else ())}
    return ImageFiles(root, names, fingerprints, len(found) - len(pictures), masks, top, folder, labels)


def is_picture(name: str) -> bool:
    """Whether a file has the suffix of an image."""
    return Path(name).suffix.lower() in SUFFIXES


def shared_folders(names: Sequence[str]) -> str:
    """The folders that all names begin with, each with a slash."""
    columns = zip(*(PurePosixPath(name).parent.parts for name in names), strict=False)
    return "".join(f"{column[0]}/" for column in takewhile(lambda column: len(set(column)) == 1, columns))


def _is_resolution(root: Path) -> bool:
    """Whether a folder holds the images of one size of a set like CGS-GAN's: ROOT/512, ROOT/dataset.json."""
    return root.is_dir() and not (root / LABELS).exists() and (root.parent / LABELS).is_file()


def common_size(path: str) -> Size:
    """(height, width) of all images of a folder or zip, by their headers; BadInput where two differ."""
    files, first = list_images(path), None
    with files.open() as reader, collect_warnings():
        for name in files.names:
            try:
                with open_picture(reader.read(name)) as image:
                    size = oriented_size(image)
            except Exception:  # of Pillow, of damaged EXIF
                continue  # unreadable files are reported when they are decoded
            if first is None:
                first = (name, size)
            elif size != first[1]:
                one, other = (f"{name} is {size[0]}x{size[1]}" for name, size in (first, (name, size)))
                raise BadInput(
                    f"{path} holds images of mixed sizes ({one}, {other}): --size N resizes them to one"
                )
    if first is None:
        raise BadInput(f"none of the {len(files.names)} images in {path} can be read")
    return first[1]


def require_new_folder(folder: Path) -> None:
    """Raise BadInput where a folder that is to be written exists and is not empty, or is a file."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} exists already and is not an empty folder; wanted a new one")


def _folder_entries(root: Path) -> Iterator[Entry]:
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in names:
            if name.startswith("."):
                continue
            path = Path(folder, name)
            try:
                status = path.stat()
            except OSError:
                continue  # a dangling link
            yield path.relative_to(root).as_posix(), fingerprint(status)


def _zip_entries(root: Path) -> list[Entry]:
    whole = fingerprint(root.stat())
    with open_zip(root, "zip of images") as archive:
        entries = [entry for entry in archive.infolist() if entry.filename and not entry.is_dir()]
    hidden = ("__MACOSX/", ".")
    return [(e.filename, (e.file_size, e.CRC, *whole)) for e in entries if not e.filename.startswith(hidden)]


def fingerprint(status: os.stat_result) -> Fingerprint:
    """Size, times and inode: a tool that restores the modification time of a file still changes its ctime."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
