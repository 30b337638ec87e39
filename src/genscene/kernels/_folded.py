"""The operations with all that does not depend on the point folded into the weights."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear, relu

from genscene.kernels._cpu import activated, suits


def film_sine(
    x: Tensor | Sequence[Tensor], weight: Tensor, bias: Tensor, frequency: Tensor, phase: Tensor
) -> Tensor:
    """sin(x (frequency weight)^T + (frequency bias + phase)): [B, N, I], or its parts -> [B, N, O]."""
    parts = (x,) if isinstance(x, Tensor) else x
    folded = weight * frequency[:, :, None]
    offset = frequency * bias + phase
    weights = folded.split([part.shape[-1] for part in parts], dim=-1)
    if suits(parts[-1], folded):
        return activated(parts, weights, offset, sine=True)
    argument = offset[:, None]
    for part, columns in zip(parts, weights, strict=True):
        argument = torch.baddbmm(argument, part.to(parts[-1]), columns.mT)
    return argument.sin() if argument.requires_grad else argument.sin_()


def joint_linear(parts: Sequence[Tensor], weight: Tensor, bias: Tensor, rectify: bool = False) -> Tensor:
    """A product for each part, summed without concatenation: [B, N or 1, I_k] -> [B, N, O]."""
    weights = weight.split([part.shape[-1] for part in parts], dim=1)
    if rectify and not torch.compiler.is_compiling():
        most = max(parts, key=lambda part: part.shape[1])
        if suits(most, weight):
            return rectified(parts, weights, bias, most.shape[1])
    total = linear(parts[0], weights[0], bias)
    for part, columns in zip(parts[1:], weights[1:], strict=True):
        total = total + linear(part, columns)
    return relu(total, inplace=True) if rectify else total


def rectified(parts: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor, count: int) -> Tensor:
    """relu of the sum of products; parts [B, 1, I_k], of all N, become part of the bias."""
    many, matrices, offset = [], [], bias[None]
    for part, columns in zip(parts, weights, strict=True):
        if part.shape[1] < count:
            offset = offset + linear(part[:, 0], columns)
        else:
            many.append(part)
            matrices.append(columns)
    pictures = len(many[0])
    if len(offset) == 1 and pictures > 1:  # one layer for all: one matrix of rows
        many, pictures = [part.flatten(0, 1)[None] for part in many], 1
    folded = [columns.expand(pictures, -1, -1) for columns in matrices]
    out = activated(many, folded, offset.expand(pictures, -1), sine=False)
    return out.view(-1, count, out.shape[-1])


def linear_twice(
    x: Tensor,
    others: Sequence[Tensor],
    first: Tensor,
    first_bias: Tensor,
    second: Tensor,
    bias: Tensor,
    rectify: bool = False,
) -> Tensor:
    """Both as one, the first folded into the second: [B, N, I], [B, N or 1, J_k] -> [B, N, O]."""
    inner, outer = second[:, : len(first)], second[:, len(first) :]
    bias = linear(first_bias, inner, bias)
    return joint_linear((x, *others), torch.cat([inner @ first, outer], dim=1), bias, rectify)
