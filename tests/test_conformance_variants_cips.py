"""CIPS's mappings with other settings of the same kinds, against the formulas written out."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import grid_sample, leaky_relu, linear
from torch.testing import assert_close

from conformance import cips_generator
from conformance.case import new_case

STYLE, HIDDEN = 12, 10


def numbers(*shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape)


def styled(name, outputs, inputs, activation):
    """The tensors of a styled layer."""
    bias = [f"{name}.bias", [1, outputs, 1, 1]] if activation else [f"{name}.activate.bias", [outputs]]
    return [*modulated(name, outputs, inputs), [f"{name}.noise.weight", [1]], bias]


def modulated(name, outputs, inputs):
    """The tensors of a modulated layer."""
    return [
        [f"{name}.conv.weight", [1, outputs, inputs, 1, 1]],
        [f"{name}.conv.modulation.weight", [inputs, STYLE]],
        [f"{name}.conv.modulation.bias", [inputs]],
    ]


def state_of(kind, size, widths, activation):
    """All tensors of a generator with these widths of blocks."""
    pairs = list(zip((widths[0], *widths), widths, strict=False))
    shapes = [["lff.ffm.conv.weight", [HIDDEN, 2, 1, 1]], ["lff.ffm.conv.bias", [HIDDEN]]]
    shapes += [["emb.input", [1, HIDDEN, size, size]]]
    if kind == "CIPSskip":
        shapes += styled("conv1", widths[0], 2 * HIDDEN, activation)
        for i, (a, b) in enumerate(pairs):
            shapes += styled(f"linears.{2 * i}", b, a, activation)
            shapes += styled(f"linears.{2 * i + 1}", b, b, activation)
            shapes += [*modulated(f"to_rgbs.{i}", 3, b), [f"to_rgbs.{i}.bias", [1, 3, 1, 1]]]
    else:
        shapes += styled("linears.0", widths[0], 2 * HIDDEN, activation)
        for i, (a, b) in enumerate(pairs):
            shapes += styled(f"linears.{i + 1}.conv1", b, a, activation)
            shapes += styled(f"linears.{i + 1}.conv2", b, b, activation)
            shapes += [[f"linears.{i + 1}.skip.0.weight", [b, a, 1, 1]]] if a != b else []
        shapes += [*modulated("to_rgb_last", 3, widths[-1]), ["to_rgb_last.bias", [1, 3, 1, 1]]]
    for i in (1, 2, 3):
        shapes += [[f"style.{i}.weight", [STYLE, STYLE]], [f"style.{i}.bias", [STYLE]]]
    return [[name, shape, 0.0, 10.0 if name.startswith("style") else 0.5] for name, shape in shapes]


def official_picture(w, kind, widths, activation, z, coords, noise, lookup):
    """The picture [1, 3, H, W] of one latent code [1, STYLE], with a weight for every pixel's channels."""

    def plain(name):
        return w[name].flatten(1) if w[name].ndim == 4 else w[name][0].flatten(1)

    x = z / (z.square().mean() + 1e-8).sqrt()
    for i in (1, 2, 3):
        scaled = 0.1 / math.sqrt(STYLE) * w[f"style.{i}.weight"]
        x = math.sqrt(2) * leaky_relu(linear(x, scaled, 0.1 * w[f"style.{i}.bias"]), 0.2)
    style, noises = x, iter(noise)

    def modulate(name, x, demodulate=True):
        scale = linear(style, w[f"{name}.modulation.weight"] / math.sqrt(STYLE), w[f"{name}.modulation.bias"])
        weight = plain(f"{name}.weight") * scale / math.sqrt(x.shape[-1])
        if demodulate:
            weight = weight / (weight.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()
        return linear(x, weight)

    def layer(name, x):
        x = modulate(f"{name}.conv", x) + w[f"{name}.noise.weight"] * next(noises)[:, None]
        x = x + w[f"{name}.bias" if activation else f"{name}.activate.bias"].flatten()
        if activation == "sin":
            return x.sin()
        return math.sqrt(2) * leaky_relu(x, 0.2)

    points = coords.flatten(2)[0].mT  # [N, 2]
    fourier = linear(points, w["lff.ffm.conv.weight"].flatten(1), w["lff.ffm.conv.bias"]).sin()
    grid = coords.movedim(1, -1)
    found = grid_sample(w["emb.input"], grid, align_corners=lookup[0], padding_mode=lookup[1])
    x, color = torch.cat([fourier, found[0].flatten(1).mT], dim=1), 0
    x = layer("conv1" if kind == "CIPSskip" else "linears.0", x)
    for i in range(len(widths)):
        if kind == "CIPSskip":
            x = layer(f"linears.{2 * i + 1}", layer(f"linears.{2 * i}", x))
            color = color + modulate(f"to_rgbs.{i}.conv", x, False) + w[f"to_rgbs.{i}.bias"].flatten()
            continue
        skip = f"linears.{i + 1}.skip.0.weight"
        kept = linear(x, plain(skip) / math.sqrt(x.shape[1])) if skip in w else x
        x = (layer(f"linears.{i + 1}.conv2", layer(f"linears.{i + 1}.conv1", x)) + kept) / math.sqrt(2)
    if kind == "CIPSres":
        color = modulate("to_rgb_last.conv", x, False) + w["to_rgb_last.bias"].flatten()
    return color.mT.unflatten(1, coords.shape[2:])[None]


@pytest.mark.parametrize("activation", [None, "sin"])
@pytest.mark.parametrize(("kind", "widths"), [("CIPSskip", (8, 8, 4)), ("CIPSres", (8, 6))])
@pytest.mark.parametrize("lookup", [(False, "border"), (True, "reflection"), (False, "zeros")])
def test_generators_of_other_sizes(kind, widths, activation, lookup):
    settings = {
        "class": kind, "size": 8, "hidden_size": HIDDEN, "n_mlp": 3, "style_dim": STYLE, "lr_mlp": 0.1,
        "activation": activation, "channel_multiplier": 1, "truncation": 0.6, "align_corners": lookup[0],
        "padding_mode": lookup[1], "batch": 2, "noise_zero": False, "noise": None,
    }  # fmt: skip
    state = state_of(kind, 8, widths, activation)
    inputs = {
        "z": numbers(2, STYLE),
        "w_avg": numbers(STYLE, seed=1),
        "coords_any": 1.5 * np.random.RandomState(2).uniform(-1, 1, (1, 2, 3, 5)),
        "noise": numbers(1 + 2 * len(widths), 2, 1, 3, 5, seed=3),
    }
    shared = {"coords": "coords_any", "mode": "eval", "input_is_latent": False, "truncation": 1.0}
    outputs = {
        "both": {**shared, "pictures": [0, 1], "noise": "inputs/noise"},
        "second": {**shared, "pictures": [1], "noise": None, "truncation": 0.6},
    }
    case = new_case(settings, inputs, outputs, {"generator": state})
    found, w = cips_generator.generator(case), case.weights("generator")
    z, mean, coords, noise = (torch.tensor(inputs[name]) for name in ("z", "w_avg", "coords_any", "noise"))
    for i in (0, 1):
        each = noise[:, i].flatten(1)
        wanted = official_picture(w, kind, widths, activation, z[i : i + 1], coords, each, lookup)
        assert_close(torch.tensor(found["both"][i : i + 1]), wanted)
    truncated = mean + 0.6 * (z[1:] - mean)
    wanted = official_picture(
        w, kind, widths, activation, truncated, coords, 0 * noise[:, 1].flatten(1), lookup
    )
    assert_close(torch.tensor(found["second"]), wanted)
