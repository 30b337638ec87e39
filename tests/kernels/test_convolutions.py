"""Convolutions that are differentiated twice, against torch's own."""

import pytest
import torch
from torch import nn
from torch.autograd import grad, gradcheck, gradgradcheck
from torch.nn.functional import leaky_relu
from torch.testing import assert_close

from genscene.kernels import convolutions
from genscene.kernels.convolutions import DifferentiatedTwice, convolution
from genscene.objectives.gan_loss import r1_penalty

PLACES = [(1, 0), (1, 1), (2, 1), ((2, 1), (0, 1))]


@pytest.mark.parametrize(("stride", "padding"), PLACES)
@pytest.mark.parametrize("bias", [False, True])
def test_first_and_second_derivatives(stride, padding, bias):
    make = lambda *shape: torch.randn(*shape, dtype=torch.float64, requires_grad=True)  # noqa: E731
    given = (make(2, 3, 5, 4), make(2, 3, 3, 2), make(2) if bias else None, stride, padding)
    assert_close(convolution(*given), torch.conv2d(*given))
    assert gradcheck(convolution, given)
    assert gradgradcheck(convolution, given)


def test_third_derivatives():
    make = lambda *shape: torch.randn(*shape, dtype=torch.float64, requires_grad=True)  # noqa: E731
    x, weight = make(2, 3, 5, 5), make(4, 3, 3, 3)

    def third(conv):
        out = conv(x, weight, None, 1, 1).sin().sum()
        (first,) = grad(out, x, create_graph=True)
        (second,) = grad(first.square().sum(), weight, create_graph=True)
        return grad(second.square().sum(), (x, weight))

    assert_close(third(convolution), third(torch.conv2d))


def test_what_is_not_for_it_is_torchs_own(monkeypatch):
    x, weight = torch.randn(2, 4, 6, 6), torch.randn(4, 1, 3, 3)
    each = [torch.conv2d(x[:, i : i + 1], weight[i : i + 1]) for i in range(4)]
    monkeypatch.setattr(convolutions.Convolution, "apply", None)  # not called
    with DifferentiatedTwice():
        assert_close(torch.conv2d(x, weight, groups=4), torch.cat(each, dim=1))
        assert torch.conv2d(x, torch.randn(4, 4, 3, 3), padding="same").shape == x.shape
        assert torch.conv2d(x, torch.randn(4, 4, 3, 3), dilation=2).shape == (2, 4, 2, 2)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.conv2d(x, torch.randn(4, 4, 3, 3)).dtype == torch.bfloat16


def test_penalties_have_the_gradients_of_torchs_convolutions(monkeypatch):
    layers = nn.ModuleList([nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 4, 2, 1), nn.Conv2d(8, 1, 4)])
    images = torch.randn(4, 3, 8, 8, requires_grad=True)
    by_weight = []
    derive = convolutions.derive
    monkeypatch.setattr(
        convolutions, "derive", lambda *given: by_weight.append(given[-1][1]) or derive(*given)
    )

    def gradients(mode):
        with mode:
            x = images
            for layer in layers:
                x = leaky_relu(layer(x), 0.2)
        logits = x.flatten()
        penalty = r1_penalty(logits, images)
        counted = len(by_weight), any(by_weight)
        return counted, grad(penalty + logits.sum(), [*layers.parameters()])

    (count, wanted), ours = gradients(DifferentiatedTwice())
    assert count == 3
    assert not wanted  # by the penalty's first pass
    assert len(by_weight) == 3 + 3 + 3  # by the second: of the penalty, of the logits
    _, plain = gradients(torch.enable_grad())
    assert_close(ours, plain)
