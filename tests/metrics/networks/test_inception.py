"""Inception with random weights compared with the published network, which has batch normalizations."""

import hashlib
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.metrics.networks import build_extractor
from genscene.metrics.networks.inception import (
    EPSILON,
    Inception,
    inception_clean_features,
    inception_features,
    resize_clean,
    resize_tensorflow,
)


def published_network():
    """The network as published: each convolution without bias, followed by a batch normalization."""
    network = Inception()
    for name, layer in [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d)]:
        shape = (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)
        conv, bn = nn.Conv2d(*shape, bias=False), nn.BatchNorm2d(layer.out_channels, eps=EPSILON)
        nn.init.kaiming_normal_(conv.weight)
        for tensor in (bn.weight.data, bn.running_var):
            tensor.uniform_(0.5, 2)
        for tensor in (bn.bias.data, bn.running_mean):
            tensor.uniform_(-0.2, 0.2)
        owner, _, key = name.rpartition(".")
        setattr(
            network.get_submodule(owner), key, nn.Sequential(OrderedDict(conv=conv, bn=bn, relu=nn.ReLU()))
        )
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The published network and its file."""
    network = published_network()
    path = tmp_path_factory.mktemp("inception") / "pt_inception.safetensors"
    save_file({name.removeprefix("layers."): tensor for name, tensor in network.state_dict().items()}, path)
    return network, path


def test_folded_inception_computes_the_features_of_the_published_network(published):
    network, path = published
    images = torch.randint(256, (3, 3, 40, 40), dtype=torch.uint8)
    extractor = inception_features(path, published=False)
    prepared = extractor.prepare(images)
    wanted, found = network(prepared), extractor.compute(prepared)
    assert list(wanted) == ["64", "192", "768", "2048", "logits_unbiased", "logits"]
    for name, tensor in wanted.items():
        assert tensor.std(dim=0).mean() > 0
        assert_close(found[name], tensor, rtol=1e-5, atol=1e-5 * float(tensor.abs().max()))
    features = extractor(images)
    assert torch.equal(features, found["2048"])
    logits = features @ extractor.head.mT
    assert_close(
        logits, wanted["logits_unbiased"], rtol=1e-4, atol=1e-5 * float(wanted["logits"].abs().max())
    )
    assert extractor.name == "inception-v3, other weights"
    assert extractor.weights == hashlib.sha256(path.read_bytes()).hexdigest()
    assert extractor.protocol()["layer"] == "pool3, 2048 wide"
    assert "TensorFlow 1" in extractor.resize
    assert not [name for name, _ in extractor.compute.named_buffers()]  # no statistics are left


def test_fid_needs_the_published_weights(published):
    with pytest.raises(BadInput, match=r"pt_inception.safetensors: SHA-256 begins \w{8}, wanted 6726825d"):
        inception_features(published[1])
    with pytest.raises(BadInput, match="wanted 6726825d"):
        build_extractor("inception", str(published[1]))


def test_inception_rejects_weights_of_another_network(tmp_path, published):
    torch.save({"fc.weight": torch.zeros(1000, 2048)}, tmp_path / "other.pth")
    torch.save({"fc.weight": torch.zeros(1008, 2048)}, tmp_path / "part.pth")
    stem = {"Conv2d_1a_3x3.conv.weight": torch.zeros(32, 3, 3, 3), "Conv2d_1a_3x3.bn.weight": torch.zeros(31)}
    torch.save(stem, tmp_path / "stem.pth")
    for name in ("other.pth", "part.pth", "stem.pth", "none.pth"):
        with pytest.raises(BadInput, match=name):
            inception_features(tmp_path / name, published=False)


def test_inception_has_the_tensors_of_its_file(published):
    state = published[0].state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == 23_885_486
    assert len(state) == 566
    network, images = Inception(classes=7).requires_grad_(False), torch.rand(1, 3, 120, 120)
    assert network(images)["logits"].shape == (1, 7)
    assert torch.equal(network.train()(images)["2048"], network.eval()(images)["2048"])


def test_images_are_prepared_as_by_torch_fidelity_or_clean_fid(published):
    images = torch.randint(0, 256, (1, 3, 20, 30), dtype=torch.uint8)
    extractors = (inception_features, inception_clean_features)
    for build, resize in zip(extractors, (resize_tensorflow, resize_clean), strict=True):
        prepared = build(published[1], published=False).prepare(images)
        assert_close(prepared, (resize(images.float(), 299) - 128) / 128)


def test_images_are_resized_as_by_tensorflow_1():
    ramp = torch.arange(4.0).expand(1, 3, 5, 4)
    resized = resize_tensorflow(ramp, 8)
    # half-pixel centers would give 0, 0.25, ...
    assert_close(resized[0, 0, 0], torch.tensor([0, 0.5, 1, 1.5, 2, 2.5, 3, 3]))
    image = torch.rand(1, 3, 9, 9)
    assert torch.equal(resize_tensorflow(image, 9), image)
    assert_close(resize_tensorflow(image, 3), image[..., ::3, ::3])  # not antialiased


def test_clean_resizing_is_antialiased():
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 255.0
    resized = resize_clean(board.expand(1, 3, 64, 64), 16)
    assert (resized - 127.5).abs().max() < 8
    # TensorFlow's samples every fourth pixel, all of one color
    assert (resize_tensorflow(board.expand(1, 3, 64, 64), 16) - 127.5).abs().min() > 100
    flat = torch.full((2, 3, 20, 30), 7.0)
    assert_close(resize_clean(flat, 16), torch.full((2, 3, 16, 16), 7.0))
