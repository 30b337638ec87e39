"""The operations as the papers write them: what every other way of computing them is tested against."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear, relu

from genscene.kernels.hashing import GOLDEN, splitmix64


def film_sine(
    x: Tensor | Sequence[Tensor], weight: Tensor, bias: Tensor, frequency: Tensor, phase: Tensor
) -> Tensor:
    """FiLM-SIREN layer, sin(frequency * (x weight^T + bias) + phase) (pi-GAN, eq. 2).

    x [B, N, I], or parts that are concatenated, weight [O, I], bias [O], frequency, phase [B, O]
    -> [B, N, O].
    """
    x = x if isinstance(x, Tensor) else join([part.to(x[-1]) for part in x])
    return (frequency[:, None] * linear(x, weight, bias) + phase[:, None]).sin()


def joint_linear(parts: Sequence[Tensor], weight: Tensor, bias: Tensor, rectify: bool = False) -> Tensor:
    """A linear layer on concatenated inputs [B, N or 1, I_k], weight [O, sum of I_k] -> [B, N, O].

    rectify: relu of it.
    """
    out = linear(join(parts), weight, bias)
    return relu(out, inplace=True) if rectify else out


def linear_twice(
    x: Tensor,
    others: Sequence[Tensor],
    first: Tensor,
    first_bias: Tensor,
    second: Tensor,
    bias: Tensor,
    rectify: bool = False,
) -> Tensor:
    """A linear layer of x, then one of its output concatenated with others, no activation between.

    x [B, N, I], others [B, N or 1, J_k], first [M, I], second [O, M + sum of J_k] -> [B, N, O].
    """
    return joint_linear((linear(x, first, first_bias), *others), second, bias, rectify)


def join(parts: Sequence[Tensor]) -> Tensor:
    """[B, N or 1, I_k] -> [B, N, sum of I_k]."""
    count = max(part.shape[1] for part in parts)
    return torch.cat([part.expand(-1, count, -1) for part in parts], dim=-1)


def composite(optical: Tensor, values: Tensor, distances: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights of samples and what they sum to (NeRF, eq. 3).

    Optical depths [B, R, S], values [B, R, S, C], distances [B, R, S] -> weights [B, R, S], weighted sums of
    values [B, R, C] and distances [B, R, 1], opacity [B, R, 1].
    """
    weights = ray_weights(optical)
    mean = weighted_sum(weights, distances[..., None])
    return weights, weighted_sum(weights, values), mean, weights.sum(dim=-1, keepdim=True)


def ray_weights(optical: Tensor) -> Tensor:
    """How much each sample along a ray absorbs of what the samples before it let pass: [B, R, S]."""
    passed = torch.cat([torch.zeros_like(optical[..., :1]), optical[..., :-1].cumsum(-1)], dim=-1)
    return (-passed).exp() * -torch.expm1(-optical)


def weighted_sum(weights: Tensor, values: Tensor) -> Tensor:
    """Weighted sum over samples: [B, R, S], [B, R, S, C] -> [B, R, C]."""
    if values.shape[-1] < 5:  # colors: faster than a matrix product with its gradient
        return (weights[..., None] * values).sum(dim=-2)
    with torch.autocast(weights.device.type, enabled=False):  # which would round the picture
        return (weights[..., None, :] @ values)[..., 0, :]


def hash_uniform(keys: Tensor, first: int, count: int) -> Tensor:
    """Uniform in [0, 1): keys [K] int64 -> numbers first, ..., first + count - 1 of each [K, count]."""
    counts = torch.arange(first, first + count, device=keys.device)
    bits = splitmix64(keys[:, None] + counts * GOLDEN)
    return (bits & 0xFFFFFF).float() / 2**24
