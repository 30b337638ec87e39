"""Where a picture is taken from: a camera in space, or a window on the plane."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genscene.errors import BadInput

Size = tuple[int, int]  # (height, width) in pixels
PixelConvention = Literal["center", "corner", "border"]  # where in a pixel its ray passes


@dataclass(frozen=True)
class Rays:
    """Half-lines, one per pixel, row by row."""

    origins: Tensor  # [B, R, 3]
    directions: Tensor  # [B, R, 3], not normalised: distances are in units of their length

    def at(self, t: Tensor) -> Tensor:
        """Distances t [B, R, S] -> points [B, R, S, 3], rounded only once: near the world's origin the sum cancels."""
        origins, directions, distances = wide(self.origins), wide(self.directions), wide(t)
        return torch.addcmul(origins[..., None, :], distances[..., None], directions[..., None, :]).to(t)

    def unit(self) -> "Rays":
        """The same rays with directions of length 1, so that distances are those of the world."""
        return replace(self, directions=normalize(wide(self.directions), dim=-1).to(self.directions))

    def ndc(self, focal: tuple[float, float], near: float = 1.0) -> "Rays":
        """Rays of a forward-facing scene bent so that t from 0 to 1 runs from depth `near` to infinity (NeRF, app. C).

        The world's cameras look along -z, y upwards; focal: twice the focal lengths (x, y), in image sides.
        """
        origins, directions = wide(self.origins), wide(self.directions)
        origins = origins - (near + origins[..., 2:]) / directions[..., 2:] * directions
        depth, slope = origins[..., 2:], directions[..., 2:]
        lens = torch.tensor(focal, dtype=origins.dtype, device=origins.device)
        across = -lens * origins[..., :2] / depth
        turned = -lens * (directions[..., :2] / slope - origins[..., :2] / depth)
        bent = torch.cat([across, 1 + 2 * near / depth], -1), torch.cat([turned, -2 * near / depth], -1)
        return Rays(*(x.to(self.origins) for x in bent))

    def __len__(self) -> int:
        """R, the number of rays of each picture."""
        return self.origins.shape[1]

    def __getitem__(self, part: slice) -> "Rays":
        """Some of the rays of every picture."""
        return Rays(self.origins[:, part], self.directions[:, part])


@dataclass(frozen=True)
class Camera:
    """B pinhole cameras with OpenCV axes: x right, y down, z forward."""

    pose: Tensor  # [B, 4, 4], camera to world
    intrinsics: Tensor  # [B, 3, 3], in units of the image sides, so they survive a resize
    size: Size  # (height, width) in pixels

    def rays(self) -> Rays:
        """One ray through every pixel centre (+0.5, +0.5), R = height * width, depth 1 long."""
        height, width = self.size
        pose, intrinsics = wide(self.pose), wide(self.intrinsics)
        v, u = torch.meshgrid(pixel_centres(height, pose), pixel_centres(width, pose), indexing="ij")
        pixels = torch.stack([u, v, torch.ones_like(u)], dim=-1).reshape(1, -1, 3)
        with exact(pose):
            directions = (pixels @ torch.linalg.inv(intrinsics).mT @ pose[:, :3, :3].mT).to(self.pose)
        return Rays(self.pose[:, None, :3, 3].expand_as(directions), directions)

    def crop(self, window: Tensor, size: Size) -> "Camera":
        """Look through sub-windows [B, 3] = (scale, x, y), in image sides: only the intrinsics change."""
        scale, x, y = window.to(self.intrinsics).unbind(-1)
        inside = torch.eye(3).to(window).repeat(len(window), 1, 1)
        inside[:, 0, 0] = inside[:, 1, 1] = 1 / scale
        inside[:, 0, 2], inside[:, 1, 2] = -x / scale, -y / scale
        with exact(inside):
            return replace(self, intrinsics=inside @ self.intrinsics, size=size)

    def corner_aligned(self) -> "Camera":
        """The camera whose outermost pixel centres lie on the image's border (pi-GAN, GIRAFFE, GRAF)."""
        stretch = torch.eye(3).to(self.intrinsics)
        for axis, pixels in enumerate(reversed(self.size)):
            stretch[axis, axis] = 1 - 1 / pixels
            stretch[axis, 2] = 0.5 / pixels
        with exact(stretch):
            return replace(self, intrinsics=stretch @ self.intrinsics)

    def mirrored(self) -> "Camera":
        """The cameras of the left-right mirrored pictures: world and camera x negated."""
        flip = torch.tensor([-1.0, 1.0, 1.0, 1.0]).to(self.pose)
        intrinsics = self.intrinsics.clone()
        intrinsics[:, 0, 2] = 1 - intrinsics[:, 0, 2]
        return replace(self, pose=flip[:, None] * self.pose * flip, intrinsics=intrinsics)

    def resized(self, size: Size) -> "Camera":
        """The same view in another number of pixels."""
        return replace(self, size=size)

    def reframed(self, size: Size) -> "Camera":
        """The same lenses for pictures of another shape: their shorter sides see as much, pixels stay as square."""
        stretch = torch.tensor([self.size[1] / size[1], self.size[0] / size[0]]) * (
            min(size) / min(self.size)
        )
        stretch = stretch.to(self.intrinsics)
        intrinsics = self.intrinsics.clone()
        intrinsics[:, :2, :2] *= stretch[:, None]
        intrinsics[:, :2, 2] = 0.5 + (intrinsics[:, :2, 2] - 0.5) * stretch
        return replace(self, intrinsics=intrinsics, size=size)

    def label(self) -> Tensor:
        """The 25 numbers that condition a discriminator: pose, then intrinsics, row by row -> [B, 25]."""
        return torch.cat([self.pose.flatten(1), self.intrinsics.flatten(1)], dim=1)

    @staticmethod
    def from_label(label: Tensor, size: Size) -> "Camera":
        """[B, 25] as `label` gives them (EG3D's dataset.json) -> B cameras."""
        if label.ndim != 2 or label.shape[1] != 25:
            raise BadInput(
                f"a camera label has 25 numbers (4x4 pose, 3x3 intrinsics), got shape {tuple(label.shape)}"
            )
        return Camera(label[:, :16].unflatten(1, (4, 4)), label[:, 16:].unflatten(1, (3, 3)), size)

    def to(self, device: torch.device | str) -> "Camera":
        """The same cameras on another device."""
        return replace(self, pose=self.pose.to(device), intrinsics=self.intrinsics.to(device))

    def __len__(self) -> int:
        return len(self.pose)

    def __getitem__(self, part: slice | Tensor) -> "Camera":
        """Some of the cameras."""
        return replace(self, pose=self.pose[part], intrinsics=self.intrinsics[part])


@dataclass(frozen=True)
class Grid:
    """B windows [B, 3] = (scale, x, y) on the image plane, whose whole is (1, 0, 0)."""

    window: Tensor  # [B, 3], in image sides
    size: Size  # (height, width) in pixels

    @staticmethod
    def whole(batch: int, size: Size) -> "Grid":
        """The whole plane, B times."""
        return Grid(torch.tensor([[1.0, 0.0, 0.0]]).repeat(batch, 1), size)

    def coords(self) -> Tensor:
        """Pixel centres, -1 to 1 over the whole plane, (x, y) -> [B, 2, H, W]."""
        scale, x, y = (w[:, None, None] for w in self.window.unbind(-1))
        v, u = torch.meshgrid(*(pixel_centres(n, self.window) for n in self.size), indexing="ij")
        return 2 * torch.stack([x + scale * u, y + scale * v], dim=1) - 1

    def __len__(self) -> int:
        return len(self.window)


View = Camera | Grid


def wide(x: Tensor) -> Tensor:
    """The same numbers with room for rounding: in float64, where the device has it."""
    return x if x.device.type == "mps" else x.double()


def exact(like: Tensor) -> torch.autocast:
    """While inside, mixed precision leaves products alone: geometry does not fit 8 bits."""
    return torch.autocast(like.device.type, enabled=False)


def pixel_centres(count: int, like: Tensor) -> Tensor:
    """Centres of a row of pixels, in image sides -> [count]."""
    return (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) / count


def pinhole(fov: Tensor, size: Size) -> Tensor:
    """Fields of view [B] in degrees, across the shorter image side -> intrinsics [B, 3, 3] in image sides."""
    height, width = size
    focal = 0.5 / torch.tan(fov * (math.pi / 360))
    short = min(size)
    intrinsics = torch.eye(3).to(fov).repeat(len(fov), 1, 1)
    intrinsics[:, 0, 0], intrinsics[:, 1, 1] = focal * short / width, focal * short / height
    intrinsics[:, :2, 2] = 0.5
    return intrinsics


def look_at(eye: Tensor, up: tuple[float, float, float] = (0.0, 1.0, 0.0)) -> Tensor:
    """Camera-to-world poses [B, 4, 4] of cameras at eye [B, 3] that look at the origin, `up` upwards."""
    return look_along(eye, -eye, torch.tensor(up).to(eye))


def look_along(eye: Tensor, forward: Tensor, up: Tensor) -> Tensor:
    """Camera-to-world poses [B, 4, 4] of cameras at eye [B, 3] that look along forward [B, 3], up [3] upwards."""
    forward = normalize(forward, dim=-1)
    right = normalize(torch.linalg.cross(forward, up.expand_as(forward)), dim=-1)
    down = torch.linalg.cross(forward, right)
    pose = torch.eye(4).to(eye).repeat(len(eye), 1, 1)
    pose[:, :3] = torch.stack([right, down, forward, eye], dim=-1)
    return pose


def moved(cameras: Camera, similarity: Tensor) -> Camera:
    """The same cameras in another world [4, 4]: turned and shifted, and scaled without becoming larger themselves."""
    world = similarity.cpu().double()  # far from a file's origin, 32 bits are few
    pose = world @ cameras.pose.cpu().double()
    pose[:, :3, :3] /= torch.linalg.det(world[:3, :3]).abs() ** (1 / 3)
    return replace(cameras, pose=pose.to(cameras.pose))
