"""Minibatch standard deviation: what a discriminator is told of the variety of a batch."""

import math

import torch
from torch import Tensor


def minibatch_std(x: Tensor, mbstd_group: int) -> Tensor:
    """Append the mean standard deviation within groups of images as a channel (Karras et al. 2018).

    x [B, C, H, W] holds reals or fakes, never both; groups have the greatest size that divides both
    `mbstd_group` and B.
    """
    size = math.gcd(mbstd_group, len(x))
    std = x.unflatten(0, (-1, size)).var(dim=1, unbiased=False).add(1e-8).sqrt().mean(dim=(1, 2, 3))
    channel = std.repeat_interleave(size)[:, None, None, None].expand(-1, 1, *x.shape[-2:])
    return torch.cat([x, channel], dim=1)


def strided_minibatch_std(x: Tensor, mbstd_group: int) -> Tensor:
    """Append the mean standard deviation within groups of images as a channel, in StyleGAN2's order.

    x [B, C, H, W]; the members of a group are B / size images apart, where the size of groups is the greatest
    up to `mbstd_group` that divides B.
    """
    size = max(n for n in range(1, min(mbstd_group, len(x)) + 1) if len(x) % n == 0)
    std = x.unflatten(0, (size, -1)).var(dim=0, unbiased=False).add(1e-8).sqrt().mean(dim=(1, 2, 3))
    channel = std.repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[-2:])
    return torch.cat([x, channel], dim=1)
