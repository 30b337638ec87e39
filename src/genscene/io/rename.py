"""Foreign names -> ours: every tensor of an official checkpoint is consumed once, every one of ours filled."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from genscene.errors import BadInput

Rules = Sequence[tuple[str, str | None]]


def rename(found: Mapping[str, Tensor], rules: Rules, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Foreign names -> ours, by the first rule (pattern, replacement) that meets the whole name; None drops it.

    Raises BadInput for a name that no rule meets, one of ours that is left unfilled or filled twice, another shape.
    """
    made: dict[str, Tensor] = {}
    for name, tensor in found.items():
        ours = _renamed(name, rules)
        if ours is None:
            continue
        if ours in made or ours not in wanted:
            raise BadInput(
                f"{name} would become {ours}, which is {'filled twice' if ours in made else 'none of ours'}"
            )
        if tensor.shape != wanted[ours].shape:
            raise BadInput(
                f"{name} has shape {tuple(tensor.shape)}, {ours} wants {tuple(wanted[ours].shape)}"
            )
        made[ours] = tensor
    missing = [name for name in wanted if name not in made]
    if missing:
        raise BadInput(f"the checkpoint leaves {len(missing)} of our tensors unfilled, first {missing[0]}")
    return made


def _renamed(name: str, rules: Rules) -> str | None:
    for pattern, replacement in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return None if replacement is None else match.expand(replacement)
    raise BadInput(f"no rule for the tensor {name}")
