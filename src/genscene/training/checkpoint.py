"""Checkpoints to resume from: written atomically; the last few, and every so many steps, are saved."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from genscene.errors import BadInput
from genscene.io import generator_file
from genscene.io.atomic import atomic
from genscene.io.foreign_pickles import read_checkpoint
from genscene.io.generator_file import GeneratorFile, mismatch
from genscene.layers.mapping import update_w_avg
from genscene.training.loop import TrainState


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
        "system": state.system.state_dict(),
        "ema": state.ema.state_dict(),
        "optimizers": {player: optimizer.state_dict() for player, optimizer in state.optimizers.items()},
    }
    generator_file.write(generator, content)
    link(folder / "generator.safetensors", generator)
    with atomic(newest) as partial:
        torch.save(document, partial)
    link(history / f"{step:08d}.pt", newest)
    prune(history, retention)


def restore(folder: Path, state: TrainState) -> int:
    """Load the newest state of a run -> the number of steps it has done."""
    path = folder / "state.pt"
    try:
        document = read_checkpoint(path)
        for name, module in (("system", state.system), ("ema", state.ema)):
            wrong = mismatch(document[name], module.state_dict())
            if wrong:
                raise BadInput(f"{path} does not fit this run: {wrong}")
            module.load_state_dict(document[name])
        for player, optimizer in state.optimizers.items():
            optimizer.load_state_dict(document["optimizers"][player])
            moments = [(p, m) for p, values in optimizer.state.items() for m in values.values() if m.ndim]
            if any(p.shape != m.shape for p, m in moments):
                raise BadInput(
                    f"{path}: the optimiser of the {player} has moments of another shape than its weights"
                )
        return int(document["step"])
    except BadInput as error:
        raise BadInput(f"{error}; {remaining(folder)}") from None
    except Exception:  # a file of something else raises whatever it leads to
        raise BadInput(f"{path} holds no state of a run of this experiment; {remaining(folder)}") from None


def remaining(folder: Path) -> str:
    """How to resume a run whose state.pt cannot be used: the other checkpoints."""
    state = folder / "state.pt"
    paths = sorted((folder / "checkpoints").glob("*.pt"))
    others = [p for p in paths if not (state.exists() and p.samefile(state))]
    if not others:
        return "no other checkpoint is left; choose another --out to start again"
    names = ", ".join(path.name for path in others)
    return f"{folder / 'checkpoints'} holds {names}: copy one to {state} to resume from there"


def link(name: Path, target: Path) -> None:
    """Make a name refer to a file's content, replacing what it was in one operation."""
    partial = name.with_name(f".{name.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(target, partial)
    except OSError:  # file systems without hard links
        shutil.copyfile(target, partial)
    partial.replace(name)


def prune(history: Path, retention: Retention) -> None:
    """Remove the checkpoints that neither rule retains."""
    steps = sorted({int(path.stem) for path in history.glob("[0-9]*.*")})
    for step in steps[: -max(1, retention.last)]:
        if not retention.every or step % retention.every:
            for suffix in ("pt", "safetensors"):
                (history / f"{step:08d}.{suffix}").unlink(missing_ok=True)
