"""StyleGAN2's discriminator: published sizes, its formulas, groups of the minibatch standard deviation."""

import math
from dataclasses import replace

import pytest
import torch
from torch.autograd import gradgradcheck
from torch.nn.functional import conv2d, pad
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.io.rename import rename
from genscene.layers.minibatch_std import minibatch_std, strided_minibatch_std
from genscene.layers.stylegan2 import gaussian_blur
from genscene.objectives.gan_loss import r1_penalty
from genscene.objectives.stylegan2 import (
    ResidualBlock,
    StyleGAN2Discriminator,
    StyleGAN2DiscriminatorConfig,
)
from genscene.objectives.stylegan2_released import RELEASED_NAMES, released_discriminator

TINY = StyleGAN2DiscriminatorConfig(8, channel_base=16, channel_max=3)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def rectified(x):
    return math.sqrt(2) * torch.where(x > 0, x, 0.2 * x)


@pytest.mark.parametrize(("size", "published"), [(256, 28_864_129), (64, 26_488_833)])
def test_parameters_are_as_many_as_published(size, published):
    with torch.device("meta"):
        network = StyleGAN2Discriminator(StyleGAN2DiscriminatorConfig(size))
    assert sum(p.numel() for p in network.parameters()) == published


def test_channels_by_resolution_are_those_of_the_released_code():
    config = StyleGAN2DiscriminatorConfig(1024)
    found = [config.channels_at(side) for side in config.sides]
    assert config.sides == [1024, 512, 256, 128, 64, 32, 16, 8, 4]
    assert found == [32, 64, 128, 256, 512, 512, 512, 512, 512]


def test_a_block_is_the_mean_of_blurred_convolutions_and_a_blurred_projection():
    block, x = ResidualBlock(2, 3).double(), draw(1, 2, 8, 8)
    torch.nn.init.normal_(block.first.bias)
    torch.nn.init.normal_(block.second.bias)
    row = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64)
    kernel = (row.outer(row) / 64).expand(2, 1, 4, 4)
    y = rectified(conv2d(x, block.first.weight / math.sqrt(18), block.first.bias, padding=1))
    y = conv2d(pad(y, (2, 2, 2, 2)), kernel, groups=2)
    y = rectified(conv2d(y, block.second.weight / math.sqrt(18), block.second.bias, stride=2))
    skip = conv2d(pad(x, (1, 1, 1, 1)), kernel, groups=2)
    skip = conv2d(skip, block.shortcut.weight / math.sqrt(2))[..., ::2, ::2]
    assert_close(block(x), (y + skip) / math.sqrt(2))


def test_the_logit_is_the_only_output_or_a_projection_of_the_label():
    images, labels = torch.randn(4, 5, 8, 8), torch.randn(4, 7)
    network = StyleGAN2Discriminator(TINY, inputs=5)
    assert torch.equal(network(images), network.last(network.features(images))[:, 0])
    config = replace(TINY, label_features=6, label_depth=1, label_lr=0.5)
    network = StyleGAN2Discriminator(config, inputs=5, labels=7)
    mapping, found = network.labels, network.last(network.features(images))
    assert found.shape == (4, 6)
    x = labels @ mapping.embedding.weight.mT / math.sqrt(7)
    x = x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    x = rectified(x @ mapping.layers[0].weight.mT * 0.5 / math.sqrt(6))
    assert_close(network(images, labels), (found * x).sum(dim=1) / math.sqrt(6))


def test_outputs_of_convolutions_are_clamped():
    images = 100 * torch.randn(4, 3, 8, 8)
    network = StyleGAN2Discriminator(replace(TINY, conv_clamp=0.5))
    free = StyleGAN2Discriminator(TINY)
    free.load_state_dict(network.state_dict())
    halves = network.blocks[0](images.new_ones(4, 2, 8, 8) * 100)
    assert halves.abs().max() <= 1 / math.sqrt(2) + 1e-6
    assert free.blocks[0](images.new_ones(4, 2, 8, 8) * 100).abs().max() > 1
    assert network(images).abs().max() < free(images).abs().max()


def test_images_are_blurred_until_they_are_sharp():
    config = replace(TINY, mbstd_group=0, blur_steps=10, blur_sigma=2.0)
    assert [config.blur_at(step) for step in (0, 5, 10, 99)] == [2.0, 1.0, 0.0, 0.0]
    network, images = StyleGAN2Discriminator(config, inputs=5), torch.randn(2, 5, 8, 8)
    blurred = images.clone()
    blurred[:, :3] = gaussian_blur(images[:, :3], 1.0)
    assert_close(network(images, step=5), network(blurred))
    assert torch.equal(network(images, step=10), network(images))
    impulse = torch.zeros(1, 1, 9, 9)
    impulse[..., 4, 4] = 1
    row = torch.tensor([2.0 ** -(i * i) for i in range(-3, 4)])
    assert_close(gaussian_blur(impulse, 1.0)[0, 0, 1:8, 1:8], row.outer(row) / row.sum() ** 2)


def test_logits_start_near_unit_scale():
    config = StyleGAN2DiscriminatorConfig(16, channel_max=64)
    logits = torch.stack([StyleGAN2Discriminator(config)(torch.randn(4, 3, 16, 16)).mean() for _ in range(8)])
    assert 0.1 < logits.std() < 3


def test_without_groups_the_logits_are_those_of_each_image():
    config = StyleGAN2DiscriminatorConfig(8, channel_base=16, mbstd_group=0)
    network, images = StyleGAN2Discriminator(config).double(), draw(3, 3, 8, 8)
    assert_close(network(images), torch.cat([network(image[None]) for image in images]))


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 6, 8, 12])
def test_strided_groups_are_as_defined(batch):
    x = draw(batch, 2, 3, 3)
    size = {1: 1, 2: 2, 3: 3, 4: 4, 6: 3, 8: 4, 12: 4}[batch]
    found = strided_minibatch_std(x, 4)
    assert torch.equal(found[:, :2], x)
    for i in range(batch):
        members = x[i % (batch // size) :: batch // size]
        assert len(members) == size
        std = ((members - members.mean(0)).square().mean(0) + 1e-8).sqrt().mean()
        assert_close(found[i, 2], std.expand(3, 3))


def test_both_orders_agree_on_one_group():
    x = draw(4, 2, 3, 3)
    assert_close(strided_minibatch_std(x, 4), minibatch_std(x, 4))


@pytest.mark.parametrize("strided", [False, True])
def test_the_order_of_groups_decides_which_images_share_a_logit(strided):
    config = StyleGAN2DiscriminatorConfig(8, 16, 3, mbstd_group=2, mbstd_strided=strided)
    network, images = StyleGAN2Discriminator(config).double(), draw(4, 3, 8, 8)
    together = [0, 2] if strided else [0, 1]
    assert_close(network(images)[together], network(images[together]))


def test_the_penalty_differentiates_twice():
    network, images = StyleGAN2Discriminator(TINY, inputs=1).double(), draw(2, 1, 8, 8).requires_grad_()
    assert gradgradcheck(lambda x: network(x)[0], [images])
    r1_penalty(network(images), images).backward()
    none = [name for name, p in network.named_parameters() if p.grad is None]
    assert none == ["last.bias"]


@pytest.mark.parametrize("size", [(8, 16), (16, 16), (4, 8)])
def test_images_of_other_sizes_are_refused(size):
    with pytest.raises(BadInput, match="wanted 8x8"):
        TINY.check_size(size)


@pytest.mark.parametrize("size", [1, 2, 12, 100])
def test_sizes_that_are_no_powers_of_two_are_refused(size):
    with pytest.raises(BadInput, match="power of two"):
        StyleGAN2Discriminator(StyleGAN2DiscriminatorConfig(size))


def test_a_discriminator_of_larger_images_begins_with_the_last_blocks_of_a_smaller_one():
    small, large = (StyleGAN2Discriminator(StyleGAN2DiscriminatorConfig(n, 64, 4)) for n in (8, 32))
    before, found = large.state_dict(), large.grow(small.state_dict())
    large.load_state_dict(found)
    x = torch.randn(2, 4, 8, 8)
    for ours, theirs in ((large.blocks[2], small.blocks[0]), (large.last_conv, small.last_conv)):
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert torch.equal(large.blocks[2](x), small.blocks[0](x))
    new = ("from_rgb", "blocks.0", "blocks.1")
    assert all(torch.equal(found[name], before[name]) for name in before if name.startswith(new))
    assert small.grow(small.state_dict()).keys() == small.state_dict().keys()


def released_names(blocks):
    """Names of the released checkpoints."""
    yield from ("convs.0.0.weight", "convs.0.1.bias")
    for i in range(1, blocks + 1):
        yield from (f"convs.{i}.conv1.0.weight", f"convs.{i}.conv1.1.bias", f"convs.{i}.conv2.0.kernel")
        yield from (f"convs.{i}.conv2.1.weight", f"convs.{i}.conv2.2.bias", f"convs.{i}.skip.0.kernel")
        yield f"convs.{i}.skip.1.weight"
    yield from ("final_conv.0.weight", "final_conv.1.bias")
    yield from (f"final_linear.{i}.{name}" for i in (0, 1) for name in ("weight", "bias"))


def test_released_checkpoints_fill_the_network():
    with torch.device("meta"):
        network = StyleGAN2Discriminator(StyleGAN2DiscriminatorConfig(256))
    ours = dict(network.named_parameters())
    order = iter(ours.values())
    found = {
        name: torch.empty(4, 4) if name.endswith("kernel") else next(order) for name in released_names(6)
    }
    assert rename(found, RELEASED_NAMES, ours).keys() == ours.keys()
    again = released_discriminator(found)
    assert again.config == network.config
    del found["convs.6.skip.1.weight"]
    with pytest.raises(BadInput, match="leaves 1 of our tensors unfilled, first blocks"):
        released_discriminator(found)
    with pytest.raises(BadInput, match="no discriminator of StyleGAN2"):
        released_discriminator({"convs.0.0.weight": torch.zeros(3)})
