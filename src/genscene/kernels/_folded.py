"""The operations with everything that does not depend on the point folded into the weights: one product, one pass."""

import torch
from torch import Tensor


def film_sine(x: Tensor, weight: Tensor, bias: Tensor, frequency: Tensor, phase: Tensor) -> Tensor:
    """sin(x (frequency weight)^T + (frequency bias + phase)): [B, N, I] -> [B, N, O]."""
    folded = weight * frequency[:, :, None]
    offset = (frequency * bias + phase)[:, None]
    argument = torch.baddbmm(offset, x, folded.mT)
    return argument.sin() if argument.requires_grad else argument.sin_()
