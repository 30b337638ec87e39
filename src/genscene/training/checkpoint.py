"""State to go on from: written atomically, the last few and every so many kept."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from genscene.errors import BadInput
from genscene.files import atomic
from genscene.training.loop import Game
from genscene.training.published import publish


@dataclass(frozen=True)
class Keep:
    """Which checkpoints stay."""

    last: int = 2  # so many of the newest
    every: int = 0  # and every one whose step is a multiple of this; 0: none


def save(folder: Path, game: Game, step: int, keep: Keep) -> None:
    """Write what a run needs to go on after `step` steps, and the generator as it stands.

    state.pt and generator.safetensors are always the newest; checkpoints/ holds them by step.
    """
    game.average.settle()
    history = folder / "checkpoints"
    state, published = history / f"{step:08d}.pt", history / f"{step:08d}.safetensors"
    content = {
        "step": step,
        "system": game.system.state_dict(),
        "average": game.average.state_dict(),
        "optimizers": {player: optimizer.state_dict() for player, optimizer in game.optimizers.items()},
    }
    with atomic(state) as partial:
        torch.save(content, partial)
    publish(published, game.average, game.experiment)
    point(folder / "generator.safetensors", published)
    point(folder / "state.pt", state)
    prune(history, keep)


def restore(folder: Path, game: Game) -> int:
    """Put the newest state of a run into a game -> the number of steps it has done."""
    path = folder / "state.pt"
    device = next(game.system.parameters()).device
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        game.system.load_state_dict(content["system"])
        game.average.load_state_dict(content["average"])
        for player, state in content["optimizers"].items():
            game.optimizers[player].load_state_dict(state)
        return int(content["step"])
    except Exception as error:  # torch.load raises whatever the damage brings up
        kept = sorted((folder / "checkpoints").glob("*.pt"))
        others = ", ".join(p.name for p in kept) or "none"
        raise BadInput(f"{path} is damaged or of another experiment ({_first_line(error)}); kept: {others}") from None


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
    steps = sorted({int(path.stem) for path in history.glob("[0-9]*.pt")})
    for step in steps[: -max(1, keep.last)]:
        if not keep.every or step % keep.every:
            for ending in ("pt", "safetensors"):
                (history / f"{step:08d}.{ending}").unlink(missing_ok=True)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
