"""Inception-v3 (Szegedy et al. 2016) as TensorFlow's snapshot of 2015-12-05 has it: the features of FID, KID and IS.

It differs from other ports: averages leave padding out, the last block takes a maximum, there are 1008 classes. Its
weights are not shipped; they come from a file, e.g. pt_inception-2015-12-05-6726825d.pth.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, batch_norm, max_pool2d, relu

from genscene.io.rename import Rules
from genscene.metrics.weights import fitted, read

SIDE, CLASSES = 299, 1008
EPSILON = 1e-3  # added to variances


@dataclass(frozen=True)
class Conv:
    """A convolution: how many channels come out; strided ones are not padded."""

    width: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padded: bool = True

    @property
    def padding(self) -> tuple[int, int]:
        """RayBatch on each side."""
        keeps = self.padded and self.stride == 1
        return (self.kernel[0] // 2, self.kernel[1] // 2) if keeps else (0, 0)


@dataclass(frozen=True)
class Road:
    """One of the ways side by side through a block: pool, convolve in line, and then by each of the ends."""

    line: tuple[Conv, ...] = ()
    ends: tuple[Conv, ...] = ()
    pool: Literal["mean", "max", "halve"] | None = None

    def width(self, came_in: int) -> int:
        """Channels that come out."""
        last = self.ends or self.line[-1:]
        return sum(conv.width for conv in last) if last else came_in


Roads = dict[str, Road]  # by their names in the weights file, in the order their channels are stacked
ACROSS, DOWN, FULL = (1, 7), (7, 1), (3, 3)
HALVED = Road(pool="halve")
STEM = {
    "1a": Conv(32, FULL, stride=2),
    "2a": Conv(32, FULL, padded=False),
    "2b": Conv(64, FULL),
    "3b": Conv(80),
    "4a": Conv(192, FULL, padded=False),
}


def figure5(pooled: int) -> Roads:
    """The blocks at 35 x 35 pixels (fig. 5)."""
    return {
        "1x1": Road((Conv(64),)),
        "5x5": Road((Conv(48), Conv(64, (5, 5)))),
        "3x3dbl": Road((Conv(64), Conv(96, FULL), Conv(96, FULL))),
        "pool": Road((Conv(pooled),), pool="mean"),
    }


def figure6(inner: int) -> Roads:
    """The blocks at 17 x 17 pixels (fig. 6), n = 7."""
    long = (Conv(inner), Conv(inner, DOWN), Conv(inner, ACROSS), Conv(inner, DOWN), Conv(192, ACROSS))
    return {
        "1x1": Road((Conv(192),)),
        "7x7": Road((Conv(inner), Conv(inner, ACROSS), Conv(192, DOWN))),
        "7x7dbl": Road(long),
        "pool": Road((Conv(192),), pool="mean"),
    }


def figure7(pool: Literal["mean", "max"]) -> Roads:
    """The blocks at 8 x 8 pixels (fig. 7)."""
    ends = (Conv(384, (1, 3)), Conv(384, (3, 1)))
    return {
        "1x1": Road((Conv(320),)),
        "3x3": Road((Conv(384),), ends),
        "3x3dbl": Road((Conv(448), Conv(384, FULL)), ends),
        "pool": Road((Conv(192),), pool=pool),
    }


TO_17 = {
    "3x3": Road((Conv(384, FULL, stride=2),)),
    "3x3dbl": Road((Conv(64), Conv(96, FULL), Conv(96, FULL, stride=2))),
    "pool": HALVED,
}
TO_8 = {
    "3x3": Road((Conv(192), Conv(320, FULL, stride=2))),
    "7x7x3": Road((Conv(192), Conv(192, ACROSS), Conv(192, DOWN), Conv(192, FULL, stride=2))),
    "pool": HALVED,
}
BLOCKS: dict[str, Roads] = {
    "5b": figure5(32),
    "5c": figure5(64),
    "5d": figure5(64),
    "6a": TO_17,
    "6b": figure6(128),
    "6c": figure6(160),
    "6d": figure6(160),
    "6e": figure6(192),
    "7a": TO_8,
    "7b": figure7("mean"),
    "7c": figure7("max"),
}

PLACES = (
    (r"Conv2d_(\w\w)_\dx\d", r"stem.\1"),
    (r"Mixed_(\w\w)\.branch_?(\w+?)_(\d)", r"blocks.\1.roads.\2.line.\3"),
    (r"Mixed_(\w\w)\.branch_?(\w+?)_\d([ab])", r"blocks.\1.roads.\2.ends.\3"),
    (r"Mixed_(\w\w)\.branch_?(\w+)", r"blocks.\1.roads.\2.line.1"),
)
PARTS = {
    r"conv\.weight": "conv.weight",
    r"bn\.weight": "gain",
    r"bn\.bias": "offset",
    r"bn\.running_mean": "mean",
    r"bn\.running_var": "variance",
}
RULES: Rules = (
    (r".*\.num_batches_tracked", None),
    (r"fc\.(weight|bias)", r"logits.\1"),
    *((rf"{theirs}\.{part}", f"{ours}.{name}") for theirs, ours in PLACES for part, name in PARTS.items()),
)


class Unit(nn.Module):
    """Convolution, normalised by statistics that were kept, rectified."""

    mean: Tensor  # [C]
    variance: Tensor  # [C]

    def __init__(self, came_in: int, conv: Conv) -> None:
        super().__init__()
        self.conv = nn.Conv2d(came_in, conv.width, conv.kernel, conv.stride, conv.padding, bias=False)
        self.gain, self.offset = nn.Parameter(torch.ones(conv.width)), nn.Parameter(torch.zeros(conv.width))
        self.register_buffer("mean", torch.zeros(conv.width))
        self.register_buffer("variance", torch.ones(conv.width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, width, H', W']."""
        return relu(batch_norm(self.conv(x), self.mean, self.variance, self.gain, self.offset, eps=EPSILON))


class Way(nn.Module):
    """A road, built."""

    def __init__(self, came_in: int, road: Road) -> None:
        super().__init__()
        self.pool = road.pool
        widths = [came_in, *(conv.width for conv in road.line)]
        self.line = nn.ModuleDict({str(i): Unit(widths[i - 1], conv) for i, conv in enumerate(road.line, 1)})
        self.ends = nn.ModuleDict(
            {name: Unit(widths[-1], c) for name, c in zip("ab", road.ends, strict=False)}
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, width, H', W']."""
        if self.pool == "mean":
            x = avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        elif self.pool is not None:
            x = max_pool2d(x, 3, stride=1, padding=1) if self.pool == "max" else max_pool2d(x, 3, stride=2)
        for unit in self.line.values():
            x = unit(x)
        return torch.cat([unit(x) for unit in self.ends.values()], dim=1) if self.ends else x


class Block(nn.Module):
    """Roads side by side, what comes out of them stacked."""

    def __init__(self, came_in: int, roads: Roads) -> None:
        super().__init__()
        self.roads = nn.ModuleDict({name: Way(came_in, road) for name, road in roads.items()})

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, sum of widths, H', W']."""
        return torch.cat([way(x) for way in self.roads.values()], dim=1)


@dataclass(frozen=True)
class Seen:
    """What the network makes of pictures, at each depth averaged over space."""

    pool_64: Tensor  # [B, 64]
    pool_192: Tensor  # [B, 192]
    pool_768: Tensor  # [B, 768]
    pool_2048: Tensor  # [B, 2048], the features of FID and KID
    logits_unbiased: Tensor  # [B, 1008], those of the inception score
    logits: Tensor  # [B, 1008]


class Inception(nn.Module):
    """Pictures [B, 3, H, W] of bytes, or of floats from 0 to 255 -> what is seen in them."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, *(conv.width for conv in STEM.values())]
        self.stem = nn.ModuleDict(
            {name: Unit(w, conv) for w, (name, conv) in zip(widths, STEM.items(), strict=False)}
        )
        self.blocks = nn.ModuleDict()
        width = widths[-1]
        for name, roads in BLOCKS.items():
            self.blocks[name] = Block(width, roads)
            width = sum(road.width(width) for road in roads.values())
        self.logits = nn.Linear(width, CLASSES)

    def forward(self, images: Tensor) -> Seen:
        """Pictures [B, 3, H, W] of any size, 0 to 255 -> features and logits."""
        x = (stretched(images.to(self.logits.weight.dtype)) - 128) / 128
        for name in ("1a", "2a", "2b"):
            x = self.stem[name](x)
        first = max_pool2d(x, 3, stride=2)
        second = max_pool2d(self.stem["4a"](self.stem["3b"](first)), 3, stride=2)
        pools, x = {}, second
        for name, block in self.blocks.items():
            x = block(x)
            pools[name] = pooled(x)
        unbiased = pools["7c"] @ self.logits.weight.mT
        depths = pooled(first), pooled(second), pools["6e"], pools["7c"]
        return Seen(*depths, unbiased, unbiased + self.logits.bias)


def pooled(x: Tensor) -> Tensor:
    """Features [B, C, H, W] -> their mean over space [B, C]."""
    return x.mean(dim=(2, 3))


def stretched(images: Tensor, side: int = SIDE) -> Tensor:
    """Pictures [B, 3, H, W] -> [B, 3, side, side], bilinear as TensorFlow 1: pixel i lies at i H / side, unsmoothed."""
    for dim in (-2, -1):
        count = images.shape[dim]
        at = torch.arange(side, device=images.device, dtype=torch.float64) * count / side
        low = at.long()
        high = (low + 1).clamp_max(count - 1)
        share = (at - low).to(images)[:, None] if dim == -2 else (at - low).to(images)
        images = torch.lerp(images.index_select(dim, low), images.index_select(dim, high), share)
    return images


def inception(path: str | Path) -> Inception:
    """The network with the weights in a file, ready to look; BadInput names what does not fit."""
    network = Inception()
    network.load_state_dict(fitted(Path(path), read(Path(path)), RULES, network.state_dict()))
    return network.eval().requires_grad_(False)
