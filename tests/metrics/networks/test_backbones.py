"""SqueezeNet and VGG16 as extractors: compared with their layers, at any size of images."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import interpolate
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.io.tensors import sha256
from genscene.metrics.networks import backbones
from genscene.metrics.networks.backbones import (
    LARGEST,
    SMALLEST,
    alexnet,
    load_backbone,
    squeezenet,
    squeezenet_features,
    vgg16_features,
    vgg16_to_fc2,
)
from genscene.metrics.networks.inception import resize_tensorflow

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


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
        wanted = extractor.compute(images / 255)[-1].mean((2, 3))
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
            assert_close(extractor(images), extractor.compute(x)[-1].mean((2, 3)))
    with pytest.raises(BadInput, match=r"torch\.float32"):
        extractor(torch.zeros(1, 3, 32, 32))
    with pytest.raises(BadInput, match=r"none\.npz"):
        squeezenet_features("none.npz")


def test_weights_of_both_lineages_fill_the_same_tensors(path, tmp_path):
    caffe = load_backbone(path)
    save_file(caffe.state_dict(), tmp_path / "torchvision.safetensors")
    torchvision = load_backbone(tmp_path / "torchvision.safetensors")
    for name, tensor in caffe.state_dict().items():
        assert torch.equal(torchvision.state_dict()[name], tensor)
    assert (caffe.lineage, torchvision.lineage) == ("Caffe", "torchvision")
    assert "torchvision lineage" in squeezenet_features(tmp_path / "torchvision.safetensors").remark


def test_weights_of_another_backbone_are_rejected(tmp_path):
    save_file(alexnet().state_dict(), tmp_path / "alex.safetensors")
    with pytest.raises(
        BadInput, match=r"alex.safetensors holds weights of AlexNet, wanted those of SqueezeNet"
    ):
        squeezenet_features(tmp_path / "alex.safetensors")


def torchvision_network(width):
    """torchvision's layers, fully connected ones of another width: they would have half a gigabyte."""
    layers, channels = [], 3
    for out in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU()] if out else [nn.MaxPool2d(2)]
        channels = out or channels
    last = [
        nn.Linear(25088, width),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Dropout(),
    ]
    classifier = nn.Sequential(*last, nn.Linear(width, 9))
    network = nn.ModuleDict({"features": nn.Sequential(*layers), "classifier": classifier})
    for parameter in network.parameters():
        if parameter.dim() == 4:
            nn.init.kaiming_normal_(parameter)
        else:
            parameter.data.uniform_(-0.2, 0.2)
    return network.eval().requires_grad_(False)


def test_vgg16_computes_the_features_of_torchvisions_network(tmp_path, monkeypatch):
    monkeypatch.setattr(backbones, "VGG16_WIDTH", 24)
    network = torchvision_network(24)
    torch.save(network.state_dict(), tmp_path / "vgg16.pth")
    extractor = vgg16_features(tmp_path / "vgg16.pth")
    images = torch.randint(256, (1, 3, 50, 50), dtype=torch.uint8)
    x = (resize_tensorflow(images.float(), 224) / 255 - MEAN[:, None, None]) / STD[:, None, None]
    wanted = network["classifier"][:5](network["features"](x).flatten(1))
    assert_close(extractor(images), wanted, rtol=1e-4, atol=1e-4 * float(wanted.max()))
    assert 0 < int((wanted > 0).sum()) < 24
    assert extractor.layer == "fc2, rectified"
    assert "other weights" in extractor.remark
    state = network.state_dict()
    del state["features.5.bias"]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(BadInput, match=r"cut.pth: .* 1 of our tensors unfilled, first features.5.bias"):
        vgg16_features(tmp_path / "cut.pth")


def test_vgg16_has_the_size_of_the_paper():
    with torch.device("meta"):
        network = vgg16_to_fc2()
    assert sum(p.numel() for p in network.parameters()) == 138_357_544 - 4097 * 1000  # without the last layer
    assert network.classifier[3].out_features == backbones.VGG16_WIDTH == 4096
