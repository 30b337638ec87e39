"""Inception-v3 (Szegedy et al. 2016) as TensorFlow's snapshot of 2015-12-05: the features of FID, KID and IS.

Unlike other ports, averages leave padding out, the last block takes a maximum, and there are 1008 classes.
Weights come from a file; its batch normalizations are folded into the convolutions.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d

from genscene.errors import BadInput
from genscene.io.rename import Rules
from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.networks.weights import identify, load_weights, read_weights, weights_file

SIDE, CLASSES = 299, 1008
EPSILON = 1e-3  # added to the variances of batch normalizations
RULES: Rules = ((r"fc\.(\w+)", r"fc.\1"), (r"(.+)", r"layers.\1"))
POOLS = {
    "mean": partial(avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False),
    "max": partial(max_pool2d, kernel_size=3, stride=1, padding=1),
    "halve": partial(max_pool2d, kernel_size=3, stride=2),
}
# A convolution: channels/kernel, padded unless "valid" or of stride 2. A block: branches by name in the file,
# each a pooling, then convolutions in sequence; + joins two of the same input, which are concatenated.
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
    "Mixed_7b": FIGURE_7.format("mean"),
    "Mixed_7c": FIGURE_7.format("max"),
}
POOLED = ("Conv2d_2b_3x3", "Conv2d_4a_3x3")  # layers followed by a max pooling
RETURNED = {"Conv2d_2b_3x3": "64", "Conv2d_4a_3x3": "192", "Mixed_6e": "768", "Mixed_7c": "2048"}


class Convolution(nn.Conv2d):
    """A convolution as described above, and its rectifier."""

    def __init__(self, in_channels: int, description: str) -> None:
        width, kernel, *mode = description.split("/")
        height, across = map(int, kernel.split("x"))
        padding = (0, 0) if mode else (height // 2, across // 2)
        super().__init__(in_channels, int(width), (height, across), 2 if mode == ["2"] else 1, padding)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, out_channels, H', W']."""
        return super().forward(x).relu_()


class Block(nn.ModuleDict):
    """Branches of one input, concatenated; convolutions have their names in the file, e.g. branch3x3_2a."""

    def __init__(self, in_channels: int, description: str) -> None:
        super().__init__()
        self.branches, self.out_channels = [], 0
        for branch in description.split("; "):
            name, *steps = branch.replace(":", "").split()
            pool = POOLS[steps.pop(0)] if steps[0] in POOLS else None
            width, keys = in_channels, []
            for number, step in enumerate(steps, 1):
                key = f"branch{name}_{number}" if len(steps) > 1 else f"branch{name}"
                parallel = [Convolution(width, text) for text in step.split("+")]
                keys.append([key + letter for letter in "ab"] if len(parallel) > 1 else [key])
                self.update(dict(zip(keys[-1], parallel, strict=True)))
                width = sum(layer.out_channels for layer in parallel)
            self.branches.append((pool, keys))
            self.out_channels += width

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, out_channels, H', W']."""
        outputs = []
        for pool, steps in self.branches:
            y = x if pool is None else pool(x)
            for key, *other in steps:
                y = torch.cat([self[key](y), self[other[0]](y)], dim=1) if other else self[key](y)
            outputs.append(y)
        return torch.cat(outputs, dim=1)


class Inception(nn.Module):
    """The network without batch normalizations; images are resized, and mapped to (image - mean) / scale."""

    def __init__(
        self,
        resize: Callable[[Tensor, int], Tensor] | None = None,  # None: as TensorFlow 1 does
        side: int = SIDE,
        mean: float = 128.0,
        scale: float = 128.0,
        classes: int = CLASSES,
    ) -> None:
        super().__init__()
        self.resize, self.side, self.mean, self.scale = resize or resize_tensorflow, side, mean, scale
        self.layers, width = nn.ModuleDict(), 3
        for name, description in LAYERS.items():
            layer = (Block if ":" in description else Convolution)(width, description)
            self.layers[name], width = layer, layer.out_channels
        self.fc = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] of any size, 0 to 255 -> features "2048" [B, 2048], pool3."""
        return self.features(images)["2048"]

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Images [B, 3, H, W] -> means over space "64", "192", "768", "2048"; "logits_unbiased", "logits"."""
        x = (self.resize(images.to(self.fc.weight.dtype), self.side) - self.mean) / self.scale
        found = {}
        for name, layer in self.layers.items():
            x = layer(x)
            x = max_pool2d(x, 3, stride=2) if name in POOLED else x
            if name in RETURNED:
                found[RETURNED[name]] = x.mean(dim=(2, 3))
        logits = found["2048"] @ self.fc.weight.mT
        return found | {"logits_unbiased": logits, "logits": logits + self.fc.bias}


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


def load_inception(network: Inception, path: str | Path) -> Inception:
    """The network with the weights of a file."""
    return load_weights(network, path, RULES, fold_batch_norm(read_weights(path), path))


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
    """Extractor of pool3, with the head of the inception score, and weights at a path or "download".

    published: accept only the weights of the 2015-12-05 snapshot, with which published FIDs are computed.
    clean: resize as clean-fid does, for comparison with its numbers (Parmar et al. 2022).
    """
    path = weights_file("inception", given)
    digest, original = identify("inception", path, required=published)
    network = load_inception(Inception(resize_clean if clean else resize_tensorflow), path)
    filtered = "Pillow's bicubic, antialiased" if clean else "bilinear as TensorFlow 1, not antialiased"
    return Extractor(
        compute=network,
        name="inception-2015-12-05" if original else "inception-v3, other weights",
        weights=digest,
        layer="pool3",
        width=network.fc.in_features,
        resize=f"{filtered}, to {SIDE}x{SIDE}",
        head=network.fc.weight,
        remark="" if original else "not the weights of published numbers",
    )
