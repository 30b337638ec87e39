"""Inception-v3 (Szegedy et al. 2016) as TensorFlow's snapshot of 2015-12-05: the features of FID, KID, IS."""

from collections.abc import Mapping
from functools import partial
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from genscene.errors import BadInput
from genscene.io.rename import Rules
from genscene.io.tensors import read_tensors
from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.networks.weights import PUBLISHED, find_weights, load_weights

SIDE, CLASSES = 299, 1008  # of the input in pixels; of the output
EPSILON = 1e-3  # added to the variances of batch normalizations
RULES: Rules = ((r"fc\.(\w+)", r"fc.\1"), (r"(.+)", r"layers.\1"))
POOLS: dict[str, nn.Module] = {
    "mean": nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),  # unlike other ports
    "max": nn.MaxPool2d(3, stride=1, padding=1),  # in the last block, unlike other ports
    "halve": nn.MaxPool2d(3, stride=2),
}
# A convolution: channels/kernel, padded unless "valid" or of stride 2. A block: branches by name in the file,
# each a pooling, then convolutions in sequence; + joins two of the same input at the end of a branch.
FIGURE_5 = "1x1: 64/1x1; 5x5: 48/1x1 64/5x5; 3x3dbl: 64/1x1 96/3x3 96/3x3; _pool: mean {0}/1x1"
FIGURE_6 = (
    "1x1: 192/1x1; 7x7: {0}/1x1 {0}/1x7 192/7x1; "
    "7x7dbl: {0}/1x1 {0}/7x1 {0}/1x7 {0}/7x1 192/1x7; _pool: mean 192/1x1"
)
FIGURE_7 = (
    "1x1: 320/1x1; 3x3: 384/1x1 384/1x3+384/3x1; 3x3dbl: 448/1x1 384/3x3 384/1x3+384/3x1; _pool: {0} 192/1x1"
)
LAYERS = {
    "Conv2d_1a_3x3": "32/3x3/2",
    "Conv2d_2a_3x3": "32/3x3/valid",
    "Conv2d_2b_3x3": "64/3x3",
    "Conv2d_3b_1x1": "80/1x1",
    "Conv2d_4a_3x3": "192/3x3/valid",
    **{f"Mixed_5{x}": FIGURE_5.format(width) for x, width in (("b", 32), ("c", 64), ("d", 64))},
    "Mixed_6a": "3x3: 384/3x3/2; 3x3dbl: 64/1x1 96/3x3 96/3x3/2; _pool: halve",
    **{f"Mixed_6{x}": FIGURE_6.format(n) for x, n in (("b", 128), ("c", 160), ("d", 160), ("e", 192))},
    "Mixed_7a": "3x3: 192/1x1 320/3x3/2; 7x7x3: 192/1x1 192/1x7 192/7x1 192/3x3/2; _pool: halve",
    **{f"Mixed_7{x}": FIGURE_7.format(pool) for x, pool in (("b", "mean"), ("c", "max"))},
}
POOLED = ("Conv2d_2b_3x3", "Conv2d_4a_3x3")  # layers followed by a max pooling
RETURNED = {"Conv2d_2b_3x3": "64", "Conv2d_4a_3x3": "192", "Mixed_6e": "768", "Mixed_7c": "2048"}


def resize_tensorflow(images: Tensor, side: int) -> Tensor:
    """Images [B, 3, H, W] -> [B, 3, side, side], bilinear as TensorFlow 1: pixel i lies at i H / side."""
    for dim in (-2, -1):
        count = images.shape[dim]
        at = torch.arange(side, device=images.device, dtype=torch.float64) * count / side
        low = at.long()
        high = (low + 1).clamp_max(count - 1)
        fraction = (at - low).to(images)[:, None] if dim == -2 else (at - low).to(images)
        images = torch.lerp(images.index_select(dim, low), images.index_select(dim, high), fraction)
    return images


def resize_clean(images: Tensor, side: int) -> Tensor:
    """Images [B, 3, H, W] -> [B, 3, side, side] by Pillow, bicubic, antialiased (Parmar et al. 2022)."""
    channels = [Image.fromarray(channel.numpy()) for channel in images.flatten(0, 1).float().cpu()]
    resized = [np.asarray(channel.resize((side, side), Image.Resampling.BICUBIC)) for channel in channels]
    return torch.from_numpy(np.stack(resized)).view(*images.shape[:2], side, side).to(images)


def convolution(in_channels: int, description: str) -> nn.Conv2d:
    """A convolution as described above."""
    width, kernel, *mode = description.split("/")
    height, across = map(int, kernel.split("x"))
    padding = (0, 0) if mode else (height // 2, across // 2)
    return nn.Conv2d(in_channels, int(width), (height, across), 2 if mode == ["2"] else 1, padding)


class Block(nn.ModuleDict):
    """Branches of one input, concatenated; convolutions have their names in the file, e.g. branch3x3_2a."""

    def __init__(self, in_channels: int, description: str) -> None:
        super().__init__()
        self.branches, self.out_channels = [], 0
        for branch in description.split("; "):
            name, *steps = branch.replace(":", "").split()
            pool = POOLS[steps.pop(0)] if steps[0] in POOLS else nn.Identity()
            width, keys = in_channels, []
            for number, step in enumerate(steps, 1):
                key = f"branch{name}_{number}" if len(steps) > 1 else f"branch{name}"
                parallel = [convolution(width, text) for text in step.split("+")]
                keys.append([key + letter for letter in "ab"] if len(parallel) > 1 else [key])
                self.update(dict(zip(keys[-1], parallel, strict=True)))
                width = sum(layer.out_channels for layer in parallel)
            self.branches.append((pool, keys))
            self.out_channels += width

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, out_channels, H', W']."""
        outputs = []
        for pool, steps in self.branches:
            found = [pool(x)]
            for keys in steps:
                found = [self[key](found[0]).relu_() for key in keys]
            outputs += found
        return torch.cat(outputs, dim=1)


class Inception(nn.Module):
    """The network without batch normalizations, of images [B, 3, 299, 299] in [-1, 1]."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.layers, width = nn.ModuleDict(), 3
        for name, description in LAYERS.items():
            layer = Block(width, description) if ":" in description else convolution(width, description)
            self.layers[name], width = layer, layer.out_channels
        self.fc = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images [B, 3, H, W] -> means over space "64", "192", "768", "2048"; "logits_unbiased", "logits"."""
        x, found = images, {}
        for name, layer in self.layers.items():
            x = layer(x).relu_()  # of blocks: rectified already
            x = POOLS["halve"](x) if name in POOLED else x
            if name in RETURNED:
                found[RETURNED[name]] = x.mean(dim=(2, 3))
        logits = found["2048"] @ self.fc.weight.mT
        return found | {"logits_unbiased": logits, "logits": logits + self.fc.bias}


def fold_batch_norm(found: Mapping[str, Tensor], path: str | Path) -> dict[str, Tensor]:
    """NAME.conv.weight, NAME.bn.* of a file -> NAME.weight, NAME.bias of the same map in float64."""
    rest = {name: tensor for name, tensor in found.items() if not name.endswith(".num_batches_tracked")}
    for name in [key.removesuffix(".conv.weight") for key in rest if key.endswith(".conv.weight")]:
        keys = [f"{name}.bn.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        weight = rest.pop(f"{name}.conv.weight").double()
        if any(key not in rest or rest[key].shape != weight.shape[:1] for key in keys):
            raise BadInput(f"{path}: {name} has no batch normalization of {len(weight)} channels")
        gain, bias, mean, variance = (rest.pop(key).double() for key in keys)
        gain = gain / (variance + EPSILON).sqrt()
        # channels last, as are then all features: faster convolutions
        weight = (weight * gain[:, None, None, None]).contiguous(memory_format=torch.channels_last)
        rest |= {f"{name}.weight": weight, f"{name}.bias": bias - mean * gain}
    return rest


def inception_features(given: str | Path, published: bool = True, clean: bool = False) -> Extractor:
    """Extractor of pool3 with weights at a path or "download", `published` ones only; clean: as clean-fid."""

    def prepare(images: Tensor) -> Tensor:
        return ((resize_clean if clean else resize_tensorflow)(images.float(), SIDE) - 128) / 128

    path, digest, original = find_weights("inception", given)
    if published and not original:
        wanted = f"wanted {PUBLISHED['inception'][1]} (pt_inception-2015-12-05)"
        raise BadInput(f"{path}: SHA-256 begins {digest[:8]}, {wanted}: other weights, or a damaged file")
    network = load_weights(Inception(), path, RULES, fold_batch_norm(read_tensors(path), path))
    name = "inception-2015-12-05" if original else "inception-v3, other weights"
    method = "Pillow's bicubic, antialiased" if clean else "bilinear as TensorFlow 1, not antialiased"
    resize, finish, head = f"{method}, to {SIDE}x{SIDE}", itemgetter("2048"), network.fc.weight
    remark = "" if original else "not the weights of published numbers"
    return Extractor(name, digest, "pool3", 2048, resize, network, head, remark, prepare, finish)


inception_clean_features = partial(inception_features, clean=True)
