"""COLMAP's text files; a line that does not parse is refused by its number."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from genscene.data.posed.checks import abbreviate
from genscene.data.posed.colmap.model import (
    MAX_ID,
    MODEL_IDS,
    SUPPORTED,
    ColmapCamera,
    ColmapImage,
    ColmapPoints,
    make_camera,
    make_image,
    make_points,
)
from genscene.errors import BadInput
from genscene.io.files import MIB, open_regular

T = TypeVar("T")
MAX_LINE = 16 * MIB  # of an image with 500,000 points

CAMERA = "CAMERA_ID MODEL WIDTH HEIGHT PARAMETERS"
POSE = "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"
POINTS_2D = "the points of the image above, X Y POINT3D_ID of each, or an empty line"
POINT = "POINT3D_ID X Y Z R G B ERROR and IMAGE_ID POINT2D_IDX of each image it is seen in"


def read_cameras(path: Path) -> dict[int, ColmapCamera]:
    """The cameras of cameras.txt by id."""
    return dict(_parse(line, CAMERA, _camera) for line in _lines(path) if line[1])


def read_images(path: Path) -> list[ColmapImage]:
    """The images of images.txt: one line with the pose, one with the 2-D points, which may be empty."""
    images, pending = [], None
    for line in _lines(path):
        if pending is not None:
            images.append(replace(pending, point_count=_parse(line, POINTS_2D, _points_2d)))
            pending = None
        elif line[1]:
            pending = _parse(line, POSE, _pose)
    if pending is not None:
        raise BadInput(f"it ends after the pose of {abbreviate(pending.name)}: wanted {POINTS_2D}")
    return images


def count_images(path: Path) -> int:
    """The number of images in images.txt."""
    return len(read_images(path))


def read_points(path: Path) -> ColmapPoints:
    """The points of points3D.txt."""
    rows = [_parse(line, POINT, _point) for line in _lines(path) if line[1]]
    return make_points([row for row, _ in rows], [track_length for _, track_length in rows])


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are no comments, with their numbers, counted from 1."""
    with open_regular(path, "part of a COLMAP model") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), 1):
            if len(line) > MAX_LINE:
                raise BadInput(f"line {number} has more than {MAX_LINE} bytes")
            try:
                text = line.decode("utf-8-sig").strip()
            except UnicodeDecodeError as error:
                raise BadInput(f"line {number}: {error.reason} at its byte {error.start}") from None
            if not text.startswith("#"):
                yield number, text


def _parse(line: tuple[int, str], wanted: str, parse: Callable[[str], T]) -> T:
    """The value of a line; BadInput with its number, and with what was wanted, where it does not parse."""
    try:
        return parse(line[1])
    except BadInput as error:
        raise BadInput(f"line {line[0]}: {error}") from None
    except (ValueError, OverflowError):
        raise BadInput(f"line {line[0]}: wanted {wanted}, got {abbreviate(line[1])!r}") from None


def _natural(text: str, largest: int = MAX_ID) -> int:
    """An integer from 0 to `largest`; ValueError for all else."""
    number = int(text)
    if not 0 <= number <= largest:
        raise ValueError(text)
    return number


def _camera(text: str) -> tuple[int, ColmapCamera]:
    camera_id, name, width, height, *parameters = text.split()
    if name not in MODEL_IDS:
        raise BadInput(f"camera model {abbreviate(name)} is not supported, only {SUPPORTED}")
    numbers = tuple(map(float, parameters))
    return _natural(camera_id), make_camera(MODEL_IDS[name], _natural(width), _natural(height), numbers)


def _pose(text: str) -> ColmapImage:
    image_id, *world_to_camera, camera_id, name = text.split(maxsplit=9)
    if len(world_to_camera) != 7 or _is_points_2d(text):
        raise ValueError(text)
    return make_image(_natural(image_id), [float(x) for x in world_to_camera], _natural(camera_id), name, 0)


def _points_2d(text: str) -> int:
    words = text.split()
    if len(words) % 3:
        raise ValueError(text)
    return len([int(word) for word in words[2::3]])


def _is_points_2d(text: str) -> bool:
    """Whether a line that should be a pose is one of 2-D points."""
    try:
        return len([float(word) for word in text.split()]) == 3 * _points_2d(text)
    except ValueError:
        return False


def _point(text: str) -> tuple[tuple[float, ...], int]:
    point_id, x, y, z, r, g, b, error, *track = text.split()
    colors = [_natural(color, 255) for color in (r, g, b)]
    return (_natural(point_id), float(x), float(y), float(z), *colors, float(error)), len(track) // 2
