"""The training loop's step, the only one: each player's turns, then the moving average."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from genscene.contract import Generator, ImageBatch, RayBatch, Stats, StepContext, System, Turn
from genscene.distributed import ProcessGroup
from genscene.errors import Diverged
from genscene.experiment.schedules import ema_decay, learning_rate, stage_at
from genscene.experiment.schema import Experiment
from genscene.randomness import derive_seed
from genscene.scenes import PointBatch, SceneViews

Precision = Literal["fp32", "tf32", "medium", "bf16"]
Optimizers = dict[str, torch.optim.Optimizer]
Batch = ImageBatch | RayBatch | PointBatch | SceneViews


@dataclass(frozen=True)
class TrainState:
    """All that a training step changes or needs."""

    experiment: Experiment
    system: System
    ema: Generator  # exponential moving average of the generator; the generator itself where there is none
    optimizers: Optimizers
    group: ProcessGroup = ProcessGroup()
    precision: Precision = "fp32"


def train_step(state: TrainState, batch: Batch, step: int) -> Stats:
    """One step: the turns that are due, the end of the step, the moving average -> numbers to log."""
    torch.manual_seed(derive_seed(state.experiment.seed, state.group.rank, step))
    stats: Stats = {}
    shared: dict[object, object] = {}
    for turn in state.system.turns():
        if step % turn.every == 0:
            stats |= train_player(state, turn, batch, step, shared)
    stage_start, seed = stage_at(state.experiment, step).start, state.experiment.seed
    context = StepContext(step, stage_start, seed, steps=state.experiment.steps)
    state.system.after_step(state.optimizers, context)
    if state.ema is not state.system.generator:
        update_ema(state.ema, state.system.generator, ema_decay(state.experiment, step))
    return stats


def train_player(
    state: TrainState, turn: Turn, batch: Batch, step: int, shared: dict[object, object]
) -> Stats:
    """One turn: gradients accumulated over the parts of the batch and averaged, one optimiser step.

    shared: what turns of this step leave for later ones.
    """
    experiment, group, stage = state.experiment, state.group, stage_at(state.experiment, step)
    total: Stats = {}
    size = len(batch) // stage.accumulation
    with requires_grad_only(state.system, turn.player):
        for start in range(0, len(batch), size):
            first = group.rank * len(batch) + start
            cut = (stage.accumulation, group.world)
            context = StepContext(step, stage.start, experiment.seed, first, *cut, experiment.steps, shared)
            with autocast(state):
                loss, stats = turn.loss(batch[start : start + size], context)
            if not torch.isfinite(loss):
                raise Diverged(f"the loss of the {turn.player} is {float(loss.detach())} at step {step}")
            (loss / stage.accumulation).backward()
            for name, value in stats.items():
                part = value.detach() / stage.accumulation
                total[name] = total[name] + part if name in total else part
    player = state.system.get_submodule(turn.player)
    if group.world > 1:
        group.all_reduce_gradients(player.parameters())
    lr, constant = (learning_rate(experiment, turn.player, step, decays) for decays in (True, False))
    clip = experiment.optim[turn.player].clip
    norm = optimizer_step(player, state.optimizers[turn.player], lr, clip, constant)
    if not torch.isfinite(norm):
        raise Diverged(f"the gradient of the {turn.player} has norm {float(norm)} at step {step}")
    return total


def optimizer_step(
    module: nn.Module, optimizer: torch.optim.Optimizer, lr: float, clip: float, constant: float = 0.0
) -> Tensor:
    """Clip, step, clear -> the gradient norm [] before; where it is not finite, no step is made.

    constant: the learning rate of the parts whose rate does not decay.
    """
    norm = clip_grad_norm_(module.parameters(), clip or float("inf"))
    if torch.isfinite(norm):
        for settings in optimizer.param_groups:
            rate = lr if settings.get("decays", True) else constant
            settings["lr"] = rate * settings.get("lr_multiplier", 1.0)
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged parameters towards the model's by 1 - decay; buffers are copied."""
    for averaged, value in zip(ema.parameters(), model.parameters(), strict=True):
        averaged.lerp_(value, 1 - decay)
    for buffer, current in zip(ema.buffers(), model.buffers(), strict=True):
        buffer.copy_(current)


def set_matmul_precision(precision: Precision) -> None:
    """How float32 products are computed from now on; float32 itself for the other precisions."""
    names = {"tf32": "high", "medium": "medium"}
    torch.set_float32_matmul_precision(names.get(precision, "highest"))


def autocast(state: TrainState) -> AbstractContextManager[object]:
    """Products in bfloat16, where the run's precision is bf16."""
    if state.precision != "bf16":
        return nullcontext()
    return torch.autocast(next(state.system.parameters()).device.type, torch.bfloat16)


@contextmanager
def requires_grad_only(system: System, player: str) -> Iterator[None]:
    """Only one player's parameters require gradients."""
    for name, child in system.named_children():
        child.requires_grad_(name == player)
    try:
        yield
    finally:
        system.requires_grad_(True)
