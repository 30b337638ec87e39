"""AlexNet (Krizhevsky 2014, "one weird trick") up to its last convolution, as LPIPS looks through it.

Its weights are not shipped: they come from torchvision's file.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from genscene.io.rename import Rules
from genscene.metrics.backbone import TORCHVISION
from genscene.metrics.weights import fitted

# convolutions, by their places in torchvision's row of layers: side of the kernel, stride, padding
CONVOLUTIONS = {"0": (11, 4, 2), "3": (5, 1, 2), "6": (3, 1, 1), "8": (3, 1, 1), "10": (3, 1, 1)}
POOLED = ("3", "6")  # those that stand behind a pooling
RULES: Rules = ((r"features\.(.+)", r"layers.\1"), (r"classifier\..+", None))
LAST = "features.10.weight"  # by this torchvision's file of it is known
SMALLEST = 31  # pixels a side, so that something is left after two poolings


class AlexNet(nn.Module):
    """Pictures [B, 3, H, W] in [0, 1] -> five features [B, C, H', W']."""

    name, short = "AlexNet", "alex"
    widths: tuple[int, ...] = (64, 192, 384, 256, 256)
    remark = TORCHVISION.remark

    def __init__(self) -> None:
        super().__init__()
        sizes = zip(CONVOLUTIONS.items(), pairwise((3, *self.widths)), strict=True)
        self.layers = nn.ModuleDict({place: nn.Conv2d(*widths, *how) for (place, how), widths in sizes})

    def forward(self, images: Tensor) -> list[Tensor]:
        """Pictures [B, 3, H, W] in [0, 1] -> what each rectifier lets through."""
        x, seen = TORCHVISION.shown(images, self.name, SMALLEST), []
        for place, layer in self.layers.items():
            x = relu(layer(max_pool2d(x, 3, stride=2) if place in POOLED else x))
            seen.append(x)
        return seen


def alexnet(path: Path, found: Mapping[str, Tensor]) -> AlexNet:
    """The network with the weights that were found in a file; BadInput names what does not fit."""
    network = AlexNet()
    network.load_state_dict(fitted(path, found, RULES, network.state_dict()))
    return network.eval().requires_grad_(False)
