"""genscene train PRESET: train on pictures."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from genscene.cli.options import parse, tell
from genscene.errors import BadInput, nearest
from genscene.experiment import Experiment, dumps, overridden
from genscene.systems import PRESETS
from genscene.training.run import Run, train

USAGE = """usage: genscene train PRESET [--data PATH] [--out DIR] [--resume] [--dry-run] [--any.field VALUE]

Trains a preset on a folder or zip of pictures, or on an embedded set (--data synthetic:cars).
genscene train PRESET --help lists every number there is to change. Several processes:
torchrun --standalone --nproc-per-node 2 -m genscene train PRESET ...

presets: {presets}
"""


@dataclass(frozen=True)
class Options:
    """What the command line adds."""

    batch: int | None = None  # pictures a step in every stage, instead of the preset's
    size: int | None = None  # side of the pictures in pixels, in one stage, instead of the preset's stages
    dry_run: bool = False  # print the whole experiment as JSON and leave


@dataclass(frozen=True)
class Train:
    """All options of the verb."""

    experiment: Annotated[Experiment, arg(name="")]
    run: Annotated[Run, arg(name="")]
    options: Annotated[Options, arg(name="")] = Options()


def main(words: list[str]) -> None:
    """Run the verb."""
    if not words or words[0] in ("-h", "--help"):
        tell(USAGE.format(presets=", ".join(PRESETS)))
        if not words:
            raise BadInput("which preset? genscene presets lists them")
        return
    name = words[0]
    if name not in PRESETS:
        raise BadInput(f"no preset {name!r}; {nearest(name, PRESETS)}")
    default = Train(PRESETS[name], Run(out=Path("runs") / name))
    chosen = parse(Train, words[1:], f"genscene train {name}", default, f"Train {name}.")
    experiment = overridden(chosen.experiment, chosen.options.batch, chosen.options.size)
    for stage in experiment.stages:
        experiment.system.check(stage.size)
    if chosen.options.dry_run:
        tell(dumps(experiment))
        return
    if not experiment.data:
        raise BadInput(f"{name} wants --data PATH: a folder or zip of pictures, or synthetic:cars")
    train(experiment, chosen.run)
    if os.environ.get("RANK", "0") == "0":
        tell(f"{chosen.run.out / 'generator.safetensors'}")
