"""GAN losses of both players on logits, and the gradient penalties of the discriminator."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from genscene.errors import BadInput
from genscene.kernels.convolutions import gradients_of_inputs
from genscene.ranges import Count, NonNegative, PositiveShare

Kind = Literal["logistic", "relativistic", "hinge"]


@dataclass(frozen=True)
class GANLoss:
    """The losses of both players, and their penalties."""

    # logistic: non-saturating (Goodfellow et al. 2014); relativistic: reals and fakes in pairs (R3GAN); hinge
    kind: Kind = "logistic"
    gamma: NonNegative = 10.0  # weight of R1: gamma / 2 * |gradient of the logit at real images|^2; 0: none
    gamma_fake: NonNegative = 0.0  # weight of R2, the same at fakes; 0: none
    penalty_every: Count = 1  # discriminator steps between two penalties, which weigh that many times more
    penalty_turn: bool = False  # penalties are an optimiser step of their own (StyleGAN2's lazy R1)
    # ratio of gamma and gamma_fake at the last step to those at the first, along a cosine (R3GAN: 0.1)
    final_gamma_ratio: NonNegative = 1.0
    # share of the fakes, those with the highest logits, that the generator learns from in the end
    top_k: PositiveShare = 1.0
    top_k_interval: Count = 2000  # steps in which that share falls by 1 % until then

    def check(self) -> None:
        """Raise BadInput for pairs of which some are left out."""
        if self.kind == "relativistic" and self.top_k < 1:
            raise BadInput(f"top_k {self.top_k}: wanted 1, the relativistic loss pairs all fakes with reals")

    def of_kind(self, kind: Kind) -> "GANLoss":
        """The same, but of a kind; relativistic: with R1 and R2 of one gamma at every step (R3GAN)."""
        if kind != "relativistic":
            return replace(self, kind=kind)
        gamma_fake = self.gamma_fake or self.gamma
        return replace(self, kind=kind, gamma_fake=gamma_fake, penalty_every=1, penalty_turn=False, top_k=1.0)

    @property
    def has_penalties(self) -> bool:
        """Whether there is R1 or R2."""
        return self.gamma > 0 or self.gamma_fake > 0

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Logits of reals and fakes [B], [B] -> the discriminator's loss []."""
        if self.kind == "hinge":
            return relu(1 - real).mean() + relu(1 + fake).mean()
        return logistic_loss(real, fake) if self.kind == "logistic" else relativistic_loss(real, fake)

    def generator(self, fake: Tensor, real: Tensor | None, step: int) -> Tensor:
        """Logits of fakes, and for the relativistic kind of reals, [B] -> the generator's loss []."""
        if self.kind == "relativistic":
            assert real is not None, "the relativistic loss pairs fakes with reals"
            return relativistic_loss(fake, real)
        fake = top_k(fake, max(0.99 ** (step / self.top_k_interval), self.top_k))
        return -fake.mean() if self.kind == "hinge" else nonsaturating_loss(fake)

    def penalizes(self, step: int) -> bool:
        """Whether the discriminator's loss of this step includes the penalties."""
        return self.has_penalties and not self.penalty_turn and step % self.penalty_every == 0

    def penalty_factor(self, step: int, steps: int) -> float:
        """What gammas are multiplied by at a step of so many: their decay, and the interval of penalties."""
        progress = min(1.0, step / max(1, steps))
        decay = (1 + math.cos(math.pi * progress)) / 2
        return self.penalty_every * (self.final_gamma_ratio + (1 - self.final_gamma_ratio) * decay)


def nonsaturating_loss(fake: Tensor) -> Tensor:
    """Generator loss on logits [B] (Goodfellow et al. 2014, sec. 3) -> []."""
    return softplus(-fake).mean()


def logistic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Discriminator loss on logits [B], [B] (Goodfellow et al. 2014, eq. 1) -> []."""
    return softplus(-real).mean() + softplus(fake).mean()


def relativistic_loss(higher: Tensor, lower: Tensor) -> Tensor:
    """Loss on pairs of logits [B], the former should be higher (Jolicoeur-Martineau 2019) -> []."""
    return softplus(lower - higher).mean()


def r1_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Half the squared gradient norm of logits [B] at images, mean (Mescheder et al. 2018, eq. 9) -> []."""
    with gradients_of_inputs():
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean() / 2


def top_k(logits: Tensor, share: float) -> Tensor:
    """The highest of logits [B], a share of them rounded up (Sinha et al. 2020, top-k training) -> [K]."""
    return logits.topk(max(1, math.ceil(share * len(logits)))).values
