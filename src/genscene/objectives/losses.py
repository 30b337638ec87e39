"""What the players minimise."""

import math

import torch
from torch import Tensor
from torch.nn.functional import mse_loss, softplus


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


def photometric(color: Tensor, wanted: Tensor, reduction: str = "sum") -> Tensor:
    """Squared error of colours [B, R, 3] (NeRF, eq. 6): summed, or averaged as in the released code."""
    return mse_loss(color, wanted, reduction=reduction)


def binary_entropy(share: Tensor) -> Tensor:
    """Mean entropy, in nats, of coins that fall with chances [...], 0 to 1: small where they are near either end."""
    p = share.clamp(1e-5, 1 - 1e-5)
    return -(p * p.log() + (1 - p) * (1 - p).log()).mean()
