"""One player's step, and the running mean of its weights."""

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from genscene.experiment import Experiment
from genscene.system import System

Optimizers = dict[str, torch.optim.Adam]


def optimizers(system: System, experiment: Experiment) -> Optimizers:
    """One Adam for each player."""
    made = {}
    for player, module in system.named_children():
        optim = experiment.optim[player]
        made[player] = torch.optim.Adam(module.parameters(), lr=optim.lr, betas=optim.betas, eps=optim.eps)
    return made


def advance(module: nn.Module, optimizer: torch.optim.Adam, lr: float, clip: float) -> Tensor:
    """Clip, step, clear -> the norm the gradient had [], finite or not; where it is not, nothing moves."""
    norm = clip_grad_norm_(module.parameters(), clip or float("inf"))
    if torch.isfinite(norm):
        for settings in optimizer.param_groups:
            settings["lr"] = lr
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the running mean towards the weights; early on by more (the mean of what there is)."""
    warm = min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(value, 1 - warm)
    for kept, now in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(now)
