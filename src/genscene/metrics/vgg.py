"""VGG16 (Simonyan & Zisserman 2015) up to its second fully connected layer, what precision and recall look at.

The pictures are brought to its size and its layer is rectified as torch-fidelity does it, with torchvision's weights;
StyleGAN3's network is a pickle, which is not run here: its numbers may differ.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from genscene.convert import Rules
from genscene.metrics.downloads import KNOWN, weights_file
from genscene.metrics.extractor import Extractor
from genscene.metrics.inception import stretched
from genscene.metrics.precision import full_precision
from genscene.metrics.weights import fitted, read, sha256

SIDE, WIDTH = 224, 4096
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, red, green and blue in [0, 1]
# Table 1, column D: channels of the convolutions 3 x 3 between two poolings
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
RULES: Rules = ((r"classifier\.6\.\w+", None), (r"(.*)", r"\1"))  # torchvision's names are ours


class VGG16(nn.Module):
    """Pictures [B, 3, H, W] of 0 to 255 -> fc2 after its rectifier [B, 4096]."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.ends = nn.ModuleDict(), []  # names: places in torchvision's row of layers
        place, came_in = 0, 3
        for widths in STAGES:
            for width in widths:
                self.features[str(place)] = nn.Conv2d(came_in, width, 3, padding=1)
                place, came_in = place + 2, width  # a rectifier behind each
            self.ends.append(str(place - 2))
            place += 1  # the pooling
        cells = (SIDE // 2 ** len(STAGES)) ** 2
        self.classifier = nn.ModuleDict({"0": nn.Linear(came_in * cells, WIDTH), "3": nn.Linear(WIDTH, WIDTH)})

    def forward(self, images: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] of any size, 0 to 255 -> features [B, 4096], none below 0."""
        with full_precision(images.device):
            x = stretched(images.float(), SIDE) / 255
            mean, deviation = (x.new_tensor(numbers)[:, None, None] for numbers in (MEAN, DEVIATION))
            x = (x - mean) / deviation
            for name, layer in self.features.items():
                x = relu(layer(x), inplace=True)
                if name in self.ends:
                    x = max_pool2d(x, 2)
            x = x.flatten(1)
            for layer in self.classifier.values():
                x = relu(layer(x), inplace=True)
            return x


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
