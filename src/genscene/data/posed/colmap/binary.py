"""COLMAP's binary files; every count in them is checked against the bytes that are left."""

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genscene.data.posed.colmap.model import (
    CAMERA_MODELS,
    ColmapCamera,
    ColmapImage,
    ColmapPoints,
    make_camera,
    make_image,
    make_points,
)
from genscene.errors import BadInput
from genscene.io.files import open_regular

CAMERA_BYTES, IMAGE_BYTES, POINT_BYTES = 48, 73, 51  # of an entry, at least
POINT_2D_BYTES, TRACK_BYTES = 24, 8


class ByteReader:
    """The bytes of a file, read in order."""

    def __init__(self, content: mmap.mmap):
        self.content = content
        self.position = 0

    @property
    def left(self) -> int:
        """The number of bytes not yet read."""
        return len(self.content) - self.position

    def skip(self, size: int) -> int:
        """Skip bytes -> the position of the first; BadInput where fewer are left."""
        if size > self.left:
            raise BadInput(f"cut short: at byte {self.position} it needs {size} more, but has {self.left}")
        self.position += size
        return self.position - size

    def take(self, layout: str) -> tuple[Any, ...]:
        """The next values, in a layout of the `struct` module."""
        return struct.unpack_from(layout, self.content, self.skip(struct.calcsize(layout)))

    def take_count(self, least: int, entries: str) -> int:
        """The number of entries that follow, of at least so many bytes each."""
        found = int(self.take("<Q")[0])
        if found * least > self.left:
            raise BadInput(
                f"cut short: at byte {self.position} it announces {found} {entries},"
                f" but has {self.left} bytes"
            )
        return found

    def take_text(self) -> str:
        """The text up to the next zero byte."""
        end = self.content.find(b"\0", self.position)
        if end < 0:
            raise BadInput(f"cut short: the name at byte {self.position} does not end")
        start = self.skip(end + 1 - self.position)
        return self.content[start:end].decode()


def read_cameras(path: Path) -> dict[int, ColmapCamera]:
    """The cameras of cameras.bin by id."""
    cameras = {}
    with _complete_file(path) as content:
        for _ in range(content.take_count(CAMERA_BYTES, "cameras")):
            camera_id, model_id, width, height = content.take("<iiQQ")
            count = len(CAMERA_MODELS[model_id][2]) if model_id in CAMERA_MODELS else 0
            cameras[camera_id] = make_camera(model_id, width, height, content.take(f"<{count}d"))
    return cameras


def read_images(path: Path) -> list[ColmapImage]:
    """The images of images.bin."""
    images = []
    with _complete_file(path) as content:
        for _ in range(content.take_count(IMAGE_BYTES, "images")):
            image_id, *world_to_camera, camera_id = content.take("<i7di")
            name = content.take_text()
            count = content.take_count(POINT_2D_BYTES, "points")
            content.skip(POINT_2D_BYTES * count)
            images.append(make_image(image_id, world_to_camera, camera_id, name, count))
    return images


def count_images(path: Path) -> int:
    """The number of images that images.bin announces."""
    with _open(path) as content:
        return content.take_count(IMAGE_BYTES, "images")


def read_points(path: Path) -> ColmapPoints:
    """The points of points3D.bin."""
    rows, track_lengths = [], []
    with _complete_file(path) as content:
        for _ in range(content.take_count(POINT_BYTES, "points")):
            rows.append(content.take("<Q3d3Bd"))
            track_lengths.append(content.take_count(TRACK_BYTES, "images"))
            content.skip(TRACK_BYTES * track_lengths[-1])
    return make_points(rows, track_lengths)


@contextmanager
def _open(path: Path) -> Iterator[ByteReader]:
    """The bytes of a file that is not empty."""
    with open_regular(path, "part of a COLMAP model") as file:
        if not os.fstat(file.fileno()).st_size:
            raise BadInput("empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield ByteReader(content)


@contextmanager
def _complete_file(path: Path) -> Iterator[ByteReader]:
    """The bytes of a file; BadInput where some are left at the end."""
    with _open(path) as content:
        yield content
        if content.left:
            raise BadInput(f"{content.left} bytes follow after all that it announces")
