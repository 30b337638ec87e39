"""The optimisers of a run: one for each player, with multipliers of the learning rate for parts of it."""

import fnmatch
import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from genscene.contract import System
from genscene.errors import BadInput, suggest
from genscene.experiment.schema import Experiment
from genscene.training.loop import Optimizers

MOMENTS = {torch.optim.Adam: ("exp_avg", "exp_avg_sq"), torch.optim.RMSprop: ("square_avg",)}
WAYS = {"foreach", "fused"}  # options of an optimiser that do not change what it computes
SQUARES = ("exp_avg_sq", "square_avg")


def build_optimizers(system: System, experiment: Experiment) -> Optimizers:
    """One optimiser for each player, with a group of parameters for each multiplier of its learning rate.

    Raises BadInput for the name of a part that the player does not have.
    """
    built: Optimizers = {}
    for player, module in system.named_children():
        optim = experiment.optim[player]
        groups = parameter_groups(player, module, optim.lr_multipliers, optim.decaying)
        if optim.kind == "rmsprop":
            built[player] = torch.optim.RMSprop(groups, lr=optim.lr, alpha=optim.betas[1], eps=optim.eps)
        else:
            # fused: one pass over the weights
            built[player] = torch.optim.Adam(
                groups, lr=optim.lr, betas=optim.betas, eps=optim.eps, fused=True
            )
    return built


def parameter_groups(
    player: str, module: nn.Module, multipliers: Mapping[str, float], decaying: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Parameters by the longest named part they belong to, each group with that part's multiplier, else 1.

    Parts are names, or patterns with * of names of parameters. decaying: those whose rate decays, if not all.
    """
    known = {prefix for name, _ in module.named_parameters() for prefix in prefixes(name)}
    for part in multipliers:
        if not fnmatch.filter(known, part):
            short = {name for name in known if name.count(".") < 2}
            raise BadInput(
                f"the {player} has no part {part!r} to give a learning rate; {suggest(part, short)}"
            )
    found: dict[str, list[nn.Parameter]] = {part: [] for part in ("", *multipliers)}
    for name, parameter in module.named_parameters():
        parts = [part for part in multipliers if fnmatch.filter(prefixes(name), part)]
        found[max(parts, key=len, default="")].append(parameter)
    for part in decaying:
        if part not in multipliers:
            raise BadInput(f"decaying {part!r} of the {player}: wanted one of lr_multipliers")
    return [
        {"params": some, "lr_multiplier": multipliers.get(part, 1.0)}
        | ({"decays": part in decaying} if decaying else {})
        for part, some in found.items()
        if some
    ]


def prefixes(name: str) -> list[str]:
    """a.b.c -> a.b.c, a.b, a."""
    words = name.split(".")
    return [".".join(words[:count]) for count in range(len(words), 0, -1)]


def restore_optimizer(
    optimizer: torch.optim.Optimizer, stored: Mapping[str, Any], turns: int, where: str
) -> None:
    """Load the moments of an optimiser; its options remain those of the configuration.

    turns: that its player can have had. Raises BadInput, beginning with `where` and the name of a field, for
    numbers that no optimiser of this configuration has.
    """
    own = optimizer.state_dict()
    for i, (mine, theirs) in enumerate(zip(own["param_groups"], stored["param_groups"], strict=True)):
        for name in mine.keys() & theirs.keys() - WAYS:  # versions of torch differ in their options
            check_option(f"{where}.param_groups.{i}.{name}", name, theirs[name], mine[name])
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    moments = stored["state"]
    if turns and not moments:
        raise BadInput(f"{where}.state is empty, wanted the moments of {len(weights)} weights")
    for index, values in moments.items():
        place = f"{where}.state.{index}"
        if index not in range(len(weights)):
            raise BadInput(f"{place}: there are {len(weights)} weights")
        check_moments(place, values, weights[index], turns, MOMENTS[type(optimizer)])
    optimizer.load_state_dict({"state": moments, "param_groups": own["param_groups"]})


def check_option(place: str, name: str, found: Any, wanted: Any) -> None:
    """Raise BadInput unless an option is that of the configuration; rates change with the steps."""
    if name == "lr":
        if not isinstance(found, int | float) or not 0 <= found < math.inf:
            raise BadInput(f"{place} is {found!r:.99}, wanted a finite number, 0 or more")
    elif found != wanted:
        raise BadInput(f"{place} is {found!r:.99}, wanted {wanted!r:.99}, as it is configured")


def check_moments(place: str, values: Any, weight: Tensor, turns: int, names: tuple[str, ...]) -> None:
    """Raise BadInput unless these are the moments of a weight after at most so many turns."""
    if not isinstance(values, dict) or values.keys() != {"step", *names}:
        raise BadInput(f"{place} holds other fields than step, {', '.join(names)}")
    step = float(values["step"])
    if not (step.is_integer() and 0 <= step <= turns):
        raise BadInput(f"{place}.step is {step:g}, wanted a whole number from 0 to {turns}")
    for name in names:
        moment = values[name]
        if not isinstance(moment, Tensor) or moment.shape != weight.shape:
            raise BadInput(f"{place}.{name}: moments of another shape than its weights {list(weight.shape)}")
        if not bool(moment.isfinite().all()):
            raise BadInput(f"{place}.{name} holds numbers that are not finite")
        if name in SQUARES and bool((moment < 0).any()):
            raise BadInput(f"{place}.{name} holds numbers below 0, wanted means of squares")
