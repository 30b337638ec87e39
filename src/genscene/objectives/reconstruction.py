"""Reconstruction: systems of one player, and losses of colors against those of photographs."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from genscene.contract import Rendering, Stats, StepContext, System, SystemConfig, Turn
from genscene.metrics.image import WANG, SSIMWindow
from genscene.scenes import RenderedViews

OPAQUE = 0.5  # opacity above which a ray ends somewhere
ALPHA_WEIGHT, DEPTH_WEIGHT = 0.2, 0.1  # of differences from renderings that tell more than photographs


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


def splatting_loss(image: Tensor, target: Tensor, dissimilarity: float) -> Tensor:
    """Absolute difference of images and, weighing so much, 1 - SSIM (3D Gaussian splatting, eq. 7) -> []."""
    loss = (1 - dissimilarity) * (image - target).abs().mean()
    return loss + dissimilarity * structural_dissimilarity(image, target) if dissimilarity else loss


def structural_dissimilarity(image: Tensor, target: Tensor) -> Tensor:
    """1 - SSIM of images [B, C, H, W] in [0, 1], twice: the mean over all pixels, differentiable -> []."""
    return 1 - similarity_map(image, target).mean()


def similarity_map(image: Tensor, target: Tensor, window: SSIMWindow = WANG) -> Tensor:
    """SSIM (Wang et al. 2004) at every pixel of images [B, C, H, W] in [0, 1], twice -> [B, C, H, W].

    Beyond their border images are 0, as in 3D Gaussian splatting; `metrics.image.ssim` reflects them.
    """
    rows, columns = (blur_matrix(side, window, image) for side in image.shape[-2:])
    mean_a, aa, ab = rows @ torch.stack([image, image * image, image * target]) @ columns
    mean_b, bb = rows @ torch.stack([target, target * target]) @ columns
    c1, c2 = window.K1**2, window.K2**2
    means, variances = mean_a * mean_b, (aa - mean_a**2) + (bb - mean_b**2)
    above = (2 * means + c1) * (2 * (ab - means) + c2)
    return above / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))


def blur_matrix(side: int, window: SSIMWindow, like: Tensor) -> Tensor:
    """The symmetric matrix [side, side] that blurs rows of so many pixels by the Gaussian of a window.

    On a CPU products with it take a tenth of the time of convolutions of single channels.
    """
    offsets = torch.arange(side).to(like)
    reach = torch.arange(-(window.side // 2), window.side // 2 + 1).to(like)
    apart = offsets - offsets[:, None]
    weights = torch.where(apart.abs() <= reach[-1], torch.exp(-0.5 * (apart / window.sigma) ** 2), 0.0)
    return weights / torch.exp(-0.5 * (reach / window.sigma) ** 2).sum()


def shape_loss(rendering: Rendering, views: RenderedViews, extent: float) -> Tensor:
    """Absolute differences of opacity, and of depth, in extents, where both are opaque -> []."""
    assert rendering.alpha is not None
    assert rendering.depth is not None
    opaque = ((views.alpha > OPAQUE) & (rendering.alpha > OPAQUE)).to(views.alpha)
    apart = (rendering.depth - views.depth).abs() * opaque / extent
    return ALPHA_WEIGHT * (rendering.alpha - views.alpha).abs().mean() + DEPTH_WEIGHT * apart.mean()


def binary_entropy(probability: Tensor) -> Tensor:
    """Mean entropy, in nats, of binary variables with these probabilities [...] -> []: small near 0 and 1."""
    p = probability.clamp(1e-5, 1 - 1e-5)
    return -(p * p.log() + (1 - p) * (1 - p).log()).mean()
