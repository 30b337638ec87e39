"""genscene train PRESET: train on images, or on photographs with cameras."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from genscene.cli.shared.options import parse, print_line
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput, suggest
from genscene.experiment.schema import Experiment
from genscene.experiment.serialise import dumps, with_overrides
from genscene.systems import PRESETS
from genscene.training.run import Run, check, train

USAGE = """usage: genscene train PRESET [--data PATH] [--out DIR] [--resume] [--dry-run] [--any.field VALUE]

Trains a preset on a folder or zip of images, or on an embedded set (--data synthetic:cars).
genscene train PRESET --help lists every option. Several processes:
torchrun --standalone --nproc-per-node 2 -m genscene train PRESET ...

presets: {presets}
"""


@dataclass(frozen=True)
class Overrides:
    """Short options for several fields at once."""

    batch: int | None = None  # images, or rays, a step in every stage, instead of the preset's
    # side of the images in pixels (of photographs the longer one), in one stage instead of the preset's
    size: int | None = None
    # behind transparency and the scene: white or black; of image sets also random, or R,G,B
    background: str | None = None
    # half side of the box that holds a scene, or three (x, y, z), in the files' units
    bounds: tuple[float, ...] = ()
    dry_run: bool = False  # print the whole experiment as JSON and exit


@dataclass(frozen=True)
class Train:
    """All options of the verb."""

    experiment: Annotated[Experiment, arg(name="")]
    run: Annotated[Run, arg(name="")]
    overrides: Annotated[Overrides, arg(name="")] = Overrides()


def main(words: list[str]) -> None:
    """Run the verb."""
    if not words or words[0] in ("-h", "--help"):
        print_line(USAGE.format(presets=", ".join(PRESETS)))
        if not words:
            raise BadInput("which preset? genscene presets lists them")
        return
    name = words[0]
    if name not in PRESETS:
        raise BadInput(f"no preset {name!r}; {suggest(name, PRESETS)}")
    default = Train(without_multipliers(PRESETS[name]), Run(out=Path("runs") / name))
    chosen = parse(Train, words[1:], f"genscene train {name}", default, f"Train {name}.")
    experiment = with_multipliers(chosen.experiment, PRESETS[name])
    short = chosen.overrides
    experiment = with_overrides(experiment, short.batch, short.size, short.background, short.bounds)
    check(experiment, chosen.run, ProcessGroup())
    if chosen.overrides.dry_run:
        print_line(dumps(experiment))
        return
    if not experiment.data:
        posed = experiment.system.batch == "rays"
        wanted = "a folder of photographs with their cameras" if posed else "a folder or zip of images"
        raise BadInput(f"{name} wants --data PATH: {wanted}, or synthetic:cars")
    train(experiment, chosen.run)
    if os.environ.get("RANK", "0") == "0":
        print_line(f"{chosen.run.out / 'generator.safetensors'}")


def without_multipliers(preset: Experiment) -> Experiment:
    """A preset without multipliers: tyro accepts no other keys of a dict than its default has."""
    optim = {player: replace(each, lr_multipliers={}) for player, each in preset.optim.items()}
    return replace(preset, optim=optim)


def with_multipliers(experiment: Experiment, preset: Experiment) -> Experiment:
    """The preset's learning-rate multipliers, overridden by those of the command line."""
    optim = {
        player: replace(each, lr_multipliers=preset.optim[player].lr_multipliers | each.lr_multipliers)
        for player, each in experiment.optim.items()
    }
    return replace(experiment, optim=optim)
