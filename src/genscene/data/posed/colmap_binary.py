"""COLMAP's binary files: every number in them is held against what is left of the file."""

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genscene.data.posed.colmap_model import MODELS, Lens, Points, Shot, cloud, lens, shot
from genscene.errors import BadInput

CAMERA, IMAGE, POINT = 48, 73, 51  # bytes, at least


class Content:
    """The bytes of a file, read from the first to the last."""

    def __init__(self, content: mmap.mmap):
        self.content = content
        self.place = 0

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self.content) - self.place

    def skip(self, size: int) -> int:
        """Pass over bytes -> where they begin; BadInput where there are not so many."""
        if size > self.left:
            raise BadInput(f"cut short: at byte {self.place} it wants {size} more, but has {self.left}")
        self.place += size
        return self.place - size

    def take(self, layout: str) -> tuple[Any, ...]:
        """The next numbers, as `struct` names them."""
        return struct.unpack_from(layout, self.content, self.skip(struct.calcsize(layout)))

    def count(self, least: int, things: str) -> int:
        """A number of things of at least so many bytes that are to follow."""
        found = int(self.take("<Q")[0])
        if found * least > self.left:
            raise BadInput(
                f"cut short: at byte {self.place} it announces {found} {things}, but has {self.left} bytes"
            )
        return found

    def name(self) -> str:
        """The text up to the next zero byte."""
        end = self.content.find(b"\0", self.place)
        if end < 0:
            raise BadInput(f"cut short: the name at byte {self.place} does not end")
        start = self.skip(end + 1 - self.place)
        return self.content[start:end].decode()


@contextmanager
def opened(path: Path) -> Iterator[Content]:
    """The content of a file."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise BadInput("empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield Content(content)


@contextmanager
def whole(path: Path) -> Iterator[Content]:
    """The content of a file; BadInput where something of it is left unread."""
    with opened(path) as content:
        yield content
        if content.left:
            raise BadInput(f"{content.left} bytes follow after all that it announces")


def cameras(path: Path) -> dict[int, Lens]:
    """The lenses of cameras.bin by number."""
    lenses = {}
    with whole(path) as content:
        for _ in range(content.count(CAMERA, "cameras")):
            number, model, width, height = content.take("<iiQQ")
            parameters = len(MODELS[model][2]) if model in MODELS else 0
            lenses[number] = lens(model, width, height, content.take(f"<{parameters}d"))
    return lenses


def images(path: Path) -> list[Shot]:
    """The images of images.bin."""
    shots = []
    with whole(path) as content:
        for _ in range(content.count(IMAGE, "images")):
            number, *motion, camera = content.take("<i7di")
            name = content.name()
            points = content.count(24, "points")
            content.skip(24 * points)
            shots.append(shot(number, motion, camera, name, points))
    return shots


def announced(path: Path) -> int:
    """How many images images.bin says it holds."""
    with opened(path) as content:
        return content.count(IMAGE, "images")


def points(path: Path) -> Points:
    """The points of points3D.bin."""
    rows, tracks = [], []
    with whole(path) as content:
        for _ in range(content.count(POINT, "points")):
            rows.append(content.take("<Q3d3Bd"))
            tracks.append(content.count(8, "images"))
            content.skip(8 * tracks[-1])
    return cloud(rows, tracks)
