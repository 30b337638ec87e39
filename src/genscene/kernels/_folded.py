"""The operations with all that does not depend on the point folded into the weights."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear


def film_sine(x: Tensor, weight: Tensor, bias: Tensor, frequency: Tensor, phase: Tensor) -> Tensor:
    """sin(x (frequency weight)^T + (frequency bias + phase)): [B, N, I] -> [B, N, O]."""
    folded = weight * frequency[:, :, None]
    offset = (frequency * bias + phase)[:, None]
    argument = torch.baddbmm(offset, x, folded.mT)
    return argument.sin() if argument.requires_grad else argument.sin_()


def joint_linear(parts: Sequence[Tensor], weight: Tensor, bias: Tensor) -> Tensor:
    """A product for each part, summed without concatenation: [B, N or 1, I_k] -> [B, N, O]."""
    weights = weight.split([part.shape[-1] for part in parts], dim=1)
    total = linear(parts[0], weights[0], bias)
    for part, columns in zip(parts[1:], weights[1:], strict=True):
        total = total + linear(part, columns)
    return total


def linear_twice(
    x: Tensor,
    others: Sequence[Tensor],
    first: Tensor,
    first_bias: Tensor,
    second: Tensor,
    bias: Tensor,
) -> Tensor:
    """Both as one, the first folded into the second: [B, N, I], [B, N or 1, J_k] -> [B, N, O]."""
    inner, outer = second[:, : len(first)], second[:, len(first) :]
    bias = linear(first_bias, inner, bias)
    return joint_linear((x, *others), torch.cat([inner @ first, outer], dim=1), bias)
