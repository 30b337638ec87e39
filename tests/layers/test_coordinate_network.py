"""Networks of coordinates: SIREN's initialisation, hash grids, random Fourier features, weights."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import grid_sample
from torch.testing import assert_close

from genscene.layers.coordinate_network import CoordinateNetwork, CoordinateNetworkConfig, weight_count
from genscene.layers.hash_grid import GridConfig, HashGrid

GRID = GridConfig(levels=4, coarsest=4, finest=32, table=0)
KINDS = {
    "siren": CoordinateNetworkConfig(width=12, depth=3),
    "relu": CoordinateNetworkConfig(activation="relu", width=12, depth=3),
    "positional": CoordinateNetworkConfig("positional", "relu", 12, 3, octaves=4),
    "gaussian": CoordinateNetworkConfig("gaussian", "relu", 12, 3, features=7),
    "dense grid": CoordinateNetworkConfig("grid", "relu", 12, 2, grid=GRID),
    "hash grid": CoordinateNetworkConfig("grid", "relu", 12, 2, grid=replace(GRID, table=128)),
}


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("dims", [2, 3])
def test_weights_are_as_many_as_said(config, dims):
    network = CoordinateNetwork(config, dims, 5)
    assert sum(p.numel() for p in network.parameters()) == weight_count(config, dims, 5)
    assert network(torch.rand(2, 9, dims)).shape == (2, 9, 5)
    assert network(torch.rand(0, 4, dims)).shape == (0, 4, 5)


@torch.no_grad()
def test_activations_of_siren_are_spread_alike_in_every_layer():
    """Arguments of sines are normal with variance 1, the sines arcsine distributed (SIREN, theorem 1.8)."""
    network = CoordinateNetwork(CoordinateNetworkConfig(width=512, depth=5), 2, 1)
    x = 2 * torch.rand(4000, 2) - 1
    for i, layer in enumerate(network.layers):
        argument = network.config.omega * (layer(x) - layer.bias)
        x = (argument + network.config.omega * layer.bias).sin()
        if i:
            assert argument.std() == pytest.approx(1.0, abs=0.15)
        assert x.square().mean() == pytest.approx(0.5, abs=0.08)


@torch.no_grad()
def test_the_first_layer_of_siren_has_frequencies_up_to_omega():
    first = CoordinateNetwork(CoordinateNetworkConfig(width=4096), 2, 1).layers[0]
    assert first.weight.abs().max() == pytest.approx(0.5, rel=0.01)
    assert first.weight.std() == pytest.approx(0.5 / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("dims", [2, 3])
def test_dense_grids_are_interpolated_linearly(dims):
    grid = HashGrid(GRID, dims).double()
    torch.nn.init.normal_(grid.table)
    points = 2 * torch.rand(50, dims, dtype=torch.float64) - 1
    found, start = grid(points).unflatten(-1, (4, 2)), 0
    for level, side in enumerate(GRID.resolutions()):
        count = (side + 1) ** dims
        table = grid.table[:, start : start + count].view(1, 2, *[side + 1] * dims)  # the last axis is x
        flat = points.view(1, *[1] * (dims - 1), 50, dims)
        wanted = grid_sample(table, flat, align_corners=True).reshape(2, 50).mT
        assert_close(found[:, level], wanted)
        start += count
    assert start == grid.table.shape[1]


def test_resolutions_rise_from_the_coarsest_to_the_finest():
    assert GridConfig(16, 16, 512).resolutions()[::15] == [16, 512]
    assert GridConfig(1, 16, 512).resolutions() == [16]
    assert GridConfig(3, 64, 8).resolutions() == [64, 64, 64]


def test_a_hash_keeps_to_its_table_and_uses_all_of_it():
    grid = HashGrid(GridConfig(levels=1, coarsest=256, features=1, table=97), 2)
    axis = torch.arange(257)
    rows = grid.row(0, [x.flatten() for x in torch.meshgrid(axis, axis, indexing="ij")])
    assert rows.unique().tolist() == list(range(97))


def test_smooth_grids_have_continuous_slopes():
    """At a corner the slope of linear interpolation jumps, that of the smooth one is 0."""
    for kind, jumps in (("linear", True), ("smooth", False)):
        grid = HashGrid(GridConfig(1, 4, 4, 1, 0, kind), 2).double()
        torch.nn.init.normal_(grid.table)
        points = torch.tensor([[0.0 - 1e-9, 0.3], [0.0 + 1e-9, 0.3]], dtype=torch.float64)
        points.requires_grad_()
        (slope,) = torch.autograd.grad(grid(points).sum(), points)
        assert bool((slope[0, 0] - slope[1, 0]).abs() > 1e-2) == jumps


def test_random_frequencies_have_the_scale_and_are_stored():
    config = CoordinateNetworkConfig("gaussian", "relu", 4, 1, features=4000, scale=3.0)
    network = CoordinateNetwork(config, 2, 1)
    assert network.encoding.frequencies.std() == pytest.approx(3.0, rel=0.03)
    assert "encoding.frequencies" in network.state_dict()
    half = torch.tensor([[-1.0, 0.5], [1.0, 0.5]])  # a period of f turns the plane's longer side f times
    angles = torch.pi * half @ network.encoding.frequencies.mT
    assert_close(
        (angles[1] - angles[0]) / (2 * torch.pi), network.encoding.frequencies[:, 0], atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_networks_are_twice_differentiable(config):
    network = CoordinateNetwork(config, 2, 1).double()
    points = (2 * torch.rand(6, 2, dtype=torch.float64) - 1).requires_grad_()
    parameters = [p for p in network.parameters() if p.numel() < 400]

    def length_of_gradient():
        (slope,) = torch.autograd.grad(network(points).sum(), points, create_graph=True)
        return slope.square().sum()

    found = torch.autograd.grad(length_of_gradient(), parameters, allow_unused=True, materialize_grads=True)
    for p, wanted in zip(parameters, found, strict=True):
        with torch.no_grad():
            old = p.view(-1)[0].item()
            p.view(-1)[0] = old + 1e-6
        above = length_of_gradient()
        with torch.no_grad():
            p.view(-1)[0] = old - 1e-6
        below = length_of_gradient()
        with torch.no_grad():
            p.view(-1)[0] = old
        assert_close(wanted.view(-1)[0], ((above - below) / 2e-6).detach(), atol=1e-5, rtol=1e-4)
