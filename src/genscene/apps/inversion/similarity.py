"""How much renderings differ from pictures: squares, and responses of random filters at several scales."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from genscene.geometry.cameras import Size
from genscene.metrics.networks.random_features import TAME, RandomConvolutions
from genscene.scenes import Rendering

SMALLEST = 8  # pixels of the shorter side at the coarsest scale
FEATURES, MASK, PERCEPTUAL = 0.01, 0.5, 0.1  # weights beside the mean square: of responses, masks, LPIPS
Perceptual = Callable[[Tensor, Tensor], Tensor]  # images in [0, 1], twice -> distances [B], like LPIPS


@dataclass(frozen=True)
class Target:
    """P pictures, and what of them counts."""

    images: Tensor  # [P, 3, H, W], 0 to 1
    weights: Tensor  # [P, 1, H, W], 0 to 1: pixels that count
    masks: Tensor | None = None  # [P, 1, H, W], 0 to 1: what is to be opaque; None: not compared

    @property
    def size(self) -> Size:
        """(height, width) in pixels."""
        return self.images.shape[2], self.images.shape[3]

    def resized(self, size: Size) -> "Target":
        """The same with fewer pixels."""
        if size == self.size:
            return self
        parts = (self.images, self.weights, self.masks)
        return Target(*(None if x is None else interpolate(x, size, mode="area") for x in parts))  # type: ignore[arg-type]

    def of(self, rows: Tensor) -> "Target":
        """Some of the pictures [N], of which some may be the same."""
        masks = None if self.masks is None else self.masks[rows]
        return Target(self.images[rows], self.weights[rows], masks)


class FilterResponses(nn.Module):
    """Images [B, 3, H, W] in [0, 1] -> logarithms of the magnitudes of fixed random filters, by scale."""

    def __init__(self) -> None:
        super().__init__()
        random = RandomConvolutions(0)
        self.register_buffer("colors", random.get_buffer("colors"))
        self.register_buffer("first", random.get_buffer("first") / TAME)

    def forward(self, images: Tensor) -> list[Tensor]:
        """One tensor [B, C, h, w] for each scale, signed, compressed; the finest first."""
        x, found = conv2d(images - 0.5, self.get_buffer("colors")), []
        while True:
            response = conv2d(pad(x, (1, 1, 1, 1), mode="replicate"), self.get_buffer("first"))
            found.append(torch.asinh(response))
            if min(x.shape[-2:]) < 2 * SMALLEST:
                return found
            x = avg_pool2d(x, 2)


class Similarity(nn.Module):
    """Losses of renderings beside pictures."""

    def __init__(self, perceptual: Perceptual | None = None):
        super().__init__()
        self.responses, self.perceptual = FilterResponses(), perceptual

    def features(self, images: Tensor, target: Target) -> Tensor:
        """The mean squared difference of responses, averaged over scales [B]."""
        ours, theirs = self.responses(images), self.responses(target.images)
        total = images.new_zeros(len(images))
        for a, b in zip(ours, theirs, strict=True):
            weights = interpolate(target.weights, a.shape[-2:], mode="area")
            total = total + weighted_mean((a - b).square(), weights)
        return total / len(ours)

    def forward(self, rendering: Rendering, target: Target) -> Tensor:
        """B renderings, B pictures -> losses [B]."""
        image = rendering.image
        loss = weighted_mean((image - target.images).square(), target.weights)
        loss = loss + FEATURES * self.features(image, target)
        if target.masks is not None and rendering.alpha is not None:
            alpha = interpolate(rendering.alpha, target.size, mode="area")
            loss = loss + MASK * (alpha - target.masks).square().mean(dim=(1, 2, 3))
        if self.perceptual is not None:
            loss = loss + PERCEPTUAL * self.perceptual(image.clamp(0, 1), target.images)
        return loss


def weighted_mean(x: Tensor, weights: Tensor) -> Tensor:
    """[B, C, H, W], weights [B, 1, H, W] -> [B]."""
    return (x * weights).sum(dim=(1, 2, 3)) / (x.shape[1] * weights.sum(dim=(1, 2, 3))).clamp_min(1e-6)


def distance(images: Tensor, others: Tensor) -> Tensor:
    """Images [B, 3, H, W] in [0, 1], twice -> distances [B] by responses of random filters.

    Like LPIPS an average of squared differences of features, but without trained weights.
    """
    ones = torch.ones_like(images[:, :1])
    return Similarity().to(images.device).features(images, Target(others, ones))
