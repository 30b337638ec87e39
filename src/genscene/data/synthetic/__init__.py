"""Embedded data sets: made by us, ray-traced, seedable, with pose, mask and depth known."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.data.synthetic.cars import cars
from genscene.data.synthetic.objects import objects
from genscene.data.synthetic.raytrace import Solids, Traced, trace
from genscene.geometry.cameras import Camera, Size
from genscene.geometry.priors import CameraPrior
from genscene.randomness import Randomness, RandomStreams, derive_seed


@dataclass(frozen=True)
class Synthetic:
    """A kind of scene and the prior of its cameras."""

    scenes: Callable[[Randomness], Solids]
    orbit: CameraPrior


AROUND = CameraPrior(
    "uniform", (math.pi / 2, math.pi), (math.radians(58.5), math.radians(23.5)), radius=2.6, fov=42.0
)

SETS = {"cars": Synthetic(cars, AROUND), "objects": Synthetic(objects, AROUND)}


@dataclass(frozen=True)
class Truth:
    """B pictures of a synthetic set and all that is known of them."""

    traced: Traced
    camera: Camera
    yaw: Tensor  # [B], radians
    pitch: Tensor  # [B], radians from the pole

    def on_white(self) -> Tensor:
        """Pictures [B, 3, H, W] in [0, 1]."""
        return self.traced.color * self.traced.alpha + (1 - self.traced.alpha)


@torch.no_grad()
def synthesize(name: str, indices: range, size: Size, seed: int = 0) -> Truth:
    """The pictures with these numbers of an embedded set; each depends on its number and the seed alone."""
    kind = SETS[name]
    draws = RandomStreams([derive_seed(seed, index) for index in indices])
    yaw, pitch = kind.orbit.sample_angles(draws)
    camera = kind.orbit.camera_at(yaw, pitch, size)
    return Truth(trace(kind.scenes(draws), camera), camera, yaw, pitch)


@torch.no_grad()
def views_of_one(name: str, indices: range, size: Size, seed: int = 0) -> Truth:
    """Pictures of the one scene with number `seed` of an embedded set, from cameras with these numbers."""
    kind = SETS[name]
    draws = RandomStreams([derive_seed(seed, index, 1) for index in indices])
    yaw, pitch = kind.orbit.sample_angles(draws)
    camera = kind.orbit.camera_at(yaw, pitch, size)
    scene = kind.scenes(RandomStreams([derive_seed(seed, 0)] * len(indices)))
    return Truth(trace(scene, camera), camera, yaw, pitch)
