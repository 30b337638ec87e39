"""Extractors over known networks, with small or random weights: what they see, what they refuse."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

import genscene
from genscene.errors import BadInput
from genscene.metrics import downloads, vgg
from genscene.metrics.cmmd import cmmd
from genscene.metrics.downloads import KNOWN, checked, weights_file
from genscene.metrics.extractors import EXTRACTORS, extractor
from genscene.metrics.inception import Inception, stretched
from genscene.metrics.inception_features import cleaned, inception_features
from genscene.metrics.mobilefacenet import BOTTLENECKS, MobileFaceNet, mobilefacenet_features
from genscene.metrics.precision import full_precision

FACES = Path("../shared/data/weights/mobilefacenet/mobilefacenet_112x96.npz")


def pictures(count=2, size=32):
    return torch.randint(256, (count, 3, size, size), dtype=torch.uint8)


def lively(network):
    """Weights and statistics such that what is seen neither fades nor grows."""
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if tensor.dim() == 4:
            nn.init.kaiming_normal_(tensor)
        elif tensor.is_floating_point():
            low, high = (
                (0.5, 2) if name.rsplit(".")[-1] in ("variance", "gain", "running_var") else (-0.2, 0.2)
            )
            tensor.data.uniform_(low, high)
    return network.eval().requires_grad_(False)


# --- files of weights


def test_a_path_must_exist_and_a_download_be_known(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"numbers")
    assert weights_file("inception", str(tmp_path / "w.pth")) == tmp_path / "w.pth"
    with pytest.raises(BadInput, match=r"no weights of inception at .*none.pth, wanted a file or 'download'"):
        weights_file("inception", tmp_path / "none.pth")
    with pytest.raises(BadInput, match=r"weights of clip cannot be fetched.*known: inception, vgg16"):
        weights_file("clip", "download")


def test_a_file_is_known_by_its_checksum(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(b"numbers")
    digest = hashlib.sha256(b"numbers").hexdigest()
    assert checked(path, digest[:8]) == digest
    with pytest.raises(
        BadInput, match=rf"SHA-256 begins {digest[:8]}, wanted 6726825d \(pt_inception-2015-12-05\)"
    ):
        checked(path, "6726825d")


def test_a_download_is_fetched_once_and_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSCENE_CACHE", str(tmp_path))
    asked = []

    def fetch(url, to, hash_prefix):
        asked.append((url, hash_prefix))
        Path(to).write_bytes(b"whole")

    monkeypatch.setattr(downloads.torch.hub, "download_url_to_file", fetch)
    path = weights_file("vgg16", "download")
    assert path == weights_file("vgg16", "download") == tmp_path / "weights" / "vgg16-397923af.pth"
    assert path.read_bytes() == b"whole"
    assert asked == [(KNOWN["vgg16"].url, "397923af")]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "error", [URLError("no route"), RuntimeError('invalid hash value (expected "6726825d")')]
)
def test_a_download_that_fails_says_so_in_one_line(tmp_path, monkeypatch, error):
    monkeypatch.setenv("GENSCENE_CACHE", str(tmp_path))

    def fetch(url, to, hash_prefix):
        Path(to).write_bytes(b"half")
        raise error

    monkeypatch.setattr(downloads.torch.hub, "download_url_to_file", fetch)
    with pytest.raises(
        BadInput, match=r"could not fetch https://.*6726825d.pth \(.*\): fetch it yourself"
    ) as caught:
        weights_file("inception", "download")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "weights").iterdir())


# --- the door


def test_the_door_names_what_there_is_and_what_is_wanted():
    heavy = {"inception", "inception-clean", "vgg16", "dinov2", "clip", "mobilefacenet"}
    assert set(EXTRACTORS) == {"random", "squeezenet"} | heavy
    with pytest.raises(BadInput, match="no extractor 'incepton'; did you mean 'inception'"):
        extractor("incepton")
    with pytest.raises(BadInput, match="inception wants weights: a file, or download"):
        extractor("inception")
    with pytest.raises(BadInput, match=r"random has no weights, it was given 'x.npz'"):
        extractor("random", "x.npz")
    made = extractor("random")
    assert made(pictures()).shape == (2, made.width)
    for name in ("squeezenet", "vgg16", "mobilefacenet"):
        with pytest.raises(BadInput, match=r"no weights.* at nowhere.npz"):
            extractor(name, "nowhere.npz")


def test_the_door_is_light():
    """No network is imported before it is asked for."""
    code = "import sys, genscene.metrics.extractors; print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(Path(genscene.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    said = done.stdout.split()
    seen = [name for name in said if name.startswith(("genscene.metrics.", "transformers", "huggingface"))]
    assert sorted(seen) == ["genscene.metrics.extractor", "genscene.metrics.extractors"]


def test_full_precision_is_given_back():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    x = torch.rand(4, 4)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            with full_precision(x.device):
                assert not torch.backends.cuda.matmul.allow_tf32
                assert not torch.backends.cudnn.allow_tf32
                assert (x @ x).dtype == torch.float32
            assert (x @ x).dtype == torch.bfloat16
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


# --- Inception


def published_name(name):
    """Our name of a tensor of Inception -> the one in pytorch-fid's file."""
    part = {"gain": "bn.weight", "offset": "bn.bias", "mean": "bn.running_mean", "variance": "bn.running_var"}
    kind, *rest = name.split(".")
    if kind == "logits":
        return f"fc.{rest[0]}"
    ending = part.get(rest[-1], "conv.weight")
    if kind == "stem":
        side = {"3b": "1x1"}.get(rest[0], "3x3")
        return f"Conv2d_{rest[0]}_{side}.{ending}"
    block, _, road, row, place = rest[:5]
    if road in ("1x1", "pool") or (road == "3x3" and block == "6a"):
        return f"Mixed_{block}.branch{'_' if road == 'pool' else ''}{road}.{ending}"
    return f"Mixed_{block}.branch{road}_{place if row == 'line' else f'2{place}'}.{ending}"


@pytest.fixture(scope="module")
def inception_files(tmp_path_factory):
    network = lively(Inception())
    path = tmp_path_factory.mktemp("inception") / "pt_inception.safetensors"
    save_file({published_name(name): tensor for name, tensor in network.state_dict().items()}, path)
    return network, path


def test_inception_without_normalisations_sees_what_the_published_one_sees(inception_files):
    network, path = inception_files
    images = pictures(3, 40)
    found = inception_features(path, published=False)
    seen = network(images)
    features = found(images)
    assert_close(features, seen.pool_2048, rtol=1e-5, atol=1e-5 * float(seen.pool_2048.abs().max()))
    assert seen.pool_2048.std(dim=0).mean() > 0
    assert_close(
        features @ found.head.mT, seen.logits_unbiased, rtol=1e-4, atol=1e-5 * float(seen.logits.abs().max())
    )
    assert found.name == "inception-v3, other weights"
    assert found.weights == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.protocol()["layer"] == "pool3, 2048 wide"
    assert "TensorFlow 1" in found.resize
    assert not [name for name, _ in found.look.named_buffers()]  # no statistics are left


def test_only_the_published_weights_make_an_fid(inception_files):
    with pytest.raises(BadInput, match=r"pt_inception.safetensors: SHA-256 begins \w{8}, wanted 6726825d"):
        inception_features(inception_files[1])
    with pytest.raises(BadInput, match="wanted 6726825d"):
        extractor("inception", str(inception_files[1]))


# --- VGG16


def test_vgg16_is_torchvisions_network(tmp_path, monkeypatch):
    """Beside a row of layers as torchvision numbers them; its ends narrower, or they were half a gigabyte."""
    monkeypatch.setattr(vgg, "WIDTH", 24)
    layers, width = [], 3
    for out in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        layers += [nn.Conv2d(width, out, 3, padding=1), nn.ReLU()] if out else [nn.MaxPool2d(2)]
        width = out or width
    ends = [
        nn.Linear(25088, 24),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(24, 24),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(24, 9),
    ]
    theirs = nn.ModuleDict({"features": nn.Sequential(*layers), "classifier": nn.Sequential(*ends)})
    lively(theirs)
    torch.save(theirs.state_dict(), tmp_path / "vgg16.pth")
    found = vgg.vgg_features(tmp_path / "vgg16.pth")
    images = pictures(1, 50)
    x = stretched(images.float(), 224) / 255
    x = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    wanted = theirs["classifier"][:5](theirs["features"](x).flatten(1))
    assert_close(found(images), wanted, rtol=1e-4, atol=1e-4 * float(wanted.max()))
    assert 0 < int((wanted > 0).sum()) < 24
    assert found.layer == "fc2, rectified"
    assert "other weights" in found.remark
    torch.save(
        {name: t for name, t in theirs.state_dict().items() if name != "features.5.bias"},
        tmp_path / "cut.pth",
    )
    with pytest.raises(
        BadInput, match=r"cut.pth: .* 1 of our tensors unfilled, first convolutions.layers.5.bias"
    ):
        vgg.vgg_features(tmp_path / "cut.pth")


def test_vgg16_has_the_size_of_the_paper():
    with torch.device("meta"):
        network = vgg.VGG16()
    assert sum(p.numel() for p in network.parameters()) == 138_357_544 - 4097 * 1000  # all but the last layer
    assert network.classifier["3"].out_features == vgg.WIDTH == 4096


# --- CMMD


def test_cmmd_is_the_distance_of_the_paper(monkeypatch):
    monkeypatch.setattr("genscene.metrics.cmmd.ROWS", 7)  # several blocks, the last one smaller
    a, b = (nn.functional.normalize(torch.randn(count, 12) + at) for count, at in ((25, 0.0), (18, 0.5)))

    def mean(x, y):
        return torch.exp(-torch.cdist(x.double(), y.double()).square() / 200).mean()

    wanted = 1000 * float(mean(a, a) + mean(b, b) - 2 * mean(a, b))
    assert cmmd(a, b) == pytest.approx(wanted, rel=1e-6)
    assert cmmd(b, a) == pytest.approx(wanted, rel=1e-6)
    assert wanted > 1
    assert cmmd(a, a.clone()) == pytest.approx(0, abs=1e-9)
    assert 0 <= cmmd(a, a + 0.01) < cmmd(a, b)
    with pytest.raises(BadInput, match=r"CMMD of features \[25, 12\] and \[18, 11\]"):
        cmmd(a, b[:, :11])


# --- MobileFaceNet


@pytest.fixture
def faces():
    if not FACES.is_file():
        pytest.skip(f"needs {FACES}")
    return mobilefacenet_features(FACES)


def test_mobilefacenet_has_the_table_of_the_paper():
    network = MobileFaceNet()
    assert len(network.blocks) == sum(count for _, _, count, _ in BOTTLENECKS) == 15
    assert 0.9e6 < sum(p.numel() for p in network.parameters()) < 1.1e6  # 0.99 million in table 2
    assert [b.added for b in network.blocks] == [False, *[True] * 4, False, *[True] * 6, False, *[True] * 2]


def test_a_file_of_other_weights_is_refused(tmp_path):
    np.savez(tmp_path / "faces.npz", **{"conv1.conv.weight": np.zeros((64, 3, 3, 3), np.float32)})
    with pytest.raises(BadInput, match=r"faces.npz: the checkpoint leaves \d+ of our tensors unfilled"):
        mobilefacenet_features(tmp_path / "faces.npz")
    np.savez(tmp_path / "faces.npz", **{"conv1.relu.weight": np.zeros(64, np.float32)})
    with pytest.raises(BadInput, match=r"no rule for the tensor conv1.relu.weight"):
        mobilefacenet_features(tmp_path / "faces.npz")


def test_a_picture_shifted_or_noisy_is_still_the_same_face(faces):
    coarse = nn.functional.interpolate(torch.rand(6, 3, 9, 9) * 255, (64, 56), mode="bicubic").clamp(0, 255)
    shown = coarse.to(torch.uint8)
    embeddings = faces(shown)
    assert embeddings.shape == (6, faces.width)
    assert_close(embeddings.norm(dim=1), torch.ones(6))
    others = (embeddings @ embeddings.mT - 2 * torch.eye(6)).amax(dim=1)
    noisy = (coarse + 8 * torch.randn(coarse.shape)).clamp(0, 255).to(torch.uint8)
    for changed in (noisy, shown.roll(1, dims=-1), shown.roll(-1, dims=-2)):
        alike = (faces(changed) * embeddings).sum(dim=1)
        assert (alike > others).all()
    assert_close(faces(shown[:1]), embeddings[:1], rtol=1e-4, atol=1e-5)


def test_clean_pictures_are_smoothed_when_they_shrink():
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 255.0
    made = cleaned(board.expand(1, 3, 64, 64), 16)
    assert (made - 127.5).abs().max() < 8  # the other way sees every fourth pixel: all of one colour
    assert (stretched(board.expand(1, 3, 64, 64), 16) - 127.5).abs().min() > 100
    flat = torch.full((2, 3, 20, 30), 7.0)
    assert_close(cleaned(flat, 16), torch.full((2, 3, 16, 16), 7.0))
