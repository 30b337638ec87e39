"""From where a generator's scenes may be seen: the range of its prior, and distances that its rays allow."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.contract import Generator
from genscene.geometry.priors import CameraPrior, position_angles
from genscene.render.volume import VolumeGenerator
from genscene.viewer.views import View

SPREADS = 2.0  # standard deviations of a normal distribution that count as its range
NARROWEST, WIDEST = math.radians(0.2), math.radians(150)  # of fields of view that stand for a distance


@dataclass(frozen=True)
class Reach:
    """The patch of a sphere that a prior's cameras stand on, with all between two distances."""

    prior: CameraPrior
    yaw: tuple[float, float]  # mean and half range, in radians; a half range of pi is all around
    pitch: tuple[float, float]  # least and largest, in radians from the pole
    distances: tuple[float, float]  # from the origin, in world units, that rays are sampled for

    def nearest(self, view: View, beyond: bool) -> View:
        """The view as the generator can render it.

        Rays may be sampled around one distance alone: a camera elsewhere is put there, with a field of view
        in which the scene has the same size. Unless `beyond`, it is put onto the prior's patch, facing the
        origin.
        """
        distance = max(float(view.eye.norm()), 1e-6)
        low, high = self.distances
        if not beyond:
            spread, radius = self.prior.radius_spread, self.prior.radius
            low, high = max(low, radius - spread), min(high, radius + spread)
        placed = min(max(distance, low), high)
        fov = 2 * math.atan(math.tan(view.fov / 2) * distance / placed)
        fov = min(max(fov, NARROWEST), WIDEST)
        if beyond:
            pose = view.pose.clone()
            pose[:3, 3] *= placed / distance
            return View(pose, fov if placed != distance else view.fov, view.aspect)
        yaw, pitch = self.angles(view.eye)
        turned = min(max(yaw - self.yaw[0], -self.yaw[1]), self.yaw[1])
        pose = self.pose(self.yaw[0] + turned, min(max(pitch, self.pitch[0]), self.pitch[1]), placed)
        return View(pose, fov, view.aspect)

    def angles(self, eye: Tensor) -> tuple[float, float]:
        """Yaw, within half a turn of the mean, and pitch of a position [3]."""
        x, y, z = eye.double()
        position = torch.stack([x, z, -y] if self.prior.up == "z" else [x, y, z])
        yaw, pitch = position_angles(position[None], self.yaw[0])
        return float(yaw), float(pitch)

    def pose(self, yaw: float, pitch: float, distance: float) -> Tensor:
        """The pose [4, 4] of the camera there that faces the origin, float64."""
        angles = torch.tensor([[yaw], [pitch], [distance]], dtype=torch.float64)
        return self.prior.camera_at(angles[0], angles[1], (1, 1), angles[2]).pose[0]


def reach_of(generator: Generator) -> Reach | None:
    """The reach of a generator with latent codes whose cameras have a distribution of angles; else None."""
    prior = generator.prior
    if not isinstance(prior, CameraPrior) or prior.distribution == "file" or not generator.latent_dim:
        return None
    spreads = SPREADS if prior.distribution in ("gaussian", "truncated", "hybrid") else 1.0
    spreads *= prior.distribution != "fixed"
    low, high = (prior.pitch[0] + sign * spreads * prior.pitch[1] for sign in (-1, 1))
    if prior.distribution == "sphere":  # uniform in the cosine
        low, high = (math.acos(1 - 2 * min(max(x / math.pi, 0.0), 1.0)) for x in (low, high))
    pitch = (max(low, 0.02), min(high, math.pi - 0.02))
    return Reach(prior, (prior.yaw[0], min(spreads * prior.yaw[1], math.pi)), pitch, distances(generator))


def distances(generator: Generator) -> tuple[float, float]:
    """The least and largest distance from the origin for which the scene lies between near and far."""
    prior, bounds = generator.prior, generator.bounds
    assert isinstance(prior, CameraPrior)
    if not isinstance(generator, VolumeGenerator) or bounds is None:
        return 0.1 * prior.radius, 20 * prior.radius
    across = max(bounds)
    near, far = generator.march.near, generator.march.far
    return min(prior.radius, near + across), max(prior.radius, far - across)


def starts_beyond(reach: Reach | None) -> bool:
    """Whether a viewer begins beyond the prior: where there is none, or no room to move in it."""
    return reach is None or (reach.yaw[1] < 0.05 and reach.pitch[1] - reach.pitch[0] < 0.05)


def first_view(generator: Generator) -> View:
    """The mean view of a generator's prior of cameras."""
    prior = generator.prior
    assert isinstance(prior, CameraPrior)
    return View.of_camera(prior.sweep(1, (1, 1)))
