"""Losses of systems that reconstruct photographs."""

from torch import Tensor
from torch.nn.functional import mse_loss


def photometric_loss(color: Tensor, target: Tensor, reduction: str = "sum") -> Tensor:
    """Squared error of colors (NeRF, eq. 6): the sum, or the mean as in the official code -> []."""
    return mse_loss(color, target, reduction=reduction)


def binary_entropy(probability: Tensor) -> Tensor:
    """Mean entropy, in nats, of binary variables with these probabilities [...] -> []: small near 0 and 1."""
    p = probability.clamp(1e-5, 1 - 1e-5)
    return -(p * p.log() + (1 - p) * (1 - p).log()).mean()
