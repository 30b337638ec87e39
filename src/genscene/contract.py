"""The contract: a Generator binds latent codes to scenes and renders them, a System trains it in turns."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, ClassVar, Literal, Protocol, final

import torch
from torch import Tensor, nn

from genscene.geometry.cameras import Camera, PixelConvention, Rays, Size
from genscene.geometry.priors import CameraPrior, PlanePrior
from genscene.randomness import CounterStreams, Randomness, RandomStreams, derive_seed
from genscene.scenes import Scene

Stats = dict[str, Tensor]
Vector = tuple[float, float, float]
Background = Literal["black", "white", "last"]  # last: the color of the farthest sample on the ray
MAX_BYTES = 1 << 28


@dataclass(frozen=True)
class RenderOptions:
    """How a scene is rendered; the last four fields never change the picture."""

    randomness: Randomness | None = None  # jitter, importance sampling and density noise; None: deterministic
    density_noise: float = 0.0  # standard deviation of the noise on raw density; wants randomness
    samples: int = 0  # along each ray; 0: the generator's own number
    background: Background | None = None  # behind the scene; None: the generator's own
    fixed_direction: Vector | None = None  # viewing direction of all colors; None: each ray's own
    distortion: bool = False  # also return Rendering.distortion
    max_bytes: int = MAX_BYTES  # that intermediate results may take where no graph is kept
    recompute: bool = False  # trade time for memory: compute parts again for the backward pass
    cancelled: Callable[[], bool] | None = None  # called between parts; True raises Cancelled
    progress: Callable[[int], None] | None = None  # called after each part with the number of its rays


DEFAULT_OPTIONS = RenderOptions()


@dataclass(frozen=True)
class Rendering:
    """B pictures, and what else the renderer computes; None: not available for this kind of scene."""

    image: Tensor  # [B, 3, H, W], sRGB, 0 to 1, not clamped
    # [B, 1, H, W], distance from the eye along the ray, in world units; 0: nothing hit
    depth: Tensor | None = None
    alpha: Tensor | None = None  # [B, 1, H, W], opacity, 0 to 1
    features: Tensor | None = None  # [B, C, h, w], what a network turned into the image
    object_alpha: Tensor | None = None  # [B, O, 1, H, W], opacity of each object of a composition
    rays: Rays | None = None  # [B, H * W], the rays that depth is measured along
    coarse: Tensor | None = None  # [B, 3, H, W], the picture of the coarse network (NeRF, eq. 6)
    # [B, 1, H, W], spread of the weights along the ray (Barron et al. 2022, eq. 15)
    distortion: Tensor | None = None


@dataclass(frozen=True)
class ImageBatch:
    """Real images for a discriminator."""

    images: Tensor  # [B, 3, H, W], sRGB, 0 to 1

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> "ImageBatch":
        """Some of the images."""
        return ImageBatch(self.images[part])

    def to(self, device: torch.device) -> "ImageBatch":
        """The same images on another device."""
        return ImageBatch(self.images.to(device))


@dataclass(frozen=True)
class PosedImageBatch(ImageBatch):
    """Real images with their cameras."""

    cameras: Camera  # B

    def __getitem__(self, part: slice) -> "PosedImageBatch":
        """Some of the images."""
        return PosedImageBatch(self.images[part], self.cameras[part])

    def to(self, device: torch.device) -> "PosedImageBatch":
        """The same images on another device."""
        return PosedImageBatch(self.images.to(device), self.cameras.to(device))


@dataclass(frozen=True)
class RayBatch:
    """Rays through pixels of photographs, and the colors of these."""

    rays: Rays  # [1, R], z = 1 in the camera
    colors: Tensor  # [1, R, 3], 0 to 1

    def __len__(self) -> int:
        """R, the number of rays."""
        return len(self.rays)

    def __getitem__(self, part: slice) -> "RayBatch":
        """Some of the rays."""
        return RayBatch(self.rays[part], self.colors[:, part])

    def to(self, device: torch.device) -> "RayBatch":
        """The same rays on another device."""
        return RayBatch(self.rays.to(device), self.colors.to(device))


@dataclass(frozen=True)
class StepContext:
    """The step, and the part of the joint batch, that a loss is computed for."""

    step: int  # optimiser steps since the run began
    stage_start: int = 0  # first step of this stage
    seed: int = 0  # of the run
    first: int = 0  # place in the joint batch of this part's first element
    accumulation: int = 1  # parts that the batch of one process is cut into
    steps: int = 1  # of the whole run
    shared: dict[Hashable, Any] = field(default_factory=dict)  # results of earlier turns of this step

    def random_streams(self, count: int, turn: int, device: torch.device | str) -> RandomStreams:
        """The random numbers of `count` images in the turn with this number."""
        return RandomStreams(
            [derive_seed(self.seed, self.step, turn, self.first + i) for i in range(count)], device
        )

    def ray_streams(self, count: int, turn: int, device: torch.device | str) -> CounterStreams:
        """The random numbers of `count` rays in the turn with this number."""
        return CounterStreams(derive_seed(self.seed, self.step, turn), self.first, count, device)


class Generator(nn.Module, ABC):
    """Latent code -> style -> scene -> picture."""

    latent_dim: int  # 0: there is one scene, which is the weights
    prior: CameraPrior | PlanePrior  # of the views it is trained with
    # half sides of the box around the origin that holds every scene; None: scenes on the plane
    bounds: Vector | None
    # dimension of the tensors of w that counts the layers they are the styles of; None: not by layers
    layer_dim: int | None = None

    @abstractmethod
    def latents(self, randomness: Randomness) -> Tensor:
        """One latent code for each stream of random numbers -> z [B, latent_dim]."""

    @abstractmethod
    def style(self, z: Tensor, psi: float = 1.0, camera: Camera | None = None) -> Any:
        """z [B, latent_dim] -> w, a tensor [B, ...] or frozen dataclass: what is edited and inverted.

        psi: truncation, 1: none, towards 0: closer to the mean style. camera: for generators conditioned on
        one.
        """

    @abstractmethod
    def bind(self, w: Any) -> Scene:
        """w, as `style` returns it -> B scenes."""

    @abstractmethod
    def render(self, scene: Any, view: Any, options: RenderOptions = DEFAULT_OPTIONS) -> Rendering:
        """B scenes, B views -> B pictures; the same pictures every time where options.randomness is None."""

    @final
    def scene(self, z: Tensor, psi: float = 1.0) -> Scene:
        """z [B, latent_dim] -> B scenes."""
        return self.bind(self.style(z, psi))


class SingleSceneGenerator(Generator):
    """A generator without a latent code: its weights are the scene."""

    latent_dim = 0

    def latents(self, randomness: Randomness) -> Tensor:
        """Codes without numbers -> [B, 0]."""
        return next(self.parameters()).new_zeros(len(randomness), 0)

    def style(self, z: Tensor, psi: float = 1.0, camera: Camera | None = None) -> Tensor:
        """z [B, 0], unchanged."""
        return z


class Loss(Protocol):
    """What a player minimises in its turn."""

    def __call__(self, batch: Any, context: StepContext) -> tuple[Tensor, Stats]:
        """A part of the batch -> the loss [], and numbers to log."""
        ...


@dataclass(frozen=True)
class Turn:
    """One optimiser step of one player; the parameters of all others are frozen."""

    player: str
    loss: Loss
    every: int = 1  # steps between two such turns


class System(nn.Module, ABC):
    """What trains a generator. Its children are the players."""

    generator: Generator

    @abstractmethod
    def turns(self) -> tuple[Turn, ...]:
        """The turns of one step, in order; called at every step."""


class PosedDataset(Protocol):
    """What a system may adapt to before it is built: photographs of one scene with cameras."""

    @property
    def camera(self) -> Camera:
        """The N cameras of the photographs."""

    @property
    def bounds(self) -> Tensor | None:
        """Nearest and farthest depth of each [N, 2], where known."""

    @property
    def background(self) -> Background | None:
        """The one color around what the photographs show, where there is one."""

    @property
    def ground(self) -> Vector | None:
        """That color as photographed, 0 to 1, where it is not exactly the background."""

    @property
    def box(self) -> Vector | None:
        """Half sides of the box around the origin that holds what the cameras see, where known."""


@dataclass(frozen=True)
class SystemConfig(ABC):
    """All the numbers of one paper's system."""

    # what a batch holds: images; images with cameras; rays of photographs of one scene with known cameras
    batch: ClassVar[Literal["images", "posed_images", "rays"]] = "images"

    @property
    def pixels(self) -> PixelConvention:
        """Where the rays of a batch cross their pixels."""
        return "center"

    @property
    def mbstd_group(self) -> int:
        """Images whose statistics the discriminator shares; a batch is only cut between such groups."""
        return 1

    @property
    def has_box(self) -> bool:
        """Whether the scene is in a box that `adapt` takes from photographs."""
        return False

    def adapt(self, dataset: PosedDataset) -> "SystemConfig":
        """The same system with the numbers that follow from the data."""
        return self

    @abstractmethod
    def build_generator(self) -> Generator:
        """A generator with new weights."""

    @abstractmethod
    def build(self) -> System:
        """A system with new weights."""

    @abstractmethod
    def check(self, size: Size) -> None:
        """Raise BadInput where images of this size cannot be trained on."""

    @abstractmethod
    def shrunk(self) -> "SystemConfig":
        """The same system with as few layers, channels and samples as it can have, for tests."""


def map_tensors(function: Callable[..., Tensor], first: Any, *others: Any) -> Any:
    """Apply a function to the tensors of styles: themselves tensors, or (nested) dataclasses of tensors."""
    if first is None or isinstance(first, Tensor):
        return None if first is None else function(first, *others)
    assert is_dataclass(first), f"a style is a tensor or a dataclass of tensors, not {type(first).__name__}"
    columns = {each.name: [getattr(w, each.name) for w in (first, *others)] for each in fields(first)}
    return replace(first, **{name: map_tensors(function, *column) for name, column in columns.items()})  # type: ignore[type-var]


def style_count(w: Any) -> int:
    """The number of styles in w: its first dimension, or that of its first tensor."""
    if isinstance(w, Tensor):
        return len(w)
    return style_count(next(value for each in fields(w) if (value := getattr(w, each.name)) is not None))


def take_styles(w: Any, part: slice) -> Any:
    """Some of the styles in w."""
    return map_tensors(lambda x: x[part], w)
