"""Checkpoints to resume from: written atomically; the last few, and every so many steps, are saved."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genscene.errors import BadInput, describe_os_error
from genscene.experiment.serialise import dumps
from genscene.io import generator_file
from genscene.io.atomic import atomic
from genscene.io.foreign_pickles import read_checkpoint
from genscene.io.generator_file import GeneratorFile, mismatch
from genscene.layers.mapping import update_w_avg
from genscene.training.loop import TrainState
from genscene.training.optimizers import restore_optimizer

NAME = re.compile(r"([0-9]{8,18})\.(pt|safetensors)")  # of checkpoints; other names are not ours
State = dict[str, Any]


@dataclass(frozen=True)
class Retention:
    """Which checkpoints are not removed."""

    last: int = 2  # so many of the newest
    every: int = 0  # and those whose step is a multiple of this; 0: no others


def save(folder: Path, state: TrainState, content: GeneratorFile, step: int, retention: Retention) -> None:
    """Write what a run needs to resume after `step` steps, and the generator as it is.

    state.pt and generator.safetensors are always the newest; checkpoints/ holds them by step. Whenever the
    process is killed, there is a state.pt if there is a .pt in checkpoints/, and none of a step whose
    generator was not written.
    """
    update_w_avg(content.generator)
    history, newest = folder / "checkpoints", folder / "state.pt"
    generator = history / f"{step:08d}.safetensors"
    document = {
        "step": step,
        "experiment": dumps(state.experiment),
        "system": state.system.state_dict(),
        "ema": state.ema.state_dict(),
        "optimizers": {player: optimizer.state_dict() for player, optimizer in state.optimizers.items()},
    }
    try:
        generator_file.write(generator, content)
        link(folder / "generator.safetensors", generator)
        with atomic(newest) as partial, partial.open("wb") as file:  # of a name, torch has errors of its own
            torch.save(document, file)
        link(history / f"{step:08d}.pt", newest)
    except OSError as error:
        whole = "the checkpoint before is whole" if newest.exists() else "there is no checkpoint before"
        raise BadInput(f"{describe_os_error(error)}; {whole}, go on with --resume --out {folder}") from None
    prune(folder, retention, step)


def read_state(folder: Path) -> State:
    """The newest state of a run, with its step and players; BadInput, with the other checkpoints."""
    path = folder / "state.pt"
    with or_remaining(folder):
        document = read_checkpoint(path)
        if not isinstance(document, dict) or not {"step", "system", "ema", "optimizers"} <= document.keys():
            raise BadInput(f"{path} holds no state of a run of this experiment")
        if not isinstance(document.get("experiment", ""), str):
            raise BadInput(f"{path}: experiment is no text, wanted the experiment of the run as JSON")
        return document


def restore(folder: Path, state: TrainState, document: State) -> int:
    """Load the state of a run, as `read_state` gives it -> the number of steps it has done."""
    path, done, steps = folder / "state.pt", document["step"], state.experiment.steps
    with or_remaining(folder):
        if type(done) is not int or not 0 <= done <= steps:
            raise BadInput(f"{path}: step is {done!r:.99}, wanted a number from 0 to {steps} (--steps)")
        for name, module in (("system", state.system), ("ema", state.ema)):
            wrong = mismatch(document[name], module.state_dict())
            if wrong:
                raise BadInput(f"{path} does not fit this run: {wrong}")
            module.load_state_dict(document[name])
        turns = len(state.system.turns())
        for player, optimizer in state.optimizers.items():
            where = f"{path}: optimizers.{player}"
            restore_optimizer(optimizer, document["optimizers"][player], turns * done, where)
        return done


@contextmanager
def or_remaining(folder: Path) -> Iterator[None]:
    """Add how to resume to what is wrong with a run's state.pt."""
    try:
        yield
    except BadInput as error:
        raise BadInput(f"{error}; {remaining(folder)}") from None
    except Exception:  # a file of something else raises whatever it leads to
        wrong = f"{folder / 'state.pt'} holds no state of a run of this experiment"
        raise BadInput(f"{wrong}; {remaining(folder)}") from None


def remaining(folder: Path) -> str:
    """How to resume a run whose state.pt cannot be used: the other checkpoints."""
    state = folder / "state.pt"
    others = [p for p in checkpoints(folder) if not (state.exists() and p.samefile(state))]
    if not others:
        return "no other checkpoint is left; choose another --out to start again"
    names = ", ".join(path.name for path in others)
    return f"{folder / 'checkpoints'} holds {names}: copy one to {state} to resume from there"


def checkpoints(folder: Path, suffix: str = "pt") -> list[Path]:
    """The checkpoints of a run by their steps; links, folders and files of other names are not ours."""
    found = (folder / "checkpoints").glob(f"*.{suffix}")
    ours = [p for p in found if NAME.fullmatch(p.name) and p.is_file() and not p.is_symlink()]
    return sorted(ours, key=lambda path: int(path.stem))


def link(name: Path, target: Path) -> None:
    """Make a name refer to a file's content, replacing what it was in one operation."""
    partial = name.with_name(f".{name.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(target, partial)
    except OSError:  # file systems without hard links
        shutil.copyfile(target, partial)
    partial.replace(name)


def prune(folder: Path, retention: Retention, step: int) -> None:
    """Remove the checkpoints until this step that neither rule retains.

    Later ones are there where a run went back to an older one: they remain until it gets to their steps.
    """
    paths = [*checkpoints(folder), *checkpoints(folder, "safetensors")]
    steps = sorted({int(path.stem) for path in paths if int(path.stem) <= step})
    old = {s for s in steps[: -max(1, retention.last)] if not retention.every or s % retention.every}
    for path in paths:
        if int(path.stem) in old:
            path.unlink(missing_ok=True)
