"""The contract: a Generator paints scenes, a System trains it in turns."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, final

import torch
from torch import Tensor, nn

from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Rays, Size
from genscene.geometry.priors import CameraPrior
from genscene.randomness import CounterStreams, RandomStreams, mix
from genscene.render.volume import March
from genscene.scenes import Scene

Stats = dict[str, Tensor]
MAX_BYTES = 1 << 28  # bytes
Background = Literal["black", "white"]


@dataclass(frozen=True)
class Rendering:
    """B pictures, and what else the renderer knows of them."""

    image: Tensor  # [B, 3, H, W], sRGB, 0 to 1, not clamped
    depth: Tensor | None = None  # [B, 1, H, W], distance along the ray, 0 where nothing is hit
    alpha: Tensor | None = None  # [B, 1, H, W], 0 to 1


@dataclass(frozen=True)
class ImageBatch:
    """B images."""

    images: Tensor  # [B, 3, H, W], sRGB, 0 to 1

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> "ImageBatch":
        """A part of the batch."""
        return ImageBatch(self.images[part])

    def to(self, device: torch.device) -> "ImageBatch":
        """The same batch on another device."""
        return ImageBatch(self.images.to(device))


@dataclass(frozen=True)
class PosedImageBatch(ImageBatch):
    """B images with their cameras."""

    cameras: Camera

    def __getitem__(self, part: slice) -> "PosedImageBatch":
        """A part of the batch."""
        return PosedImageBatch(self.images[part], self.cameras[part])

    def to(self, device: torch.device) -> "PosedImageBatch":
        """The same batch on another device."""
        return PosedImageBatch(self.images.to(device), self.cameras.to(device))


@dataclass(frozen=True)
class RayBatch:
    """What a NeRF is shown."""

    rays: Rays  # [1, R], of depth 1
    colors: Tensor  # [1, R, 3], 0 to 1

    def __len__(self) -> int:
        """R, the number of rays."""
        return len(self.rays)

    def __getitem__(self, part: slice) -> "RayBatch":
        """Some of the rays."""
        return RayBatch(self.rays[part], self.colors[:, part])

    def to(self, device: torch.device) -> "RayBatch":
        """The same rays on another device."""
        rays = Rays(self.rays.origins.to(device), self.rays.directions.to(device))
        return RayBatch(rays, self.colors.to(device))


@dataclass(frozen=True)
class StepContext:
    """When, and for which part of the joint batch, a loss is asked for."""

    step: int  # optimiser steps since the run began
    stage_start: int = 0  # the step at which this stage began
    seed: int = 0  # of the run
    first: int = 0  # place in the joint batch of this part's first picture
    slices: int = 1  # parts the batch of one process is cut into

    steps: int = 1  # of the whole run

    def draws(self, count: int, turn: int, device: torch.device | str) -> RandomStreams:
        """The random numbers of `count` pictures in the turn with this number."""
        return RandomStreams([mix(self.seed, self.step, turn, self.first + i) for i in range(count)], device)

    def ray_draws(self, count: int, turn: int, device: torch.device | str) -> CounterStreams:
        """The random numbers of `count` rays in the turn with this number."""
        return CounterStreams(mix(self.seed, self.step, turn), self.first, count, device)


class Photographed(nn.Module):
    """What a scene remembers of the photographs it was learnt from."""

    pose: Tensor
    intrinsics: Tensor
    size: Tensor
    to_files: Tensor

    def __init__(self, count: int):
        super().__init__()
        self.register_buffer("pose", torch.eye(4).repeat(count, 1, 1))  # [N, 4, 4]
        self.register_buffer("intrinsics", torch.eye(3).repeat(count, 1, 1))  # [N, 3, 3]
        self.register_buffer("size", torch.tensor([1, 1]))  # height, width
        self.register_buffer("to_files", torch.eye(4))  # [4, 4], from the scene's world to that of its files

    def remember(self, camera: Camera, to_files: Tensor) -> None:
        """Note the cameras, and the way back to the files' coordinates [4, 4]."""
        self.pose.copy_(camera.pose)
        self.intrinsics.copy_(camera.intrinsics)
        self.size.copy_(torch.tensor(camera.size))
        self.to_files.copy_(to_files)

    def camera(self) -> Camera:
        """The cameras."""
        height, width = self.size.tolist()
        return Camera(self.pose, self.intrinsics, (height, width))


class Generator(nn.Module, ABC):
    """What is kept after training: latent code -> scene -> picture."""

    latent_dim: int  # 0: there is one scene, and it is the weights
    orbit: CameraPrior | None  # where its cameras stand; None: its views are windows on the plane
    march: March | None  # how rays walk through its fields; None: its scenes are no fields
    reach: tuple[float, float, float]  # half sides of the box around the origin that holds every scene
    photographed: Photographed | None  # the photographs a single scene was learnt from

    @abstractmethod
    def latents(self, draws: RandomStreams) -> Tensor:
        """One latent code for each stream of draws -> z [B, latent_dim]."""

    @abstractmethod
    def style(self, z: Tensor, psi: float = 1.0) -> Tensor:
        """z [B, latent_dim] -> w, what interpolation and inversion work on; psi < 1 pulls it to the average."""

    @abstractmethod
    def bind(self, w: Tensor) -> Scene:
        """w [B, ...] -> B scenes."""

    @abstractmethod
    def render(self, scene: Any, view: Any, budget: int = MAX_BYTES) -> Rendering:
        """B scenes, B views -> B pictures; the same scene and view give the same picture.

        budget: bytes that intermediate results may take where no gradient flows.
        """

    @abstractmethod
    def lock_view(self, scene: Any) -> Any:
        """The same scenes with colours that do not depend on where one looks from, as seen from the front."""

    @abstractmethod
    def measured(self, view: Camera) -> Rays:
        """The rays of B cameras, in whose lengths depth is measured."""

    @abstractmethod
    def resampled(self, samples: int) -> "Generator":
        """The same generator with another number of samples along each ray; shares the weights."""

    @abstractmethod
    def settle(self) -> None:
        """Compute what is stored beside the weights (the average of w); called once they stand, before saving."""

    @final
    def scene(self, z: Tensor, psi: float = 1.0) -> Scene:
        """z [B, latent_dim] -> B scenes."""
        return self.bind(self.style(z, psi))


class Loss(Protocol):
    """What a player minimises in its turn."""

    def __call__(self, batch: Any, moment: StepContext) -> tuple[Tensor, Stats]:
        """A batch at a moment -> the loss [], and numbers worth logging."""
        ...


@dataclass(frozen=True)
class Turn:
    """One player learns from one loss; all the others stand still."""

    player: str
    loss: Loss
    every: int = 1  # steps between two such turns


class System(nn.Module, ABC):
    """What trains a generator. Its children are the players."""

    generator: Generator

    @abstractmethod
    def turns(self) -> tuple[Turn, ...]:
        """The turns of one step, in order; asked for anew at every step."""


@dataclass(frozen=True)
class SystemConfig(ABC):
    """All the numbers of one paper's system."""

    batch: ClassVar[Literal["images", "posed_images", "rays"]] = "images"  # what its system is trained on

    @abstractmethod
    def build(self) -> System:
        """A system with build_seeded weights."""

    @abstractmethod
    def check(self, size: Size) -> None:
        """Raise BadInput where pictures of this size cannot be trained on."""

    @abstractmethod
    def shrunk(self) -> "SystemConfig":
        """The same system with as few layers, channels and samples as it can have, for tests."""


def at_least(config: object, least: float, *names: str) -> None:
    """Raise BadInput for the first of these fields that is less."""
    for name in names:
        value = getattr(config, name)
        if not value >= least:
            raise BadInput(f"{name.replace('_', '-')} {value}: wanted {least} or more")


@dataclass(frozen=True)
class PosedConfig(SystemConfig):
    """The numbers of a system that learns the rays of photographs whose cameras are known."""

    batch = "rays"

    @abstractmethod
    def fitted(self, photographed: Camera, bounds: Tensor, behind: Background | None = None) -> "PosedConfig":
        """The same system for the photographs it is to learn: N cameras, nearest and farthest depths [N, 2].

        behind: the colour that surrounds what they show; None: no single one, the system keeps its own.
        """

    @property
    @abstractmethod
    def corners(self) -> bool:
        """Whether rays go through the pixels' upper left corners (released NeRF), not through their centres."""
