"""Extractors: functions from images to features, identified by their name and the hash of their weights."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from genscene.errors import BadInput


@dataclass(frozen=True)
class Extractor:
    """Images of bytes -> features; all fields that are texts or numbers are recorded with every metric."""

    name: str  # e.g. inception-2015-12-05
    weights: str  # SHA-256 of their file in hexadecimal, or what they were sampled from
    layer: str  # whose output the features are, e.g. pool3
    width: int  # numbers per feature
    resize: str  # how images are brought to the network's size
    compute: Callable[[Tensor], Any]  # a module or any function: uint8 [B, 3, H, W] -> [B, width]
    head: Tensor | None = None  # [K, width], features -> class logits; None: no classes
    remark: str = ""  # a caveat of its numbers
    prepare: Callable[[Tensor], Tensor] = nn.Identity()  # images -> input of `compute`
    finish: Callable[[Any], Tensor] = nn.Identity()  # output of `compute` -> [B, width]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Images uint8 [B, 3, H, W] -> finite features float32 [B, width], computed in full precision."""
        if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
            got = f"{images.dtype} {list(images.shape)}"
            raise BadInput(f"{self.name}: images of {got}, wanted torch.uint8 [B, 3, H, W]")
        with full_precision(images.device):
            features = self.finish(self.compute(self.prepare(images))).float()
        if features.shape != (len(images), self.width):
            raise BadInput(
                f"{self.name}: features {list(features.shape)}, wanted {[len(images), self.width]}"
            )
        if not bool(features.isfinite().all()):
            raise BadInput(f"{self.name}: features that are not finite (nan or inf)")
        return features

    def on(self, device: torch.device) -> "Extractor":
        """The same extractor on another device."""
        compute = self.compute.to(device) if isinstance(self.compute, nn.Module) else self.compute
        return replace(self, compute=compute, head=None if self.head is None else self.head.to(device))

    def protocol(self) -> dict[str, str]:
        """Settings that must be equal for two numbers to be comparable."""
        layer = f"{self.layer}, {self.width} wide"
        return {"extractor": self.name, "weights": self.weights, "layer": layer, "resize": self.resize}


def standardize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Images [B, 3, H, W] -> (images - mean) / std [B, 3, H, W], by the numbers of every channel."""
    shift, scale = (images.new_tensor(numbers)[:, None, None] for numbers in (mean, std))
    return (images - shift) / scale


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Matrix products and convolutions in float32 within: no TF32, no autocast on devices of this type."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
