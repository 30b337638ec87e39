"""MobileFaceNet (Chen et al. 2018): embeddings of faces, similar for images of the same person.

For crops of 112 x 96 pixels, aligned as its training data; tensors have the names of the weight file.
"""

from collections import OrderedDict
from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.networks.weights import load_weights, sha256

SIZE, WIDTH = (112, 96), 128  # pixels, height and width; of the embedding
# Table 1: expansion, output channels, repetitions, stride of the first
BOTTLENECKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


def convolution(
    in_channels: int,
    width: int,
    kernel: int | tuple[int, int] = 1,
    stride: int = 1,
    depthwise: bool = False,
    linear: bool = False,
) -> OrderedDict[str, nn.Module]:
    """Convolution, padded if 3x3, batch normalization and, unless linear, PReLU."""
    padding, groups = int(kernel == 3), width if depthwise else 1
    conv = nn.Conv2d(in_channels, width, kernel, stride, padding, groups=groups, bias=False)
    layers = OrderedDict[str, nn.Module](conv=conv, bn=nn.BatchNorm2d(width))
    return layers if linear else layers | {"prelu": nn.PReLU(width)}


class Bottleneck(nn.Module):
    """Inverted residual (sec. 3.3): expand, depthwise convolution, project; added to inputs of that shape."""

    def __init__(self, in_channels: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = expansion * in_channels
        self.conv = nn.Sequential(
            *convolution(in_channels, inner).values(),
            *convolution(inner, inner, 3, stride, depthwise=True).values(),
            *convolution(inner, width, linear=True).values(),
        )
        self.residual = stride == 1 and in_channels == width

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, width, H', W']."""
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileFaceNet(nn.Sequential):
    """Table 1, for images less wide."""

    def __init__(self) -> None:
        blocks, channels = OrderedDict[str, nn.Module](), 64
        for expansion, width, count, stride in BOTTLENECKS:
            for i in range(count):
                blocks[str(len(blocks))] = Bottleneck(channels, width, 1 if i else stride, expansion)
                channels = width
        whole = (SIZE[0] // 16, SIZE[1] // 16)
        layers = {
            "conv1": convolution(3, 64, 3, 2),
            "dw_conv1": convolution(64, 64, 3, depthwise=True),
            "blocks": blocks,
            "conv2": convolution(channels, 512),
            "linear7": convolution(512, 512, whole, depthwise=True, linear=True),
            "linear1": convolution(512, WIDTH, linear=True),
        }
        super().__init__(OrderedDict((name, nn.Sequential(layer)) for name, layer in layers.items()))

    def forward(self, images: Tensor) -> Tensor:
        """Faces [B, 3, H, W] of any size, 0 to 255 -> embeddings [B, 128] of length 1."""
        x = interpolate(images.float(), SIZE, mode="bilinear", antialias=True)
        return normalize(super().forward((x - 127.5) / 128).flatten(1))


def mobilefacenet_features(path: str | Path) -> Extractor:
    """Extractor of embeddings of length 1 with the weights of a file."""
    return Extractor(
        compute=load_weights(MobileFaceNet(), path),
        name="mobilefacenet-112x96",
        weights=sha256(path),
        layer="embedding of length 1",
        width=WIDTH,
        resize=f"bilinear, antialiased, to {SIZE[0]}x{SIZE[1]}",
        remark="for crops around a face only",
    )
