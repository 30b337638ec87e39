"""VGG16 (Simonyan & Zisserman 2015) up to its second fully connected layer, what precision and recall look at.

The pictures are brought to its size and its layer is rectified as torch-fidelity does it, with torchvision's weights;
StyleGAN3's network is a pickle, which is not run here: its numbers may differ.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from genscene.io.rename import Rules
from genscene.metrics.backbone import TORCHVISION
from genscene.metrics.downloads import KNOWN, weights_file
from genscene.metrics.extractor import Extractor
from genscene.metrics.inception import stretched
from genscene.metrics.precision import full_precision
from genscene.metrics.weights import fitted, read, sha256

SIDE, WIDTH = 224, 4096
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, red, green and blue in [0, 1]
# Table 1, column D: channels of the convolutions 3 x 3 between two poolings
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
RULES: Rules = (
    (r"classifier\.6\.\w+", None),
    (r"features\.(.+)", r"convolutions.layers.\1"),
    (r"(classifier\..+)", r"\1"),
)
BACKBONE: Rules = ((r"features\.(.+)", r"layers.\1"), (r"classifier\..+", None))
LAST = "features.28.weight"  # by this torchvision's file of it is known
SMALLEST = 16  # pixels a side, so that something is left after four poolings


class Convolutions(nn.Module):
    """Its convolutions as LPIPS looks through them: pictures [B, 3, H, W] in [0, 1] -> five features [B, C, H', W']."""

    name, short = "VGG16", "vgg"
    widths = tuple(widths[-1] for widths in STAGES)
    remark = TORCHVISION.remark

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.starts = nn.ModuleDict(), []  # names: places in torchvision's row of layers
        place, came_in = 0, 3
        for widths in STAGES:
            self.starts.append(str(place))
            for width in widths:
                self.layers[str(place)] = nn.Conv2d(came_in, width, 3, padding=1)
                place, came_in = place + 2, width  # a rectifier behind each
            place += 1  # the pooling

    def forward(self, images: Tensor) -> list[Tensor]:
        """Pictures [B, 3, H, W] in [0, 1] -> what stands before each pooling."""
        return self.stages(TORCHVISION.shown(images, self.name, SMALLEST))

    def stages(self, x: Tensor) -> list[Tensor]:
        """Pictures [B, 3, H, W] less their mean -> what stands before each pooling."""
        seen = []
        for name, layer in self.layers.items():
            if name in self.starts[1:]:
                seen.append(x)
                x = max_pool2d(x, 2)
            x = relu(layer(x))
        return [*seen, x]


class VGG16(nn.Module):
    """Pictures [B, 3, H, W] of 0 to 255 -> fc2 after its rectifier [B, 4096]."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = Convolutions()
        came_in = self.convolutions.widths[-1] * (SIDE // 2 ** len(STAGES)) ** 2
        self.classifier = nn.ModuleDict({"0": nn.Linear(came_in, WIDTH), "3": nn.Linear(WIDTH, WIDTH)})

    def forward(self, images: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] of any size, 0 to 255 -> features [B, 4096], none below 0."""
        with full_precision(images.device):
            x = stretched(images.float(), SIDE) / 255
            mean, deviation = (x.new_tensor(numbers)[:, None, None] for numbers in (MEAN, DEVIATION))
            x = max_pool2d(self.convolutions.stages((x - mean) / deviation)[-1], 2).flatten(1)
            for layer in self.classifier.values():
                x = relu(layer(x), inplace=True)
            return x


def vgg_backbone(path: Path, found: Mapping[str, Tensor]) -> Convolutions:
    """The convolutions with the weights that were found in a file; BadInput names what does not fit."""
    network = Convolutions()
    network.load_state_dict(fitted(path, found, BACKBONE, network.state_dict()))
    return network.eval().requires_grad_(False)


def vgg_features(path: str | Path) -> Extractor:
    """Features 4096 wide with torchvision's weights at a path or "download"; BadInput names what does not fit."""
    file = weights_file("vgg16", path)
    with torch.device("meta"):  # half a gigabyte that need not be drawn first
        network = VGG16()
    found = {name: tensor.float() for name, tensor in read(file).items()}
    network.load_state_dict(fitted(file, found, RULES, network.state_dict()), assign=True)
    weights = sha256(file)
    original = weights.startswith(KNOWN["vgg16"].prefix)
    return Extractor(
        name="vgg16",
        weights=weights,
        layer="fc2, rectified",
        width=WIDTH,
        resize=f"bilinear as TensorFlow 1, not antialiased, to {SIDE}x{SIDE}",
        look=network.eval().requires_grad_(False),
        remark="" if original else "other weights than torchvision's: no match for published numbers",
    )
