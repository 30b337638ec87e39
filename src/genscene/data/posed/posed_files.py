"""Photographs with cameras as files: what every reader of a format returns."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.geometry.cameras import Size
from genscene.geometry.transforms import WorldTransform
from genscene.io.pictures import UnreadableImage, picture_header
from genscene.scenes import SparsePoints

DistortionModel = Literal["pinhole", "opencv", "fisheye"]  # none; OpenCV's; OpenCV's of fisheye lenses


@dataclass(frozen=True)
class PosedFiles:
    """N photographs and their cameras; tensors in float64."""

    paths: tuple[Path, ...]
    sizes: tuple[Size, ...]  # (height, width) of each, in pixels
    pose: Tensor  # [N, 4, 4], camera to world, OpenCV axes
    intrinsics: Tensor  # [N, 3, 3], in image sides
    distortion: Tensor  # [N, 6]: k1, k2, p1, p2 in OpenCV's order, then k3, k4
    bounds: Tensor | None = None  # [N, 2], nearest and farthest depth; None: not given by the format
    distortion_model: DistortionModel = "pinhole"
    masks: tuple[Path, ...] | None = None  # images of the same sizes, black where a photograph is ignored
    transform: WorldTransform = field(default_factory=WorldTransform)  # from the files' world to that of pose
    missing: tuple[str, ...] = ()  # names of photographs that are listed but do not exist
    points: SparsePoints | None = None  # of the scene; None: not given by the format

    @staticmethod
    def pinhole(
        paths: Sequence[Path],
        sizes: Sequence[Size],
        pose: Tensor,
        pixels: Tensor,
        bounds: Tensor | None = None,
    ) -> "PosedFiles":
        """Photographs of N cameras without distortion and with these intrinsics in pixels [N, 3, 3]."""
        distortion = torch.zeros(len(paths), 6, dtype=torch.float64)
        intrinsics = normalize_intrinsics(pixels, sizes)
        return PosedFiles(tuple(paths), tuple(sizes), pose, intrinsics, distortion, bounds)

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, indices: Sequence[int]) -> "PosedFiles":
        """The photographs at these indices, in this order."""
        index = torch.tensor(indices, dtype=torch.long)
        return replace(
            self,
            paths=tuple(self.paths[i] for i in indices),
            sizes=tuple(self.sizes[i] for i in indices),
            pose=self.pose[index],
            intrinsics=self.intrinsics[index],
            distortion=self.distortion[index],
            bounds=None if self.bounds is None else self.bounds[index],
            masks=None if self.masks is None else tuple(self.masks[i] for i in indices),
        )

    def transformed(self, transform: WorldTransform) -> "PosedFiles":
        """The same photographs with poses and bounds after a further transform of the world."""
        bounds = None if self.bounds is None else self.bounds * transform.scale
        whole = self.transform.then(transform)
        found = replace(self, pose=transform.poses(self.pose), bounds=bounds, transform=whole)
        if self.points is None:
            return found
        matrix = transform.matrix()
        positions = self.points.positions.to(matrix) @ matrix[:3, :3].mT + matrix[:3, 3]
        return replace(found, points=SparsePoints(positions, self.points.colors))

    def pixel_intrinsics(self) -> Tensor:
        """Intrinsics in pixels -> [N, 3, 3]."""
        return self.intrinsics * _sides(self.sizes)


def normalize_intrinsics(intrinsics: Tensor, sizes: Sequence[Size]) -> Tensor:
    """Intrinsics [N, 3, 3] in pixels -> in image sides."""
    return intrinsics / _sides(sizes)


def pinhole_matrix(focal_x: float, focal_y: float, center_x: float, center_y: float) -> Tensor:
    """Focal lengths and principal point in pixels -> intrinsics [3, 3]."""
    rows = [[focal_x, 0, center_x], [0, focal_y, center_y], [0, 0, 1]]
    return torch.tensor(rows, dtype=torch.float64)


def from_opengl(pose: Tensor) -> Tensor:
    """Poses [N, 4, 4] with camera axes right, up, backward (OpenGL) <-> right, down, forward (OpenCV)."""
    return pose * torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=pose.dtype)


def image_size(path: Path) -> Size:
    """(height, width) of an image file as stored, EXIF orientation not applied, read from its header."""
    try:
        image = picture_header(path)
        return image.height, image.width
    except UnreadableImage as error:
        raise BadInput(f"cannot read the image {path} ({error})") from None


def image_folder(folder: Path) -> Path:
    """A scene's folder of photographs: images/, input/, else the least downscaled of images_2/, ..."""
    for name in ("images", "input"):
        if (folder / name).is_dir():
            return folder / name
    downscaled = [
        p for p in folder.glob("images_*") if p.is_dir() and p.name.removeprefix("images_").isdigit()
    ]
    if not downscaled:
        raise BadInput(
            f"{folder} has cameras but no photographs: looked for images/, input/ and images_2/, images_4/"
        )
    return min(downscaled, key=lambda place: int(place.name.removeprefix("images_")))


def require_same_aspect(path: Path, size: Size, camera_size: Size) -> None:
    """Raise BadInput where a photograph's (height, width) is not its camera's size, scaled."""
    if min(camera_size) < 1:
        raise BadInput(
            f"the camera of {path} is for {camera_size[1]:g}x{camera_size[0]:g} pixels, wanted 1 or more"
        )
    tolerance = max(0.02, 1.5 / min(size))  # sides are rounded to pixels
    if abs(size[1] * camera_size[0] / (size[0] * camera_size[1]) - 1) > tolerance:
        got, wanted = f"{size[1]}x{size[0]}", f"{camera_size[1]:.9g}x{camera_size[0]:.9g}"
        raise BadInput(
            f"{path} has {got} pixels, but its camera is for {wanted}: another aspect ratio, perhaps rotated"
        )


def _sides(sizes: Sequence[Size]) -> Tensor:
    """Factors from image sides to pixels for the rows of intrinsics -> [N, 3, 1]."""
    return torch.tensor([[width, height, 1] for height, width in sizes], dtype=torch.float64)[..., None]
