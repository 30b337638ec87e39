"""SqueezeNet as an extractor: pooled features of images of any size."""

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import interpolate
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.metrics.networks.squeezenet import (
    LARGEST,
    SMALLEST,
    load_squeezenet,
    squeezenet,
    squeezenet_features,
)
from genscene.metrics.networks.weights import sha256


@pytest.fixture
def path(tmp_path):
    """Random weights under Caffe's names."""
    fires = dict(zip((3, 4, 6, 7, 9, 10, 11, 12), range(2, 10), strict=True))
    named = {}
    for name, tensor in squeezenet().state_dict().items():
        _, layer, *part, kind = name.split(".")
        part = "".join(part).replace("squeeze", "squeeze1x1")
        named[f"fire{fires[int(layer)]}/{part}.{kind}" if part else f"conv1.{kind}"] = tensor
    save_file(named, tmp_path / "squeezenet.safetensors")
    return tmp_path / "squeezenet.safetensors"


def random_images(count, height, width):
    return torch.randint(256, (count, 3, height, width), dtype=torch.uint8)


def test_squeezenet_averages_its_last_features(path):
    extractor, images = squeezenet_features(path), random_images(3, 80, 96)
    with torch.no_grad():
        wanted = extractor.compute.backbone(images / 255)[-1].mean((2, 3))
    assert_close(extractor(images), wanted)
    assert_close(torch.cat([extractor(one) for one in images.split(1)]), wanted, atol=1e-5, rtol=1e-5)
    assert (extractor.width, extractor.weights) == (512, sha256(path))
    assert "Caffe lineage" in extractor.remark


def test_small_and_large_images_are_resized_to_stated_sizes(path):
    extractor = squeezenet_features(path)
    for size, resized in (((16, 30), (SMALLEST, SMALLEST)), ((300, 100), (LARGEST, 100))):
        images = random_images(2, *size)
        x = interpolate(images / 255, resized, mode="bilinear", antialias=True)
        with torch.no_grad():
            assert_close(extractor(images), extractor.compute.backbone(x)[-1].mean((2, 3)))
    with pytest.raises(BadInput, match=r"torch\.float32"):
        extractor(torch.zeros(1, 3, 32, 32))
    with pytest.raises(BadInput, match=r"none\.npz"):
        squeezenet_features("none.npz")


def test_weights_of_both_lineages_fill_the_same_tensors(path, tmp_path):
    caffe = load_squeezenet(path)
    save_file(caffe.state_dict(), tmp_path / "torchvision.safetensors")
    torchvision = load_squeezenet(tmp_path / "torchvision.safetensors")
    for name, tensor in caffe.state_dict().items():
        assert torch.equal(torchvision.state_dict()[name], tensor)
    assert caffe.normalization != torchvision.normalization
    assert "torchvision lineage" in squeezenet_features(tmp_path / "torchvision.safetensors").remark
