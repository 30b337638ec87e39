"""COLMAP's text files: a line that is not what its place wants is refused by its number."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from genscene.data.posed.colmap_model import KNOWN, LARGEST, NUMBERS, Lens, Points, Shot, cloud, lens, shot
from genscene.data.posed.values import short
from genscene.errors import BadInput

T = TypeVar("T")

CAMERA = "CAMERA_ID MODEL WIDTH HEIGHT PARAMETERS"
POSE = "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"
FOUND = "the points of the image above, X Y POINT3D_ID of each, or an empty line"
POINT = "POINT3D_ID X Y Z R G B ERROR and IMAGE_ID POINT2D_IDX of each image it is seen in"


def cameras(path: Path) -> dict[int, Lens]:
    """The lenses of cameras.txt by number."""
    return dict(parsed(line, CAMERA, _camera) for line in lines(path) if line[1])


def images(path: Path) -> list[Shot]:
    """The images of images.txt: a line with the pose, then one with the points found, which may be empty."""
    shots, head = [], None
    for line in lines(path):
        if head is not None:
            shots.append(replace(head, points=parsed(line, FOUND, _found)))
            head = None
        elif line[1]:
            head = parsed(line, POSE, _pose)
    if head is not None:
        raise BadInput(f"it ends after the pose of {short(head.name)}: wanted {FOUND}")
    return shots


def points(path: Path) -> Points:
    """The points of points3D.txt."""
    rows = [parsed(line, POINT, _point) for line in lines(path) if line[1]]
    return cloud([row for row, _ in rows], [track for _, track in rows])


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are no comments, and their numbers from 1."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig").strip()
            except UnicodeDecodeError as error:
                raise BadInput(f"line {number}: {error.reason} at its byte {error.start}") from None
            if not text.startswith("#"):
                yield number, text


def parsed(line: tuple[int, str], wanted: str, parse: Callable[[str], T]) -> T:
    """What a line says; BadInput, with its number and what was wanted, where it does not."""
    try:
        return parse(line[1])
    except BadInput as error:
        raise BadInput(f"line {line[0]}: {error}") from None
    except (ValueError, OverflowError):
        raise BadInput(f"line {line[0]}: wanted {wanted}, got {short(line[1])!r}") from None


def whole(text: str, largest: int = LARGEST) -> int:
    """A whole number from 0; ValueError for all else."""
    number = int(text)
    if not 0 <= number <= largest:
        raise ValueError(text)
    return number


def _camera(text: str) -> tuple[int, Lens]:
    number, name, width, height, *numbers = text.split()
    if name not in NUMBERS:
        raise BadInput(f"camera model {short(name)} is not supported, only {KNOWN}")
    return whole(number), lens(NUMBERS[name], whole(width), whole(height), tuple(map(float, numbers)))


def _pose(text: str) -> Shot:
    number, *motion, camera, name = text.split(maxsplit=9)
    if len(motion) != 7 or _is_found(text):
        raise ValueError(text)
    return shot(whole(number), [float(x) for x in motion], whole(camera), name, 0)


def _found(text: str) -> int:
    words = text.split()
    if len(words) % 3:
        raise ValueError(text)
    return len([int(word) for word in words[2::3]])


def _is_found(text: str) -> bool:
    try:
        return len([float(word) for word in text.split()]) == 3 * _found(text)
    except ValueError:
        return False


def _point(text: str) -> tuple[tuple[float, ...], int]:
    number, x, y, z, r, g, b, error, *track = text.split()
    colors = [whole(color, 255) for color in (r, g, b)]
    return (whole(number), float(x), float(y), float(z), *colors, float(error)), len(track) // 2
