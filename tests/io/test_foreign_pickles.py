"""Foreign checkpoints are read without executing them."""

import collections
import os
import pickle
import zipfile

import pytest
import torch
from torch import nn

from genscene.errors import BadInput
from genscene.io.foreign_pickles import collect_tensors, find_placeholders, read_checkpoint
from genscene.io.unpickler import Placeholder


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
