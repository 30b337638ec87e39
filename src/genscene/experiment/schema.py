"""What a run is made of."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

import cattrs
import torch

from genscene.contract import PosedConfig as PosedSystemConfig
from genscene.contract import System, SystemConfig, at_least
from genscene.errors import BadInput
from genscene.randomness import mix


@dataclass(frozen=True)
class Optim:
    """Adam, and how its learning rate falls."""

    lr: float = 1e-4  # learning rate, times that of the stage
    betas: tuple[float, float] = (0.0, 0.9)  # decay of the running means of gradient and squared gradient
    clip: float = 0.0  # largest norm of the gradient; 0: any
    eps: float = 1e-8  # added to the root of the squared gradient
    end: float = 1.0  # share of the learning rate that is left at the last step
    decay_from: float = 0.0  # share of the run after which it falls
    decay: Literal["straight", "exponential"] = "straight"  # along which curve
    decay_steps: int = (
        0  # it falls to that share in so many steps, and on, whatever the run's length; 0: by its end
    )
    parts: dict[str, float] = field(
        default_factory=dict
    )  # name of a part of the player: factor on its learning rate

    def __post_init__(self) -> None:
        for part, factor in self.parts.items():
            if not 0 <= factor < float("inf"):
                raise BadInput(
                    f"the learning rate of the part {part!r} has factor {factor}, wanted 0 or more"
                )

    def check(self) -> None:
        """Raise BadInput where Adam cannot go by these numbers."""
        at_least(self, 0, "lr", "clip", "eps", "end", "decay_steps")
        if not all(0 <= share < 1 for share in self.betas):
            raise BadInput(f"betas {self.betas}: wanted shares from 0 to below 1")
        if not 0 <= self.decay_from <= 1:
            raise BadInput(f"decay-from {self.decay_from}: wanted a share from 0 to 1")


@dataclass(frozen=True)
class Stage:
    """A part of the run with pictures of one size."""

    start: int = 0  # its first step
    size: tuple[int, int] = (64, 64)  # height and width of the pictures, in pixels
    batch: int = 32  # pictures a step, over all processes
    slices: int = 1  # parts the batch is cut into to save memory; gradients are averaged
    lr: float = 1.0  # learning rates are multiplied by this

    def check(self) -> None:
        """Raise BadInput where the learning rate would be turned around."""
        at_least(self, 0, "lr")


@dataclass(frozen=True)
class ImageConfig:
    """How files become pictures of the size that is trained on."""

    fit: Literal["cover", "contain", "stretch"] = (
        "cover"  # cut the longer side; pad the shorter; change the shape
    )
    center_crop: float = 1.0  # share of the shorter side that is kept of the middle, before all else
    background: str = "white"  # behind transparency and padding: white, black, random, or R,G,B from 0 to 255
    flip: bool = False  # mirror half of the pictures
    limit: int = 0  # use so many pictures; 0: all that are there, 5000 of a synthetic set

    def check(self) -> None:
        """Raise BadInput where no pictures would be left."""
        at_least(self, 0, "limit")
        if not 0 < self.center_crop <= 1:
            raise BadInput(f"center-crop {self.center_crop}: wanted a share above 0, up to 1")


@dataclass(frozen=True)
class PosedConfig:
    """How posed photographs become rays."""

    downscale: float = 1.0  # sides of the photographs are divided by this
    side: int = 0  # the longer side is made so many pixels, where it is longer; 0: as it is
    # world of the poses: around (focus point at the origin, farthest camera at 1), forward (recentered, for NDC),
    # spherified (as NeRF's loader does for scenes photographed from all sides), given (that of the files)
    world: Literal["around", "forward", "spherified", "given"] = "around"
    holdout: int = 8  # every so many-th is kept from training, where the format names none
    limit: int = 0  # train on so many, evenly chosen (NeRF, table 2); 0: all
    batching: Literal["all", "image"] = "all"  # rays of a step come from all photographs, or from one
    precrop_steps: int = 0  # for so many steps only the middle of a photograph is shown (released NeRF)
    precrop_share: float = 0.5  # sides of that middle

    def check(self) -> None:
        """Raise BadInput where no photographs, or nothing of them, would be left."""
        at_least(self, 1, "downscale")
        at_least(self, 0, "side", "holdout", "limit", "precrop_steps")
        if not 0 < self.precrop_share <= 1:
            raise BadInput(f"precrop-share {self.precrop_share}: wanted a share above 0, up to 1")


@dataclass(frozen=True)
class Experiment:
    """Everything that decides what a run gives, but the machine."""

    system: SystemConfig
    data: str = "synthetic:cars"  # a folder, a zip, or synthetic:NAME
    images: ImageConfig = ImageConfig()
    stages: tuple[Stage, ...] = (Stage(),)
    steps: int = 200_000  # optimiser steps
    optim: dict[str, Optim] = field(default_factory=dict)  # one for each player
    ema: float = 0.999  # share of the old weights in the running mean, at every step
    seed: int = 0  # of weights, data order and latents
    posed: PosedConfig = PosedConfig()

    def __post_init__(self) -> None:
        starts = [stage.start for stage in self.stages]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            raise BadInput(f"stages must start at step 0 and follow one another, got starts {starts}")
        for stage in self.stages:
            if min(*stage.size, stage.batch, stage.slices) < 1 or stage.batch % stage.slices:
                raise BadInput(
                    f"the stage at {stage.start} has batch {stage.batch}, slices {stage.slices}, size {stage.size}:"
                    " all must be positive, and the batch a multiple of the slices"
                )
        if self.steps < 1:
            raise BadInput(f"steps must be at least 1, got {self.steps}")

    def check(self) -> None:
        """Raise BadInput for a running mean that is none."""
        if not 0 <= self.ema <= 1:
            raise BadInput(f"ema {self.ema}: wanted a share from 0 to 1")

    def stage(self, step: int) -> Stage:
        """The stage that a step belongs to."""
        return [stage for stage in self.stages if stage.start <= step][-1]

    def largest(self) -> tuple[int, int]:
        """Height and width of the largest pictures of any stage that the run reaches."""
        sizes = [stage.size for stage in self.stages if stage.start < self.steps]
        return max(h for h, _ in sizes), max(w for _, w in sizes)

    def pictures_before(self, step: int) -> int:
        """How many pictures the steps before this one saw, over all processes."""
        ends = [stage.start for stage in self.stages[1:]] + [max(step, self.stages[-1].start)]
        return sum(
            max(0, min(step, end) - stage.start) * stage.batch
            for stage, end in zip(self.stages, ends, strict=True)
        )

    def lr(self, player: str, step: int) -> float:
        """The learning rate of a player at a step."""
        optim = self.optim[player]
        begin = optim.decay_from * self.steps
        length = optim.decay_steps or max(1.0, self.steps - begin)
        fallen = max(0.0, (step - begin) / length)
        straight = 1 + (optim.end - 1) * min(1.0, fallen)
        return optim.lr * self.stage(step).lr * (straight if optim.decay == "straight" else optim.end**fallen)


@runtime_checkable
class Checked(Protocol):
    """A part of an experiment or a run that knows what cannot be meant by its numbers."""

    def check(self) -> None:
        """Raise BadInput with a line that begins with the name of a field."""
        ...


def validate(part: Any, option: str = "") -> None:
    """Raise BadInput, naming the option, for numbers that none can be computed with, and for what any part refuses.

    Numbers must be finite and whole ones fit 64 bits, unless they are the default of their field. What systems refuse
    depends on the pictures, and is asked of them with the size (`SystemConfig.check`).
    """
    if isinstance(part, float) and not math.isfinite(part):
        raise BadInput(f"--{option} {part}: wanted a finite number")
    if isinstance(part, int) and abs(part) >= 2**63:
        raise BadInput(f"--{option} {str(part)[:40]}: wanted a number of at most 64 bits")
    for name, inner in inside(part, option):
        validate(inner, name)
    if isinstance(part, Checked) and not isinstance(part, SystemConfig):
        try:
            part.check()
        except BadInput as error:
            raise BadInput(f"--{option}.{error}".replace("--.", "--")) from None


def inside(part: Any, option: str) -> Iterator[tuple[str, Any]]:
    """What a dataclass, mapping or tuple is made of, and what its options are called; without plain defaults."""
    if isinstance(part, Mapping):
        yield from ((f"{option}.{name}", inner) for name, inner in part.items())
    elif isinstance(part, tuple):
        yield from (
            (f"{option}.{i}" if is_dataclass(inner) else option, inner) for i, inner in enumerate(part)
        )
    elif is_dataclass(part):
        for each in fields(part):
            inner = getattr(part, each.name)
            if is_dataclass(inner) or inner != each.default:
                yield f"{option}.{each.name.replace('_', '-')}".strip("."), inner


def build_seeded(experiment: Experiment) -> System:
    """The system with the weights that the experiment's run begins with, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(experiment.seed))
        return experiment.system.build()


def with_overrides(experiment: Experiment, batch: int | None, size: int | None) -> Experiment:
    """The same experiment with another batch or (square) picture size in every stage; photographs are made so long."""
    stages, posed = experiment.stages, experiment.posed
    if size is not None:
        stages = (replace(stages[0], size=(size, size)),)
        if isinstance(experiment.system, PosedSystemConfig):
            posed = replace(posed, side=size)
    if batch is not None:
        stages = tuple(
            replace(s, batch=batch, slices=s.slices if batch % s.slices == 0 else 1) for s in stages
        )
    return replace(experiment, stages=stages, posed=posed)


def dumps(experiment: Experiment) -> str:
    """An experiment as JSON."""
    document: dict[str, Any] = cattrs.unstructure(experiment)
    document["system"] = {"kind": type(experiment.system).__name__} | cattrs.unstructure(experiment.system)
    return json.dumps(document, indent=2)


def loads(text: str, kinds: Mapping[str, type[SystemConfig]], where: str) -> Experiment:
    """JSON as `dumps` wrote it -> the experiment; kinds: class name -> class of system.

    Raises BadInput, naming `where`, for what is not an experiment or names things this version does not know.
    """
    try:
        document = json.loads(text)
        kind = document["system"].pop("kind")
        system = _converter().structure(document.pop("system"), kinds[kind])
        return _converter().structure(document | {"system": system}, Experiment)
    except (ValueError, KeyError, TypeError, AttributeError, cattrs.BaseValidationError) as error:
        raise BadInput(f"{where} holds no experiment that this version can read: {_reason(error)}") from None


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook_func(lambda kind: kind is SystemConfig, lambda value, _: value)
    return converter


def _reason(error: BaseException) -> str:
    """What went wrong, from the innermost of cattrs' groups of errors."""
    if isinstance(error, cattrs.BaseValidationError):
        return "; ".join(cattrs.transform_error(error))
    return f"{type(error).__name__} {error}"
