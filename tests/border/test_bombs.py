"""Checkpoints made to exhaust memory or time are refused within 5 s and 256 MiB, and nothing is executed."""

import resource
import sys
import time

import pytest
import torch

from border.bombs import bombs, tensor, zipped
from border.watch import watched
from genscene.errors import BadInput
from genscene.io import foreign_pickles
from genscene.io.foreign_pickles import collect_tensors, find_placeholders, read_checkpoint

BOMBS = bombs()


def peak():
    """The largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_read_or_refused_in_time_and_memory(name, tmp_path):
    path = tmp_path / "bomb.pth"
    path.write_bytes(BOMBS[name])
    start, before = time.process_time(), peak()
    with watched(tmp_path) as events:
        try:
            found = read_checkpoint(path)
            collect_tensors(found)
            list(find_placeholders(found, "Linear"))
            message = "bomb.pth"
        except BadInput as error:
            message = str(error)
    assert time.process_time() - start < 5
    assert peak() - before < 256
    assert "\n" not in message
    assert not events


def test_functions_that_a_pickle_names_are_not_changed(tmp_path):
    (tmp_path / "a.pth").write_bytes(BOMBS["zip: state of a function"])
    read_checkpoint(tmp_path / "a.pth")
    assert not vars(foreign_pickles._rebuild_parameter)


def test_the_same_pickle_within_its_storage_is_read(tmp_path):
    numbers = torch.arange(4.0).numpy().tobytes()
    (tmp_path / "a.pth").write_bytes(zipped(b"\x80\x02" + tensor((3, 2), (1, 1)) + b".", numbers))
    assert read_checkpoint(tmp_path / "a.pth").tolist() == [[0, 1], [1, 2], [2, 3]]


def test_the_names_of_what_exceeds_a_budget_are_said(tmp_path):
    path = tmp_path / "a.pth"
    for name, words in {
        "zip: sets": "more than 500000 operations",
        "zip: classes": "more than 1000 classes",
        "zip: hashed tuples": "tuples of",
        "zip: itself": "contain themselves",
        "zip: dicts": "contain themselves, too many",
        "zip: inflated storage": "far more than the file",
        "zip: inflated pickle": "data.pkl inflates to",
        "zip: expanded": "a tensor spans 4 TiB",
    }.items():
        path.write_bytes(BOMBS[name])
        with pytest.raises(BadInput, match=words):
            read_checkpoint(path)
