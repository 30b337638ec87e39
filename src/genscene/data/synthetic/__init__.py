"""Embedded data sets: ray-traced scenes with known cameras, masks and depths, and pictures."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genscene.data.synthetic.cars import cars
from genscene.data.synthetic.ground import Ground
from genscene.data.synthetic.intersect import Solids
from genscene.data.synthetic.landscapes import landscapes
from genscene.data.synthetic.objects import objects
from genscene.data.synthetic.raytrace import TracedImages, trace
from genscene.data.synthetic.rooms import RoomObjects, rooms
from genscene.errors import BadInput, suggest
from genscene.geometry.cameras import Camera, Size
from genscene.geometry.priors import CameraPrior
from genscene.randomness import Randomness, RandomStreams, derive_seed


@dataclass(frozen=True)
class SyntheticSet:
    """A distribution of scenes and the prior of their cameras."""

    scenes: Callable[[Randomness], Solids | RoomObjects]
    prior: CameraPrior
    supersampling: int = 3  # its square is the number of rays for each pixel
    ground: Ground | None = None

    @property
    def turns(self) -> bool:
        """Whether the cameras differ."""
        return self.prior.distribution != "fixed"


def fixed_camera(elevation: float, radius: float, fov: float) -> CameraPrior:
    """One camera on the side of +z; elevation above the horizon and field of view in degrees."""
    return CameraPrior("fixed", (math.pi / 2, 0.0), (math.radians(90 - elevation), 0.0), radius, fov)


FULL_CIRCLE = CameraPrior(
    "uniform", (math.pi / 2, math.pi), (math.radians(58.5), math.radians(23.5)), radius=2.6, fov=42.0
)
NARROW = fixed_camera(elevation=38.0, radius=3.2, fov=44.0)  # the objects fill most of the image
CLEVR = fixed_camera(elevation=19.47, radius=2.732, fov=49.13)  # GIRAFFE's of its pictures of CLEVR
CAMERAS = {"clevr": CLEVR, "narrow": NARROW, "circle": FULL_CIRCLE}  # for any set
SETS = {"cars": SyntheticSet(cars, FULL_CIRCLE), "objects": SyntheticSet(objects, FULL_CIRCLE)} | {
    name + suffix: SyntheticSet(rooms(*counts), camera, 2, Ground())
    for name, counts in (("rooms", (2, 2)), ("rooms-2-5", (2, 5)))
    for suffix, camera in (("", NARROW), ("-clevr", CLEVR))
}
PICTURES = {"landscapes": landscapes}  # sets without scenes and cameras


@dataclass(frozen=True)
class GroundTruth:
    """B images of an embedded set with everything that is known of them."""

    traced: TracedImages
    cameras: Camera
    yaw: Tensor  # [B], radians
    pitch: Tensor  # [B], radians from the pole
    objects: RoomObjects | None = None  # of rooms; object i has the id i + 1

    def on_white(self) -> Tensor:
        """The images composited on white -> [B, 3, H, W] in [0, 1]."""
        return self.traced.color * self.traced.alpha + (1 - self.traced.alpha)

    def pixels(self) -> Tensor:
        """The images composited on white -> uint8 [B, H, W, 3]."""
        return (self.on_white() * 255).round().byte().movedim(1, -1)

    def masks(self) -> Tensor:
        """The share of each pixel that objects cover -> uint8 [B, H, W, 1]."""
        parts = self.traced.masks
        covered = self.traced.alpha if parts is None else parts.sum(dim=1, keepdim=True)
        return (covered * 255).round().byte().movedim(1, -1)


def synthetic_set(name: str) -> SyntheticSet:
    """An embedded set with cameras by name; BadInput where there is none."""
    if name in PICTURES:
        raise BadInput(f"the pictures of the embedded set {name} have no cameras: wanted a set of scenes")
    check_name(name)
    return SETS[name]


def check_name(name: str) -> None:
    """Raise BadInput unless there is an embedded set with this name."""
    if name not in SETS and name not in PICTURES:
        raise BadInput(f"no embedded set {name!r}; {suggest(name, [*SETS, *PICTURES])}")


@torch.no_grad()
def synthesize_pictures(name: str, indices: range, size: Size, seed: int = 0) -> Tensor:
    """The pictures at these indices of a set of PICTURES -> uint8 [B, H, W, 3]; as `synthesize`."""
    found = PICTURES[name](RandomStreams([derive_seed(seed, index) for index in indices]), size)
    return (found * 255).round().byte().movedim(1, -1)


def camera_of(name: str, camera: str | None, fov: float | None) -> CameraPrior:
    """The cameras of an embedded set, or of CAMERAS by name, with another field of view in degrees."""
    kind = synthetic_set(name)
    if camera is not None and camera not in CAMERAS:
        raise BadInput(f"no camera {camera!r}; {suggest(camera, CAMERAS)}")
    prior = CAMERAS[camera] if camera else kind.prior
    if fov is not None and not 1 <= fov <= 170:
        raise BadInput(f"--fov {fov:g}: wanted 1 to 170 degrees")
    return prior if fov is None else replace(prior, fov=fov)


@torch.no_grad()
def synthesize(
    name: str, indices: range, size: Size, seed: int = 0, camera: CameraPrior | None = None
) -> GroundTruth:
    """The images of an embedded set at these indices; each is a function of its index and the seed alone.

    camera: the prior of cameras in place of the set's.
    """
    kind = SETS[name]
    streams = RandomStreams([derive_seed(seed, index) for index in indices])
    return _trace_set(kind, camera or kind.prior, streams, streams, size)


@torch.no_grad()
def views_of_one(name: str, indices: range, size: Size, seed: int = 0) -> GroundTruth:
    """Views at these indices of one scene of an embedded set: that of the seed; BadInput for one camera."""
    kind = synthetic_set(name)
    if not kind.turns:
        known = ", ".join(name for name, each in SETS.items() if each.turns)
        raise BadInput(f"the set {name} is seen by one camera: wanted one whose cameras differ ({known})")
    streams = RandomStreams([derive_seed(seed, index, 1) for index in indices])
    return _trace_set(kind, kind.prior, streams, RandomStreams([derive_seed(seed, 0)] * len(indices)), size)


@torch.no_grad()
def room_objects(name: str, indices: range, seed: int = 0) -> RoomObjects:
    """The objects of the images of `synthesize` at these indices, without tracing them.

    Raises BadInput for sets that are not made of such objects.
    """
    kind = synthetic_set(name)
    streams = RandomStreams([derive_seed(seed, index) for index in indices])
    kind.prior.sample_angles(streams)  # these numbers are taken first
    scene = kind.scenes(streams)
    if not isinstance(scene, RoomObjects):
        raise BadInput(f"the objects of {name} are not known one by one: wanted a set of rooms")
    return scene


def _trace_set(
    kind: SyntheticSet, prior: CameraPrior, views: Randomness, scenes: Randomness, size: Size
) -> GroundTruth:
    """Draw cameras, then scenes, and trace them."""
    yaw, pitch = prior.sample_angles(views)
    cameras, scene = prior.camera_at(yaw, pitch, size), kind.scenes(scenes)
    objects = scene if isinstance(scene, RoomObjects) else None
    solids = scene.solids() if isinstance(scene, RoomObjects) else scene
    traced = trace(solids, cameras, kind.supersampling, kind.ground)
    return GroundTruth(traced, cameras, yaw, pitch, objects)
