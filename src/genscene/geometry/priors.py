"""Priors over views: cameras on a sphere around the origin, the cameras of a file, or the image plane."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from genscene.errors import BadInput
from genscene.geometry.camera_files import load_cameras
from genscene.geometry.cameras import Camera, Grid, Size, look_at, pinhole
from genscene.randomness import Randomness
from genscene.ranges import Angle, Distance, Extent, Range, Spread

Distribution = Literal["gaussian", "truncated", "uniform", "sphere", "hybrid", "fixed", "file"]
MeanSpread = tuple[Angle, Spread]

Y_TO_Z = [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
ALL_AROUND = 0.05  # length of the mean viewing direction, across z, below which cameras stand on all sides
LEAST_SPREAD = 0.3  # half range of yaw and pitch, in radians: cameras that do not move show no shape
WITHIN = 2.0  # standard deviations of normal angles


@dataclass(frozen=True)
class CameraPrior:
    """Cameras on a sphere that face its center, +y up (pi-GAN, sec. 3.4).

    Angles in radians. The eye is at radius * (sin pitch cos yaw, cos pitch, sin pitch sin yaw): yaw = pitch =
    pi/2 is the front, on +z; pitch counts from the pole, so a smaller pitch is a camera higher up.
    """

    # of yaw and pitch; sphere: uniform in area; hybrid: half gaussian, half uniform over twice the range
    distribution: Distribution = "gaussian"
    yaw: MeanSpread = (math.pi / 2, 0.3)  # mean, and standard deviation or half range, in radians
    pitch: MeanSpread = (math.pi / 2, 0.155)  # mean, and standard deviation or half range, in radians from +y
    radius: Extent = 1.0  # mean distance from the origin, in world units
    # field of view across the shorter image side, in degrees
    fov: Annotated[float, Range(1e-4, 179.999)] = 12.0
    file: str = ""  # distribution file: a dataset.json or camera path whose cameras are sampled
    # axis of the world that points up; z: all of the above rotated about x (Blender)
    up: Literal["y", "z"] = "y"
    radius_spread: Distance = 0.0  # half range of the radius, which is uniform

    def check(self) -> None:
        """Raise BadInput for a file without its distribution, or angles that are none on a sphere."""
        if self.distribution == "sphere" and not 0 <= self.pitch[0] <= math.pi:
            raise BadInput(f"pitch {self.pitch[0]}: wanted 0 to pi where the distribution is uniform in area")
        if (self.distribution == "file") != bool(self.file):
            raise BadInput(f"file {self.file!r}: wanted with the distribution 'file', and only with it")
        if self.radius_spread >= self.radius:
            raise BadInput(f"radius_spread {self.radius_spread}: wanted less than the radius, {self.radius}")

    def sample(self, randomness: Randomness, size: Size) -> Camera:
        """One camera for each stream of random numbers."""
        if self.distribution == "file":
            return sample_from(load_cameras(self.file), randomness, size)
        angles, radius = self.sample_angles(randomness), None
        if self.radius_spread:
            radius = self.radius + self.radius_spread * (2 * randomness.uniform() - 1)
        return self.camera_at(*angles, size, radius)

    def sample_angles(self, randomness: Randomness) -> tuple[Tensor, Tensor]:
        """Yaw [B] and pitch [B]; the random numbers of all yaws are taken before those of the pitches."""
        offsets = self._offsets(randomness)
        yaw = self.yaw[0] + self.yaw[1] * offsets[:, 0]
        if self.distribution != "sphere":
            return yaw, self.pitch[0] + self.pitch[1] * offsets[:, 1]
        share = (self.pitch[0] + self.pitch[1] * offsets[:, 1]) / math.pi
        return yaw, torch.acos(1 - 2 * share.clamp(1e-5, 1 - 1e-5))  # uniform in the cosine: Archimedes

    def camera_at(self, yaw: Tensor, pitch: Tensor, size: Size, radius: Tensor | None = None) -> Camera:
        """Cameras at yaw [B], pitch [B] and radius [B] that face the origin; None: the mean radius."""
        least = 1e-5 if self.up == "y" else torch.finfo(pitch.dtype).eps ** 0.7  # the former is pi-GAN's
        pitch = pitch.clamp(least, math.pi - least)  # at the pole itself no direction is up
        eye = torch.stack([pitch.sin() * yaw.cos(), pitch.cos(), pitch.sin() * yaw.sin()], dim=-1)
        pose = look_at((self.radius if radius is None else radius[:, None]) * eye)
        if self.up == "z":
            pose = torch.tensor(Y_TO_Z).to(pose) @ pose
        return Camera(pose, pinhole(self.fov * torch.ones_like(yaw), size), size)

    def mean_angles(self) -> tuple[float, float]:
        """Yaw and pitch of the mean camera."""
        if self.distribution == "sphere":
            return self.yaw[0], math.acos(1 - 2 * self.pitch[0] / math.pi)
        return self.yaw[0], self.pitch[0]

    def sweep(self, count: int, size: Size) -> Camera:
        """Cameras in a row over yaw: evenly around where the prior covers all yaws, else across its range."""
        yaw, pitch = self.mean_angles()
        half = min(5 / 3 * self.yaw[1], (1 - 1 / max(1, count)) * math.pi)
        return self.camera_at(yaw + half * torch.linspace(-1, 1, count), torch.full((count,), pitch), size)

    @staticmethod
    def fit(cameras: Camera) -> "CameraPrior":
        """The prior of given cameras, z up: uniform over their angles, mean distance and field of view.

        The mean yaw is the angle of their mean viewing direction, its range the largest deviation from that.
        """
        eye = cameras.pose[:, :3, 3].double()
        radius = eye.norm(dim=-1).clamp_min(1e-6)
        pitch = torch.acos((eye[:, 2] / radius).clamp(-1, 1))
        spread = ((pitch.max() - pitch.min()) / 2).clamp_min(0.05)
        back = -cameras.pose[:, :3, 2].double()  # from the origin to an eye that faces it
        x, y = back[:, :2].mean(dim=0).tolist()
        mean = math.atan2(-y, x) if math.hypot(x, y) > ALL_AROUND else math.pi / 2
        deviation = (
            torch.remainder(torch.atan2(-back[:, 1], back[:, 0]) - mean + math.pi, 2 * math.pi) - math.pi
        )
        shorter = float(cameras.intrinsics[:, [0, 1], [0, 1]].max(dim=1).values.mean())
        fov = math.degrees(2 * math.atan(0.5 / shorter))
        return CameraPrior(
            "uniform",
            (round(mean, 4), round(float(deviation.abs().max().clamp_min(0.05)), 4)),
            (round(float(pitch.mean()), 4), round(float(spread), 4)),
            round(float(radius.mean()), 4),
            round(fov, 3),
            up="z",
        )

    def _offsets(self, randomness: Randomness) -> Tensor:
        """Deviations from the means in units of the spreads -> [B, 2], yaw and pitch."""
        if self.distribution in ("uniform", "sphere"):
            return 2 * randomness.uniform(2) - 1
        if self.distribution == "gaussian":
            return randomness.normal(2)
        if self.distribution == "truncated":
            return truncated_normal(randomness.normal(2, 8), 2.0)
        if self.distribution == "hybrid":
            coin = randomness.uniform()[:, None] < 0.5
            return torch.where(coin, 2 * (2 * randomness.uniform(2) - 1), randomness.normal(2))
        if self.distribution == "fixed":
            return 0 * randomness.uniform(2)
        raise BadInput("the distribution 'file' has no angles; sample() returns its cameras")


@dataclass(frozen=True)
class PlanePrior:
    """The whole image plane, for scenes that are pictures, or parts of one around a cylinder."""

    frames: int = 1  # pictures, side by side, that close to a cylinder; 1: the plane

    def sample(self, randomness: Randomness, size: Size) -> Grid:
        """The whole plane, or a picture that begins at any column, for each stream of random numbers."""
        view = Grid.whole(len(randomness), size)
        if self.frames == 1:
            return view
        columns, zero = self.frames * size[1], torch.zeros(len(randomness), device=view.window.device)
        start = (randomness.uniform() * columns).floor().to(zero) / columns
        window = torch.stack([zero + 1, start, zero], dim=-1)
        return Grid(window, size, zero + 1 / self.frames)

    def sweep(self, count: int, size: Size) -> Grid:
        """All of it, `count` times: of a cylinder so many times the width of a picture of this size."""
        return Grid.whole(count, (size[0], size[1] * self.frames))

    def pan(self, count: int, size: Size) -> Grid:
        """Pictures of this size that begin at evenly spaced places once around the cylinder."""
        view = Grid.whole(count, size)
        window = view.window.clone()
        window[:, 1] = torch.arange(count) / count
        return Grid(window, size, torch.full((count,), 1 / self.frames))


class HasPrior(nn.Module):
    """A generator with a prior of its views, which its part `orbit` changes where that is learned."""

    _prior: CameraPrior | PlanePrior

    @property
    def prior(self) -> CameraPrior | PlanePrior:
        """The views that it is trained with."""
        orbit: Any = self._modules.get("orbit")
        return self._prior if orbit is None else orbit.camera(self._prior)

    @prior.setter
    def prior(self, prior: CameraPrior | PlanePrior) -> None:
        """Another prior; what `orbit` has learned is applied to it."""
        self._prior = prior


def widened(prior: CameraPrior) -> CameraPrior:
    """Cameras evenly over the angles of a prior, and over some where it has one camera only."""
    if prior.distribution in ("file", "sphere"):
        return prior
    factor = 1.0 if prior.distribution in ("uniform", "fixed") else WITHIN
    (yaw, across), (pitch, down) = prior.yaw, prior.pitch
    across, down = (max(LEAST_SPREAD, factor * spread) for spread in (across, down))
    down = min(down, max(LEAST_SPREAD, math.pi / 2 - abs(pitch - math.pi / 2)))  # not beyond a pole
    return replace(prior, distribution="uniform", yaw=(yaw, min(across, math.pi)), pitch=(pitch, down))


def truncated_normal(normal: Tensor, limit: float) -> Tensor:
    """Normal numbers [..., T] -> the first of T within +-limit, else the last one clamped -> [...]."""
    inside = normal.abs() < limit
    first = inside.byte().argmax(dim=-1, keepdim=True)
    found = normal.gather(-1, first)[..., 0]
    return torch.where(inside.any(dim=-1), found, normal[..., -1].clamp(-limit, limit))


def sample_from(cameras: Camera, randomness: Randomness, size: Size) -> Camera:
    """One of the cameras, sampled uniformly, for each stream of random numbers."""
    chances = randomness.uniform()
    return cameras[(chances * len(cameras)).long().cpu()].reframed(size).to(chances.device)


def camera_angles(camera: Camera, yaw: float) -> tuple[Tensor, Tensor]:
    """Yaw [B], within half a turn of the given one, and pitch [B] of cameras, from their positions."""
    return position_angles(camera.pose[:, :3, 3], yaw)


def position_angles(positions: Tensor, yaw: float) -> tuple[Tensor, Tensor]:
    """The same of positions [B, 3] in a world whose y is up."""
    x, y, z = positions.unbind(-1)
    pitch = torch.atan2((x.square() + z.square()).sqrt(), y)
    return yaw + wrap_angles(torch.atan2(z, x) - yaw), pitch


def wrap_angles(angles: Tensor) -> Tensor:
    """Angles [...] in radians -> the same between -pi and pi."""
    return torch.atan2(angles.sin(), angles.cos())


def with_fov(camera: Camera, fov: Tensor) -> Camera:
    """The same cameras with fields of view [B] in degrees."""
    return replace(camera, intrinsics=pinhole(fov, camera.size))
