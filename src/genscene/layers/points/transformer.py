"""Transformer blocks over the tokens of a scene that a style modulates (CGS-GAN; GSGAN)."""

import math

from torch import Tensor, nn
from torch.nn.functional import gelu, linear, scaled_dot_product_attention

from genscene.layers.stylegan2 import EqualLinear, scaled_leaky_relu

EPS = 1e-8  # added to standard deviations


class TokenNorm(nn.Module):
    """Every channel normalised over the tokens of a scene, then scaled and shifted by a style (AdaIN)."""

    def __init__(self, width: int, style_dim: int):
        super().__init__()
        self.gamma = EqualLinear(style_dim, width, bias_init=1.0)
        self.beta = EqualLinear(style_dim, width)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x [B, N, width], styles [B, style_dim] -> [B, N, width]."""
        x = x - x.mean(dim=1, keepdim=True)
        variance = x.square().mean(dim=1, keepdim=True)
        deviation = (variance + EPS**2).sqrt() + EPS  # its slope is finite where all tokens are equal
        return x / deviation * self.gamma(style)[:, None] + self.beta(style)[:, None]


class SelfAttention(nn.Module):
    """Attention of all tokens of a scene to one another."""

    def __init__(self, width: int, heads: int):
        """heads: a divisor of the width."""
        super().__init__()
        self.heads = heads
        self.qkv = EqualLinear(width, 3 * width)  # for each head its queries, keys and values
        self.projection = EqualLinear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, width] -> [B, N, width]."""
        assert self.qkv.bias is not None
        # one number for all keys of a head changes no softmax, and would have a gradient of rounding errors
        kept = self.qkv.bias.new_tensor([1.0, 0.0, 1.0])[:, None]
        bias = (self.qkv.bias.view(self.heads, 3, -1) * kept).flatten()
        found = linear(x, self.qkv.weight * self.qkv.scale, bias)
        q, k, v = found.unflatten(-1, (self.heads, -1)).transpose(1, 2).chunk(3, dim=-1)
        return self.projection(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class PointwiseNetwork(nn.Module):
    """Two linear layers for every token; the GELU between them is scaled by sqrt(2)."""

    def __init__(self, width: int, ratio: int):
        """ratio: of the hidden width to the width."""
        super().__init__()
        self.first, self.second = EqualLinear(width, ratio * width), EqualLinear(ratio * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, width] -> [B, N, width]."""
        return self.second(gelu(self.first(x)) * math.sqrt(2))


class ModulatedBlock(nn.Module):
    """x + gate(w) attention(norm(x, w)), then x + gate(w) mlp(norm(x, w)); gates do not depend on w at first.

    Where they start as 0, the block starts as the identity.
    """

    def __init__(
        self, width: int, heads: int, style_dim: int, ratio: int, gate: float = 0.0, attention: bool = True
    ):
        """gate: at the start; attention: off for the pointwise network alone."""
        super().__init__()
        self.mixes = nn.ModuleList([SelfAttention(width, heads)] if attention else [])
        self.mixes.append(PointwiseNetwork(width, ratio))
        self.norms = nn.ModuleList(TokenNorm(width, style_dim) for _ in self.mixes)
        gates = [EqualLinear(style_dim, width, bias_init=gate) for _ in self.mixes]
        for each in gates:
            nn.init.zeros_(each.weight)
        self.gates = nn.ModuleList(gates)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x [B, N, width], styles [B, style_dim] -> [B, N, width]."""
        for norm, mix, gate in zip(self.norms, self.mixes, self.gates, strict=True):
            x = x + mix(norm(x, style)) * gate(style)[:, None]
        return x


class SubpixelUpsample(nn.Module):
    """Every token becomes several, its children, side by side: (shortcut + layer) / sqrt(2)."""

    def __init__(self, in_features: int, out_features: int, ratio: int):
        """ratio: children of a token. The shortcut is the identity where as many features go in as out."""
        super().__init__()
        self.ratio = ratio
        self.subpixel = EqualLinear(in_features, out_features * ratio)
        same = in_features == out_features
        self.shortcut = nn.Identity() if same else EqualLinear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, in_features] -> [B, N * ratio, out_features]."""
        children = scaled_leaky_relu(self.subpixel(x)).unflatten(-1, (self.ratio, -1))
        return ((self.shortcut(x)[:, :, None] + children) / math.sqrt(2)).flatten(1, 2)
