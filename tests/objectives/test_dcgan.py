"""DCGAN's discriminator: labels, and the weights it starts with."""

from dataclasses import replace

import torch

from genscene.objectives.dcgan import DCGANConfig, DCGANDiscriminator

SMALL = DCGANConfig((8, 16), bias=True)


def test_logits_are_linear_in_labels_and_depend_on_image_and_label_together():
    network, images = DCGANDiscriminator(SMALL, labels=3), torch.rand(4, 3, 16, 16)
    a, b = torch.randn(2, 4, 3)
    none = network(images, torch.zeros(4, 3))
    both = network(images, a) + network(images, b)
    torch.testing.assert_close(network(images, a + b) + none, both)
    moved = network(images, a) - none
    assert (moved.abs() > 1e-4).all()
    assert not torch.allclose(network(images.flip(0), a) - network(images.flip(0), 0 * a), moved)


def test_without_labels_there_is_one_logit_of_an_image():
    torch.manual_seed(1)
    plain = DCGANDiscriminator(SMALL)
    assert plain.last.out_channels == 1
    assert plain(torch.rand(2, 3, 16, 16)).shape == (2,)


def test_kaiming_weights_carry_an_image_through_as_large_as_it_came():
    images = torch.randn(64, 3, 32, 32)
    deep = DCGANConfig((32, 32, 32), bias=True)
    sizes = {}
    for kaiming in (False, True):
        torch.manual_seed(0)
        network = DCGANDiscriminator(replace(deep, kaiming=kaiming))
        sizes[kaiming] = float(network(images).detach().std())
    assert sizes[False] < 0.1 < 0.5 < sizes[True] < 2.5
