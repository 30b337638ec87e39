"""What a run is made of: frozen dataclasses of numbers; a comment behind a field is its help text."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from genscene.contract import SystemConfig
from genscene.ranges import (
    Count,
    Decay,
    Divides,
    Extent,
    Length,
    Natural,
    NonNegative,
    PositiveShare,
    Range,
    Rising,
    Share,
    Side,
)


@dataclass(frozen=True)
class Optim:
    """The optimiser of one player, and the decay of its learning rate."""

    lr: NonNegative = 1e-4  # learning rate, times that of the stage
    # decay of the means of gradient and squared gradient; RMSprop: the latter
    betas: tuple[Decay, Decay] = (0.0, 0.9)
    clip: NonNegative = 0.0  # largest norm of the gradient; 0: not clipped
    eps: NonNegative = 1e-8  # added to the root of the mean squared gradient
    final_lr_ratio: NonNegative = 1.0  # ratio of the learning rate at the last step to that at the first
    decay_from: Share = 0.0  # share of the run after which the learning rate decays
    decay: Literal["linear", "exponential"] = "linear"  # curve of the decay
    # steps in which it decays to that ratio, and beyond, whatever the run's length; 0: by its end
    decay_steps: Natural = 0
    # name of a part of the player, or pattern such as *.bias -> multiplier of its learning rate
    lr_multipliers: dict[str, NonNegative] = field(default_factory=dict)
    # parts with a multiplier whose learning rate decays, while that of all others stays; none: all decay
    decaying: tuple[str, ...] = ()
    kind: Literal["adam", "rmsprop"] = "adam"  # the optimiser

    def lazy(self, every: int) -> "Optim":
        """The same, corrected for a turn of a penalty every so many steps (StyleGAN2, appendix B)."""
        share = every / (every + 1)
        betas = (self.betas[0] ** share, self.betas[1] ** share)
        return replace(self, lr=self.lr * share, betas=betas)


@dataclass(frozen=True)
class EMA:
    """The exponential moving average of the generator's weights, which is what a run saves."""

    decay: Share = 0.999  # weight of the old average at every step; 0: no average, the weights themselves
    # in images, instead of decay: after so many the old average weighs half (StyleGAN2)
    half_life: NonNegative = 0.0
    # half-life is at most this share of the images used before (StyleGAN2: 0.05); 0: off
    rampup: NonNegative = 0.0
    warmup: NonNegative = 10.0  # decay is at most (1 + step) / (warmup + step); 0: off

    @property
    def active(self) -> bool:
        """Whether there is an average beside the weights."""
        return self.decay > 0 or self.half_life > 0


@dataclass(frozen=True)
class Stage:
    """A part of the run with images of one size."""

    start: Natural = 0  # its first step
    size: tuple[Side, Side] = (64, 64)  # height and width of the images, in pixels
    batch: Count = 32  # images, or rays, a step, over all processes
    # parts the batch is cut into to save memory; their gradients are averaged
    accumulation: Annotated[Count, Divides("batch")] = 1
    lr: NonNegative = 1.0  # learning rates are multiplied by this


@dataclass(frozen=True)
class ImageConfig:
    """How files become images of the size that is trained on."""

    # crop the longer side; pad the shorter; change the shape; keep the shape, and train on squares inside of
    # the picture (CIPS, with system.patches.size)
    fit: Literal["cover", "contain", "stretch", "inside"] = "cover"
    center_crop: PositiveShare = 1.0  # share of the shorter side to which the image is cropped first
    background: str = "white"  # behind transparency and padding: white, black, random, or R,G,B from 0 to 255
    flip: bool = False  # mirror half of the images
    limit: Natural = 0  # use so many images; 0: all that are there, 5000 of a synthetic set
    # masks/NAME.png, white at objects and of any size, are the transparency of the images
    masks: bool = False
    index: str = ""  # a JSON list of the names, or numbers, of images to use; repeated ones count repeatedly


@dataclass(frozen=True)
class PosedConfig:
    """How photographs with cameras become rays."""

    downscale: Annotated[float, Range(1, 1e4)] = 1.0  # sides of the photographs are divided by this
    side: Natural = 0  # the longer side is reduced to so many pixels; 0: as it is
    # world coordinates: what the cameras face in the middle; forward-facing (LLFF); on a sphere (LLFF); the
    # files' own
    world: Literal["around", "forward", "spherified", "given"] = "around"
    holdout: Natural = 8  # every so many-th photograph is held out, where the format names none; 0: none
    limit: Natural = 0  # train on so many, evenly spaced (NeRF, table 2); 0: all
    batching: Literal["all", "image"] = "all"  # rays of a step come from all photographs, or from one
    # steps in which rays come from the middle of the photographs only (official NeRF)
    precrop_steps: Natural = 0
    precrop_share: PositiveShare = 0.5  # sides of that middle, in image sides
    # behind the scene; auto: behind transparency --images.background, else the color of the borders where it
    # is sure, else the system's
    background: Literal["auto", "white", "black"] = "auto"
    # half sides of the box that holds the scene, around the point that the cameras face, in the files' units:
    # one number, or three along x, y and the up direction z; none: what the cameras see
    bounds: Annotated[tuple[Extent, ...], Length((0, 1, 3))] = ()


@dataclass(frozen=True)
class Experiment:
    """Everything that determines what a run computes, except the machine."""

    system: SystemConfig
    data: str = "synthetic:cars"  # a folder, a zip, or synthetic:NAME
    images: ImageConfig = ImageConfig()
    stages: Annotated[tuple[Stage, ...], Length(range(1, 1000)), Rising("start", first=0)] = (Stage(),)
    steps: Count = 200_000  # optimiser steps
    optim: dict[str, Optim] = field(default_factory=dict)  # one for each player
    ema: EMA = EMA()
    seed: int = 0  # of weights, data order and latent codes
    posed: PosedConfig = PosedConfig()
    # weights to start from: a generator file, or the folder of a run, whose discriminator is taken, too
    init: str = ""
