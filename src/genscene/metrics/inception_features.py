"""Inception as an extractor: pool3, 2048 wide, by a network without normalisations; what FID, KID and IS look at."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from genscene.metrics.downloads import KNOWN, checked, weights_file
from genscene.metrics.extractor import Extractor
from genscene.metrics.inception import EPSILON, SIDE, Block, Inception, Unit, inception, pooled, stretched
from genscene.metrics.precision import full_precision
from genscene.metrics.weights import sha256

STRETCHED = f"bilinear as TensorFlow 1, not antialiased, to {SIDE}x{SIDE}"


class Folded(nn.Conv2d):
    """A unit whose normalisation lies in the weights of its convolution; channels last, and so all that it makes."""

    def __init__(self, unit: Unit) -> None:
        conv = unit.conv
        super().__init__(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)  # type: ignore[arg-type]
        gain = unit.gain.double() / (unit.variance.double() + EPSILON).sqrt()
        weight = conv.weight.double() * gain[:, None, None, None]
        offset = unit.offset.double() - unit.mean.double() * gain
        self.weight = nn.Parameter(weight.float().contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter(offset.float())

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, width, H', W'], rectified."""
        return super().forward(x).relu_()


class Pool3(nn.Module):
    """Inception up to the mean over its last block; it takes the network's parts for its own and changes them."""

    def __init__(self, network: Inception, bring: Callable[[Tensor], Tensor] = stretched) -> None:
        super().__init__()
        self.bring = bring  # pictures to the network's size
        self.stem, self.blocks = network.stem, network.blocks
        _fold(self.stem)
        for block in self.blocks.values():
            assert isinstance(block, Block)
            for way in block.roads.values():
                _fold(way.get_submodule("line"))
                _fold(way.get_submodule("ends"))
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] of any size, 0 to 255 -> features [B, 2048] (`Seen.pool_2048`)."""
        with full_precision(images.device):
            x = (self.bring(images.float()) - 128) / 128
            for name in ("1a", "2a", "2b"):
                x = self.stem[name](x)
            x = self.stem["3b"](max_pool2d(x, 3, stride=2))
            x = max_pool2d(self.stem["4a"](x), 3, stride=2)
            for block in self.blocks.values():
                x = block(x)
            return pooled(x)


def cleaned(images: Tensor, side: int = SIDE) -> Tensor:
    """Pictures [B, 3, H, W] -> [B, 3, side, side] by Pillow's bicubic, antialiased, in float (Parmar et al. 2022)."""
    channels = [Image.fromarray(channel.numpy()) for channel in images.flatten(0, 1).float().cpu()]
    made = [np.asarray(channel.resize((side, side), Image.Resampling.BICUBIC)) for channel in channels]
    return torch.from_numpy(np.stack(made)).view(*images.shape[:2], side, side).to(images)


def inception_features(path: str | Path, published: bool = True, clean: bool = False) -> Extractor:
    """Features 2048 wide, and what makes logits without bias of them, with the weights at a path or "download".

    published: only the weights of TensorFlow's snapshot of 2015-12-05 are taken, those of all published FIDs.
    clean: pictures are resized as clean-fid does, for numbers beside its own (Parmar et al. 2022).
    """
    file = weights_file("inception", path)
    weights = checked(file, KNOWN["inception"].prefix) if published else sha256(file)
    original = weights.startswith(KNOWN["inception"].prefix)
    network = inception(file)
    return Extractor(
        name="inception-2015-12-05" if original else "inception-v3, other weights",
        weights=weights,
        layer="pool3",
        width=network.logits.in_features,
        resize=f"Pillow's bicubic, antialiased, to {SIDE}x{SIDE}" if clean else STRETCHED,
        look=Pool3(network, cleaned if clean else stretched),
        head=network.logits.weight.detach(),
        remark="" if original else "not the weights of published numbers",
    )


def _fold(units: nn.Module) -> None:
    assert isinstance(units, nn.ModuleDict)
    for name, unit in units.items():
        assert isinstance(unit, Unit)
        units[name] = Folded(unit)
