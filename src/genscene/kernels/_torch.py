"""The operations as the papers write them: what every other way of computing them is tested against."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear


def film_sine(x: Tensor, weight: Tensor, bias: Tensor, frequency: Tensor, phase: Tensor) -> Tensor:
    """sin(frequency * (x weight^T + bias) + phase): [B, N, I] -> [B, N, O]."""
    return (frequency[:, None] * linear(x, weight, bias) + phase[:, None]).sin()


def joint_linear(parts: Sequence[Tensor], weight: Tensor, bias: Tensor) -> Tensor:
    """linear of the concatenation: [B, N, I_k] -> [B, N, O]."""
    return linear(torch.cat(list(parts), dim=-1), weight, bias)


def linear_twice(
    x: Tensor, beside: Tensor, first: Tensor, first_bias: Tensor, second: Tensor, second_bias: Tensor
) -> Tensor:
    """One after the other: [B, N, I], [B, N, J] -> [B, N, O]."""
    return linear(torch.cat([linear(x, first, first_bias), beside], dim=-1), second, second_bias)
