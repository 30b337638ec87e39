"""Views of a browser window: a camera without a number of pixels, and what of a canvas it shows."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genscene.geometry.cameras import Camera, Grid, Size

LEAST = 48  # pixels of the height of a picture, at least


@dataclass(frozen=True)
class View:
    """A pinhole camera whose optical axis meets the middle of its picture."""

    pose: Tensor  # [4, 4], float64, camera to world, OpenCV axes
    fov: float  # vertical, in radians
    aspect: float  # width over height

    @property
    def eye(self) -> Tensor:
        """Position [3]."""
        return self.pose[:3, 3]

    def camera(self, size: Size) -> Camera:
        """The same as one camera of the library, with pictures of this size."""
        focal = 0.5 / math.tan(self.fov / 2)
        rows = [[focal / self.aspect, 0, 0.5], [0, focal, 0.5], [0, 0, 1]]
        return Camera(self.pose.float()[None], torch.tensor([rows], dtype=torch.float32), size)

    @staticmethod
    def of_camera(camera: Camera) -> "View":
        """One camera of the library as a view, whatever its principal point."""
        across, down = camera.intrinsics[0, [0, 1], [0, 1]].double().tolist()
        return View(camera.pose[0].double().cpu(), 2 * math.atan(0.5 / down), down / across)

    def framed(self, aspect: float) -> "View":
        """The largest view of another aspect in the middle of this one."""
        if aspect <= self.aspect:
            return replace(self, aspect=aspect)
        lower = math.tan(self.fov / 2) * self.aspect / aspect
        return View(self.pose, 2 * math.atan(lower), aspect)

    def around(self, aspect: float) -> "View":
        """The smallest view of another aspect that shows all of this one."""
        if aspect >= self.aspect:
            return replace(self, aspect=aspect)
        higher = math.tan(self.fov / 2) * self.aspect / aspect
        return View(self.pose, 2 * math.atan(higher), aspect)

    def resembles(self, other: "View") -> bool:
        """Whether both show the same, to what a browser rounds."""
        scale = max(1e-6, float(self.eye.norm()))
        return (
            abs(self.fov - other.fov) < 1e-4
            and abs(self.aspect - other.aspect) < 1e-3
            and float((self.pose[:3, :3] - other.pose[:3, :3]).abs().max()) < 1e-4
            and float((self.eye - other.eye).abs().max()) < 1e-4 * scale
        )


def picture_size(height: float, aspect: float, most: int, multiple: int = 1) -> Size:
    """The size of a picture of about this height, neither side above `most`, sides multiples of a number."""
    height = min(max(height, LEAST), most, most / aspect)
    sides = (max(1, round(side / multiple)) * multiple for side in (height, height * aspect))
    down, across = sides
    return down, across


def depth_along_axis(depth: Tensor, view: View) -> Tensor:
    """Distances from the eye along the rays of a view [H, W] -> along its optical axis [H, W]."""
    rays = view.camera((depth.shape[0], depth.shape[1])).rays()
    return depth / rays.directions[0].norm(dim=-1).unflatten(0, depth.shape).to(depth)


@dataclass(frozen=True)
class Rectangle:
    """A part of the plane z = 0, on which a canvas is 1 high, its middle at the origin, y up."""

    left: float
    top: float
    width: float
    height: float

    def grid(self, size: Size, aspect: float) -> Grid:
        """The same as a window of the library on a canvas of this aspect."""
        window = torch.tensor([[self.height, self.left / aspect + 0.5, 0.5 - self.top]])
        return Grid(window, size, torch.tensor([self.width / aspect / self.height]))


def visible(view: View) -> Rectangle:
    """What of the plane z = 0 is seen of a camera that faces it."""
    x, y, z = view.eye.tolist()
    height = 2 * max(z, 1e-4) * math.tan(view.fov / 2)
    width = height * view.aspect
    return Rectangle(x - width / 2, y + height / 2, width, height)


def facing(x: float, y: float, distance: float, fov: float, aspect: float) -> View:
    """The view that faces the plane z = 0 from a distance, y up."""
    pose = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))
    pose[:3, 3] = torch.tensor([x, y, distance])
    return View(pose, fov, aspect)
