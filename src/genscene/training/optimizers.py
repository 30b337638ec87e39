"""One player's step, and the running mean of its weights."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from genscene.contract import System
from genscene.errors import BadInput, nearest
from genscene.experiment.schema import Experiment

Optimizers = dict[str, torch.optim.Adam]


def optimizers(system: System, experiment: Experiment) -> Optimizers:
    """One Adam for each player, with a group of parameters for each factor on its learning rate.

    Raises BadInput for the name of a part that the player does not have.
    """
    made = {}
    for player, module in system.named_children():
        optim = experiment.optim[player]
        groups = grouped(player, module, optim.parts)
        made[player] = torch.optim.Adam(groups, lr=optim.lr, betas=optim.betas, eps=optim.eps)
    return made


def grouped(player: str, module: nn.Module, parts: Mapping[str, float]) -> list[dict[str, Any]]:
    """Parameters with the factor of the longest named part they belong to, those of none with 1."""
    known = {start for name, _ in module.named_parameters() for start in starts(name)}
    for part in parts:
        if part not in known:
            short = {name for name in known if name.count(".") < 2}
            raise BadInput(
                f"the {player} has no part {part!r} to give a learning rate; {nearest(part, short)}"
            )
    found: dict[str, list[nn.Parameter]] = {part: [] for part in ("", *parts)}
    for name, parameter in module.named_parameters():
        found[next((start for start in starts(name) if start in parts), "")].append(parameter)
    return [{"params": some, "factor": parts.get(part, 1.0)} for part, some in found.items() if some]


def starts(name: str) -> list[str]:
    """a.b.c -> a.b.c, a.b, a."""
    words = name.split(".")
    return [".".join(words[:count]) for count in range(len(words), 0, -1)]


def advance(module: nn.Module, optimizer: torch.optim.Adam, lr: float, clip: float) -> Tensor:
    """Clip, step, clear -> the norm the gradient had [], finite or not; where it is not, nothing moves."""
    norm = clip_grad_norm_(module.parameters(), clip or float("inf"))
    if torch.isfinite(norm):
        for settings in optimizer.param_groups:
            settings["lr"] = lr * settings.get("factor", 1.0)
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
