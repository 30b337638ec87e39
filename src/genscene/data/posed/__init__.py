"""Photographs with cameras, as the programs that found the cameras write them down."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genscene.errors import BadInput


@dataclass(frozen=True)
class Posed:
    """N photographs and where they were taken from; numbers in float64."""

    paths: tuple[Path, ...]
    sizes: tuple[tuple[int, int], ...]  # (height, width) of each, in pixels
    pose: Tensor  # [N, 4, 4], camera to world, OpenCV axes
    intrinsics: Tensor  # [N, 3, 3], in image sides
    distortion: Tensor  # [N, 4], OpenCV's k1, k2, p1, p2
    bounds: Tensor | None = None  # [N, 2], nearest and farthest depth, where the format gives them

    def __len__(self) -> int:
        return len(self.paths)

    def pixel_intrinsics(self) -> Tensor:
        """Intrinsics in pixels -> [N, 3, 3]."""
        sides = torch.tensor([[width, height, 1] for height, width in self.sizes], dtype=torch.float64)
        return self.intrinsics * sides[..., None]


def in_sides(intrinsics: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
    """Intrinsics [N, 3, 3] in pixels -> in image sides."""
    sides = torch.tensor([[width, height, 1] for height, width in sizes], dtype=torch.float64)
    return intrinsics / sides[..., None]


def pinhole_matrix(focal_x: float, focal_y: float, centre_x: float, centre_y: float) -> Tensor:
    """Intrinsics in pixels [3, 3]."""
    rows = [[focal_x, 0, centre_x], [0, focal_y, centre_y], [0, 0, 1]]
    return torch.tensor(rows, dtype=torch.float64)


def from_opengl(pose: Tensor) -> Tensor:
    """Poses [N, 4, 4] with axes right, up, back -> right, down, forward."""
    return pose * torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=pose.dtype)


def homogeneous(pose: Tensor) -> Tensor:
    """[N, 3, 4] -> [N, 4, 4]."""
    last = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=pose.dtype).expand(len(pose), 1, 4)
    return torch.cat([pose, last], dim=1)


def size_of(path: Path) -> tuple[int, int]:
    """(height, width) of a picture file, without decoding it."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except OSError as error:
        raise BadInput(f"cannot read the picture {path} ({error})") from None


def pixels_of(path: Path) -> np.ndarray:
    """A picture file as it is -> uint8 [H, W, C], straight alpha."""
    with Image.open(path) as image:
        return np.asarray(image)
