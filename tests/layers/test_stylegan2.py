"""Layers of StyleGAN2 against their formulas."""

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import conv2d
from torch.testing import assert_close

from genscene.layers.stylegan2 import (
    EqualConv2d,
    EqualLinear,
    ModulatedConv2d,
    ModulatedLinear,
    blur,
    pixel_norm,
    scaled_leaky_relu,
    style_mapping,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def leaf(*shape):
    return draw(*shape).requires_grad_()


@pytest.mark.parametrize("lr_mul", [1.0, 0.01])
def test_equal_linear_scales_its_weight_and_bias(lr_mul):
    layer = EqualLinear(6, 4, bias_init=0.5, lr_mul=lr_mul).double()
    x = draw(2, 3, 6)
    wanted = x @ layer.weight.T * lr_mul / math.sqrt(6) + lr_mul * 0.5
    assert_close(layer(x), wanted)


def test_weights_start_with_unit_variance_over_the_multiplier_and_outputs_with_unit_variance():
    layer = EqualLinear(256, 256, lr_mul=0.01)
    assert abs(layer.weight.std() - 100) < 2
    assert abs(layer(torch.randn(200, 256)).std() - 1) < 0.05
    conv = EqualConv2d(64, 64, 3, padding=1)
    assert abs(conv.weight.std() - 1) < 0.02
    assert abs(conv(torch.randn(8, 64, 9, 9))[..., 1:-1, 1:-1].std() - 1) < 0.05


def test_layers_have_a_bias_if_wanted():
    assert [name for name, _ in EqualLinear(2, 2, bias=False).named_parameters()] == ["weight"]
    assert [name for name, _ in EqualConv2d(2, 2, 1).named_parameters()] == ["weight"]
    layer = EqualConv2d(2, 3, 1, bias=True).double()
    torch.nn.init.normal_(layer.bias)
    x = draw(1, 2, 4, 4)
    weight = layer.weight / math.sqrt(2)
    assert_close(layer(x), conv2d(x, weight) + layer.bias[:, None, None])


def test_a_strided_convolution_scales_its_weight():
    layer, x = EqualConv2d(3, 5, 3, stride=2).double(), draw(2, 3, 9, 9)
    assert_close(layer(x), conv2d(x, layer.weight, stride=2) / math.sqrt(27))


@pytest.mark.parametrize(("channel_dim", "shape"), [(-1, (2, 5, 3)), (2, (2, 5, 3)), (1, (2, 3, 4, 5))])
def test_the_leaky_rectifier_adds_the_bias_of_each_channel(channel_dim, shape):
    x, bias = draw(*shape), draw(3)
    y = (x.movedim(channel_dim, -1) + bias).movedim(-1, channel_dim)
    wanted = math.sqrt(2) * torch.where(y > 0, y, 0.2 * y)
    before = x.clone()
    assert_close(scaled_leaky_relu(x, bias, channel_dim), wanted)
    assert_close(scaled_leaky_relu(y), wanted)
    assert torch.equal(x, before)
    assert_close(scaled_leaky_relu(x, bias, channel_dim - x.ndim if channel_dim > 0 else channel_dim), wanted)


def test_pixel_norm_leaves_a_mean_square_of_1():
    x = draw(4, 9)
    assert_close(pixel_norm(x), x / x.square().mean(1, keepdim=True).sqrt(), atol=1e-6, rtol=0)
    assert pixel_norm(torch.zeros(1, 3)).abs().max() == 0


def test_the_style_mapping_is_pixel_norm_and_leaky_layers():
    network, z = style_mapping(6, 3, 0.01).double(), draw(4, 6)
    assert len(list(network.parameters())) == 6
    x = pixel_norm(z)
    for weight in list(network.parameters())[::2]:
        x = scaled_leaky_relu(x @ weight.T * 0.01 / math.sqrt(6))
    assert_close(network(z), x)
    assert_close(network(5 * z), x, atol=1e-6, rtol=1e-6)


def modulated(layer, x, style, demodulate):
    """The formula: x [B, N, I], styles [B, S] -> [B, N, O], a loop over samples."""
    weight, found = layer.weight / math.sqrt(layer.weight.shape[1]), []
    for points, w in zip(x, style, strict=True):
        s = layer.modulation.weight @ w / math.sqrt(len(w)) + layer.modulation.bias
        scaled = weight * s
        if demodulate:
            scaled = scaled / (scaled.square().sum(1, keepdim=True) + 1e-8).sqrt()
        found.append(points @ scaled.T)
    return torch.stack(found)


@pytest.mark.parametrize("demodulate", [True, False])
def test_all_arrangements_of_modulation_are_equal(demodulate):
    layer = ModulatedLinear(6, 5, 7, demodulate).double()
    conv = ModulatedConv2d(6, 5, 1, 7, demodulate).double()
    conv.load_state_dict({k: v.view_as(conv.state_dict()[k]) for k, v in layer.state_dict().items()})
    x, style, bias = draw(3, 8, 6), draw(3, 7), draw(5)
    wanted = modulated(layer, x, style, demodulate)
    assert_close(layer(x, style), wanted)
    assert_close(layer(x, style[:, None].expand(-1, 8, -1)), wanted)
    assert_close(conv(x.mT.unflatten(-1, (2, 4)), style).flatten(2).mT, wanted)
    assert_close(layer(x, style, bias), wanted + bias)
    assert_close(layer(x, style[:, None].expand(-1, 8, -1), bias), wanted + bias)


def test_points_may_have_styles_of_their_own():
    layer, x, style = ModulatedLinear(4, 3, 5).double(), draw(2, 6, 4), draw(2, 6, 5)
    each = layer(x.reshape(12, 1, 4), style.reshape(12, 5)).view(2, 6, 3)
    assert_close(layer(x, style), each)


def test_a_modulated_convolution_is_one_with_the_weights_of_each_sample():
    layer, x, style = ModulatedConv2d(4, 3, 3, 5).double(), draw(2, 4, 6, 7), draw(2, 5)
    found = layer(x, style)
    for i in range(2):
        weight = layer.weight / 6 * layer.modulation(style[i])[:, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        assert_close(found[i], conv2d(x[i : i + 1], weight, padding=1)[0])


def test_modulation_starts_around_1_and_demodulated_outputs_have_unit_variance():
    layer = ModulatedLinear(256, 256, 64)
    assert torch.equal(layer.modulation.bias, torch.ones(256))
    assert abs(layer(torch.randn(2, 100, 256), 3 * torch.randn(2, 64)).std() - 1) < 0.05


def test_no_sample_gives_no_output():
    assert ModulatedConv2d(4, 3, 3, 5)(torch.zeros(0, 4, 6, 7), torch.zeros(0, 5)).shape == (0, 3, 6, 7)
    assert ModulatedLinear(4, 3, 5)(torch.zeros(0, 6, 4), torch.zeros(0, 5)).shape == (0, 6, 3)


@pytest.mark.parametrize(("pad", "stride"), [(0, 1), (1, 2), (2, 1)])
def test_the_blur_is_a_weighted_mean_of_4x4_pixels(pad, stride):
    x = draw(2, 3, 8, 6)
    padded = torch.nn.functional.pad(x, (pad,) * 4)
    wanted = torch.zeros(2, 3, 8 + 2 * pad - 3, 6 + 2 * pad - 3, dtype=torch.float64)
    for i, a in enumerate((1, 3, 3, 1)):
        for j, b in enumerate((1, 3, 3, 1)):
            wanted += a * b / 64 * padded[..., i : i + wanted.shape[-2], j : j + wanted.shape[-1]]
    assert_close(blur(x, pad, stride), wanted[..., ::stride, ::stride])


def test_the_blur_keeps_constants_and_its_half_removes_stripes():
    x = torch.ones(1, 1, 8, 8)
    assert_close(blur(x, 0), torch.ones(1, 1, 5, 5))
    x[..., ::2] = -1
    assert blur(x, 0).abs().max() < 1e-6


SECOND = {
    "linear": (ModulatedLinear(3, 2, 2), (2, 3, 3), (2, 2)),
    "points": (ModulatedLinear(3, 2, 2), (2, 3, 3), (2, 3, 2)),
    "conv": (ModulatedConv2d(2, 2, 3, 2), (2, 2, 3, 3), (2, 2)),
}


@pytest.mark.parametrize("kind", SECOND)
def test_modulated_layers_are_twice_differentiable(kind):
    layer, *shapes = SECOND[kind]
    layer = layer.double()
    inputs = [leaf(*shape) for shape in shapes]
    assert gradcheck(layer, inputs)
    assert gradgradcheck(layer, inputs)


def test_the_other_layers_are_twice_differentiable():
    assert gradgradcheck(lambda x: blur(x, 1, 2), [leaf(1, 2, 4, 4)])
    assert gradgradcheck(lambda x: blur(x, 2), [leaf(1, 2, 3, 3)])
    assert gradgradcheck(scaled_leaky_relu, [leaf(2, 3), leaf(3)])
    assert gradgradcheck(style_mapping(3, 2, 0.01).double(), [leaf(2, 3)])
