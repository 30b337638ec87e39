"""Convolutional networks in torchvision's layout, whose intermediate features LPIPS compares."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from genscene.errors import BadInput
from genscene.io.rename import Rules

TORCHVISION_RULES: Rules = ((r"(features\..+)", r"\1"), (r"classifier\..+", None))


@dataclass(frozen=True)
class Normalization:
    """Input normalization with which weights were trained."""

    order: tuple[int, int, int]  # of red, green, blue
    mean: tuple[float, float, float]  # subtracted, in that order
    gain: tuple[float, float, float]  # multiplied by after that
    remark: str  # reported with every number

    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [0, 1] -> network input [B, 3, H, W]."""
        mean, gain = (images.new_tensor(x)[:, None, None] for x in (self.mean, self.gain))
        return (images[:, list(self.order)] - mean) * gain


OTHER_WEIGHTS = "not those the linear layers were trained on: LPIPS-like, no match for published numbers"
BYTES = (255.0, 255.0, 255.0)
CAFFE = Normalization(
    (2, 1, 0), (104 / 255, 117 / 255, 123 / 255), BYTES, f"Caffe's weights, {OTHER_WEIGHTS}"
)
# LPIPS subtracts -.030 -.088 -.188 from images in [-1, 1] and divides by .458 .448 .450 (its authors' code)
GAIN = (2 / 0.458, 2 / 0.448, 2 / 0.450)
TRAINED_ON = "torchvision's weights, on which the linear layers were trained"
TORCHVISION = Normalization((0, 1, 2), (0.485, 0.456, 0.406), GAIN, TRAINED_ON)


class Backbone(nn.Module):
    """Layers in sequence, named as in torchvision's files, of which some outputs are returned."""

    def __init__(
        self,
        name: str,
        short: str,  # prefix in LPIPS's file of the linear layers of all backbones
        layers: Iterable[nn.Module],
        channels: Mapping[int, int],  # index of a layer whose output is returned -> its channels
        least: int,  # side in pixels that leaves something after the last pooling
        normalization: Normalization = TORCHVISION,
    ) -> None:
        super().__init__()
        self.name, self.short, self.least, self.normalization = name, short, least, normalization
        self.features = nn.Sequential(*layers)
        self.returned, self.widths = tuple(channels), tuple(channels.values())

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, H, W] in [0, 1] -> features [B, C, H', W'] of the returned layers."""
        if min(images.shape[-2:]) < self.least:
            size = "x".join(map(str, images.shape[-2:]))
            raise BadInput(f"{self.name}: images of {size} pixels, wanted sides of at least {self.least}")
        x, features = self.normalization(images), []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.returned:
                features.append(x)
        return features
