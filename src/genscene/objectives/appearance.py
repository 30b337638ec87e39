"""A loss that makes codes of appearance carry the colors of objects, which else may hang on other codes."""

import math

import torch
from torch import Tensor


def pair_groups(count: int, group: int) -> tuple[Tensor, Tensor]:
    """Pairs of `count` scenes that are to share appearances -> numbers [P] of the firsts and of the seconds.

    The two are of neighboring groups of the minibatch standard deviation: within a group, like colors would
    tell fakes from real images, and the discriminator would drive the colors apart.
    """
    size = math.gcd(group, count)
    side = size if count > size else size // 2  # one group only: its halves
    if not side:
        return (torch.empty(0, dtype=torch.long),) * 2
    numbers = torch.arange(count // (2 * side) * 2 * side).view(-1, 2, side)
    return numbers[:, 0].flatten(), numbers[:, 1].flatten()


def appearance_loss(images: Tensor, seen: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Squared difference of the mean colors of objects with the same appearance code -> [].

    images [B, 3, H, W], 0 to 1; seen [B, O, H, W]: what is seen of each object; first, second [P]: numbers of
    the scenes whose objects have the same codes. Objects of which less than a pixel is seen do not count.
    """
    mass = seen.sum(dim=(-2, -1))
    colors = torch.einsum("bohw,bchw->boc", seen, images) / mass.clamp_min(1e-3)[..., None]
    both = ((mass[first] > 1) & (mass[second] > 1)).to(colors)
    return (both * (colors[first] - colors[second]).square().sum(-1)).mean()
