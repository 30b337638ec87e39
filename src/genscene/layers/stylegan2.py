"""Layers of StyleGAN2 (Karras et al. 2020): equalised weights, modulation by a style, the blur."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, linear

EPS = 1e-8  # under the roots of pixel norm and demodulation


def scaled_leaky_relu(x: Tensor, bias: Tensor | None = None, channel_dim: int = -1) -> Tensor:
    """sqrt(2) leaky_relu(x + bias, 0.2), of the same shape as x; bias [C] of the channels in `channel_dim`.

    The gain keeps the mean square of normally distributed x within 4 %.
    """
    if bias is not None:
        x = x + bias.view(-1, *[1] * (-1 - channel_dim if channel_dim < 0 else x.ndim - 1 - channel_dim))
    return leaky_relu(x, 0.2).mul_(math.sqrt(2))


def pixel_norm(x: Tensor) -> Tensor:
    """x [..., C] divided by the root of its mean square over C (Karras et al. 2018, sec. 4.2)."""
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + EPS)


class EqualLinear(nn.Module):
    """A linear layer with an equalised learning rate (Karras et al. 2018, sec. 4.1).

    y = lr_mul / sqrt(in_features) * weight x + lr_mul * bias; the weight starts as N(0, 1) / lr_mul, the bias
    as bias_init. Adam's steps of the factors are then the same for all layers, and lr_mul of that in this.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        bias_init: float = 0.0,
        lr_mul: float = 1.0,
    ):
        super().__init__()
        self.lr_mul, self.scale = lr_mul, lr_mul / math.sqrt(in_features)
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_mul)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        bias = self.bias if self.bias is None or self.lr_mul == 1 else self.bias * self.lr_mul
        return linear(x, self.weight * self.scale, bias)


class EqualConv2d(nn.Module):
    """A convolution with an equalised learning rate: a weight of N(0, 1) times 1 / sqrt(its inputs)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        bias: bool = False,
    ):
        super().__init__()
        self.scale = 1 / math.sqrt(in_channels * kernel_size**2)
        self.stride, self.padding = stride, padding
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, out_channels, H', W']."""
        return conv2d(x, self.weight * self.scale, self.bias, self.stride, self.padding)


class StyleMapping(nn.Sequential):
    """Equalised linear layers with leaky rectifiers behind pixel norm: z -> w (StyleGAN, sec. 2)."""

    def forward(self, z: Tensor) -> Tensor:
        """Latent codes [B, width] -> styles [B, width]."""
        x = pixel_norm(z)
        for layer in self:
            x = scaled_leaky_relu(layer(x))
        return x


def style_mapping(width: int, depth: int, lr_mul: float) -> nn.Module:
    """The network of a `MappingNetwork` z [B, width] -> w [B, width] with so many layers."""
    return StyleMapping(*(EqualLinear(width, width, lr_mul=lr_mul) for _ in range(depth)))


class LabelMapping(nn.Module):
    """Latent codes and labels, such as cameras, both at pixel norm, through equalised layers (EG3D)."""

    default: Tensor | None  # [label_dim], where no label is given; None: 0

    def __init__(
        self,
        latent_dim: int,
        label_dim: int,
        width: int,
        depth: int,
        lr_mul: float,
        default: Tensor | None = None,
    ):
        """latent_dim: 0 for labels alone. label_dim: 0 for codes alone."""
        super().__init__()
        self.label_dim = label_dim
        self.register_buffer("default", default)
        self.embedding = EqualLinear(label_dim, width) if label_dim else None
        sizes = [latent_dim + width * (label_dim > 0), *[width] * depth]
        self.layers = nn.ModuleList(EqualLinear(a, b, lr_mul=lr_mul) for a, b in pairwise(sizes))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z [B, latent_dim], labels [B, label_dim] -> [B, width]."""
        parts = [pixel_norm(z)] if z.shape[-1] else []
        if self.embedding is not None:
            if labels is None:
                labels = z.new_zeros(self.label_dim) if self.default is None else self.default
            parts.append(pixel_norm(self.embedding(labels.expand(len(z), -1))))
        x = torch.cat(parts, dim=-1)
        for layer in self.layers:
            x = scaled_leaky_relu(layer(x))
        return x


class ModulatedLinear(nn.Module):
    """A linear layer whose inputs a style scales (StyleGAN2, eq. 1 and 3; CIPS, sec. 3).

    y_i = d_i sum_j W_ij s_j x_j with W = weight / sqrt(in_features), s = modulation(style) and, where it is
    demodulated, d_i = 1 / sqrt(sum_j (W_ij s_j)^2 + 1e-8), else 1.
    """

    def __init__(self, in_features: int, out_features: int, style_features: int, demodulate: bool = True):
        super().__init__()
        self.scale, self.demodulate = 1 / math.sqrt(in_features), demodulate
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.modulation = EqualLinear(style_features, in_features, bias_init=1.0)

    def forward(self, x: Tensor, style: Tensor, bias: Tensor | None = None) -> Tensor:
        """x [B, N, in_features], styles of samples [B, style_features] or points [B, N, style_features] ->
        [B, N, out_features], plus the bias [out_features] if there is one.
        """
        s, weight = self.modulation(style), self.weight * self.scale
        modulate = modulate_points if s.ndim == 3 else modulate_weights
        return modulate(x, s, weight, bias, self.demodulate)


def modulate_weights(x: Tensor, s: Tensor, weight: Tensor, bias: Tensor | None, demodulate: bool) -> Tensor:
    """x [B, N, I] by weights [O, I] of which the scales s [B, I] make one matrix per sample -> [B, N, O]."""
    weights = weight * s[:, None]  # [B, O, I]
    if demodulate:
        weights = weights * torch.rsqrt(weights.square().sum(dim=-1, keepdim=True) + EPS)
    return torch.bmm(x, weights.mT) if bias is None else torch.baddbmm(bias, x, weights.mT)


def modulate_points(x: Tensor, s: Tensor, weight: Tensor, bias: Tensor | None, demodulate: bool) -> Tensor:
    """The same with scales s of every point [B, N, I]: inputs and outputs are scaled, weights shared."""
    y = linear(s * x, weight)
    if demodulate:
        y = y * torch.rsqrt(linear(s.square(), weight.square()) + EPS)
    return y if bias is None else y + bias


class ModulatedConv2d(nn.Module):
    """A convolution whose input channels a style scales, zeros around the image; see `ModulatedLinear`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        style_channels: int,
        demodulate: bool = True,
    ):
        """kernel_size: odd."""
        super().__init__()
        self.scale, self.demodulate = 1 / math.sqrt(in_channels * kernel_size**2), demodulate
        self.padding = kernel_size // 2
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.modulation = EqualLinear(style_channels, in_channels, bias_init=1.0)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x [B, in_channels, H, W], styles [B, style_channels] -> [B, out_channels, H, W]."""
        if not len(x):
            return x.new_zeros(0, len(self.weight), *x.shape[-2:])
        weights = self.weight * self.scale * self.modulation(style)[:, None, :, None, None]  # [B, O, I, k, k]
        if self.demodulate:
            weights = weights * torch.rsqrt(weights.square().sum(dim=(2, 3, 4), keepdim=True) + EPS)
        y = conv2d(x.flatten(0, 1)[None], weights.flatten(0, 1), padding=self.padding, groups=len(x))
        return y.view(len(x), -1, *x.shape[-2:])


def blur(x: Tensor, pad: int, stride: int = 1) -> Tensor:
    """x [B, C, H, W] filtered by the outer product of [1, 3, 3, 1] / 8, with `pad` zeros on every side.

    Gives [B, C, H', W'] with H' = (H + 2 pad - 4) // stride + 1: every stride-th place is computed.
    """
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]).to(x) / 8
    kernel = (row[:, None] * row).expand(x.shape[1], 1, 4, 4)
    return conv2d(x, kernel, stride=stride, padding=pad, groups=x.shape[1])


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """x [B, C, H, W] filtered by 2^-(i / sigma)^2 along both axes, i pixels away, with zeros around it."""
    reach = math.floor(3 * sigma)
    taps = torch.exp2(-(torch.arange(-reach, reach + 1, dtype=torch.float64) / sigma).square())
    taps = (taps / taps.sum()).to(x)
    for axis, shape in enumerate(((1, 1, -1, 1), (1, 1, 1, -1))):
        kernel = taps.view(shape).expand(x.shape[1], -1, -1, -1)
        padding = (reach, 0) if axis == 0 else (0, reach)
        x = conv2d(x, kernel, padding=padding, groups=x.shape[1])
    return x
