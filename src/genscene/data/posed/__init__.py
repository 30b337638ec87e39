"""Photographs with cameras, as the programs that found the cameras write them down."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genscene.errors import BadInput
from genscene.geometry.transforms import WorldTransform

Bending = Literal["pinhole", "opencv", "fisheye"]


@dataclass(frozen=True)
class Posed:
    """N photographs and where they were taken from; numbers in float64."""

    paths: tuple[Path, ...]
    sizes: tuple[tuple[int, int], ...]  # (height, width) of each, in pixels
    pose: Tensor  # [N, 4, 4], camera to world, OpenCV axes
    intrinsics: Tensor  # [N, 3, 3], in image sides
    distortion: Tensor  # [N, 6], k1, k2, p1, p2 as OpenCV has them, then k3, k4
    bounds: Tensor | None = None  # [N, 2], nearest and farthest depth, where the format gives them
    model: Bending = "pinhole"  # what the distortion bends: nothing, slopes, or the angle to the optical axis
    masks: tuple[Path, ...] | None = (
        None  # pictures of the same sizes, black where a photograph is to be ignored
    )
    normal: WorldTransform = field(
        default_factory=WorldTransform
    )  # from the file's world to that of the poses
    missing: tuple[str, ...] = ()  # photographs the file names that are not there

    def __len__(self) -> int:
        return len(self.paths)

    def part(self, numbers: Sequence[int]) -> "Posed":
        """Some of the photographs, in this order."""
        index = torch.tensor(numbers, dtype=torch.long)
        return replace(
            self,
            paths=tuple(self.paths[i] for i in numbers),
            sizes=tuple(self.sizes[i] for i in numbers),
            pose=self.pose[index],
            intrinsics=self.intrinsics[index],
            distortion=self.distortion[index],
            bounds=None if self.bounds is None else self.bounds[index],
            masks=None if self.masks is None else tuple(self.masks[i] for i in numbers),
        )

    def moved(self, normal: WorldTransform) -> "Posed":
        """The same cameras in another world; only for poses that are still in the file's."""
        bounds = None if self.bounds is None else self.bounds * normal.scale
        return replace(self, pose=normal.poses(self.pose), bounds=bounds, normal=normal)

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


def undistorted(count: int) -> Tensor:
    """The distortion of pinhole cameras -> [N, 6]."""
    return torch.zeros(count, 6, dtype=torch.float64)


def from_opengl(pose: Tensor) -> Tensor:
    """Poses [N, 4, 4] with axes right, up, back -> right, down, forward."""
    return pose * torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=pose.dtype)


def homogeneous(pose: Tensor) -> Tensor:
    """[N, 3, 4] -> [N, 4, 4]."""
    last = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=pose.dtype).expand(len(pose), 1, 4)
    return torch.cat([pose, last], dim=1)


def size_of(path: Path) -> tuple[int, int]:
    """(height, width) of a picture file as stored, whatever its EXIF says, without decoding it."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, Image.DecompressionBombError) as error:
        raise BadInput(f"cannot read the picture {path} ({error})") from None


def pixels_of(path: Path) -> np.ndarray:
    """A picture file as it is -> uint8 [H, W, C], straight alpha."""
    with Image.open(path) as image:
        return np.asarray(image)


def picture_folder(folder: Path) -> Path:
    """Where a scene's photographs are: images/, input/, else the least reduced of images_2/, images_4/, ..."""
    for name in ("images", "input"):
        if (folder / name).is_dir():
            return folder / name
    reduced = [p for p in folder.glob("images_*") if p.is_dir() and p.name.removeprefix("images_").isdigit()]
    if not reduced:
        raise BadInput(
            f"{folder} has cameras but no photographs: looked for images/, input/ and images_2/, images_4/"
        )
    return min(reduced, key=lambda place: int(place.name.removeprefix("images_")))


def same_shape(path: Path, size: tuple[int, int], wanted: tuple[int, int]) -> None:
    """Refuse a photograph whose (height, width) is no enlargement or reduction of what its camera was made for."""
    slack = max(0.02, 1.5 / min(size))  # sides are rounded to pixels
    if abs(size[1] * wanted[0] / (size[0] * wanted[1]) - 1) > slack:
        got, asked = f"{size[1]}x{size[0]}", f"{wanted[1]:.9g}x{wanted[0]:.9g}"
        raise BadInput(
            f"{path} has {got} pixels, but its camera is for {asked}: another shape, perhaps turned"
        )
