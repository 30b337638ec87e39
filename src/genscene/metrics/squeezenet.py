"""SqueezeNet 1.1 (Iandola et al. 2016) up to its last fire module, as LPIPS looks through it.

Its weights are not shipped: they come from a file, torchvision's squeezenet1_1 or one of Caffe lineage.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from genscene.io.rename import Rules
from genscene.metrics.backbone import CAFFE, TORCHVISION, Showing
from genscene.metrics.weights import fitted, read

# fire module: the channels it squeezes to; eight times as many come out
FIRES = {"2": 16, "3": 16, "4": 32, "5": 32, "6": 48, "7": 48, "8": 64, "9": 64}
POOLED = ("2", "4", "6")  # fires that stand behind a pooling
TAPS = ("3", "5", "6", "7", "8", "9")  # fires that are looked at, besides the first convolution
SMALLEST = 17  # pixels a side, so that something is left after three poolings


CAFFE_RULES: Rules = (
    (r"conv1\.(\w+)", r"conv1.\1"),
    (r"fire(\d)/squeeze1x1\.(\w+)", r"fires.\1.squeeze.\2"),
    (r"fire(\d)/expand(\d)x\d\.(\w+)", r"fires.\1.expand\2.\3"),
    (r"conv10\..*", None),
)
TORCHVISION_RULES: Rules = (
    (r"features\.0\.(\w+)", r"conv1.\1"),
    *(
        (rf"features\.{place}\.{theirs}\.(\w+)", rf"fires.{fire}.{ours}.\1")
        for place, fire in zip((3, 4, 6, 7, 9, 10, 11, 12), FIRES, strict=True)
        for theirs, ours in (("squeeze", "squeeze"), ("expand1x1", "expand1"), ("expand3x3", "expand3"))
    ),
    (r"classifier\..*", None),
)


class Fire(nn.Module):
    """Few channels, then many by two sizes of convolution (fig. 1)."""

    def __init__(self, came_in: int, few: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(came_in, few, 1)
        self.expand1, self.expand3 = nn.Conv2d(few, 4 * few, 1), nn.Conv2d(few, 4 * few, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 8 few, H, W]."""
        x = relu(self.squeeze(x))
        return relu(torch.cat([self.expand1(x), self.expand3(x)], dim=1))


class SqueezeNet(nn.Module):
    """Pictures [B, 3, H, W] in [0, 1] -> seven features [B, C, H', W'], coarser and coarser."""

    name, short = "SqueezeNet", "squeeze"
    widths = (64, *(8 * FIRES[tap] for tap in TAPS))

    def __init__(self, showing: Showing = CAFFE) -> None:
        super().__init__()
        self.showing, self.remark = showing, showing.remark
        widths = [64, *(8 * few for few in FIRES.values())]
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2)
        self.fires = nn.ModuleDict(
            {n: Fire(w, few) for w, (n, few) in zip(widths, FIRES.items(), strict=False)}
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Pictures [B, 3, H, W] in [0, 1] -> features [B, C, H', W'] at the taps."""
        x = relu(self.conv1(self.showing.shown(images, self.name, SMALLEST)))
        seen = [x]
        for name, fire in self.fires.items():
            if name in POOLED:
                x = max_pool2d(x, 3, stride=2, ceil_mode=True)
            x = fire(x)
            if name in TAPS:
                seen.append(x)
        return seen


def squeezenet(path: str | Path) -> SqueezeNet:
    """The network with the weights in a file, whose names tell their lineage; BadInput names what does not fit."""
    found = read(Path(path))
    torchvision = any(name.startswith("features.") for name in found)
    network = SqueezeNet(TORCHVISION if torchvision else CAFFE)
    rules = TORCHVISION_RULES if torchvision else CAFFE_RULES
    network.load_state_dict(fitted(Path(path), found, rules, network.state_dict()))
    return network.eval().requires_grad_(False)
