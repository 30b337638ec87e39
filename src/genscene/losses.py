"""What the players minimise."""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus


def fool(fake: Tensor) -> Tensor:
    """Non-saturating generator loss on logits [B] (Goodfellow et al. 2014, sec. 3)."""
    return softplus(-fake).mean()


def tell(real: Tensor, fake: Tensor) -> Tensor:
    """Logistic discriminator loss on logits [B], [B]."""
    return softplus(-real).mean() + softplus(fake).mean()


def r1(logits: Tensor, images: Tensor) -> Tensor:
    """Half the squared gradient of logits [B] at real images [B, 3, H, W] (Mescheder et al. 2018, eq. 9)."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean() / 2


def best(fake: Tensor, share: float) -> Tensor:
    """The highest logits of [B], a share of them rounded up (Sinha et al. 2020, top-k training)."""
    return fake.topk(max(1, math.ceil(share * len(fake)))).values
