"""genscene train PRESET: train on images, or on photographs with cameras; genscene presets: what there is."""

import contextlib
import io
import os
import re
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Table
from tyro.conf import arg

from genscene.cli.shared.options import parse, print_line
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput, suggest
from genscene.experiment.schema import Experiment
from genscene.experiment.serialise import dumps, with_overrides
from genscene.objectives.gan_loss import Kind
from genscene.systems import PRESETS
from genscene.training.run import Run, check, train

USAGE = """usage: genscene train PRESET [--data PATH] [--out DIR] [--resume] [--dry-run] [--any.field VALUE]

Trains a preset on a folder or zip of images, or on an embedded set (--data synthetic:cars).
genscene train PRESET --help lists the usual options, --help-all all of them, --help-all SECTION those of
a section. Several processes: torchrun --standalone --nproc-per-node 2 -m genscene train PRESET ...

presets: {presets}
"""
WANTED = {  # data, by what a batch holds
    "images": "a folder or zip of images",
    "posed_images": "a folder or zip of images",
    "rays": "a folder of photographs with their cameras",
    "photographs": "a folder of photographs with their cameras",
    "pixels": "one picture",
    "surface": "a mesh",
}
HELP, HELP_ALL = ("-h", "--help"), "--help-all"
SECTION = re.compile(r"^(?:╭─ | )(?:([\w.]+) )?options *(?:─+╮)?$", re.M)  # its title, in tyro's help


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
    # of systems with a discriminator: logistic, hinge, or relativistic with R1 and R2 at every step (R3GAN)
    loss: Kind | None = None
    dry_run: bool = False  # print the whole experiment as JSON and exit


@dataclass(frozen=True)
class Train:
    """All options of the verb."""

    experiment: Annotated[Experiment, arg(name="")]
    run: Annotated[Run, arg(name="")]
    overrides: Annotated[Overrides, arg(name="")] = Overrides()


@dataclass(frozen=True)
class Presets:
    """No options."""


def main(words: list[str]) -> None:
    """Run the verb."""
    if not words or words[0] in (*HELP, HELP_ALL):
        print_line(USAGE.format(presets=", ".join(PRESETS)))
        if not words:
            raise BadInput("which preset? genscene presets lists them")
        return
    name = words[0]
    if name not in PRESETS:
        raise BadInput(f"no preset {name!r}; {suggest(name, PRESETS)}")
    default = Train(without_multipliers(PRESETS[name]), Run(out=Path("runs") / name))
    if HELP_ALL in words or any(word in HELP for word in words):
        print_line(describe_options(name, default, words[1:]))
        return
    chosen = parse(Train, words[1:], f"genscene train {name}", default, f"Train {name}.")
    experiment = with_multipliers(chosen.experiment, PRESETS[name])
    short = chosen.overrides
    experiment = with_overrides(
        experiment, short.batch, short.size, short.background, short.bounds, short.loss
    )
    check(experiment, chosen.run, ProcessGroup())
    if chosen.overrides.dry_run:
        print_line(dumps(experiment))
        return
    if not experiment.data:
        raise BadInput(f"{name} wants --data PATH: {WANTED[experiment.system.batch]}, or synthetic:cars")
    train(experiment, chosen.run)
    if os.environ.get("RANK", "0") == "0":
        print_line(f"{chosen.run.out / 'generator.safetensors'}")


def list_presets(words: list[str]) -> None:
    """Run the verb `presets`: list the experiments that can be trained."""
    parse(Presets, words, "genscene presets", description="List the experiments that can be trained.")
    table = Table("preset", "data", "stages (side x batch from step)", "steps", box=None, pad_edge=False)
    for name, experiment in PRESETS.items():
        fitted = experiment.system.fits_photographs or experiment.system.batch == "pixels"
        side = experiment.posed.side or "as it is " if fitted else None
        stages = ", ".join(f"{side or s.size[0]}x{s.batch} from {s.start}" for s in experiment.stages)
        table.add_row(name, experiment.data or "--data PATH", stages, str(experiment.steps))
    Console(width=140).print(table)


def describe_options(name: str, default: Train, words: list[str]) -> str:
    """The usual options of a preset; of --help-all all, or those of the section that follows it."""
    captured = io.StringIO()
    with contextlib.redirect_stdout(captured), contextlib.suppress(SystemExit):
        parse(Train, ["--help"], f"genscene train {name}", default, f"Train {name}.")
    text = captured.getvalue().rstrip()
    starts = [*SECTION.finditer(text)]
    ends = [match.start() for match in starts[1:]] + [len(text)]
    sections = {
        match[1] or "": text[match.start() : end].rstrip() for match, end in zip(starts, ends, strict=True)
    }
    if HELP_ALL not in words:
        more = f"{len(sections) - 1} more sections, each by genscene train {name} {HELP_ALL} SECTION:"
        titles = textwrap.fill("  ".join([*sections][1:]), 80, initial_indent="  ", subsequent_indent="  ")
        return "\n".join([text[: starts[0].start()] + sections[""], more, titles])
    wanted = next((word for word in words[words.index(HELP_ALL) + 1 :] if not word.startswith("-")), "")
    if not wanted:
        return text
    found = [each for title, each in sections.items() if f"{title}.".startswith(f"{wanted}.")]
    if not found:
        raise BadInput(f"{HELP_ALL}: no section {wanted!r}; {suggest(wanted, [*sections][1:])}")
    return "\n".join(found)


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
