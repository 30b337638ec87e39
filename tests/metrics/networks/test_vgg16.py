"""VGG16 with random weights compared with torchvision's layers."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.metrics.networks import vgg16
from genscene.metrics.networks.inception import resize_tensorflow

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


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
    monkeypatch.setattr(vgg16, "WIDTH", 24)
    network = torchvision_network(24)
    torch.save(network.state_dict(), tmp_path / "vgg16.pth")
    extractor = vgg16.vgg16_features(tmp_path / "vgg16.pth")
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
        vgg16.vgg16_features(tmp_path / "cut.pth")


def test_vgg16_has_the_size_of_the_paper():
    with torch.device("meta"):
        network = vgg16.VGG16()
    assert sum(p.numel() for p in network.parameters()) == 138_357_544 - 4097 * 1000  # without the last layer
    assert network.classifier[3].out_features == vgg16.WIDTH == 4096
