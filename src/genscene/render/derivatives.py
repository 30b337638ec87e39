"""Exact derivatives of functions of points, by automatic differentiation."""

import torch
from torch import Tensor


def gradient(values: Tensor, points: Tensor) -> Tensor:
    """Values [B, N, C] computed of points [B, N, D], each of its own -> gradients [B, N, C, D].

    They can be differentiated again; where values do not depend on the points they are 0.
    """
    rows = [_of_sum(values[..., i], points) for i in range(values.shape[-1])]
    return torch.stack(rows, dim=-2)


def laplacian(gradients: Tensor, points: Tensor, scale: Tensor | None = None) -> Tensor:
    """Gradients [B, N, C, D], by `gradient` -> sums of the second derivatives [B, N, C].

    scale [D]: factors of the second derivatives, where gradients have those of the first.
    """
    channels, dims = gradients.shape[-2:]
    rows = []
    for i in range(channels):
        second = torch.stack([_of_sum(gradients[..., i, d], points)[..., d] for d in range(dims)], dim=-1)
        rows.append((second if scale is None else second * scale).sum(dim=-1))
    return torch.stack(rows, dim=-1)


def _of_sum(values: Tensor, points: Tensor) -> Tensor:
    """The derivatives of the sum of values [B, N] -> [B, N, D]."""
    if not values.requires_grad:
        return torch.zeros_like(points)
    (found,) = torch.autograd.grad(
        values.sum(), points, create_graph=True, allow_unused=True, materialize_grads=True
    )
    return found
