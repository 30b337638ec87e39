"""The optimisers of a run: one for each player, with multipliers of the learning rate for parts of it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from genscene.contract import System
from genscene.errors import BadInput, suggest
from genscene.experiment.schema import Experiment
from genscene.training.loop import Optimizers


def build_optimizers(system: System, experiment: Experiment) -> Optimizers:
    """One optimiser for each player, with a group of parameters for each multiplier of its learning rate.

    Raises BadInput for the name of a part that the player does not have.
    """
    built: Optimizers = {}
    for player, module in system.named_children():
        optim = experiment.optim[player]
        groups = parameter_groups(player, module, optim.lr_multipliers)
        if optim.kind == "rmsprop":
            built[player] = torch.optim.RMSprop(groups, lr=optim.lr, alpha=optim.betas[1], eps=optim.eps)
        else:
            built[player] = torch.optim.Adam(groups, lr=optim.lr, betas=optim.betas, eps=optim.eps)
    return built


def parameter_groups(
    player: str, module: nn.Module, multipliers: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Parameters by the longest named part they belong to, each group with that part's multiplier, else 1."""
    known = {prefix for name, _ in module.named_parameters() for prefix in prefixes(name)}
    for part in multipliers:
        if part not in known:
            short = {name for name in known if name.count(".") < 2}
            raise BadInput(
                f"the {player} has no part {part!r} to give a learning rate; {suggest(part, short)}"
            )
    found: dict[str, list[nn.Parameter]] = {part: [] for part in ("", *multipliers)}
    for name, parameter in module.named_parameters():
        found[next((prefix for prefix in prefixes(name) if prefix in multipliers), "")].append(parameter)
    return [
        {"params": some, "lr_multiplier": multipliers.get(part, 1.0)} for part, some in found.items() if some
    ]


def prefixes(name: str) -> list[str]:
    """a.b.c -> a.b.c, a.b, a."""
    words = name.split(".")
    return [".".join(words[:count]) for count in range(len(words), 0, -1)]
