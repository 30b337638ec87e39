"""CGS-GAN's mappings with other settings of the same kinds, against the formulas written out."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, gelu, grid_sample, leaky_relu, linear, pad, softplus
from torch.testing import assert_close

from conformance import cgsgan
from conformance.case import new_case

WIDTH, STYLE, HEADS, POINTS, ENTRIES = 8, 6, 2, 10, 5
SIZES = {"xyz": 3, "scale": 3, "rotation": 4, "color": 3, "opacity": 1}


def numbers(*shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape)


def dense(name, inputs, outputs, std=1.0):
    """The tensors of a linear layer."""
    return [[f"{name}.weight", [outputs, inputs], 0.0, std], [f"{name}.bias", [outputs], 0.1, 0.2]]


def layer(w, name, x, lr=1.0):
    """A linear layer with an equalised learning rate."""
    weight = w[f"{name}.weight"]
    return linear(x, weight * lr / math.sqrt(weight.shape[1]), w[f"{name}.bias"] * lr)


def rectified(x):
    return math.sqrt(2) * leaky_relu(x, 0.2)


def at_second_moment(x):
    return x / (x.square().mean(dim=-1, keepdim=True) + 1e-8).sqrt()


def mapped(w, z, c, depth, lr, prefix=""):
    """A style of latent codes and labels."""
    x = torch.cat([at_second_moment(z), at_second_moment(layer(w, f"{prefix}embed", c))], dim=-1)
    for i in range(depth):
        x = rectified(layer(w, f"{prefix}fc{i}", x, lr))
    return x


@pytest.mark.parametrize("depth", [1, 3])
def test_mappings_of_other_depths(depth):
    settings = {
        "z_dim": 4, "c_dim": 7, "w_dim": STYLE, "num_ws": 5, "num_layers": depth, "lr_multiplier": 0.1,
        "layer_features": STYLE, "w_avg_beta": 0.9, "norm_eps": 1e-8, "leaky_slope": 0.2,
    }  # fmt: skip
    sizes = [4 + STYLE, *[STYLE] * depth]
    state = [["w_avg", [STYLE], 0.0, 0.3], *dense("embed", 7, STYLE)]
    state += [t for i in range(depth) for t in dense(f"fc{i}", sizes[i], STYLE, 10.0)]
    shared = {"camera": "inputs/c", "truncation_psi": 0.4, "truncation_cutoff": 2, "update_emas": False}
    outputs = {"ws": shared, "mean": shared | {"of": "w_avg", "update_emas": True, "camera": "zeros"}}
    inputs = {"z": numbers(3, 4), "c": numbers(3, 7, seed=1)}
    case = new_case(settings, inputs, outputs, {"mapping_network": state})
    found, w = cgsgan.mapping(case), case.weights("mapping_network")
    plain = mapped(w, case["z"], case["c"], depth, 0.1)
    ws = plain[:, None].repeat(1, 5, 1)
    ws[:, :2] = w["w_avg"] + 0.4 * (ws[:, :2] - w["w_avg"])
    assert_close(torch.from_numpy(found["ws"]), ws)
    zeros = mapped(w, case["z"], 0 * case["c"], depth, 0.1).mean(dim=0)
    assert_close(torch.from_numpy(found["mean"]), 0.1 * zeros + 0.9 * w["w_avg"])


def filtered(x, stride=1, border=1):
    """The blur of [1, 3, 3, 1]."""
    row = torch.tensor([1.0, 3, 3, 1], dtype=x.dtype) / 8
    kernel = row.outer(row).expand(x.shape[1], 1, 4, 4)
    return conv2d(pad(x, [border] * 4), kernel, stride=stride, groups=x.shape[1])


@pytest.mark.parametrize(("clamp", "depth", "group"), [(0.5, 1, 2), (None, 3, 4)])
def test_discriminators_of_other_sizes(clamp, depth, group):
    settings = {
        "c_dim": 7, "img_resolution": 16, "img_channels": 4, "architecture": "resnet", "channel_base": 64,
        "channel_max": 6, "num_fp16_res": 0, "conv_clamp": clamp, "cmap_dim": 5, "disc_c_noise": 0,
        "epilogue.mbstd_group_size": group, "mapping.num_layers": depth, "mapping.lr_multiplier": 0.1,
        "resample_filter": [1, 3, 3, 1], "half_precision": False, "r1_weight": 0.5, "batch": 4,
    }  # fmt: skip
    widths = {16: 4, 8: 6, 4: 6}
    state = [["b16.fromrgb.weight", [4, 4, 1, 1], 0.0, 1.0], ["b16.fromrgb.bias", [4], 0.0, 0.1]]
    for side in (16, 8):
        a, b = widths[side], widths[side // 2]
        for name, shape in (("conv0", [a, a, 3, 3]), ("conv1", [b, a, 3, 3])):
            state += [
                [f"b{side}.{name}.weight", shape, 0.0, 1.0],
                [f"b{side}.{name}.bias", shape[:1], 0.0, 0.1],
            ]
        state += [
            [f"b{side}.skip.weight", [b, a, 1, 1], 0.0, 1.0],
            [f"b{side}.resample_filter", [4, 4], 0.0, 0.0],
        ]
    state += [["b4.conv.weight", [6, 7, 3, 3], 0.0, 1.0], ["b4.conv.bias", [6], 0.0, 0.1]]
    state += [*dense("b4.fc", 96, 6), *dense("b4.out", 6, 5), *dense("mapping.embed", 7, 5)]
    state += [t for i in range(depth) for t in dense(f"mapping.fc{i}", 5, 5, 10.0)]
    outputs = {"score": {"input": "image"}, "alone": {"input": "image", "pictures": [1]}}
    inputs = {"image": 3 * numbers(4, 4, 16, 16), "c": numbers(4, 7, seed=1)}
    case = new_case(settings, inputs, outputs, {"discriminator": state})
    found, w = cgsgan.discriminator(case), case.weights("discriminator")

    def cut(x):
        return x if clamp is None else x.clamp(-clamp, clamp)

    def convolved(name, x, **how):
        weight = w[f"{name}.weight"]
        return conv2d(x, weight / math.sqrt(weight[0].numel()), w.get(f"{name}.bias"), **how)

    def score(x, c):
        x = cut(rectified(convolved("b16.fromrgb", x)))
        for side in (16, 8):
            y = cut(rectified(convolved(f"b{side}.conv0", x, padding=1)))
            y = cut(rectified(convolved(f"b{side}.conv1", filtered(y, border=2), stride=2)))
            x = (y + cut(convolved(f"b{side}.skip", filtered(x, stride=2)))) / math.sqrt(2)
        size = min(group, len(x))
        std = (x.view(size, -1, *x.shape[1:]).var(dim=0, correction=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))
        x = torch.cat([x, std.repeat(size).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)], dim=1)
        x = rectified(layer(w, "b4.fc", cut(rectified(convolved("b4.conv", x, padding=1))).flatten(1)))
        nothing = c[:, :0]
        return (layer(w, "b4.out", x) * mapped(w, nothing, c, depth, 0.1, "mapping.")).sum(dim=1) / math.sqrt(
            5
        )

    assert_close(torch.from_numpy(found["score"])[:, 0], score(case["image"], case["c"]))
    assert_close(torch.from_numpy(found["alone"])[:, 0], score(case["image"][1:2], case["c"][1:2]))


def block_state(name):
    """The tensors of a block of the transformer."""
    shapes = {"attn.c_qkv": (WIDTH, 3 * WIDTH), "attn.c_proj": (WIDTH, WIDTH)}
    shapes |= {"mlp.c_fc": (WIDTH, 4 * WIDTH), "mlp.c_proj": (4 * WIDTH, WIDTH)}
    shapes |= {f"ln_{i}.{part}": (STYLE, WIDTH) for i in (1, 2) for part in ("gamma", "beta")}
    shapes |= {f"ls_{i}": (STYLE, WIDTH) for i in (1, 2)}
    return [tensor for part, shape in shapes.items() for tensor in dense(f"{name}.{part}", *shape, 0.5)]


def block(w, name, x, style):
    """A block of the transformer."""

    def normed(which, x):
        mean, std = x.mean(dim=1, keepdim=True), x.std(dim=1, correction=0, keepdim=True)
        gamma, beta = (layer(w, f"{name}.ln_{which}.{p}", style)[:, None] for p in ("gamma", "beta"))
        return (x - mean) / (std + 1e-8) * gamma + beta

    q, k, v = (
        layer(w, f"{name}.attn.c_qkv", normed(1, x)).view(*x.shape[:2], HEADS, -1).movedim(2, 1)
    ).chunk(3, dim=-1)
    found = (q @ k.mT / math.sqrt(WIDTH / HEADS)).softmax(dim=-1) @ v
    found = layer(w, f"{name}.attn.c_proj", found.movedim(1, 2).flatten(2))
    x = x + found * layer(w, f"{name}.ls_1", style)[:, None]
    found = layer(w, f"{name}.mlp.c_fc", normed(2, x))
    found = layer(w, f"{name}.mlp.c_proj", gelu(found) * math.sqrt(2))
    return x + found * layer(w, f"{name}.ls_2", style)[:, None]


def turned(q, x):
    """x [..., 3] rotated by quaternions that are divided by their norm plus 1e-3."""
    a, b, c, d = (q / (q.norm(dim=-1, keepdim=True) + 1e-3)).unbind(-1)
    rows = (
        (1 - 2 * (c * c + d * d), 2 * (b * c - a * d), 2 * (b * d + a * c)),
        (2 * (b * c + a * d), 1 - 2 * (b * b + d * d), 2 * (c * d - a * b)),
        (2 * (b * d - a * c), 2 * (c * d + a * b), 1 - 2 * (b * b + c * c)),
    )
    return torch.stack([sum(r * x[..., i] for i, r in enumerate(row)) for row in rows], dim=-1)


def limited(raw):
    return {name: x if name == "xyz" else 20 * torch.tanh(0.05 * x) for name, x in raw.items()}


def hung(raw, parents, args):
    """Gaussians, or anchors, that hang on the anchors of the level before."""
    ratio = raw["xyz"].shape[1] // parents["xyz"].shape[1]
    p = {name: x.repeat_interleave(ratio, dim=1) for name, x in parents.items()}
    steps = math.log2(2 * args["res_end"]) - 3
    less = (args["scale_init"] - args["scale_end"]) / steps
    large = p["scale"].exp().amax(dim=-1, keepdim=True) > math.exp(args["scale_end"])
    base = p["scale"] - torch.where(large, less, 0.0)
    found = {name: raw[name] + p[name] for name in ("rotation", "color", "opacity")}
    found["xyz"] = p["xyz"] + turned(p["rotation"], p["scale"].exp() * raw["xyz"].tanh())
    found["scale"] = base - softplus(-raw["scale"])
    return limited(found)


def rooted(raw, args):
    """The anchors of the first level."""
    start = {"xyz": 0.2 * raw["xyz"], "color": raw["color"], "opacity": raw["opacity"] + math.log(0.1 / 0.9)}
    start["rotation"] = raw["rotation"] + torch.tensor([1.0, 0, 0, 0], dtype=raw["xyz"].dtype)
    limit = args["scale_threshold"]
    start["scale"] = limit - softplus(limit - (raw["scale"] - 5))
    return limited(start)


@pytest.mark.parametrize("children", [[1, 3], [2, 2, 3]])
def test_generators_of_other_levels(children):
    totals = [math.prod(children[: i + 1]) for i in range(len(children))]
    features = [WIDTH, 5, 3][: len(children)]
    first = 2
    settings = {
        "z_dim": 4, "c_dim": 25, "w_dim": STYLE, "img_resolution": 64, "img_channels": 3,
        "mapping.num_layers": 2, "mapping.lr_multiplier": 0.1, "mapping.w_avg_beta": 0.9,
        "scale_init": -2.0, "scale_threshold": -1.5, "scale_end": -4.0, "xyz_output_scale": 0.1,
        "res_end": 16, "up_ratio": 4, "num_pts": POINTS, "use_start_pe": True, "n_transformer": len(children),
        "num_ws": first + len(children) - 1, "transformer_width": WIDTH, "transformer_heads": HEADS,
        "num_first_layers": first, "pe_dim": WIDTH // 2, "pe_res": ENTRIES, "upsample_ratios": children,
        "upsample_ratios_total": totals, "level_widths": features,
        "level_sizes": [POINTS * n for n in totals], "n_gaussians": 0, "n_anchors": 0, "position_limit": 0.1,
        "color_factor": 0.28209479, "truncation_psi": 0.8, "truncation_cutoff": None, "camera": "zeros",
        "batch": 2,
    }  # fmt: skip
    state = [
        ["_xyz", [POINTS, 3], 0.0, 0.5],
        *dense("point_gen.conv_in.learnable_pe.ffm.linear", 3, WIDTH // 2),
    ]
    state += [["point_gen.conv_in.const_pe.const_pe", [3, WIDTH // 2, 1, ENTRIES], 0.0, 1.0]]
    names = [f"first_layers.{i}" for i in range(first)] + [f"resblocks.{i}" for i in range(len(children) - 1)]
    state += [tensor for name in names for tensor in block_state(f"point_gen.transformer.{name}")]
    for i, (total, width) in enumerate(zip(totals, features, strict=True)):
        up = f"point_gen.upsample_layers.{i}"
        state += dense(f"{up}.subpixel", WIDTH, total * width)
        state += dense(f"{up}.res_fc", WIDTH, width) if width != WIDTH else []
        for kind in ("anchors", "gaussians"):
            for name, size in SIZES.items():
                state += dense(f"point_gen.{kind}.{name}.{i}", width, size, 0.5)
    state += [["mapping_network.w_avg", [STYLE], 0.0, 0.3], *dense("mapping_network.embed", 25, STYLE)]
    state += [
        *dense("mapping_network.fc0", 4 + STYLE, STYLE, 10.0),
        *dense("mapping_network.fc1", STYLE, STYLE, 10.0),
    ]
    shared = {"activated": False, "ws": "mapping(inputs/z)", "gaussians": "inputs/rows"}
    outputs = {f"raw_{name}": shared | {"of": name} for name in SIZES}
    outputs |= {"act_color": shared | {"of": "color", "activated": True}}
    outputs |= {"anchors": {"of": "anchor xyz", "ws": "mapping(inputs/z)"}}
    count = sum(settings["level_sizes"])
    case = new_case(settings, {"z": numbers(2, 4), "rows": np.arange(count)}, outputs, {"generator": state})
    found, w = cgsgan.generator(case), case.weights("generator")

    style = mapped(w, case["z"], torch.zeros(2, 25, dtype=torch.float64), 2, 0.1, "mapping_network.")
    style = w["mapping_network.w_avg"] + 0.8 * (style - w["mapping_network.w_avg"])
    points, pe = w["_xyz"].tanh(), "point_gen.conv_in."
    sines = linear(points, *(w[f"{pe}learnable_pe.ffm.linear.{n}"] for n in ("weight", "bias"))).sin()
    grid = torch.stack([torch.zeros_like(points.mT), points.mT], dim=-1)[:, None]
    table = grid_sample(w[f"{pe}const_pe.const_pe"], grid, align_corners=False)[:, :, 0]
    x = torch.cat([sines, table.sum(dim=0).mT / math.sqrt(3)], dim=-1).expand(2, -1, -1)
    levels, anchors = [], []
    for i, name in enumerate(names):
        x = block(w, f"point_gen.transformer.{name}", x, style)
        if (level := i + 1 - first) < 0:
            continue
        up, total = f"point_gen.upsample_layers.{level}", totals[level]
        y = rectified(layer(w, f"{up}.subpixel", x)).view(2, POINTS * total, -1)
        short = layer(w, f"{up}.res_fc", x) if f"{up}.res_fc.weight" in w else x
        y = (y + short.repeat_interleave(total, dim=1)) / math.sqrt(2)
        said = {
            kind: {name: layer(w, f"point_gen.{kind}.{name}.{level}", y) for name in SIZES}
            for kind in ("anchors", "gaussians")
        }
        if level == 0:
            anchors.append(rooted(said["anchors"], settings))
            levels.append(hung(said["gaussians"], anchors[0], settings))
            continue
        levels.append(hung(said["gaussians"], anchors[-1], settings))
        if level < len(children) - 1:
            anchors.append(hung(said["anchors"], anchors[-1], settings))
    for name in SIZES:
        wanted = torch.cat([each[name] for each in levels], dim=1)
        wanted = wanted.clamp(-0.1, 0.1) if name == "xyz" else wanted
        assert_close(torch.from_numpy(found[f"raw_{name}"]), wanted)
    color = torch.cat([each["color"] for each in levels], dim=1)
    assert_close(torch.from_numpy(found["act_color"]), (0.28209479 * color + 0.5).clamp_min(0))
    wanted = torch.cat([each["xyz"] for each in anchors], dim=1)
    assert_close(torch.from_numpy(found["anchors"]), wanted)
