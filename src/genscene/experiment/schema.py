"""What a run is made of: frozen dataclasses of numbers; a comment behind a field is its help text."""

from dataclasses import dataclass, field
from typing import Literal

from genscene.contract import SystemConfig
from genscene.errors import BadInput, require_at_least


@dataclass(frozen=True)
class Optim:
    """The optimiser of one player, and the decay of its learning rate."""

    lr: float = 1e-4  # learning rate, times that of the stage
    # decay of the means of gradient and squared gradient; RMSprop: the latter
    betas: tuple[float, float] = (0.0, 0.9)
    clip: float = 0.0  # largest norm of the gradient; 0: not clipped
    eps: float = 1e-8  # added to the root of the mean squared gradient
    final_lr_ratio: float = 1.0  # ratio of the learning rate at the last step to that at the first
    decay_from: float = 0.0  # share of the run after which the learning rate decays
    decay: Literal["linear", "exponential"] = "linear"  # curve of the decay
    # steps in which it decays to that ratio, and beyond, whatever the run's length; 0: by its end
    decay_steps: int = 0
    # name of a part of the player -> multiplier of its learning rate
    lr_multipliers: dict[str, float] = field(default_factory=dict)
    kind: Literal["adam", "rmsprop"] = "adam"

    def check(self) -> None:
        """Raise BadInput for numbers that no optimiser can use."""
        require_at_least(self, 0, "lr", "clip", "eps", "final_lr_ratio", "decay_steps")
        if not all(0 <= share < 1 for share in self.betas):
            raise BadInput(f"betas {self.betas}: wanted numbers from 0 to below 1")
        if not 0 <= self.decay_from <= 1:
            raise BadInput(f"decay-from {self.decay_from}: wanted a share from 0 to 1")
        for part, factor in self.lr_multipliers.items():
            if not 0 <= factor < float("inf"):
                raise BadInput(f"lr-multipliers {part} {factor}: wanted a finite number, 0 or more")


@dataclass(frozen=True)
class EMA:
    """The exponential moving average of the generator's weights, which is what a run saves."""

    decay: float = 0.999  # weight of the old average at every step; 0: no average, the weights themselves
    # in images, instead of decay: after so many the old average weighs half (StyleGAN2)
    half_life: float = 0.0
    rampup: float = 0.0  # half-life is at most this share of the images seen so far (StyleGAN2: 0.05); 0: off
    warmup: float = 10.0  # decay is at most (1 + step) / (warmup + step); 0: off

    @property
    def active(self) -> bool:
        """Whether there is an average beside the weights."""
        return self.decay > 0 or self.half_life > 0

    def check(self) -> None:
        """Raise BadInput for an average that is none."""
        if not 0 <= self.decay <= 1:
            raise BadInput(f"decay {self.decay}: wanted a share from 0 to 1")
        require_at_least(self, 0, "half_life", "rampup", "warmup")


@dataclass(frozen=True)
class Stage:
    """A part of the run with images of one size."""

    start: int = 0  # its first step
    size: tuple[int, int] = (64, 64)  # height and width of the images, in pixels
    batch: int = 32  # images, or rays, a step, over all processes
    accumulation: int = 1  # parts the batch is cut into to save memory; their gradients are averaged
    lr: float = 1.0  # learning rates are multiplied by this

    def check(self) -> None:
        """Raise BadInput for a negative learning rate."""
        require_at_least(self, 0, "lr")


@dataclass(frozen=True)
class ImageConfig:
    """How files become images of the size that is trained on."""

    # crop the longer side; pad the shorter; change the shape
    fit: Literal["cover", "contain", "stretch"] = "cover"
    center_crop: float = 1.0  # share of the shorter side to which the image is cropped first
    background: str = "white"  # behind transparency and padding: white, black, random, or R,G,B from 0 to 255
    flip: bool = False  # mirror half of the images
    limit: int = 0  # use so many images; 0: all that are there, 5000 of a synthetic set

    def check(self) -> None:
        """Raise BadInput where no images would be left."""
        require_at_least(self, 0, "limit")
        if not 0 < self.center_crop <= 1:
            raise BadInput(f"center-crop {self.center_crop}: wanted a share above 0, up to 1")


@dataclass(frozen=True)
class PosedConfig:
    """How photographs with cameras become rays."""

    downscale: float = 1.0  # sides of the photographs are divided by this
    side: int = 0  # the longer side is reduced to so many pixels; 0: as it is
    # world coordinates: what the cameras face in the middle; forward-facing (LLFF); on a sphere (LLFF); the
    # files' own
    world: Literal["around", "forward", "spherified", "given"] = "around"
    holdout: int = 8  # every so many-th photograph is held out, where the format names none; 0: none
    limit: int = 0  # train on so many, evenly spaced (NeRF, table 2); 0: all
    batching: Literal["all", "image"] = "all"  # rays of a step come from all photographs, or from one
    precrop_steps: int = 0  # steps in which rays come from the middle of the photographs only (official NeRF)
    precrop_share: float = 0.5  # sides of that middle, in image sides

    def check(self) -> None:
        """Raise BadInput where no photographs, or nothing of them, would be left."""
        require_at_least(self, 1, "downscale")
        require_at_least(self, 0, "side", "holdout", "limit", "precrop_steps")
        if not 0 < self.precrop_share <= 1:
            raise BadInput(f"precrop-share {self.precrop_share}: wanted a share above 0, up to 1")


@dataclass(frozen=True)
class Experiment:
    """Everything that determines what a run computes, except the machine."""

    system: SystemConfig
    data: str = "synthetic:cars"  # a folder, a zip, or synthetic:NAME
    images: ImageConfig = ImageConfig()
    stages: tuple[Stage, ...] = (Stage(),)
    steps: int = 200_000  # optimiser steps
    optim: dict[str, Optim] = field(default_factory=dict)  # one for each player
    ema: EMA = EMA()
    seed: int = 0  # of weights, data order and latent codes
    posed: PosedConfig = PosedConfig()

    def check(self) -> None:
        """Raise BadInput for stages that do not follow one another, and numbers that no run can have."""
        starts = [stage.start for stage in self.stages]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            raise BadInput(f"stages must start at step 0 and follow one another, got starts {starts}")
        for stage in self.stages:
            if min(*stage.size, stage.batch, stage.accumulation) < 1 or stage.batch % stage.accumulation:
                raise BadInput(
                    f"the stage at step {stage.start} has batch {stage.batch}, accumulation {stage.accumulation},"
                    f" size {stage.size}: all must be positive, and the batch a multiple of the accumulation"
                )
        if self.steps < 1:
            raise BadInput(f"steps must be at least 1, got {self.steps}")
