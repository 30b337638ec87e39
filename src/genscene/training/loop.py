"""The only training loop: one player or five, it is the same game."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from genscene.contract import Generator, ImageBatch, RayBatch, Stats, StepContext, System, Turn
from genscene.distributed import ProcessGroup
from genscene.errors import Diverged
from genscene.experiment.schema import Experiment
from genscene.randomness import mix
from genscene.training.optimizers import Optimizers, advance, follow

Precision = Literal["fp32", "tf32", "bf16"]


@dataclass(frozen=True)
class TrainState:
    """Everything a step needs."""

    experiment: Experiment
    system: System
    average: Generator  # running mean of the generator
    optimizers: Optimizers
    group: ProcessGroup = ProcessGroup()
    precision: Precision = "fp32"


def play(game: TrainState, batch: ImageBatch | RayBatch, step: int) -> Stats:
    """One step: every player's turn, then the running mean -> numbers worth logging, detached."""
    torch.manual_seed(mix(game.experiment.seed, game.group.rank, step))
    stats: Stats = {}
    for turn in game.system.turns():
        if step % turn.every == 0:
            stats |= take(game, turn, batch, step)
    if game.average is not game.system.generator:
        follow(game.average, game.system.generator, game.experiment.ema, step)
    return stats


def take(game: TrainState, turn: Turn, batch: ImageBatch | RayBatch, step: int) -> Stats:
    """One turn of one player: gradients of every slice, averaged; one step of its optimiser."""
    stage = game.experiment.stage(step)
    total: Stats = {}
    size = len(batch) // stage.slices
    with only(game.system, turn.player):
        for start in range(0, len(batch), size):
            first = game.group.rank * len(batch) + start
            moment = StepContext(
                step, stage.start, game.experiment.seed, first, stage.slices, game.experiment.steps
            )
            with mixed(game):
                loss, stats = turn.loss(batch[start : start + size], moment)
            if not torch.isfinite(loss):
                raise Diverged(f"the loss of the {turn.player} is {float(loss.detach())} at step {step}")
            (loss / stage.slices).backward()
            for name, value in stats.items():
                part = value.detach() / stage.slices
                total[name] = total[name] + part if name in total else part
    player = game.system.get_submodule(turn.player)
    game.group.average(player.parameters())
    optimizer, lr = game.optimizers[turn.player], game.experiment.lr(turn.player, step)
    norm = advance(player, optimizer, lr, game.experiment.optim[turn.player].clip)
    if not torch.isfinite(norm):
        raise Diverged(f"the gradient of the {turn.player} has norm {float(norm)} at step {step}")
    return total


def mixed(game: TrainState) -> AbstractContextManager[object]:
    """Where bf16 is asked for, products in bf16."""
    if game.precision != "bf16":
        return nullcontext()
    device = next(game.system.parameters()).device
    return torch.autocast(device.type, torch.bfloat16)


@contextmanager
def only(system: System, player: str) -> Iterator[None]:
    """Let gradients reach one player's parameters and no other's."""
    for name, child in system.named_children():
        child.requires_grad_(name == player)
    try:
        yield
    finally:
        system.requires_grad_(True)
