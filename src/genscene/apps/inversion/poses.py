"""Cameras by few numbers that can be optimised, and how likely they are under the generator's prior."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Size
from genscene.geometry.priors import CameraPrior, camera_angles, with_fov, wrap_angles
from genscene.geometry.rotations import rotation

Free = Literal["roll", "distance", "fov"]
COLUMNS = ("yaw", "pitch", "roll", "distance", "fov")
LOOSE = 0.1  # standard deviation of the roll in radians, and of the logarithms of distance and focal length
OUTSIDE = 0.05  # standard deviation of angles beyond the limits of a uniform prior, in radians
ALL_ROUND = 0.95 * math.pi  # half range of yaw from which on it has no limits
ANGLE_RATE, MOVE_RATE = 0.02, 0.01  # learning rates: radians; shares of the distance


@dataclass(frozen=True)
class OrbitPoses:
    """Poses [B, 5]: yaw, pitch, roll in radians; logarithms of distance and focal length over the prior's."""

    prior: CameraPrior  # with angles: not of a file
    free: tuple[str, ...]  # of COLUMNS: what is optimised

    @staticmethod
    def of(prior: CameraPrior, also: tuple[Free, ...] = ()) -> "OrbitPoses":
        """The angles that a prior varies, and what else a person allows."""
        if prior.distribution == "file":
            raise BadInput("the cameras of this generator are those of a file, wanted a prior with angles")
        spread = {"yaw": prior.yaw[1], "pitch": prior.pitch[1]}
        angles = [n for n, x in spread.items() if prior.distribution != "fixed" and x > 0]
        return OrbitPoses(prior, (*angles, *also))

    @property
    def rates(self) -> Tensor:
        """Learning rates of the numbers of a pose [5]; 0: not optimised."""
        return torch.tensor([ANGLE_RATE * (name in self.free) for name in COLUMNS])

    def at(self, yaw: Tensor, pitch: Tensor) -> Tensor:
        """Yaw [B] and pitch [B] -> poses."""
        zero = torch.zeros_like(yaw)
        return torch.stack([yaw, pitch, zero, zero, zero], dim=1)

    def angles(self, camera: Camera) -> tuple[Tensor, Tensor]:
        """Yaw [B] and pitch [B] of cameras."""
        if self.prior.up == "z":
            x, y, z = camera.pose[:, :3, 3].unbind(-1)
            turned = camera.pose.clone()
            turned[:, :3, 3] = torch.stack([x, z, -y], dim=-1)
            camera = replace(camera, pose=turned)
        return camera_angles(camera, self.prior.yaw[0])

    def camera(self, pose: Tensor, size: Size) -> Camera:
        """Poses -> cameras."""
        yaw, pitch, roll, distance, focal = pose.unbind(1)
        found = self.prior.camera_at(yaw, pitch, size, self.prior.radius * distance.exp())
        if "roll" in self.free:
            turn = torch.stack([(roll / 2).cos(), 0 * roll, 0 * roll, (roll / 2).sin()], dim=-1)
            around = found.pose[:, :3, :3] @ rotation(turn)
            found = replace(
                found, pose=torch.cat([torch.cat([around, found.pose[:, :3, 3:]], 2), found.pose[:, 3:]], 1)
            )
        if "fov" in self.free:
            half = math.tan(math.radians(self.prior.fov / 2))
            found = with_fov(found, torch.rad2deg(2 * torch.atan(half / focal.exp())))
        return found

    def penalty(self, pose: Tensor) -> Tensor:
        """Minus the logarithm of the prior's density, up to a constant [B]."""
        yaw, pitch, *others = pose.unbind(1)
        kind, prior = self.prior.distribution, self.prior
        total = sum((x.square() for x in others), torch.zeros_like(yaw)) / (2 * LOOSE**2)
        if kind == "fixed":
            return total
        offset, down = wrap_angles(yaw - prior.yaw[0]), pitch - prior.pitch[0]
        if kind in ("gaussian", "truncated"):
            pairs = ((offset, prior.yaw[1]), (down, prior.pitch[1]))
            return total + sum(x.square() / (2 * s**2) for x, s in pairs if s > 0)
        if kind == "sphere":  # uniform in area: its limits are those of the cosine
            low, high = (
                max(0.0, min(math.pi, prior.pitch[0] + s * prior.pitch[1])) / math.pi for s in (-1, 1)
            )
            least, most = math.acos(1 - 2 * low), math.acos(1 - 2 * high)
            total = total - pitch.sin().clamp_min(1e-3).log()
            down, across = pitch - (least + most) / 2, (most - least) / 2
        else:
            across = prior.pitch[1] * (2 if kind == "hybrid" else 1)
        half = prior.yaw[1] * (2 if kind == "hybrid" else 1)
        beyond = (down.abs() - across).clamp_min(0).square()
        if half < ALL_ROUND:
            beyond = beyond + (offset.abs() - half).clamp_min(0).square()
        return total + beyond / (2 * OUTSIDE**2)


@dataclass(frozen=True)
class FreePoses:
    """Poses [B, 6] beside B given cameras: a rotation vector, and a move in units of their distance.

    Of scenes fitted to photographs, whose cameras may be anywhere (iNeRF, Yen-Chen et al. 2021).
    """

    start: Camera  # B cameras
    distance: float  # in world units

    @property
    def rates(self) -> Tensor:
        """Learning rates of the numbers of a pose [6]."""
        return torch.tensor([ANGLE_RATE / 2] * 3 + [MOVE_RATE] * 3)

    def camera(self, pose: Tensor, size: Size) -> Camera:
        """Poses -> cameras, turned about their own position and moved along their own axes."""
        return self._moved(self.start.reframed(size), pose)

    def _moved(self, start: Camera, pose: Tensor) -> Camera:
        turn, move = pose[:, :3], pose[:, 3:]
        angle = (turn.square().sum(dim=1, keepdim=True) + 1e-12).sqrt()
        quats = torch.cat([(angle / 2).cos(), turn / angle * (angle / 2).sin()], dim=1)
        linear = start.pose[:, :3, :3] @ rotation(quats)
        eye = start.pose[:, :3, 3:] + self.distance * start.pose[:, :3, :3] @ move[:, :, None]
        return replace(start, pose=torch.cat([torch.cat([linear, eye], dim=2), start.pose[:, 3:]], dim=1))

    def penalty(self, pose: Tensor) -> Tensor:
        """0 [B]: every pose is as likely."""
        return 0 * pose[:, 0]


@dataclass(frozen=True)
class NoPoses:
    """Poses [B, 0] of scenes that are pictures: the whole plane."""

    rates: Tensor = torch.zeros(0)


Poses = OrbitPoses | FreePoses | NoPoses


def rotation_error(a: Camera, b: Camera) -> Tensor:
    """The angle of the rotation between cameras, pair by pair [B], in degrees."""
    between = a.pose[:, :3, :3].mT @ b.pose[:, :3, :3]
    trace = between.diagonal(dim1=1, dim2=2).sum(dim=1)
    return torch.rad2deg(torch.acos(((trace - 1) / 2).clamp(-1, 1)))
