"""SqueezeNet 1.1 (Iandola et al. 2016): a backbone of LPIPS, and an extractor of its averaged last features.

Weights are those of torchvision's squeezenet1_1, or of a Caffe model under its own names.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from genscene.io.rename import Rules
from genscene.metrics.networks.backbone import CAFFE, TORCHVISION, TORCHVISION_RULES, Backbone
from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.networks.weights import load_weights, read_weights, sha256

SMALLEST, LARGEST = 64, 224  # sides in pixels of the extractor: 3 x 3 features to average; of training
FIRES = zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True)  # number, torchvision's layer
CAFFE_RULES: Rules = (
    (r"conv1\.(\w+)", r"features.0.\1"),
    *(
        (rf"fire{fire}/(\w+?)(?:(?<=squeeze)1x1)?\.(\w+)", rf"features.{layer}.\1.\2")
        for fire, layer in FIRES
    ),
    (r"conv10\..*", None),
)


class Fire(nn.Module):
    """Fire module (fig. 1): squeeze by 1x1, then expand by 1x1 and 3x3 to eight times as many channels."""

    def __init__(self, in_channels: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, 4 * squeezed, 1)
        self.expand3x3 = nn.Conv2d(squeezed, 4 * squeezed, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 8 squeezed, H, W]."""
        x = relu(self.squeeze(x))
        return relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


def squeezenet(caffe: bool = True) -> Backbone:
    """SqueezeNet up to its last fire module; returns the outputs of conv1 and fire 3, 5, 6, 7, 8, 9."""
    pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    layers = [
        *(nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), pool),
        *(Fire(64, 16), Fire(128, 16), pool, Fire(128, 32), Fire(256, 32), pool),
        *(Fire(256, 48), Fire(384, 48), Fire(384, 64), Fire(512, 64)),
    ]
    channels = {1: 64, 4: 128, 7: 256, 9: 384, 10: 384, 11: 512, 12: 512}
    return Backbone("SqueezeNet", "squeeze", layers, channels, 17, CAFFE if caffe else TORCHVISION)


def load_squeezenet(path: str | Path, found: Mapping[str, Tensor] | None = None) -> Backbone:
    """SqueezeNet with the weights of a file (`found`, if already read), of either lineage by their names."""
    found = read_weights(path) if found is None else found
    caffe = not any(name.startswith("features.") for name in found)
    return load_weights(squeezenet(caffe), path, CAFFE_RULES if caffe else TORCHVISION_RULES, found)


class PooledSqueezeNet(nn.Module):
    """The last features, averaged over space."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        """Images uint8 [B, 3, H, W] -> features [B, 512]."""
        size = [min(max(side, SMALLEST), LARGEST) for side in images.shape[-2:]]
        x = images.float() / 255
        if list(x.shape[-2:]) != size:
            x = interpolate(x, size, mode="bilinear", antialias=True)
        return self.backbone(x)[-1].mean(dim=(2, 3))


def squeezenet_features(path: str | Path) -> Extractor:
    """Extractor of SqueezeNet's averaged last features with the weights of a file."""
    backbone = load_squeezenet(path)
    lineage = "Caffe" if backbone.normalization is CAFFE else "torchvision"
    return Extractor(
        compute=PooledSqueezeNet(backbone).eval(),
        name="squeezenet-1.1",
        weights=sha256(path),
        layer="fire9 averaged over space",
        width=backbone.widths[-1],
        resize=f"sides below {SMALLEST} or above {LARGEST} brought to these, bilinear, antialiased",
        remark=f"SqueezeNet's weights of {lineage} lineage: compare with numbers of the same file alone",
    )
