"""Reconstruction: systems of one player, and losses of colors against those of photographs."""

from abc import abstractmethod
from typing import Any

from torch import Tensor
from torch.nn.functional import mse_loss

from genscene.contract import Stats, StepContext, System, SystemConfig, Turn


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


def binary_entropy(probability: Tensor) -> Tensor:
    """Mean entropy, in nats, of binary variables with these probabilities [...] -> []: small near 0 and 1."""
    p = probability.clamp(1e-5, 1 - 1e-5)
    return -(p * p.log() + (1 - p) * (1 - p).log()).mean()
