"""What LPIPS looks through, and how pictures are shown to it."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from genscene.errors import BadInput


class Backbone(Protocol):
    """Any module that makes features of pictures."""

    name: str  # goes with every number
    short: str  # what LPIPS's file of all linear layers calls it
    widths: tuple[int, ...]  # channels of its features
    remark: str  # what is to be known of its weights

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Pictures [B, 3, H, W] in [0, 1] -> features [B, C, H', W']."""
        ...


@dataclass(frozen=True)
class Showing:
    """What weights were trained on: how pictures in [0, 1] must be shown to them."""

    order: tuple[int, int, int]  # of red, green, blue
    mean: tuple[float, float, float]  # in that order
    gain: tuple[float, float, float]  # what remains is multiplied by it
    remark: str  # goes with every number

    def shown(self, images: Tensor, name: str, smallest: int) -> Tensor:
        """Pictures [B, 3, H, W] in [0, 1] -> as the network takes them; BadInput below its smallest side."""
        if min(images.shape[-2:]) < smallest:
            size = "x".join(map(str, images.shape[-2:]))
            raise BadInput(
                f"{name} sees nothing in pictures of {size} pixels, wanted sides of at least {smallest}"
            )
        mean, gain = (images.new_tensor(x)[:, None, None] for x in (self.mean, self.gain))
        return (images[:, list(self.order)] - mean) * gain


CAFFE = Showing(
    (2, 1, 0),
    (104 / 255, 117 / 255, 123 / 255),
    (255.0, 255.0, 255.0),
    "Caffe's weights, not those the linear layers were learnt on: LPIPS-like, no match for published numbers",
)
# LPIPS takes -.030 -.088 -.188 from pictures in [-1, 1] and divides by .458 .448 .450 (Zhang et al. 2018, its code)
TORCHVISION = Showing(
    (0, 1, 2),
    (0.485, 0.456, 0.406),
    (2 / 0.458, 2 / 0.448, 2 / 0.450),
    "torchvision's weights, on which the linear layers were learnt",
)
