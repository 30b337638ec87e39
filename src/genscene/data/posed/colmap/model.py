"""The contents of a COLMAP sparse model: cameras, images, points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from genscene.data.posed.checks import parse_file_name
from genscene.data.posed.posed_files import DistortionModel, pinhole_matrix
from genscene.errors import BadInput
from genscene.geometry.cameras import Size
from genscene.geometry.rotations import rotation

CAMERA_MODELS: dict[int, tuple[str, DistortionModel, tuple[str, ...]]] = {  # id: name, distortion, parameters
    0: ("SIMPLE_PINHOLE", "pinhole", ("f", "cx", "cy")),
    1: ("PINHOLE", "pinhole", ("fx", "fy", "cx", "cy")),
    2: ("SIMPLE_RADIAL", "opencv", ("f", "cx", "cy", "k1")),
    3: ("RADIAL", "opencv", ("f", "cx", "cy", "k1", "k2")),
    4: ("OPENCV", "opencv", ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2")),
    5: ("OPENCV_FISHEYE", "fisheye", ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4")),
    8: ("SIMPLE_RADIAL_FISHEYE", "fisheye", ("f", "cx", "cy", "k1")),
    9: ("RADIAL_FISHEYE", "fisheye", ("f", "cx", "cy", "k1", "k2")),
}
MODEL_IDS = {name: number for number, (name, _, _) in CAMERA_MODELS.items()}
SUPPORTED = ", ".join(MODEL_IDS)
DISTORTION = ("k1", "k2", "p1", "p2", "k3", "k4")
MAX_ID = 2**63 - 1


@dataclass(frozen=True)
class ColmapCamera:
    """Intrinsics that one or more images share."""

    size: Size  # (height, width) in pixels
    intrinsics: Tensor  # [3, 3], in pixels
    distortion: Tensor  # [6]: k1, k2, p1, p2, k3, k4
    distortion_model: DistortionModel


@dataclass(frozen=True)
class ColmapImage:
    """A registered image."""

    id: int
    camera_id: int
    name: str
    pose: Tensor  # [4, 4], camera to world, OpenCV axes
    point_count: int  # 2-D points found in it


@dataclass(frozen=True)
class ColmapPoints:
    """N triangulated points."""

    ids: np.ndarray  # [N], int64
    positions: np.ndarray  # [N, 3], float64
    colors: np.ndarray  # [N, 3], uint8
    errors: np.ndarray  # [N], float64, mean reprojection error in pixels
    track_lengths: np.ndarray  # [N], int64, images each point was found in


@dataclass(frozen=True)
class ColmapModel:
    """A sparse model, in the order of its files; tensors in float64."""

    cameras: dict[int, ColmapCamera]  # by id
    images: tuple[ColmapImage, ...]
    points: ColmapPoints


def make_camera(model_id: int, width: int, height: int, parameters: Sequence[float]) -> ColmapCamera:
    """A camera from its model's id and parameters; BadInput for unsupported models and unusable numbers."""
    if model_id not in CAMERA_MODELS:
        raise BadInput(f"camera model {model_id} is not supported, only {SUPPORTED}")
    name, distortion_model, keys = CAMERA_MODELS[model_id]
    if len(parameters) != len(keys):
        raise BadInput(f"a {name} camera has {len(keys)} parameters, got {len(parameters)}")
    positive = (width, height, parameters[0], parameters[keys.index("cx") - 1])
    if not np.isfinite(parameters).all() or min(positive) <= 0:
        raise BadInput(f"a {name} camera of {width}x{height} pixels with parameters {tuple(parameters)}")
    given = dict(zip(keys, parameters, strict=True))
    focal = given.get("f", 0.0)
    intrinsics = pinhole_matrix(given.get("fx", focal), given.get("fy", focal), given["cx"], given["cy"])
    distortion = torch.tensor([given.get(term, 0.0) for term in DISTORTION], dtype=torch.float64)
    return ColmapCamera((height, width), intrinsics, distortion, distortion_model)


def make_image(
    image_id: int, world_to_camera: Sequence[float], camera_id: int, name: str, point_count: int
) -> ColmapImage:
    """An image from its world-to-camera quaternion (w, x, y, z) and translation; BadInput if not a pose."""
    numbers = torch.tensor(world_to_camera, dtype=torch.float64)
    if not numbers.isfinite().all() or not numbers[:4].any():
        raise BadInput(f"a pose of {list(world_to_camera)}")
    to_camera = rotation(normalize(numbers[None, :4], dim=-1))[0]
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3], pose[:3, 3] = to_camera.mT, -to_camera.mT @ numbers[4:]
    return ColmapImage(
        image_id, camera_id, parse_file_name(name, f"the name of image {image_id}"), pose, point_count
    )


def make_points(rows: Sequence[Sequence[float]], track_lengths: Sequence[int]) -> ColmapPoints:
    """Points from rows of (id, x, y, z, r, g, b, error)."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 8)
    if max((row[0] for row in rows), default=0) > MAX_ID:
        raise BadInput(f"a point's id is beyond {MAX_ID}")
    ids = np.array([row[0] for row in rows], dtype=np.int64)  # float64 would round large ones
    lengths = np.array(track_lengths, dtype=np.int64)
    return ColmapPoints(ids, table[:, 1:4], table[:, 4:7].astype(np.uint8), table[:, 7], lengths)
