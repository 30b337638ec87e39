"""genscene train PRESET: train on pictures."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from genscene.cli.options import parse, tell
from genscene.contract import PosedConfig
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput, nearest
from genscene.experiment.schema import Experiment, dumps, with_overrides
from genscene.systems import PRESETS
from genscene.training.run import Run, check, train

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
    # side of the pictures in pixels, in one stage, instead of the preset's stages; of photographs: the longer one
    size: int | None = None
    dry_run: bool = False  # print the whole experiment as JSON and leave


@dataclass(frozen=True)
class Train:
    """All options of the verb."""

    experiment: Annotated[Experiment, arg(name="")]
    run: Annotated[Run, arg(name="")]
    options: Annotated[Options, arg(name="")] = Options()


def without_parts(preset: Experiment) -> Experiment:
    """A preset whose players name no parts: tyro takes no other keys of a dict than those it holds, if it holds any."""
    return replace(preset, optim={player: replace(optim, parts={}) for player, optim in preset.optim.items()})


def with_parts(experiment: Experiment, preset: Experiment) -> Experiment:
    """The preset's factors on the learning rates of parts, and those that were asked for, which go before."""
    both = {player: preset.optim[player].parts | optim.parts for player, optim in experiment.optim.items()}
    return replace(
        experiment, optim={player: replace(experiment.optim[player], parts=both[player]) for player in both}
    )


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
    default = Train(without_parts(PRESETS[name]), Run(out=Path("runs") / name))
    chosen = parse(Train, words[1:], f"genscene train {name}", default, f"Train {name}.")
    experiment = with_parts(chosen.experiment, PRESETS[name])
    experiment = with_overrides(experiment, chosen.options.batch, chosen.options.size)
    check(experiment, chosen.run, ProcessGroup())
    if chosen.options.dry_run:
        tell(dumps(experiment))
        return
    if not experiment.data:
        posed = isinstance(experiment.system, PosedConfig)
        pictures = "a folder of photographs with their cameras" if posed else "a folder or zip of pictures"
        raise BadInput(f"{name} wants --data PATH: {pictures}, or synthetic:cars")
    train(experiment, chosen.run)
    if os.environ.get("RANK", "0") == "0":
        tell(f"{chosen.run.out / 'generator.safetensors'}")
