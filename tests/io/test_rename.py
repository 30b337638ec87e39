"""Tensors are renamed without a gap."""

import pytest
import torch

from genscene.errors import BadInput
from genscene.io.rename import rename

OURS = {"layers.0.w": torch.zeros(2), "out": torch.zeros(3)}


RULES = ((r"old\.(\d)\.weight", r"layers.\1.w"), (r"junk\..*", None), ("head", "out"))


def test_every_tensor_is_renamed_by_its_rule():
    found = {"old.0.weight": torch.ones(2), "junk.a": torch.ones(9), "head": torch.ones(3)}
    assert set(rename(found, RULES, OURS)) == set(OURS)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"new": torch.ones(1)}, "no rule for the tensor new"),
        ({"old.0.weight": torch.ones(2)}, "leaves 1 of our tensors unfilled, first out"),
        ({"old.0.weight": torch.ones(4), "head": torch.ones(3)}, r"shape \(4,\)"),
        ({"old.1.weight": torch.ones(2)}, "none of ours"),
        ({"head": torch.ones(3), "old.0.weight": torch.ones(2), "HEAD": torch.ones(3)}, "there twice"),
    ],
)
def test_renaming_refuses_gaps_and_leftovers(found, words):
    with pytest.raises(BadInput, match=words):
        rename(found, (*RULES, ("HEAD", "out")), OURS)
