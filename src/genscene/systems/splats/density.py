"""Adaptive density control: Gaussians are cloned, split and pruned (3D Gaussian splatting, sec. 5.2)."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.optim import Optimizer

from genscene.geometry.rotations import rotation
from genscene.randomness import Randomness
from genscene.ranges import Natural, NonNegative, Range, Share
from genscene.systems.splats.generator import NAMES, SplatsGenerator


@dataclass(frozen=True)
class DensityConfig:
    """When and which Gaussians are added and removed; the defaults are the paper's."""

    begin: Share = 1 / 60  # share of the run after which this begins
    end: Share = 0.5  # share of the run after which the number of Gaussians stays
    every: Natural = 100  # steps between two times; 0: never
    # where the mean gradient of the loss by the place on the picture, in half pictures, is above this, there
    # are to be more Gaussians
    gradient: NonNegative = 2e-4
    split_size: NonNegative = (
        0.01  # such Gaussians longer than this share of the extent are split, else cloned
    )
    shrink: Annotated[float, Range(1, 100)] = (
        1.6  # sizes of the two that one is split into are divided by this
    )
    prune_opacity: Share = 0.005  # less opaque Gaussians are removed
    # Gaussians longer than this share of the extent are removed once opacities were reset; 0: none
    prune_size: NonNegative = 0.1
    reset_every: Natural = 3000  # steps between two times that all opacities are reduced; 0: never
    reset_opacity: Annotated[float, Range(1e-3, 0.99)] = 0.01  # to at most this

    def is_due(self, step: int, steps: int) -> bool:
        """Whether Gaussians are added and removed after a step of a run of so many."""
        due = self.every > 0 and (step + 1) % self.every == 0
        return due and self.begin * steps <= step + 1 <= self.end * steps

    def resets(self, step: int, steps: int) -> bool:
        """Whether opacities are reduced after a step."""
        return self.reset_every > 0 and (step + 1) % self.reset_every == 0 and step + 1 < self.end * steps

    def was_reset(self, step: int) -> bool:
        """Whether opacities have been reduced before a step."""
        return 0 < self.reset_every <= step


@torch.no_grad()
def densify(
    generator: SplatsGenerator,
    optimizer: Optimizer,
    gradients: Tensor,
    config: DensityConfig,
    randomness: Randomness,
) -> tuple[int, int]:
    """Clone small Gaussians, split large ones, where gradients [N] are high -> how many of each.

    Each takes one free slot; where too few are free, those with the highest gradients go first.
    """
    free = (~generator.alive).nonzero()[:, 0]
    wanted = torch.where(generator.alive, gradients, 0.0)
    order = wanted.argsort(descending=True, stable=True)[: len(free)]
    chosen = order[wanted[order] > config.gradient]
    free = free[: len(chosen)]
    for name in NAMES:
        weights = getattr(generator, name)
        weights[free] = weights[chosen]
    large = longest(generator)[chosen] > config.split_size * generator.config.extent
    both = torch.stack([chosen[large], free[large]])  # [2, M]
    sigmas = generator.log_scales[both].exp() / generator.config.extent
    turns = rotation(normalize(generator.quats[both], dim=-1))
    offsets = randomness.normal(2, len(generator.alive), 3)[0].to(sigmas)[:, : both.shape[1]]
    generator.means[both] += (turns @ (offsets * sigmas)[..., None])[..., 0]
    generator.log_scales[both] -= math.log(config.shrink)
    generator.alive[free] = True
    for name in NAMES:
        clear_moments(optimizer, getattr(generator, name), torch.cat([free, chosen[large]]))
    return int((~large).sum()), int(large.sum())


@torch.no_grad()
def prune(
    generator: SplatsGenerator, optimizer: Optimizer, config: DensityConfig, large: bool = False
) -> int:
    """Remove nearly transparent Gaussians and, if `large`, those that are too large -> how many.

    The most opaque one remains in any case.
    """
    opacities = torch.where(generator.alive, generator.opacity_logits.sigmoid(), -1.0)
    removed = generator.alive & (opacities < config.prune_opacity)
    if large and config.prune_size:
        removed |= generator.alive & (longest(generator) > config.prune_size * generator.config.extent)
    removed[opacities.argmax()] = False
    generator.alive &= ~removed
    for name in NAMES:  # without a gradient, weights whose moments are 0 stay
        clear_moments(optimizer, getattr(generator, name), removed)
    return int(removed.sum())


@torch.no_grad()
def reset_opacities(generator: SplatsGenerator, optimizer: Optimizer, most: float) -> None:
    """Reduce opacities to at most this, so that Gaussians which are not needed do not come back."""
    generator.opacity_logits.clamp_(max=math.log(most / (1 - most)))
    clear_moments(optimizer, generator.opacity_logits, generator.alive)


def longest(generator: SplatsGenerator) -> Tensor:
    """The largest standard deviation of each slot, in world units -> [N]."""
    return generator.log_scales.amax(dim=-1).exp()


def clear_moments(optimizer: Optimizer, weights: Tensor, slots: Tensor) -> None:
    """Set what an optimiser keeps of some slots (numbers, or bool [N]) of these weights to 0."""
    for moment in optimizer.state.get(weights, {}).values():
        if isinstance(moment, Tensor) and moment.shape == weights.shape:
            moment[slots] = 0
