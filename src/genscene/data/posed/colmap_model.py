"""What COLMAP's sparse models hold: lenses, images, points."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from genscene.data.posed import Bending, pinhole_matrix
from genscene.data.posed.values import filename
from genscene.errors import BadInput
from genscene.geometry.rotations import rotation

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
LARGEST = 2**63 - 1  # number of a point


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


def lens(model: int, width: int, height: int, numbers: tuple[float, ...]) -> Lens:
    """A lens of COLMAP's model of this number, for pictures in pixels; BadInput where its parameters are none."""
    if model not in MODELS:
        raise BadInput(f"camera model {model} is not supported, only {KNOWN}")
    name, bending, names = MODELS[model]
    if len(numbers) != len(names):
        raise BadInput(f"a {name} camera has {len(names)} parameters, got {len(numbers)}")
    if not np.isfinite(numbers).all() or min(width, height, numbers[0], numbers[names.index("cx") - 1]) <= 0:
        raise BadInput(f"a {name} camera of {width}x{height} pixels with parameters {numbers}")
    given = dict(zip(names, numbers, strict=True))
    focal = given.get("f", 0.0)
    intrinsics = pinhole_matrix(given.get("fx", focal), given.get("fy", focal), given["cx"], given["cy"])
    terms = [given.get(term, 0.0) for term in ("k1", "k2", "p1", "p2", "k3", "k4")]
    return Lens((height, width), intrinsics, torch.tensor(terms, dtype=torch.float64), bending)


def shot(number: int, motion: list[float], camera: int, name: str, points: int) -> Shot:
    """An image from its world-to-camera quaternion wxyz and translation; BadInput where they are no motion."""
    numbers = torch.tensor(motion, dtype=torch.float64)
    if not numbers.isfinite().all() or not numbers[:4].any():
        raise BadInput(f"a pose of {motion}")
    turned = rotation(normalize(numbers[None, :4], dim=-1))[0]
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3], pose[:3, 3] = turned.mT, -turned.mT @ numbers[4:]
    return Shot(number, camera, filename(name, f"the name of image {number}"), pose, points)


def cloud(rows: list[tuple[float, ...]], tracks: list[int]) -> Points:
    """Points from rows of number, x, y, z, r, g, b, error, and the images each is seen in."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 8)
    if max((row[0] for row in rows), default=0) > LARGEST:
        raise BadInput(f"a point's number is beyond {LARGEST}")
    ids = np.array([row[0] for row in rows], dtype=np.int64)
    return Points(
        ids, table[:, 1:4], table[:, 4:7].astype(np.uint8), table[:, 7], np.array(tracks, dtype=np.int64)
    )
