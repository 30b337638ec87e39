"""Pictures from outside: a few formats that start no program, of limited size; Pillow's warnings counted."""

import ctypes
import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from genscene.errors import BadInput
from genscene.io.files import MIB, open_regular, read_bytes

# Not EPS, whose decoding starts Ghostscript; nor the formats that no data set has and few have checked.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
MAX_BYTES = 96 * MIB  # of a file
MAX_PIXELS = 24_500_000  # decoded and converted, at 8 bytes each, a fifth of a gigabyte
MAX_JPEG = 89_478_485  # of JPEGs but CMYK, decoded at half the size; where Pillow begins to warn
MAX_WIDE = MAX_PIXELS // 4  # of WebP and of more than 8 bits, which take four times the memory
ALWAYS_PIXELS = 1 << 23  # so many are decoded whatever the file's size
PIXELS_PER_BYTE = 64  # of larger pictures, at most: beyond, it is made to exhaust memory
KINDS = (  # of Pillow's warnings; others are not reported
    (re.compile("EXIF|metadata|IFD|tag", re.IGNORECASE), "damaged metadata (EXIF), ignored"),
    (re.compile("trunc|incomplete", re.IGNORECASE), "cut short"),
)
_NAMES = threading.local()
_FREED = threading.Condition()
_IN_WORK = [0]  # pixels of pictures that threads decode and convert


class UnreadableImage(Exception):
    """A file that is not a complete image; the message gives the reason."""


def open_picture(content: bytes) -> Image.Image:
    """The bytes of an image file -> the image, its header read; UnreadableImage for all else."""
    if len(content) > MAX_BYTES:
        raise UnreadableImage(f"{len(content) // MIB} MiB, wanted at most {MAX_BYTES // MIB}")
    _check_webp(content[:30])
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Exception as error:  # Pillow raises a dozen kinds for damaged files
        raise UnreadableImage(reason(error)) from None
    _check_pixels(image, len(content))
    return image


def decode_picture(content: bytes, halved: bool = False) -> Image.Image:
    """The bytes of an image file -> the image, all of it decoded; UnreadableImage for all else.

    halved: JPEGs of more than MAX_PIXELS are decoded at half the size.
    """
    image = open_picture(content)
    if halved and image.width * image.height > MAX_PIXELS:
        image.draft(image.mode, (image.width // 2, image.height // 2))
    if image.format == "TIFF":
        _silence_libtiff()
    try:
        image.load()
    except Exception as error:  # as above
        raise UnreadableImage(reason(error)) from None
    if image.mode == "F" and not np.isfinite(np.asarray(image)).all():
        raise UnreadableImage("it holds values that are not finite (nan or inf)")
    return image


@contextmanager
def in_turn(pixels: int) -> Iterator[None]:
    """Wait until all pictures in work, with this one, have at most MAX_PIXELS, or it is alone."""
    pixels = min(pixels, MAX_PIXELS)
    with _FREED:
        _FREED.wait_for(lambda: _IN_WORK[0] + pixels <= MAX_PIXELS)
        _IN_WORK[0] += pixels
    try:
        yield
    finally:
        with _FREED:
            _IN_WORK[0] -= pixels
            _FREED.notify_all()


def read_picture(path: Path) -> bytes:
    """The bytes of an image file; UnreadableImage, without its name, where it cannot be read."""
    try:
        return read_bytes(path, "image", MAX_BYTES)
    except BadInput as error:
        raise UnreadableImage(reason(error)) from None


def picture_header(path: Path) -> Image.Image:
    """The image of a file, its header read and its file closed; UnreadableImage for all else."""
    try:
        with open_regular(path, "image", MAX_BYTES) as file:
            _check_webp(file.read(30))
            file.seek(0)
            image = Image.open(file, formats=FORMATS)
            _check_pixels(image, path.stat().st_size)
            return image
    except UnreadableImage:
        raise
    except Exception as error:  # as above
        raise UnreadableImage(reason(error)) from None


def reason(error: Exception) -> str:
    """Why a picture cannot be read, in one short line."""
    lines = str(error).splitlines()
    if lines and "cannot identify image file" in lines[0]:  # with an address in memory
        return f"no whole picture of a known format ({', '.join(FORMATS)})"
    return lines[0][:160] if lines else type(error).__name__


def _check_pixels(image: Image.Image, size: int) -> None:
    """Raise UnreadableImage where a header announces more pixels than its file can hold, or memory should."""
    pixels, most = image.width * image.height, MAX_PIXELS
    if image.format == "JPEG" and "progressive" not in image.info and image.mode != "CMYK":
        most = MAX_JPEG
    elif image.format == "WEBP" or image.mode[0] in "IF":
        most = MAX_WIDE
    if pixels > most:
        raise UnreadableImage(f"{image.width}x{image.height} pixels, wanted at most {most}")
    if pixels > max(ALWAYS_PIXELS, PIXELS_PER_BYTE * size):
        raise UnreadableImage(f"{image.width}x{image.height} pixels in {size} bytes: a decompression bomb")


def _check_webp(head: bytes) -> None:
    """Raise UnreadableImage where 30 bytes begin a large WebP: Pillow allocates as it opens one."""
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return
    if head[12:16] == b"VP8X":
        width, height = (1 + int.from_bytes(head[i : i + 3], "little") for i in (24, 27))
    elif head[12:16] == b"VP8L":
        both = int.from_bytes(head[21:25], "little")
        width, height = 1 + (both & 0x3FFF), 1 + (both >> 14 & 0x3FFF)
    else:
        width, height = (int.from_bytes(head[i : i + 2], "little") & 0x3FFF for i in (26, 28))
    if width * height > MAX_WIDE:
        raise UnreadableImage(f"{width}x{height} pixels of WebP, wanted at most {MAX_WIDE}")


@cache
def _silence_libtiff() -> None:
    """Stop libtiff, where it is found, from printing on standard error what Pillow raises anyway."""
    maps = Path("/proc/self/maps")  # the libraries of this process, where the system lists them
    lines = maps.read_text(errors="replace").splitlines() if maps.exists() else []
    found = {line.split(maxsplit=5)[-1] for line in lines if "libtiff" in line}
    found |= {str(path) for path in Path(Image.__file__).parent.glob(".dylibs/libtiff*")}
    for path in found:
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(path)
            library.TIFFSetErrorHandler(None)
            library.TIFFSetWarningHandler(None)


@dataclass
class Findings:
    """What Pillow warned of: kind -> names of files, in order."""

    names: dict[str, list[str]] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """One line for each kind: how many, and the first."""
        for kind, names in sorted(self.names.items()):
            yield f"{kind} in {len(names)}, the first: {min(names)}"


@contextmanager
def collect_warnings() -> Iterator[Findings]:
    """In the block no warning is shown; those that any thread raises `within` a file are collected."""
    findings = Findings()

    def record(message: Warning | str, *_: object, **__: object) -> None:
        name = getattr(_NAMES, "current", None)
        for pattern, kind in KINDS:
            if name is not None and pattern.search(str(message)):
                names = findings.names.setdefault(kind, [])
                if name not in names[-1:]:
                    names.append(name)
                return

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = record
        yield findings


@contextmanager
def within(name: str) -> Iterator[None]:
    """Warnings that this thread raises in the block belong to the file of this name."""
    _NAMES.current = name
    try:
        yield
    finally:
        _NAMES.current = None
