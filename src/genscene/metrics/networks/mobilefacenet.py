"""MobileFaceNet (Chen et al. 2018): embeddings of faces, cropped and aligned as in its training data."""

from collections import OrderedDict
from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from genscene.geometry.cameras import Size
from genscene.io.tensors import sha256
from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.networks.weights import load_weights

SIZE, WIDTH = (112, 96), 128  # pixels, height and width; of the embedding
# Table 1: expansion, output channels, repetitions, stride of the first
BOTTLENECKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


def convolution(
    inputs: int, width: int, kernel: int | Size = 1, stride: int = 1, groups: int = 1, linear: bool = False
) -> OrderedDict[str, nn.Module]:
    """Convolution, padded if 3x3, batch normalization and, unless linear, PReLU."""
    conv = nn.Conv2d(inputs, width, kernel, stride, int(kernel == 3), groups=groups, bias=False)
    layers = OrderedDict[str, nn.Module](conv=conv, bn=nn.BatchNorm2d(width))
    return layers if linear else layers | {"prelu": nn.PReLU(width)}


class Bottleneck(nn.Module):
    """Inverted residual (sec. 3.3): expand, depthwise convolution, project; added to inputs of that shape."""

    def __init__(self, in_channels: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = expansion * in_channels
        self.conv = nn.Sequential(
            *convolution(in_channels, inner).values(),
            *convolution(inner, inner, 3, stride, groups=inner).values(),
            *convolution(inner, width, linear=True).values(),
        )
        self.residual = stride == 1 and in_channels == width

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, width, H', W']."""
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileFaceNet(nn.Sequential):
    """Table 1, for images less wide: [B, 3, 112, 96] -> embeddings [B, 128]."""

    def __init__(self) -> None:
        blocks, channels = OrderedDict[str, nn.Module](), 64
        for expansion, width, count, stride in BOTTLENECKS:
            for i in range(count):
                blocks[str(len(blocks))] = Bottleneck(channels, width, 1 if i else stride, expansion)
                channels = width
        layers = {
            "conv1": convolution(3, 64, 3, 2),
            "dw_conv1": convolution(64, 64, 3, groups=64),
            "blocks": blocks,
            "conv2": convolution(channels, 512),
            "linear7": convolution(512, 512, (SIZE[0] // 16, SIZE[1] // 16), groups=512, linear=True),
            "linear1": convolution(512, WIDTH, linear=True) | {"flatten": nn.Flatten()},
        }
        super().__init__(OrderedDict((name, nn.Sequential(layer)) for name, layer in layers.items()))


def mobilefacenet_features(path: str | Path) -> Extractor:
    """Extractor of embeddings of length 1 with the weights of a file."""

    def prepare(images: Tensor) -> Tensor:
        return (interpolate(images.float(), SIZE, mode="bilinear", antialias=True) - 127.5) / 128

    network, layer = load_weights(MobileFaceNet(), path), "embedding of length 1"
    resize, remark = f"bilinear, antialiased, to {SIZE[0]}x{SIZE[1]}", "for crops around a face only"
    name, weights = "mobilefacenet-112x96", sha256(path)
    return Extractor(name, weights, layer, WIDTH, resize, network, None, remark, prepare, normalize)
