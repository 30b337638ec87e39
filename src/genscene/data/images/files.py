"""Folders and zips of image files: listed, read by name, never unpacked to disk."""

import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
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
MASKS = "masks/"  # folder of the masks of a set
Fingerprint = tuple[int, ...]
Entry = tuple[str, Fingerprint]  # name relative to the root, with forward slashes


@dataclass(frozen=True)
class ImageFiles:
    """The image files of a folder or zip, sorted by name."""

    root: Path
    names: tuple[str, ...]  # relative to the root, with forward slashes
    fingerprints: tuple[Fingerprint, ...]  # of each file: changes whenever its content does
    others: int  # number of files without the suffix of an image
    masks: Mapping[str, Fingerprint] = field(default_factory=dict)  # the files of the folder `masks`
    top: str = ""  # what the names of all pictures begin with, "" or folders and a slash

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
    pictures = [entry for entry in found if Path(entry[0]).suffix.lower() in SUFFIXES]
    # folders that hold all pictures, as in zips of a folder; of a folder of masks alone these are the images
    columns = zip(*(PurePosixPath(name).parent.parts for name, _ in pictures), strict=False)
    top = "".join(f"{column[0]}/" for column in takewhile(lambda column: len(set(column)) == 1, columns))
    images = [entry for entry in pictures if not entry[0].startswith(top + MASKS)]
    if not images:
        raise BadInput(f"{root} holds no images ({len(found)} other files)")
    names, fingerprints = zip(*images, strict=True)
    masks = dict(entry for entry in pictures if entry[0].startswith(top + MASKS))
    return ImageFiles(root, names, fingerprints, len(found) - len(pictures), masks, top)


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
            yield path.relative_to(root).as_posix(), _fingerprint(status)


def _zip_entries(root: Path) -> list[Entry]:
    whole = _fingerprint(root.stat())
    with open_zip(root, "zip of images") as archive:
        entries = [entry for entry in archive.infolist() if entry.filename and not entry.is_dir()]
    hidden = ("__MACOSX/", ".")
    return [(e.filename, (e.file_size, e.CRC, *whole)) for e in entries if not e.filename.startswith(hidden)]


def _fingerprint(status: os.stat_result) -> Fingerprint:
    """Size, times and inode: a tool that restores the modification time of a file still changes its ctime."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
