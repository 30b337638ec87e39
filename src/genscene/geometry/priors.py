"""Where cameras stand: a prior over yaw and pitch on a sphere around the origin, or the poses of a file."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.geometry.camera_files import read_cameras
from genscene.geometry.cameras import Camera, Size, look_at, pinhole
from genscene.randomness import Source

Distribution = Literal["gaussian", "truncated", "uniform", "sphere", "hybrid", "fixed", "file"]

Y_TO_Z = [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]


@dataclass(frozen=True)
class CameraPrior:
    """Cameras on a sphere that look at its centre, +y up (pi-GAN, sec. 3.4).

    Angles in radians. The eye stands at (sin pitch cos yaw, cos pitch, sin pitch sin yaw): yaw = pitch = pi/2 is the
    front, on +z; pitch counts from the pole, so a smaller one looks down from higher up.
    """

    law: Distribution = "gaussian"  # of both angles; sphere: even in area; hybrid: half gaussian, half uniform over twice the range
    yaw: tuple[float, float] = (math.pi / 2, 0.3)  # mean, and deviation or half range, in radians
    pitch: tuple[float, float] = (math.pi / 2, 0.155)  # mean, and deviation or half range, in radians from +y
    radius: float = 1.0  # distance from the origin, in world units
    fov: float = 12.0  # field of view across the shorter image side, in degrees
    file: str = ""  # law file: a dataset.json or camera path whose cameras are drawn instead
    up: Literal["y", "z"] = "y"  # of the world; z: all of the above turned by a quarter about x (Blender)

    def angles(self, draws: Source) -> tuple[Tensor, Tensor]:
        """Yaw [B] and pitch [B] by the law; the yaws of all laws are drawn before the pitches."""
        offsets = self._offsets(draws)
        yaw = self.yaw[0] + self.yaw[1] * offsets[:, 0]
        if self.law != "sphere":
            return yaw, self.pitch[0] + self.pitch[1] * offsets[:, 1]
        share = (self.pitch[0] + self.pitch[1] * offsets[:, 1]) / math.pi
        return yaw, torch.acos(1 - 2 * share.clamp(1e-5, 1 - 1e-5))  # even in the cosine: Archimedes

    def at(self, yaw: Tensor, pitch: Tensor, size: Size) -> Camera:
        """Cameras at yaw [B] and pitch [B]."""
        least = 1e-5 if self.up == "y" else torch.finfo(pitch.dtype).eps ** 0.7  # the former is pi-GAN's
        pitch = pitch.clamp(least, math.pi - least)  # at the pole itself no direction is up
        eye = torch.stack([pitch.sin() * yaw.cos(), pitch.cos(), pitch.sin() * yaw.sin()], dim=-1)
        pose = look_at(self.radius * eye)
        if self.up == "z":
            pose = torch.tensor(Y_TO_Z).to(pose) @ pose
        return Camera(pose, pinhole(torch.full_like(yaw, self.fov), size), size)

    def sample(self, draws: Source, size: Size) -> Camera:
        """One camera for each stream of draws."""
        if self.law == "file":
            cameras, chances = read_cameras(self.file, size), draws.uniform()
            return cameras[(chances * len(cameras)).long().cpu()].to(chances.device)
        return self.at(*self.angles(draws), size)

    def centre(self) -> tuple[float, float]:
        """Yaw and pitch of the camera in the middle of the prior."""
        if self.law == "sphere":
            return self.yaw[0], math.acos(1 - 2 * self.pitch[0] / math.pi)
        return self.yaw[0], self.pitch[0]

    def _offsets(self, draws: Source) -> Tensor:
        """Deviations from the means in units of the spreads -> [B, 2], yaw and pitch."""
        if self.law in ("uniform", "sphere"):
            return 2 * draws.uniform(2) - 1
        if self.law == "gaussian":
            return draws.normal(2)
        if self.law == "truncated":
            return within(draws.normal(2, 8), 2.0)
        if self.law == "hybrid":
            coin = draws.uniform()[:, None] < 0.5
            return torch.where(coin, 2 * (2 * draws.uniform(2) - 1), draws.normal(2))
        if self.law == "fixed":
            return 0 * draws.uniform(2)
        raise BadInput("the law 'file' has no angles; sample() draws its cameras")


def within(normal: Tensor, limit: float) -> Tensor:
    """The first of the tries [..., T] inside +-limit; the last one, cut, where none is -> [...]."""
    inside = normal.abs() < limit
    first = inside.byte().argmax(dim=-1, keepdim=True)
    found = normal.gather(-1, first)[..., 0]
    return torch.where(inside.any(dim=-1), found, normal[..., -1].clamp(-limit, limit))


def camera_angles(camera: Camera, yaw: float) -> tuple[Tensor, Tensor]:
    """Yaw [B], within half a turn of the given one, and pitch [B] of cameras, from where they stand."""
    x, y, z = camera.pose[:, :3, 3].unbind(-1)
    turned = torch.atan2(z, x) - yaw
    pitch = torch.atan2((x.square() + z.square()).sqrt(), y)
    return yaw + torch.atan2(turned.sin(), turned.cos()), pitch


def with_fov(camera: Camera, fov: Tensor) -> Camera:
    """The same cameras with fields of view [B] in degrees."""
    return replace(camera, intrinsics=pinhole(fov, camera.size))
