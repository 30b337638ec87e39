"""Official names -> names here: every tensor of a checkpoint is used once, every tensor of ours filled."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from genscene.errors import BadInput

Rules = Sequence[tuple[str, str | None]]


def rename(found: Mapping[str, Tensor], rules: Rules, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename by the first rule (pattern, replacement) that matches the whole name; None drops the tensor.

    Raises BadInput for a name without a rule, a wanted name left unfilled or filled twice, and a wrong shape.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in found.items():
        ours = _renamed(name, rules)
        if ours is None:
            continue
        if ours in renamed or ours not in wanted:
            raise BadInput(
                f"{name} would become {ours}, which is {'there twice' if ours in renamed else 'none of ours'}"
            )
        if tensor.shape != wanted[ours].shape:
            raise BadInput(
                f"{name} has shape {tuple(tensor.shape)}, {ours} wants {tuple(wanted[ours].shape)}"
            )
        renamed[ours] = tensor
    missing = [name for name in wanted if name not in renamed]
    if missing:
        raise BadInput(f"the checkpoint leaves {len(missing)} of our tensors unfilled, first {missing[0]}")
    return renamed


def _renamed(name: str, rules: Rules) -> str | None:
    for pattern, replacement in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return None if replacement is None else match.expand(replacement)
    raise BadInput(f"no rule for the tensor {name}")
