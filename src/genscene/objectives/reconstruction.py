"""Reconstruction: systems of one player, and losses of colors against those of photographs."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, mse_loss

from genscene.contract import Stats, StepContext, System, SystemConfig, Turn
from genscene.metrics.image import WANG, SSIMWindow


class ReconstructionSystem(System):
    """A generator that is the only player; a system gives its loss."""

    def __init__(self, config: SystemConfig):
        super().__init__()
        self.config, self.generator = config, config.build_generator()

    def turns(self) -> tuple[Turn, ...]:
        """One player."""
        return (Turn("generator", self.generator_loss),)

    @abstractmethod
    def generator_loss(self, batch: Any, context: StepContext) -> tuple[Tensor, Stats]:
        """A part of the batch -> the loss [], and numbers to log."""


def photometric_loss(color: Tensor, target: Tensor, reduction: str = "sum") -> Tensor:
    """Squared error of colors (NeRF, eq. 6): the sum, or the mean as in the official code -> []."""
    return mse_loss(color, target, reduction=reduction)


def structural_dissimilarity(image: Tensor, target: Tensor, window: SSIMWindow = WANG) -> Tensor:
    """1 - SSIM (Wang et al. 2004) of images [B, C, H, W] in [0, 1], twice: the mean over all pixels -> [].

    Differentiable; beyond their border images are 0, as in 3D Gaussian splatting.
    """

    def blur(x: Tensor) -> Tensor:
        return conv2d(conv2d(x, weights.mT, padding=(border, 0)), weights, padding=(0, border))

    border = window.side // 2
    offsets = torch.arange(-border, border + 1).to(image)
    weights = torch.exp(-0.5 * (offsets / window.sigma) ** 2)
    weights = (weights / weights.sum())[None, None, None]  # [1, 1, 1, side]
    a, b = (x.flatten(0, 1)[:, None] for x in (image, target))
    products = torch.cat([a, b, a * a, b * b, a * b])
    mean_a, mean_b, aa, bb, ab = blur(products).chunk(5)
    c1, c2 = window.K1**2, window.K2**2
    means, variances = mean_a * mean_b, (aa - mean_a**2) + (bb - mean_b**2)
    similarity = (2 * means + c1) * (2 * (ab - means) + c2)
    similarity = similarity / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))
    return 1 - similarity.mean()


def binary_entropy(probability: Tensor) -> Tensor:
    """Mean entropy, in nats, of binary variables with these probabilities [...] -> []: small near 0 and 1."""
    p = probability.clamp(1e-5, 1 - 1e-5)
    return -(p * p.log() + (1 - p) * (1 - p).log()).mean()
