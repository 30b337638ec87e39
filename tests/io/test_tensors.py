"""Files of tensors in every format: complete and finite, or refused in one line."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from genscene.errors import BadInput
from genscene.io.tensors import read_tensors, sha256


def write(path, tensors):
    if path.suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})
    elif path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".pth"])
def test_tensors_of_every_format_are_read(ending, tmp_path):
    tensors = {"conv1.weight": torch.rand(2, 3), "steps": torch.arange(3)}
    write(tmp_path / f"w{ending}", tensors)
    found = read_tensors(tmp_path / f"w{ending}")
    assert set(found) == set(tensors)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".pth"])
def test_tensors_that_are_not_finite_are_refused_by_file_and_name(ending, tmp_path):
    nan = torch.tensor([0.0, torch.nan])
    write(tmp_path / f"w{ending}", {"whole": torch.arange(3), "fine": torch.ones(2), "conv1.weight": nan})
    with pytest.raises(
        BadInput, match=rf"w\{ending}: the weights conv1\.weight hold numbers that are not finite"
    ):
        read_tensors(tmp_path / f"w{ending}")


def test_damaged_and_missing_files_are_refused_in_one_line(tmp_path):
    write(tmp_path / "w.npz", {"weight": torch.rand(100)})
    (tmp_path / "torn.npz").write_bytes((tmp_path / "w.npz").read_bytes()[:200])
    (tmp_path / "torn.safetensors").write_bytes(b"12345")
    (tmp_path / "torn.pth").write_bytes(b"12345")
    np.savez(tmp_path / "pickled.npz", weight=np.array([{}], dtype=object))
    for name in ("torn.npz", "torn.safetensors", "torn.pth", "pickled.npz", "none.npz"):
        with pytest.raises(BadInput, match=name) as caught:
            read_tensors(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_file_is_identified_by_its_sha256(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"numbers")
    assert sha256(tmp_path / "w.pth") == hashlib.sha256(b"numbers").hexdigest()
