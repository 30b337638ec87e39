"""COLMAP's sparse models, binary and text: cameras, images, points."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import torch
from torch import Tensor

from genscene.data.posed import Bending, pinhole_matrix
from genscene.errors import BadInput
from genscene.rotations import rotation

T = TypeVar("T")

MODELS: dict[int, tuple[str, Bending, tuple[str, ...]]] = {  # name, what it bends, its parameters in order
    0: ("SIMPLE_PINHOLE", "pinhole", ("f", "cx", "cy")),
    1: ("PINHOLE", "pinhole", ("fx", "fy", "cx", "cy")),
    2: ("SIMPLE_RADIAL", "opencv", ("f", "cx", "cy", "k1")),
    3: ("RADIAL", "opencv", ("f", "cx", "cy", "k1", "k2")),
    4: ("OPENCV", "opencv", ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2")),
    5: ("OPENCV_FISHEYE", "fisheye", ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4")),
    8: ("SIMPLE_RADIAL_FISHEYE", "fisheye", ("f", "cx", "cy", "k1")),
    9: ("RADIAL_FISHEYE", "fisheye", ("f", "cx", "cy", "k1", "k2")),
}
NUMBERS = {name: number for number, (name, _, _) in MODELS.items()}
KNOWN = ", ".join(NUMBERS)


@dataclass(frozen=True)
class Lens:
    """One of COLMAP's cameras."""

    size: tuple[int, int]  # (height, width) in pixels
    intrinsics: Tensor  # [3, 3], in pixels
    distortion: Tensor  # [6], k1, k2, p1, p2, k3, k4
    model: Bending


@dataclass(frozen=True)
class Shot:
    """One of COLMAP's images."""

    id: int
    camera: int  # number of its lens
    name: str
    pose: Tensor  # [4, 4], camera to world, OpenCV axes
    points: int  # 2-D points found in it


@dataclass(frozen=True)
class Points:
    """The sparse points."""

    ids: np.ndarray  # [N]
    positions: np.ndarray  # [N, 3]
    colors: np.ndarray  # [N, 3], uint8
    errors: np.ndarray  # [N], pixels
    tracks: np.ndarray  # [N], images each is seen in


@dataclass(frozen=True)
class Model:
    """A sparse model; everything in file order, numbers in float64."""

    lenses: dict[int, Lens]
    shots: tuple[Shot, ...]
    points: Points


def read(folder: Path) -> Model:
    """The model in a folder, binary before text. Raises BadInput, naming the file, for what cannot be read."""
    binary = (folder / "cameras.bin").exists()
    ending = ".bin" if binary else ".txt"
    paths = [folder / f"{name}{ending}" for name in ("cameras", "images", "points3D")]
    for path in paths:
        if not path.is_file():
            raise BadInput(f"{folder} holds no whole COLMAP model: {path.name} is missing")
    lenses = _parsed(paths[0], _cameras if binary else _text_cameras)
    shots = _parsed(paths[1], _images if binary else _text_images)
    if not shots:
        raise BadInput(f"the COLMAP model in {folder} has no images")
    return Model(lenses, tuple(shots), _parsed(paths[2], _points if binary else _text_points))


def largest(folder: Path) -> Path:
    """The folder of the model with the most images among folder itself and its sub-folders (sparse/0 may be tiny)."""
    found = [
        p.parent
        for pattern in ("cameras.bin", "*/cameras.bin", "cameras.txt", "*/cameras.txt")
        for p in folder.glob(pattern)
    ]
    if not found:
        raise BadInput(f"no COLMAP model in {folder}")
    return max(found, key=_count)


def _count(place: Path) -> int:
    binary, text = place / "images.bin", place / "images.txt"
    if binary.is_file():
        return _parsed(binary, lambda file: int(_take(file, "<Q")[0]))
    return len(_parsed(text, _text_images)) if text.is_file() else 0


def _parsed(path: Path, parse: Callable[[BinaryIO], T]) -> T:
    try:
        with path.open("rb") as file:
            return parse(file)
    except (struct.error, ValueError, IndexError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is damaged or no COLMAP file ({error})") from None


def _cameras(file: BinaryIO) -> dict[int, Lens]:
    lenses = {}
    for _ in range(_take(file, "<Q")[0]):
        number, model, width, height = _take(file, "<iiQQ")
        if model not in MODELS:
            raise ValueError(f"camera model {model} is not supported, only {KNOWN}")
        lenses[number] = _lens(model, width, height, _take(file, f"<{len(MODELS[model][2])}d"))
    return lenses


def _images(file: BinaryIO) -> list[Shot]:
    shots = []
    for _ in range(_take(file, "<Q")[0]):
        number, *motion, camera = _take(file, "<i7di")
        name = b"".join(iter(lambda: file.read(1), b"\0")).decode()
        points = _take(file, "<Q")[0]
        file.seek(24 * points, 1)
        shots.append(Shot(number, camera, name, _pose(motion), points))
    return shots


def _points(file: BinaryIO) -> Points:
    rows, tracks = [], []
    for _ in range(_take(file, "<Q")[0]):
        rows.append(_take(file, "<Q3d3Bd"))
        tracks.append(_take(file, "<Q")[0])
        file.seek(8 * tracks[-1], 1)
    return _cloud(rows, tracks)


def _text_cameras(file: BinaryIO) -> dict[int, Lens]:
    lenses = {}
    for line in _lines(file):
        number, name, width, height, *numbers = line.split()
        if name not in NUMBERS:
            raise ValueError(f"camera model {name} is not supported, only {KNOWN}")
        lenses[int(number)] = _lens(NUMBERS[name], int(width), int(height), tuple(map(float, numbers)))
    return lenses


def _text_images(file: BinaryIO) -> list[Shot]:
    lines = "".join(line.decode() for line in file if not line.startswith(b"#")).rstrip().splitlines()
    lines += [""] * (len(lines) % 2)  # the last image may have found no points
    shots = []
    for head, points in zip(lines[::2], lines[1::2], strict=True):
        number, *motion, camera, name = head.split(maxsplit=9)
        found = len(points.split()) // 3
        shots.append(Shot(int(number), int(camera), name, _pose([float(x) for x in motion]), found))
    return shots


def _text_points(file: BinaryIO) -> Points:
    rows, tracks = [], []
    for line in _lines(file):
        number, x, y, z, r, g, b, error, *track = line.split()
        rows.append((int(number), float(x), float(y), float(z), int(r), int(g), int(b), float(error)))
        tracks.append(len(track) // 2)
    return _cloud(rows, tracks)


def _take(file: BinaryIO, layout: str) -> tuple:  # type: ignore[type-arg]
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _lines(file: BinaryIO) -> list[str]:
    lines = (line.decode().strip() for line in file)
    return [line for line in lines if line and not line.startswith("#")]


def _lens(model: int, width: int, height: int, numbers: tuple[float, ...]) -> Lens:
    name, bending, names = MODELS[model]
    if len(numbers) != len(names):
        raise ValueError(f"a {name} camera has {len(names)} parameters, got {len(numbers)}")
    if not np.isfinite(numbers).all() or min(width, height, numbers[0], numbers[names.index("cx") - 1]) <= 0:
        raise ValueError(f"a {name} camera of {width}x{height} pixels with parameters {numbers}")
    given = dict(zip(names, numbers, strict=True))
    focal = given.get("f", 0.0)
    intrinsics = pinhole_matrix(given.get("fx", focal), given.get("fy", focal), given["cx"], given["cy"])
    terms = [given.get(term, 0.0) for term in ("k1", "k2", "p1", "p2", "k3", "k4")]
    return Lens((height, width), intrinsics, torch.tensor(terms, dtype=torch.float64), bending)


def _pose(motion: list[float]) -> Tensor:
    """World-to-camera wxyz and translation -> camera-to-world [4, 4]."""
    numbers = torch.tensor(motion, dtype=torch.float64)
    if not numbers.isfinite().all() or not numbers[:4].any():
        raise ValueError(f"a pose of {motion}")
    turned = rotation(torch.nn.functional.normalize(numbers[None, :4], dim=-1))[0]
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3], pose[:3, 3] = turned.mT, -turned.mT @ numbers[4:]
    return pose


def _cloud(rows: list, tracks: list[int]) -> Points:  # type: ignore[type-arg]
    table = np.array(rows, dtype=np.float64).reshape(-1, 8)
    ids = np.array([row[0] for row in rows], dtype=np.int64)
    return Points(ids, table[:, 1:4], table[:, 4:7].astype(np.uint8), table[:, 7], np.array(tracks, dtype=np.int64))
