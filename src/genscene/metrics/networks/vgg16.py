"""VGG16 (Simonyan & Zisserman 2015): a backbone of LPIPS, and the features of precision and recall.

The extractor resizes, and takes fc2 after its rectifier, as torch-fidelity does, with torchvision's weights.
StyleGAN3's network is a pickled program, which is not run here: its numbers may differ.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from genscene.metrics.networks.backbone import Backbone
from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.networks.inception import resize_tensorflow
from genscene.metrics.networks.weights import SAME_NAMES, identify, load_weights, weights_file

SIDE, WIDTH = 224, 4096
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green, blue in [0, 1]
# Table 1, column D: channels of the 3x3 convolutions between poolings
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def convolutions() -> list[nn.Module]:
    """Its convolutions, rectifiers and poolings, in torchvision's order."""
    layers: list[nn.Module] = []
    in_channels = 3
    for widths in STAGES:
        for width in widths:
            layers += [nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU()]
            in_channels = width
        layers.append(nn.MaxPool2d(2))
    return layers


def vgg16_backbone() -> Backbone:
    """VGG16 up to its last convolution; returns the five outputs before a pooling."""
    channels = {3: 64, 8: 128, 15: 256, 22: 512, 29: 512}
    return Backbone("VGG16", "vgg", convolutions()[:-1], channels, least=16)


class VGG16(nn.Module):
    """VGG16 up to its second fully connected layer, fc2."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*convolutions())
        inputs, relu = STAGES[-1][-1] * (SIDE // 2 ** len(STAGES)) ** 2, nn.ReLU(inplace=True)
        last = nn.Linear(WIDTH, WIDTH)
        self.classifier = nn.Sequential(nn.Linear(inputs, WIDTH), relu, nn.Identity(), last, relu)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] of any size, 0 to 255 -> fc2 after its rectifier [B, 4096]."""
        x = resize_tensorflow(images.float(), SIDE) / 255
        mean, std = (x.new_tensor(numbers)[:, None, None] for numbers in (MEAN, STD))
        return self.classifier(self.features((x - mean) / std).flatten(1))


def vgg16_features(given: str | Path) -> Extractor:
    """Extractor of fc2 with torchvision's weights at a path or "download"."""
    path = weights_file("vgg16", given)
    with torch.device("meta"):  # half a gigabyte that need not be initialized
        network = VGG16()
    digest, published = identify("vgg16", path)
    return Extractor(
        compute=load_weights(network, path, ((r"classifier\.6\.\w+", None), *SAME_NAMES)),
        name="vgg16",
        weights=digest,
        layer="fc2, rectified",
        width=WIDTH,
        resize=f"bilinear as TensorFlow 1, not antialiased, to {SIDE}x{SIDE}",
        remark="" if published else "other weights than torchvision's: no match for published numbers",
    )
