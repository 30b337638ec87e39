"""State to go on from: written atomically, the last few and every so many kept."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from genscene.errors import BadInput
from genscene.io.atomic import atomic
from genscene.io.foreign_pickles import contents
from genscene.io.generator_file import misfit, save_generator
from genscene.training.loop import TrainState


@dataclass(frozen=True)
class Keep:
    """Which checkpoints stay."""

    last: int = 2  # so many of the newest
    every: int = 0  # and every one whose step is a multiple of this; 0: none


def save(folder: Path, game: TrainState, step: int, keep: Keep) -> None:
    """Write what a run needs to go on after `step` steps, and the generator as it stands.

    state.pt and generator.safetensors are always the newest; checkpoints/ holds them by step. Whenever the process is
    killed, there is a state.pt where there is any .pt in checkpoints/, and none of a step that was not published.
    """
    game.average.settle()
    history, state = folder / "checkpoints", folder / "state.pt"
    published = history / f"{step:08d}.safetensors"
    content = {
        "step": step,
        "system": game.system.state_dict(),
        "average": game.average.state_dict(),
        "optimizers": {player: optimizer.state_dict() for player, optimizer in game.optimizers.items()},
    }
    save_generator(published, game.average, game.experiment)
    point(folder / "generator.safetensors", published)
    with atomic(state) as partial:
        torch.save(content, partial)
    point(history / f"{step:08d}.pt", state)
    prune(history, keep)


def restore(folder: Path, game: TrainState) -> int:
    """Put the newest state of a run into a game -> the number of steps it has done."""
    path = folder / "state.pt"
    try:
        content = contents(path)
        for name, module in (("system", game.system), ("average", game.average)):
            wrong = misfit(content[name], module.state_dict())
            if wrong:
                raise BadInput(f"{path} does not fit this run: {wrong}")
            module.load_state_dict(content[name])
        for player, optimizer in game.optimizers.items():
            optimizer.load_state_dict(content["optimizers"][player])
            moments = [(p, m) for p, state in optimizer.state.items() for m in state.values() if m.ndim]
            if any(p.shape != m.shape for p, m in moments):
                raise BadInput(
                    f"{path}: the optimiser of the {player} has moments of another shape than its weights"
                )
        return int(content["step"])
    except BadInput as error:
        raise BadInput(f"{error}; {left(folder)}") from None
    except Exception:  # a file of something else raises whatever it brings up
        raise BadInput(f"{path} holds no state of a run of this experiment; {left(folder)}") from None


def left(folder: Path) -> str:
    """How to go on with a run whose state.pt cannot be used: which checkpoints there are, and what to do with them."""
    state = folder / "state.pt"
    kept = [
        p for p in sorted((folder / "checkpoints").glob("*.pt")) if not (state.exists() and p.samefile(state))
    ]
    if not kept:
        return "no other checkpoint is left; choose another --out to start again"
    names = ", ".join(path.name for path in kept)
    return f"{folder / 'checkpoints'} holds {names}: copy one to {state} to go on from there"


def point(name: Path, target: Path) -> None:
    """Let a name stand for a file's content, replaced in one go."""
    partial = name.with_name(f".{name.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(target, partial)
    except OSError:  # file systems without hard links
        shutil.copyfile(target, partial)
    partial.replace(name)


def prune(history: Path, keep: Keep) -> None:
    """Remove what neither rule keeps."""
    steps = sorted({int(path.stem) for path in history.glob("[0-9]*.*")})
    for step in steps[: -max(1, keep.last)]:
        if not keep.every or step % keep.every:
            for ending in ("pt", "safetensors"):
                (history / f"{step:08d}.{ending}").unlink(missing_ok=True)
