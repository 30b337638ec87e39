"""The operations as the papers write them: what every other way of computing them is tested against."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear, relu


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
