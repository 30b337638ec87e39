"""Foreign checkpoints: read without executing them, renamed without a gap."""

import collections
import os
import pickle
import zipfile

import pytest
import torch
from torch import nn

from genscene.errors import BadInput
from genscene.io.foreign_pickles import Placeholder, collect_tensors, find_placeholders, read_checkpoint
from genscene.io.rename import rename


class Bomb:
    """Runs a command when unpickled in the usual way."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def network():
    torch.manual_seed(1)
    return nn.Sequential(
        collections.OrderedDict(first=nn.Linear(3, 4), norm=nn.BatchNorm1d(4), last=nn.Linear(4, 2))
    )


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_modules_state_dicts_and_lists_are_read(tmp_path, zipped):
    net, path = network(), tmp_path / "net.pth"
    shared = torch.arange(12.0).view(3, 4)
    stored = {
        "net": net,
        "dict": net.state_dict(),
        "list": [shared.t(), shared[1:]],
        "half": shared.half(),
        "step": 7,
    }
    torch.save(stored, path, _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(path)
    assert found["step"] == 7
    assert isinstance(found["net"], Placeholder)
    assert (found["net"].module, found["net"].name) == ("torch.nn.modules.container", "Sequential")
    for part in ("net", "dict"):
        named = collect_tensors(found[part])
        assert list(named) == list(net.state_dict())
        assert all(torch.equal(named[n], value) for n, value in net.state_dict().items())
    assert torch.equal(found["list"][0], shared.t())
    assert torch.equal(found["list"][1], shared[1:])
    assert found["half"].dtype == torch.float16


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_nothing_in_a_checkpoint_is_executed(tmp_path, zipped):
    mark, path = tmp_path / "mark", tmp_path / "bomb.pth"
    torch.save({"bomb": Bomb(mark), "good": torch.ones(2)}, path, _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(path)
    assert torch.equal(found["good"], torch.ones(2))
    assert not mark.exists()
    torch.load(path, weights_only=False)  # this does execute it
    assert mark.exists()


def test_placeholders_store_arguments_and_state_only():
    made = Placeholder(1, 2, key=3)
    made["a"] = 1
    made.append(2)
    made.extend([3])
    made.__setstate__({"x": 1})
    assert made.arguments == (1, 2)
    assert made.attributes == {"x": 1}
    assert made(5) is made


def test_placeholders_are_found_by_name(tmp_path):
    torch.save(network(), tmp_path / "net.pth")
    found = read_checkpoint(tmp_path / "net.pth")
    assert len(list(find_placeholders(found, "Linear"))) == 2
    assert not list(find_placeholders(found, "Conv2d"))


@pytest.mark.parametrize("damage", ["missing", "text", "empty", "zip", "cut", "plain pickle"])
def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(tmp_path, damage):
    path = tmp_path / "net.pth"
    torch.save(network(), path)
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "hello")
    else:
        path.write_bytes(
            {"text": b"hello", "empty": b"", "cut": whole[:700], "plain pickle": pickle.dumps([1])}[damage]
        )
    with pytest.raises(BadInput, match=r"net\.pth") as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)


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
