"""Folders and zips of picture files: what is in them, and all of it decoded once."""

import io
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from genscene.data.cache import Blank
from genscene.data.decode import Broken, Treatment, decode, kept
from genscene.errors import BadInput
from genscene.geometry.cameras import Size

ORIENTATION, LYING = 0x0112, (5, 6, 7, 8)  # a tag of EXIF, and the values that swap height and width
ENDINGS = frozenset(
    ending for ending in Image.registered_extensions() if ending not in (".pdf", ".mpg", ".mpeg")
)
Entry = tuple[str, tuple[int, ...]]  # a file's name and stamp
Decoded = tuple[np.ndarray, bool]  # a picture, and whether its file was smaller


@dataclass(frozen=True)
class Files:
    """The picture files of a folder or zip, sorted by name."""

    root: Path
    names: tuple[str, ...]  # relative to the root, with forward slashes
    stamps: tuple[tuple[int, ...], ...]  # of each: what changes whenever its content does
    others: int  # files that are no pictures by their ending

    @contextmanager
    def open(self) -> Iterator["Reader"]:
        """Something that reads the files by name."""
        if not self.root.is_file():
            yield Reader(self.root, None)
            return
        with zipfile.ZipFile(self.root) as archive:
            yield Reader(self.root, archive)


@dataclass(frozen=True)
class Reader:
    """Reads files by name; nothing is ever unpacked to disk."""

    root: Path
    archive: zipfile.ZipFile | None

    def read(self, name: str) -> bytes:
        """All bytes of a file; Broken where it cannot be read."""
        try:
            return self.archive.read(name) if self.archive else (self.root / name).read_bytes()
        except (OSError, zipfile.BadZipFile, KeyError, RuntimeError, EOFError, ValueError) as error:
            raise Broken(str(error)[:120]) from None


def listed(path: str | Path) -> Files:
    """What picture files there are; BadInput where there are none, or no such place."""
    root = Path(path).expanduser()
    if root.is_dir():
        found = list(_in_folder(root))
    elif zipfile.is_zipfile(root):
        found = _in_zip(root)
    elif root.suffix == ".zip" and root.is_file():
        raise BadInput(f"{root} is damaged: no whole zip")
    elif root.exists():
        raise BadInput(f"{root} is neither a folder nor a zip of pictures")
    else:
        raise BadInput(f"no such folder or zip: {root}")
    found.sort()
    pictures = [entry for entry in found if Path(entry[0]).suffix.lower() in ENDINGS]
    if not pictures:
        raise BadInput(f"{root} holds no pictures ({len(found)} other files)")
    names, stamps = zip(*pictures, strict=True)
    return Files(root, names, stamps, len(found) - len(pictures))


def spread(count: int, limit: int) -> list[int]:
    """At most `limit` of `count` numbers, evenly spread; all of them for 0."""
    if not limit or limit >= count:
        return list(range(count))
    return [i * count // limit for i in range(limit)]


def decoded(
    files: Files, chosen: list[int], treatment: Treatment, quiet: bool, blank: Blank
) -> tuple[np.ndarray, list[int], dict[str, str], list[int]]:
    """Decode the chosen files -> uint8 [N, H, W, C], numbers of the N that are whole, why the others are not.

    Also those rows of the N whose files are smaller than what is made of them.
    """
    pixels = blank((len(chosen), *treatment.size, 4 if treatment.keeps_alpha else 3))
    whole: list[int] = []
    enlarged: list[int] = []
    broken: dict[str, str] = {}
    with files.open() as reader, ThreadPoolExecutor(os.cpu_count()) as pool:
        contents = ((name, _tried(reader, name)) for name in (files.names[i] for i in chosen))
        results = _bounded(pool, contents, treatment)
        shown = track(results, "decoding pictures", total=len(chosen), disable=quiet, transient=True)
        for number, (name, result) in zip(chosen, shown, strict=True):
            if isinstance(result, Broken):
                broken[name] = str(result)
            else:
                pixels[len(whole)], small = result
                enlarged += [len(whole)] if small else []
                whole.append(number)
    if not whole:
        name, reason = next(iter(broken.items()))
        raise BadInput(
            f"none of the {len(chosen)} pictures in {files.root} can be read; the first: {name}: {reason}"
        )
    return pixels[: len(whole)], whole, broken, enlarged


def _bounded(
    pool: ThreadPoolExecutor, contents: Iterator[tuple[str, bytes | Broken]], treatment: Treatment
) -> Iterator[tuple[str, Decoded | Broken]]:
    """Decode in order, with only so many files in memory at once."""
    waiting = []
    for name, content in contents:
        waiting.append((name, pool.submit(_decoded, content, treatment)))
        if len(waiting) >= 64:
            first, job = waiting.pop(0)
            yield first, job.result()
    for name, job in waiting:
        yield name, job.result()


def _decoded(content: bytes | Broken, treatment: Treatment) -> Decoded | Broken:
    try:
        return (
            content
            if isinstance(content, Broken)
            else (decode(content, treatment), enlarges(content, treatment))
        )
    except Broken as error:
        return error


def enlarges(content: bytes, treatment: Treatment) -> bool:
    """Whether a whole picture file is smaller than what `decode` makes of it."""
    with Image.open(io.BytesIO(content)) as image:
        square = (
            treatment.size[0] == treatment.size[1]
        )  # then it is the same lying or upright: EXIF costs a decoding
        height, width = (image.height, image.width) if square else upright(image)
    left, top, right, bottom = kept((width, height), treatment.pictures.center_crop)
    wider, higher = right - left < treatment.size[1], bottom - top < treatment.size[0]
    return wider and higher if treatment.pictures.fit == "contain" else wider or higher


def upright(image: Image.Image) -> Size:
    """Height and width of a picture as its EXIF turns it: as it will be decoded."""
    lying = image.getexif().get(ORIENTATION) in LYING
    return (image.width, image.height) if lying else (image.height, image.width)


def _tried(reader: Reader, name: str) -> bytes | Broken:
    try:
        return reader.read(name)
    except Broken as error:
        return error


def _in_folder(root: Path) -> Iterator[Entry]:
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in names:
            if name.startswith("."):
                continue
            path = Path(folder, name)
            try:
                status = path.stat()
            except OSError:
                continue  # a link to nowhere
            yield path.relative_to(root).as_posix(), stamp(status)


def stamp(status: os.stat_result) -> tuple[int, ...]:
    """What changes whenever a file's content does: whoever puts the time of content back moves that of the entry."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _in_zip(root: Path) -> list[Entry]:
    try:
        whole = stamp(root.stat())
        with zipfile.ZipFile(root) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, OSError) as error:
        raise BadInput(f"{root} is not a whole zip ({error})") from None
    hidden = ("__MACOSX/", ".")
    return [(e.filename, (e.file_size, e.CRC, *whole)) for e in entries if not e.filename.startswith(hidden)]
