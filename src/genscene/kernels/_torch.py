"""The operations as the papers write them: what every other way of computing them is tested against."""

from torch import Tensor
from torch.nn.functional import linear


def film_sine(x: Tensor, weight: Tensor, bias: Tensor, frequency: Tensor, phase: Tensor) -> Tensor:
    """sin(frequency * (x weight^T + bias) + phase): [B, N, I] -> [B, N, O]."""
    return (frequency[:, None] * linear(x, weight, bias) + phase[:, None]).sin()
