"""Embedded data sets, ray-traced from procedural scenes: seeded, with known cameras, masks and depths."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.data.synthetic.cars import cars
from genscene.data.synthetic.objects import objects
from genscene.data.synthetic.raytrace import Solids, TracedImages, trace
from genscene.errors import BadInput, suggest
from genscene.geometry.cameras import Camera, Size
from genscene.geometry.priors import CameraPrior
from genscene.randomness import Randomness, RandomStreams, derive_seed


@dataclass(frozen=True)
class SyntheticSet:
    """A distribution of scenes and the prior of their cameras."""

    scenes: Callable[[Randomness], Solids]
    prior: CameraPrior


FULL_CIRCLE = CameraPrior(
    "uniform", (math.pi / 2, math.pi), (math.radians(58.5), math.radians(23.5)), radius=2.6, fov=42.0
)
SETS = {"cars": SyntheticSet(cars, FULL_CIRCLE), "objects": SyntheticSet(objects, FULL_CIRCLE)}


@dataclass(frozen=True)
class GroundTruth:
    """B images of an embedded set with everything that is known of them."""

    traced: TracedImages
    cameras: Camera
    yaw: Tensor  # [B], radians
    pitch: Tensor  # [B], radians from the pole

    def on_white(self) -> Tensor:
        """The images composited on white -> [B, 3, H, W] in [0, 1]."""
        return self.traced.color * self.traced.alpha + (1 - self.traced.alpha)

    def pixels(self) -> Tensor:
        """The images composited on white -> uint8 [B, H, W, 3]."""
        return (self.on_white() * 255).round().byte().movedim(1, -1)


def synthetic_set(name: str) -> SyntheticSet:
    """An embedded set by name; BadInput where there is none."""
    if name not in SETS:
        raise BadInput(f"no embedded set {name!r}; {suggest(name, SETS)}")
    return SETS[name]


@torch.no_grad()
def synthesize(name: str, indices: range, size: Size, seed: int = 0) -> GroundTruth:
    """The images of an embedded set at these indices; each is a function of its index and the seed alone."""
    kind = SETS[name]
    streams = RandomStreams([derive_seed(seed, index) for index in indices])
    yaw, pitch = kind.prior.sample_angles(streams)
    cameras = kind.prior.camera_at(yaw, pitch, size)
    return GroundTruth(trace(kind.scenes(streams), cameras), cameras, yaw, pitch)


@torch.no_grad()
def views_of_one(name: str, indices: range, size: Size, seed: int = 0) -> GroundTruth:
    """Views at these indices of one scene of an embedded set: that of the seed."""
    kind = SETS[name]
    streams = RandomStreams([derive_seed(seed, index, 1) for index in indices])
    yaw, pitch = kind.prior.sample_angles(streams)
    cameras = kind.prior.camera_at(yaw, pitch, size)
    scene = kind.scenes(RandomStreams([derive_seed(seed, 0)] * len(indices)))
    return GroundTruth(trace(scene, cameras), cameras, yaw, pitch)
