"""The contract: a Generator binds latent codes to scenes and renders them, a System trains it in turns."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ClassVar, Literal, Protocol, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

import genscene.geometry.cameras as cameras
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Grid, PixelConvention, Size
from genscene.geometry.priors import CameraPrior, PlanePrior
from genscene.layers.mapping import map_tensors, style_count, take_styles  # noqa: F401
from genscene.randomness import BatchCounterStreams, CounterStreams, Randomness, RandomStreams, derive_seed
from genscene.scenes import Background as Background
from genscene.scenes import ImageBatch as ImageBatch
from genscene.scenes import PosedImageBatch as PosedImageBatch
from genscene.scenes import RayBatch as RayBatch
from genscene.scenes import Rendering as Rendering
from genscene.scenes import Scene
from genscene.scenes import Vector as Vector

Stats = dict[str, Tensor]
MAX_BYTES = 1 << 28
UNSEEN = 1e-4  # transmittance behind which nothing is seen in pictures of 8 bits


@dataclass(frozen=True)
class RenderOptions:
    """How a scene is rendered; the last five fields change the picture by rounding at most, about 1e-7."""

    randomness: Randomness | None = None  # jitter, importance sampling and density noise; None: deterministic
    density_noise: float = 0.0  # standard deviation of the noise on raw density; wants randomness
    samples: int = 0  # along each ray; 0: the generator's own number
    background: Background | None = None  # behind the scene; None: the generator's own
    fixed_direction: Vector | None = None  # viewing direction of all colors; None: each ray's own
    distortion: bool = False  # also return Rendering.distortion
    # samples behind less transmittance are not evaluated where no graph is kept, which changes colors by less
    # than it; 0: all are
    least_transmittance: float = 0.0
    max_bytes: int = MAX_BYTES  # that intermediate results may take where no graph is kept
    recompute: bool = False  # trade time for memory: compute parts again for the backward pass
    cancelled: Callable[[], bool] | None = None  # called between parts; True raises Cancelled
    progress: Callable[[int], None] | None = None  # called after each part with the number of its rays
    record: Callable[[Any], None] | None = None  # called with the samples of each pass along rays of a part

    def background_color(self, own: Background, ground: Vector | None = None) -> Vector:
        """What is behind the scene, 0 to 1: a generator's own, as photographed, or another given one."""
        if self.background is None and ground is not None:
            return ground
        return (1.0, 1.0, 1.0) if (self.background or own) == "white" else (0.0, 0.0, 0.0)


DEFAULT_OPTIONS = RenderOptions()


@dataclass(frozen=True)
class StepContext:
    """The step, and the part of the joint batch, that a loss is computed for."""

    step: int  # optimiser steps since the run began
    stage_start: int = 0  # first step of this stage
    seed: int = 0  # of the run
    first: int = 0  # place in the joint batch of this part's first element
    accumulation: int = 1  # parts that the batch of one process is cut into
    world: int = 1  # processes that the joint batch is cut between
    steps: int = 1  # of the whole run
    shared: dict[Hashable, Any] = field(default_factory=dict)  # results of earlier turns of this step

    def random_streams(self, count: int, turn: int, device: torch.device | str) -> Randomness:
        """The random numbers of `count` images in the turn with this number; on CUDA other ones."""
        seeds = [derive_seed(self.seed, self.step, turn, self.first + i) for i in range(count)]
        streams = BatchCounterStreams if torch.device(device).type == "cuda" else RandomStreams
        return streams(seeds, device)

    def ray_streams(self, count: int, turn: int, device: torch.device | str) -> CounterStreams:
        """The random numbers of `count` rays in the turn with this number."""
        return CounterStreams(derive_seed(self.seed, self.step, turn), self.first, count, device)


class Generator(nn.Module, ABC):
    """Latent code -> style -> scene -> picture.

    `style`, `bind` and `render` of every subclass raise BadInput for shapes that do not fit: nothing is
    broadcast. A batch of 0 gives 0 pictures.
    """

    latent_dim: int  # 0: there is one scene, which is the weights
    prior: CameraPrior | PlanePrior  # of the views it is trained with
    bounds: Vector | None  # half sides of the box around the origin that holds every scene; None: a plane
    conditioned: bool = False  # w depends on the camera that `style` is given
    layer_dim: int | None = None  # of the tensors of w, which counts layers; None: w has no styles by layers
    side_multiple: int = 1  # sides of pictures, in pixels, are multiples of this

    def __init_subclass__(cls) -> None:
        """Put the checks of shapes before the methods that the subclass defines."""
        super().__init_subclass__()
        for name, check in (("style", check_style), ("bind", check_bind), ("render", check_render)):
            if name in vars(cls):
                setattr(cls, name, checked(check, vars(cls)[name]))

    @abstractmethod
    def latents(self, randomness: Randomness) -> Tensor:
        """One latent code for each stream of random numbers -> z [B, latent_dim]."""

    @abstractmethod
    def style(self, z: Tensor, psi: float | Tensor = 1.0, camera: Camera | None = None) -> Any:
        """z [B, latent_dim] -> w, a tensor [B, ...] or frozen dataclass: what is edited and inverted.

        psi: truncation, one number or [B]; 1: none, towards 0: closer to the mean style. camera: for
        generators conditioned on one.
        """

    @abstractmethod
    def bind(self, w: Any) -> Scene:
        """w, as `style` returns it -> B scenes."""

    @abstractmethod
    def render(self, scene: Any, view: Any, options: RenderOptions = DEFAULT_OPTIONS) -> Rendering:
        """B scenes, B views -> B pictures; the same pictures every time where options.randomness is None."""

    @final
    def scene(self, z: Tensor, psi: float | Tensor = 1.0) -> Scene:
        """z [B, latent_dim], psi: one number or [B] -> B scenes."""
        return self.bind(self.style(z, psi))


def checked(check: Callable[..., None], method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a generator that looks at its arguments first."""

    @wraps(method)
    def call(*args: Any, **options: Any) -> Any:
        check(*args, **options)
        return method(*args, **options)

    return call


def check_style(generator: Generator, z: Tensor, psi: float | Tensor = 1.0, camera: Any = None) -> None:
    """Raise BadInput unless z, psi and cameras are those of B pictures."""
    sizes = cameras.check_shapes("latent codes", z, {"z": ("B", generator.latent_dim)})
    if isinstance(psi, Tensor) and psi.ndim:
        cameras.check_shapes("truncation", psi, {"psi": (sizes["B"],)})
    if camera is not None and (count := cameras.check_view(camera)) != len(z):
        raise BadInput(f"{count} cameras for z {list(z.shape)}: wanted {len(z)} cameras")


@torch.no_grad()
def check_bind(generator: Generator, w: Any) -> None:
    """Raise BadInput unless w has the shapes of what `style` gives; unchecked under functional_call."""
    if (weights := next(generator.parameters(), None)) is None:
        return
    of_none = generator.style(weights.new_zeros(0, generator.latent_dim))
    cameras.check_shapes("styles", w, cameras.batch_shapes(of_none))


def check_render(generator: Generator, scene: Any, view: Any, options: RenderOptions | None = None) -> None:
    """Raise BadInput unless scenes, views and random numbers are as many, and of this generator's kind."""
    pictures, on_plane = cameras.check_view(view), generator.bounds is None
    if isinstance(view, Grid) != on_plane:
        wanted = f"{'a Grid' if on_plane else 'a Camera or Rays'} for this generator"
        raise BadInput(f"the view is a {type(view).__name__}, wanted {wanted}")
    of_single = not generator.latent_dim  # its one scene may be bound once for all views
    for name, x in cameras.named_tensors(scene).items():
        if x.ndim and len(x) != pictures and not (of_single and len(x) == 1):
            raise BadInput(f"{len(x)} scenes ({name} {list(x.shape)}) for {pictures} views: wanted as many")
    options = options or DEFAULT_OPTIONS
    for name, number in (("samples", options.samples), ("density_noise", options.density_noise)):
        if not 0 <= number < float("inf"):
            raise BadInput(f"RenderOptions: {name} is {number}, wanted 0 or more")
    if options.randomness is not None and len(options.randomness) != pictures:
        raise BadInput(f"{len(options.randomness)} random streams for {pictures} views: wanted as many")


class SingleSceneGenerator(Generator):
    """A generator without a latent code: its weights are the scene."""

    latent_dim = 0

    def latents(self, randomness: Randomness) -> Tensor:
        """Codes without numbers -> [B, 0]."""
        return next(self.parameters()).new_zeros(len(randomness), 0)

    def style(self, z: Tensor, psi: float | Tensor = 1.0, camera: Camera | None = None) -> Tensor:
        """z [B, 0], unchanged."""
        return z


class Loss(Protocol):
    """What a player minimises in its turn."""

    def __call__(self, batch: Any, context: StepContext) -> tuple[Tensor, Stats]:
        """A part of the batch -> the loss [], and numbers to log."""


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

    def initialize(self, dataset: Any) -> None:
        """Change new weights by the data of the run, where the system takes more from it than numbers."""

    def graph_bytes(self, pictures: int, size: Size) -> int:
        """Bytes that a step takes with its graph for so many whole pictures; called on the meta device.

        0: those of rendering, by the bytes of a ray or pixel.
        """
        return 0

    def after_step(self, optimizers: Mapping[str, Optimizer], context: StepContext) -> None:
        """Change weights, and what optimisers keep of them, at the end of a step."""


@dataclass(frozen=True)
class SystemConfig(ABC):
    """All the numbers of one paper's system."""

    # what a batch holds: images; images with cameras; rays of photographs of one scene with known cameras, or
    # such photographs; pixels of one picture; points on the surface of one mesh
    batch: ClassVar[Literal["images", "posed_images", "rays", "photographs", "pixels", "surface"]] = "images"
    # weights trade their places while training: there is no average of them, and one process trains
    moves_weights: ClassVar[bool] = False
    # what a step takes less memory with, for messages
    less_memory: ClassVar[str] = "lower --batch or --size, or raise --stages.0.accumulation"

    @property
    def fits_photographs(self) -> bool:
        """Whether a scene is fitted to photographs with known cameras."""
        return self.batch in ("rays", "photographs")

    @property
    def pixels(self) -> PixelConvention:
        """Where the rays of a batch cross their pixels."""
        return "center"

    @property
    def mbstd_group(self) -> int:
        """Images whose statistics the discriminator shares; a batch is only cut between such groups."""
        return 1

    @property
    def graph_factor(self) -> float:
        """Bytes of the graph of a step, in those of rendering the same rays or pixels with one."""
        return 1.0

    @property
    def differentiates_twice(self) -> bool:
        """Whether losses contain derivatives of the generator's networks."""
        return False

    @property
    def has_box(self) -> bool:
        """Whether the scene is in a box that `adapt` takes from photographs."""
        return False

    def adapt(self, dataset: Any) -> "SystemConfig":
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
