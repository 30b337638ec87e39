"""Layers of points that a style modulates, with noise, bias and activation (CIPS, sec. 3.1)."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from genscene.geometry.cameras import no_autocast
from genscene.layers.stylegan2 import EqualLinear, ModulatedLinear, scaled_leaky_relu

Activation = Literal["leaky_relu", "sin", "sinrelu"]


def activate(x: Tensor, activation: Activation) -> Tensor:
    """x [..., C] after its activation, of the same shape; sinrelu puts the even channels first."""
    if activation == "leaky_relu":
        return scaled_leaky_relu(x)
    if activation == "sin":
        return x.sin()
    even, odd = x[..., ::2], x[..., 1::2]
    return torch.cat([scaled_leaky_relu(even), math.sqrt(2) * odd.sin()], dim=-1)


class StyledLinear(nn.Module):
    """A modulated linear layer with noise, bias and activation; None: colors, which are not demodulated."""

    def __init__(
        self, inputs: int, outputs: int, style_dim: int, activation: Activation | None, noise: bool = False
    ):
        super().__init__()
        self.linear = ModulatedLinear(inputs, outputs, style_dim, demodulate=activation is not None)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(1)) if noise else None
        self.activation = activation

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """x [B, N, inputs], w [B, S] or [B, N, S], noise [B, N] -> [B, N, outputs]."""
        if self.activation is None:
            with no_autocast(w):  # colors in bfloat16 would have 8 bits
                return self.linear(x.to(w), w, self.bias)
        x = self.linear(x, w, self.bias)
        if noise is not None and self.noise_strength is not None:
            x = x + self.noise_strength * noise[..., None]
        return activate(x, self.activation)


class StyledBlock(nn.Module):
    """Two styled layers; residual: (layers(x) + x) / sqrt(2), x projected where the width changes."""

    def __init__(
        self, inputs: int, outputs: int, style_dim: int, activation: Activation, noise: bool, residual: bool
    ):
        super().__init__()
        self.residual = residual
        self.first = StyledLinear(inputs, outputs, style_dim, activation, noise)
        self.second = StyledLinear(outputs, outputs, style_dim, activation, noise)
        project = residual and inputs != outputs
        self.shortcut = EqualLinear(inputs, outputs, bias=False) if project else None

    def forward(self, x: Tensor, w: tuple[Tensor, ...], noise: tuple[Tensor | None, ...]) -> Tensor:
        """x [B, N, inputs], of both layers w [B, S] or [B, N, S] and noise [B, N] -> [B, N, outputs]."""
        y = self.second(self.first(x, w[0], noise[0]), w[1], noise[1])
        if not self.residual:
            return y
        return (y + (x if self.shortcut is None else self.shortcut(x))) / math.sqrt(2)
