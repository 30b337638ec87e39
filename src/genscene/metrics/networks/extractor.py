"""Extractors: functions from images to features, identified by their name and the hash of their weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from genscene.errors import BadInput


@dataclass(frozen=True)
class Extractor:
    """Images of bytes -> features; everything but `compute` and `head` is recorded with every metric."""

    name: str  # e.g. inception-2015-12-05
    weights: str  # SHA-256 of their file in hexadecimal, or what they were sampled from
    layer: str  # whose output the features are, e.g. pool3
    width: int  # numbers per feature
    resize: str  # how images are brought to the network's size
    compute: Callable[[Tensor], Tensor]  # uint8 [B, 3, H, W] -> [B, width]; a module or any function
    head: Tensor | None = None  # [K, width], features -> class logits; None: no classes
    remark: str = ""  # a caveat of its numbers

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Images uint8 [B, 3, H, W] -> finite features float32 [B, width], computed in full precision."""
        if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
            got = f"{images.dtype} {list(images.shape)}"
            raise BadInput(f"{self.name}: images of {got}, wanted torch.uint8 [B, 3, H, W]")
        with full_precision(images.device):
            features = self.compute(images).float()
        if features.shape != (len(images), self.width):
            shape, wanted = list(features.shape), [len(images), self.width]
            raise BadInput(f"{self.name}: features {shape}, wanted {wanted}")
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


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Matrix products and convolutions in float32 within: no TF32, no autocast on devices of this type."""
    cudnn, matmul = torch.backends.cudnn, torch.get_float32_matmul_precision()
    allow_tf32 = cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        cudnn.allow_tf32 = allow_tf32
