"""AlexNet, VGG16, SqueezeNet under torchvision's names: backbones of LPIPS, two of them also extractors."""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import Conv2d, MaxPool2d, ReLU
from torch.nn.functional import interpolate, relu

from genscene.errors import BadInput
from genscene.io.rename import Rules
from genscene.io.tensors import read_tensors, sha256
from genscene.metrics.networks.extractor import Extractor, standardize
from genscene.metrics.networks.inception import resize_tensorflow
from genscene.metrics.networks.weights import SAME_NAMES, find_weights, load_weights

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green, blue in [0, 1]
SMALLEST, LARGEST = 64, 224  # sides of SqueezeNet's input: 3 x 3 features to average; of training
# of VGG16's input in pixels; of fc2. StyleGAN3's VGG16 is a pickled program, not run here: others may result
VGG16_SIDE, VGG16_WIDTH = 224, 4096
CAFFE, TORCHVISION = "Caffe", "torchvision"  # lineages of weights; they differ in the input normalization
OTHER = "not those the linear layers were trained on: LPIPS-like, no match for published numbers"
REMARKS = {  # on LPIPS by weights of a lineage
    CAFFE: f"Caffe's weights, {OTHER}",
    TORCHVISION: "torchvision's weights, on which the linear layers were trained",
}
FIRES = zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True)  # number, torchvision's layer
RULES: Rules = (
    (r"(features\..+)", r"\1"),
    (r"(?:classifier|conv10)\..+", None),
    (r"conv1\.(\w+)", r"features.0.\1"),  # this and the following: Caffe's names of SqueezeNet
    *((rf"fire{n}/(\w+?)(?:(?<=squeeze)1x1)?\.(\w+)", rf"features.{to}.\1.\2") for n, to in FIRES),
)


class Backbone(nn.Module):
    """Layers in sequence, of which some outputs are returned."""

    def __init__(
        self,
        name: str,
        short: str,  # prefix in LPIPS's file of the linear layers of all backbones
        layers: list[nn.Module],
        channels: Mapping[int, int],  # index of a layer whose output is returned -> its channels
        least: int,  # side in pixels that leaves something after the last pooling
        lineage: str = TORCHVISION,
    ) -> None:
        super().__init__()
        self.name, self.short, self.least, self.lineage = name, short, least, lineage
        self.features, self.remark = nn.Sequential(*layers), REMARKS[lineage]
        self.returned, self.widths = tuple(channels), tuple(channels.values())

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, H, W] in [0, 1] -> features [B, C, H', W'] of the returned layers."""
        if min(images.shape[-2:]) < self.least:
            size = "x".join(map(str, images.shape[-2:]))
            raise BadInput(f"{self.name}: images of {size} pixels, wanted sides of at least {self.least}")
        x, features = normalize(images, self.lineage), []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.returned:
                features.append(x)
        return features


def normalize(images: Tensor, lineage: str) -> Tensor:
    """Images [B, 3, H, W] in [0, 1] -> network input [B, 3, H, W] for weights of a lineage."""
    if lineage == CAFFE:
        mean = images.new_tensor((104 / 255, 117 / 255, 123 / 255))[:, None, None]
        return (images[:, [2, 1, 0]] - mean) * 255
    # LPIPS's code subtracts -.030 -.088 -.188 from images in [-1, 1] and divides by .458 .448 .450
    mean, gain = (images.new_tensor(x)[:, None, None] for x in (MEAN, (2 / 0.458, 2 / 0.448, 2 / 0.450)))
    return (images - mean) * gain


def alexnet() -> Backbone:
    """AlexNet (Krizhevsky 2014, "one weird trick"); returns the outputs of its five rectifiers."""
    layers = [
        *(Conv2d(3, 64, 11, stride=4, padding=2), ReLU(), MaxPool2d(3, stride=2)),
        *(Conv2d(64, 192, 5, padding=2), ReLU(), MaxPool2d(3, stride=2)),
        *(Conv2d(192, 384, 3, padding=1), ReLU()),
        *(Conv2d(384, 256, 3, padding=1), ReLU()),
        *(Conv2d(256, 256, 3, padding=1), ReLU()),
    ]
    return Backbone("AlexNet", "alex", layers, {1: 64, 4: 192, 7: 384, 9: 256, 11: 256}, least=31)


def vgg16() -> Backbone:
    """VGG16 up to its last convolution; returns the five outputs before a pooling."""
    return Backbone("VGG16", "vgg", vgg16_layers()[:-1], {3: 64, 8: 128, 15: 256, 22: 512, 29: 512}, least=16)


def vgg16_layers() -> list[nn.Module]:
    """VGG16's convolutions, rectifiers and poolings (Simonyan & Zisserman 2015, table 1, column D)."""
    layers, channels = list[nn.Module](), 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):  # 0: pool
        layers += [Conv2d(channels, width, 3, padding=1), ReLU()] if width else [MaxPool2d(2)]
        channels = width or channels
    return layers


class Fire(nn.Module):
    """SqueezeNet's fire module (fig. 1): 1x1 to few channels, then 1x1 and 3x3 to eight times as many."""

    def __init__(self, in_channels: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze = Conv2d(in_channels, squeezed, 1)
        self.expand1x1 = Conv2d(squeezed, 4 * squeezed, 1)
        self.expand3x3 = Conv2d(squeezed, 4 * squeezed, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 8 squeezed, H, W]."""
        x = relu(self.squeeze(x))
        return relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


def squeezenet(lineage: str = CAFFE) -> Backbone:
    """SqueezeNet 1.1 (Iandola et al. 2016); returns the outputs of conv1 and fire 3, 5, 6, 7, 8, 9."""
    pool = MaxPool2d(3, stride=2, ceil_mode=True)
    layers = [
        *(Conv2d(3, 64, 3, stride=2), ReLU(), pool),
        *(Fire(64, 16), Fire(128, 16), pool, Fire(128, 32), Fire(256, 32), pool),
        *(Fire(256, 48), Fire(384, 48), Fire(384, 64), Fire(512, 64)),
    ]
    channels = {1: 64, 4: 128, 7: 256, 9: 384, 10: 384, 11: 512, 12: 512}
    return Backbone("SqueezeNet", "squeeze", layers, channels, 17, lineage)


def load_backbone(path: str | Path) -> Backbone:
    """The backbone whose weights a file holds, recognized by the names of its convolutions."""
    found = read_tensors(path)
    if "features.28.weight" in found:
        network = vgg16()
    elif "features.10.weight" in found:
        network = alexnet()
    else:
        network = squeezenet(TORCHVISION if any(name.startswith("features.") for name in found) else CAFFE)
    return load_weights(network, path, RULES, found)


def squeezenet_features(path: str | Path) -> Extractor:
    """Extractor of SqueezeNet's averaged last features with the weights of a file."""

    def prepare(images: Tensor) -> Tensor:
        size = [min(max(side, SMALLEST), LARGEST) for side in images.shape[-2:]]
        return interpolate(images.float() / 255, size, mode="bilinear", antialias=True)

    def finish(features: list[Tensor]) -> Tensor:
        return features[-1].mean(dim=(2, 3))

    backbone, name = load_backbone(path), "squeezenet-1.1"
    if backbone.short != "squeeze":
        raise BadInput(f"{path} holds weights of {backbone.name}, wanted those of SqueezeNet")
    lineage, layer = backbone.lineage, "fire9 averaged over space"
    resize = f"sides below {SMALLEST} or above {LARGEST} brought to these, bilinear, antialiased"
    remark = f"SqueezeNet's weights of {lineage} lineage: compare with numbers of the same file alone"
    return Extractor(name, sha256(path), layer, 512, resize, backbone, None, remark, prepare, finish)


def vgg16_to_fc2() -> nn.Sequential:
    """VGG16 up to the rectifier of its second fully connected layer, [B, 3, 224, 224] -> [B, 4096]."""
    first, second = nn.Linear(512 * (VGG16_SIDE // 32) ** 2, VGG16_WIDTH), nn.Linear(VGG16_WIDTH, VGG16_WIDTH)
    layers = OrderedDict[str, nn.Module](features=nn.Sequential(*vgg16_layers()), flatten=nn.Flatten())
    layers["classifier"] = nn.Sequential(first, ReLU(), nn.Identity(), second, ReLU())
    return nn.Sequential(layers)


def vgg16_features(given: str | Path) -> Extractor:
    """Extractor of fc2, resized as by torch-fidelity, with torchvision's weights at a path or "download"."""

    def prepare(images: Tensor) -> Tensor:
        return standardize(resize_tensorflow(images.float(), VGG16_SIDE) / 255, MEAN, STD)

    path, digest, published = find_weights("vgg16", given)
    with torch.device("meta"):  # half a gigabyte that need not be initialized
        network = vgg16_to_fc2()
    load_weights(network, path, ((r"classifier\.6\.\w+", None), *SAME_NAMES))
    resize = f"bilinear as TensorFlow 1, not antialiased, to {VGG16_SIDE}x{VGG16_SIDE}"
    remark = "" if published else "other weights than torchvision's: no match for published numbers"
    return Extractor("vgg16", digest, "fc2, rectified", VGG16_WIDTH, resize, network, None, remark, prepare)
