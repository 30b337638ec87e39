"""Networks of points: blocks that start as the identity, encodings, Gaussians within their parents."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import grid_sample
from torch.testing import assert_close

from genscene.layers.points.encoding import PointEncoding
from genscene.layers.points.residual import (
    ResidualConfig,
    ResidualHeads,
    activated,
    child_gaussians,
    first_anchors,
    joined,
    released_scales,
)
from genscene.layers.points.transformer import ModulatedBlock, SelfAttention, SubpixelUpsample


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_blocks_start_as_the_identity_unless_their_gates_are_open():
    x, style = torch.randn(2, 7, 8), torch.randn(2, 5)
    assert torch.equal(ModulatedBlock(8, 2, 5, 2)(x, style), x)
    for attention in (True, False):
        block = ModulatedBlock(8, 2, 5, 2, gate=0.5, attention=attention)
        assert not torch.allclose(block(x, style), x)
    assert len(ModulatedBlock(8, 2, 5, 2, attention=False).mixes) == 1


def test_norms_are_over_tokens():
    norm, x = ModulatedBlock(8, 2, 5, 2).norms[0], torch.randn(2, 50, 8)
    gamma, beta = (layer(torch.ones(2, 5)) for layer in (norm.gamma, norm.beta))
    y = (norm(3 * x + 2, torch.ones(2, 5)) - beta[:, None]) / gamma[:, None]
    assert_close(y.mean(dim=1), torch.zeros(2, 8), atol=1e-5, rtol=0)
    assert_close(y.std(dim=1, correction=0), torch.ones(2, 8), atol=1e-4, rtol=0)


def test_equal_tokens_have_finite_gradients():
    block = ModulatedBlock(8, 2, 5, 2, gate=1.0)
    x = torch.zeros(1, 4, 8, requires_grad=True)
    block(x, torch.randn(1, 5)).sum().backward()
    assert x.grad.isfinite().all()


def test_attention_weighs_the_values_of_all_tokens():
    layer, x = SelfAttention(6, 2).double(), draw(1, 5, 6)
    torch.nn.init.normal_(layer.qkv.bias)
    q, k, v = layer.qkv(x).view(1, 5, 2, 9).movedim(2, 1).split(3, dim=-1)
    weights = (q @ k.mT / math.sqrt(3)).softmax(dim=-1)
    assert_close(layer(x), layer.projection((weights @ v).movedim(1, 2).flatten(2)))
    layer(x).square().sum().backward()
    assert not layer.qkv.bias.grad.view(2, 3, 3)[:, 1].any()  # exactly 0 for keys


def test_children_stay_beside_one_another():
    up, x = SubpixelUpsample(4, 4, 3), torch.randn(2, 5, 4)
    y = up(x)
    assert y.shape == (2, 15, 4)
    assert_close(up(x[:, 1:2]), y[:, 3:6])


@pytest.mark.parametrize("entries", [5, 6])
def test_the_released_encoding_reads_the_middle_of_its_table(entries):
    network, points = PointEncoding(8, "middle", entries).double(), 2 * torch.rand(2, 9, 3).double() - 1
    table, half = network.table, points.movedim(-1, 0)
    grid = torch.stack([torch.zeros_like(half), half], dim=-1)  # x runs along the entries
    looked_up = grid_sample(table[:, :, None], grid, align_corners=False).sum(dim=0) / math.sqrt(3)
    found = network(points)
    assert_close(found[..., 4:], looked_up.movedim(0, -1))
    found.sum().backward()
    used = network.table.grad.abs().sum(dim=(0, 1)).nonzero().flatten().tolist()
    assert used == [2, 3][: 2 - entries % 2]


def test_encodings_along_the_axes_and_of_each_point():
    network = PointEncoding(8, "axis", 6)
    with torch.no_grad():
        network.table.zero_()
        network.table[1, :, 5] = math.sqrt(3)
    ends = torch.tensor([[[0.0, 1, 0], [0, -1, 0], [0, 5 / 6, 0], [0, 4 / 6, 0]]])
    assert_close(network(ends)[0, :, 4], torch.tensor([1.0, 0, 1, 0.5]))
    network = PointEncoding(8, "point", 5)
    assert torch.equal(network(torch.rand(1, 5, 3))[0, :, 4:], network.table)
    assert network.sines.linear.weight.std() > 0.3


def cloud(count, seed=0):
    torch.manual_seed(seed)
    return ResidualHeads((8,))(0, 3 * torch.randn(2, count, 8))


def test_children_lie_within_their_parents_and_are_smaller():
    config = ResidualConfig()
    parents = first_anchors(cloud(10), torch.zeros(10, 3), config)
    assert parents.scale.max() < math.log(config.max_scale)
    children = child_gaussians(cloud(40), parents, config)
    for field in ("xyz", "scale"):
        of, mine = getattr(parents, field).repeat_interleave(4, 1), getattr(children, field)
        if field == "scale":
            assert (mine < of).all()
        else:
            size = parents.scale.exp().amax(dim=-1, keepdim=True).repeat_interleave(4, 1)
            assert ((mine - of).norm(dim=-1, keepdim=True) <= math.sqrt(3) * size * 1.001).all()
    wide = child_gaussians(cloud(40), parents, replace(config, child_box=2.0))
    assert_close(
        wide.xyz - parents.xyz.repeat_interleave(4, 1),
        2 * (children.xyz - parents.xyz.repeat_interleave(4, 1)),
    )


def test_gaussians_are_no_needles_where_their_range_is_bounded():
    config = ResidualConfig(first_scale=0.18, max_scale=0.14, scale_range=1.3, split_ratio=1.6)
    parents = first_anchors(cloud(10), torch.zeros(10, 3), config)
    flat = replace(cloud(10, 1), scale=torch.full((2, 10, 3), -50.0))
    less = parents.scale - child_gaussians(flat, parents, config).scale
    assert_close(less, torch.full_like(less, 1.3 + math.log(1.6)), atol=0.15, rtol=0)
    unsplit = parents.scale - child_gaussians(flat, parents, config, split=False).scale
    assert_close(unsplit, torch.full_like(less, 1.3), atol=0.15, rtol=0)


def test_anchors_stay_near_their_points_where_they_are_bound():
    points = torch.randn(10, 3)
    found = first_anchors(cloud(10), points, ResidualConfig(anchor_bound=0.3))
    assert ((found.xyz - points).abs() <= 0.3).all()
    assert not torch.equal(found.xyz[0], found.xyz[1])


@pytest.mark.parametrize("color", ["harmonic", "sigmoid"])
def test_activated_gaussians_are_in_their_ranges(color):
    config = ResidualConfig(color=color)
    found = activated(joined([cloud(10), cloud(20)], 0.1), config)
    assert found["means"].shape == (2, 30, 3)
    assert found["means"].abs().max() <= 0.1
    assert_close(found["quats"].norm(dim=-1), torch.ones(2, 30))
    assert (found["scales"] > 0).all()
    assert ((found["opacities"] > 0) & (found["opacities"] < 1)).all()
    assert (found["colors"] >= 0).all()
    assert color == "harmonic" or (found["colors"] <= 1).all()


def test_ratios_of_levels_are_those_published():
    assert [round(released_scales(size)[0], 3) for size in (256, 512, 1024, 2048)] == [
        1.834,
        1.866,
        1.888,
        1.903,
    ]
