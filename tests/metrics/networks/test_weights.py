"""Weight files: paths, downloads, checksums, and loading tensor by tensor."""

import hashlib
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn

from genscene.errors import BadInput
from genscene.metrics.networks import weights
from genscene.metrics.networks.weights import PUBLISHED, find_weights, load_weights


def test_a_path_must_exist(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"numbers")
    assert find_weights("inception", str(tmp_path / "w.pth"))[0] == tmp_path / "w.pth"
    with pytest.raises(BadInput, match=r"no weights of inception at .*none.pth, wanted a file or 'download'"):
        find_weights("inception", tmp_path / "none.pth")


def test_a_published_file_is_recognized_by_its_sha256(tmp_path, monkeypatch):
    path = tmp_path / "w.pth"
    path.write_bytes(b"numbers")
    digest = hashlib.sha256(b"numbers").hexdigest()
    assert find_weights("vgg16", path) == (path, digest, False)
    monkeypatch.setitem(PUBLISHED, "vgg16", ("https://example.org/vgg16.pth", digest[:8]))
    assert find_weights("vgg16", path) == (path, digest, True)


def test_a_download_is_fetched_once_and_completely_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSCENE_CACHE", str(tmp_path))
    requests = []

    def fetch(url, to, hash_prefix):
        requests.append((url, hash_prefix))
        Path(to).write_bytes(b"whole")

    monkeypatch.setattr(weights.torch.hub, "download_url_to_file", fetch)
    path, _, _ = find_weights("vgg16", "download")
    assert path == find_weights("vgg16", "download")[0] == tmp_path / "weights" / "vgg16-397923af.pth"
    assert path.read_bytes() == b"whole"
    assert requests == [PUBLISHED["vgg16"]]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "error", [URLError("no route"), RuntimeError('invalid hash value (expected "6726825d")')]
)
def test_a_download_that_fails_is_one_line(tmp_path, monkeypatch, error):
    monkeypatch.setenv("GENSCENE_CACHE", str(tmp_path))

    def fetch(url, to, hash_prefix):
        Path(to).write_bytes(b"half")
        raise error

    monkeypatch.setattr(weights.torch.hub, "download_url_to_file", fetch)
    with pytest.raises(BadInput, match=r"could not fetch https://.*6726825d.pth \(.*\): fetch it") as caught:
        find_weights("inception", "download")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "weights").iterdir())


def test_loaded_networks_are_frozen_and_keep_their_dtype(tmp_path):
    np.savez(tmp_path / "w.npz", weight=np.ones((2, 3), np.float16), bias=np.zeros(2, np.float64))
    network = load_weights(nn.Sequential(nn.Linear(3, 2)), tmp_path / "w.npz", ((r"(\w+)", r"0.\1"),))
    assert not network.training
    assert [(p.dtype, p.requires_grad) for p in network.parameters()] == [(torch.float32, False)] * 2
    assert network(torch.ones(1, 3)).tolist() == [[3, 3]]
    with pytest.raises(BadInput, match=r"w.npz: bias has shape \(2,\), bias wants \(4,\)"):
        load_weights(
            nn.BatchNorm1d(4, track_running_stats=False),
            tmp_path / "w.npz",
            ((r"weight", None), (r"(bias)", r"\1")),
        )
