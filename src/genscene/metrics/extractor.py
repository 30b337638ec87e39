"""Extractors: what makes features of pictures, known by its name and by what its weights are."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from genscene.errors import BadInput


@dataclass(frozen=True)
class Extractor:
    """Pictures as bytes -> features. All but `look` and `head` goes with every number that is made of them."""

    name: str  # e.g. inception-2015-12-05
    weights: str  # SHA-256 of their file in hexadecimal, or what they were drawn from
    layer: str  # whose output the features are, e.g. pool3
    width: int  # of a feature
    resize: str  # how pictures are brought to the network's size
    look: Callable[[Tensor], Tensor]  # uint8 [B, 3, H, W] -> [B, width]; a module or any function
    head: Tensor | None = None  # [K, width], what makes class logits of features; None: it names no classes
    remark: str = ""  # what is to be known of its numbers

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Pictures uint8 [B, 3, H, W] -> features float32 [B, width], in full precision on any device, all finite."""
        if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
            said = f"{images.dtype} {list(images.shape)}"
            raise BadInput(f"{self.name} was shown pictures of {said}, wanted torch.uint8 [B, 3, H, W]")
        features = self.look(images).float()
        if features.shape != (len(images), self.width):
            raise BadInput(f"{self.name} gave {list(features.shape)}, wanted {[len(images), self.width]}")
        if not bool(features.isfinite().all()):
            raise BadInput(f"{self.name} made numbers of the pictures that are not finite (nan or inf)")
        return features

    def on(self, device: torch.device) -> "Extractor":
        """The same extractor on another device."""
        look = self.look.to(device) if isinstance(self.look, nn.Module) else self.look
        return replace(self, look=look, head=None if self.head is None else self.head.to(device))

    def protocol(self) -> dict[str, str]:
        """What must be equal for two numbers to be compared."""
        layer = f"{self.layer}, {self.width} wide"
        return {"extractor": self.name, "weights": self.weights, "layer": layer, "resize": self.resize}
