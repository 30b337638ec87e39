"""GIRAFFE's and GRAF's mappings with other settings of the same kinds, against the formulas written out."""

import math

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu, linear, pad, relu
from torch.testing import assert_close

from conformance import giraffe, graf
from conformance.case import new_case


def numbers(*shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape)


def tensors(case, name):
    return {key: value.double() for key, value in case.weights(name).items()}


def entries(**shapes):
    return [[name, list(shape), 0.0, 0.4] for name, shape in shapes.items()]


def layer(name, outputs, inputs):
    return [[f"{name}.weight", [outputs, inputs], 0.0, 0.4], [f"{name}.bias", [outputs], 0.0, 0.1]]


DECODER = {
    "hidden_size": 12, "n_blocks": 5, "n_blocks_view": 1, "skips": [2, 3], "use_viewdirs": False,
    "n_freq_posenc": 3, "n_freq_posenc_views": 2, "z_dim": 6, "rgb_out_dim": 4,
    "final_sigmoid_activation": True, "downscale_p_by": 3.0,
    "positional_encoding": "normal", "gauss_dim_pos": 10, "gauss_dim_view": 4, "gauss_std": 4.0,
}  # fmt: skip


def test_fields_with_other_skips_and_without_directions():
    names = [("fc_in", 12, 18), ("fc_z", 12, 6), *((f"blocks.{i}", 12, 12) for i in range(4))]
    names += [x for i in range(2) for x in ((f"fc_z_skips.{i}", 12, 6), (f"fc_p_skips.{i}", 12, 18))]
    names += [("sigma_out", 1, 12), ("fc_z_view", 12, 6), ("feat_view", 12, 12), ("feat_out", 4, 12)]
    inputs = {
        "p": numbers(2, 5, 3),
        "ray_d": numbers(2, 5, 3, seed=1),
        "z_shape": numbers(2, 6),
        "z_app": numbers(2, 6, seed=2),
    }
    outputs = {"feat": {"of": "features"}, "sigma": {"of": "density"}}
    state = {"decoder": [entry for name in names for entry in layer(*name)]}
    case = new_case(DECODER, inputs, outputs, state)
    w = tensors(case, "decoder")

    def apply(name, x):
        return linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    point = torch.tensor(inputs["p"]) / 3
    angles = [math.pi * 2**i * point for i in range(3)]
    encoded = torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=-1)
    shape, appearance = (torch.tensor(inputs[name])[:, None] for name in ("z_shape", "z_app"))
    x = relu(apply("fc_in", encoded) + apply("fc_z", shape))
    for i in range(4):
        x = relu(apply(f"blocks.{i}", x))
        if i + 1 in (2, 3):
            x = x + apply(f"fc_z_skips.{i - 1}", shape) + apply(f"fc_p_skips.{i - 1}", encoded)
    found = giraffe.decoder(case)
    assert_close(torch.tensor(found["sigma"]), apply("sigma_out", x)[..., 0])
    wanted = apply("feat_out", apply("feat_view", x) + apply("fc_z_view", appearance)).sigmoid()
    assert_close(torch.tensor(found["feat"]), wanted)


def test_renderers_without_skips_of_colors():
    settings = {
        "n_feat": 16, "input_dim": 8, "out_dim": 3, "final_actvn": False, "min_feat": 4, "img_size": 32,
        "use_rgb_skip": False, "upsample_feat": "bilinear", "upsample_rgb": "nn", "use_norm": False,
    }  # fmt: skip
    shapes = {"conv_in.weight": (16, 8, 1, 1), "conv_in.bias": (16,), "conv_layers.0.weight": (8, 16, 3, 3)}
    shapes |= {"conv_layers.0.bias": (8,), "conv_rgb.weight": (3, 8, 1, 1), "conv_rgb.bias": (3,)}
    case = new_case(settings, {"x": numbers(1, 8, 4, 4)}, {"rgb": {}}, {"renderer": entries(**shapes)})
    w = tensors(case, "renderer")
    x = conv2d(case["x"], w["conv_in.weight"], w["conv_in.bias"])
    row = torch.tensor([0.25, 0.5, 0.25]).double()
    x = interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    x = conv2d(pad(x, (1, 1, 1, 1), mode="reflect"), (row[:, None] * row).expand(16, 1, 3, 3), groups=16)
    x = leaky_relu(conv2d(x, w["conv_layers.0.weight"], w["conv_layers.0.bias"], padding=1), 0.2)
    wanted = conv2d(x, w["conv_rgb.weight"], w["conv_rgb.bias"])
    assert_close(torch.tensor(giraffe.renderer(case)["rgb"]), wanted)


def test_residual_discriminators_of_other_widths():
    settings = {
        "class": "DiscriminatorResnet", "in_dim": 3, "n_feat": None, "img_size": 16, "nfilter": 4,
        "nfilter_max": 8, "leaky_slope": 0.2, "r1_weight": 10.0, "r1_mean_over": "pictures", "batch": 2,
    }  # fmt: skip
    shapes = {"conv_img.weight": (4, 3, 3, 3), "conv_img.bias": (4,), "fc.weight": (1, 128), "fc.bias": (1,)}
    for i, (a, b) in enumerate(((4, 4), (4, 8), (8, 8))):
        shapes |= {
            f"resnet.{2 * i}.conv_0.weight": (min(a, b), a, 3, 3),
            f"resnet.{2 * i}.conv_0.bias": (min(a, b),),
        }
        shapes |= {f"resnet.{2 * i}.conv_1.weight": (b, min(a, b), 3, 3), f"resnet.{2 * i}.conv_1.bias": (b,)}
        shapes |= {f"resnet.{2 * i}.conv_s.weight": (b, a, 1, 1)} if a != b else {}
    inputs = {"real": numbers(2, 3, 16, 16), "fake": numbers(2, 3, 16, 16, seed=1)}
    case = new_case(
        settings,
        inputs,
        {"logit_fake": {"of": "logit", "input": "fake"}},
        {"discriminator": entries(**shapes)},
    )
    w = tensors(case, "discriminator")
    x = conv2d(case["fake"], w["conv_img.weight"], w["conv_img.bias"], padding=1)
    for i in range(3):
        x = avg_pool2d(x, 3, 2, 1) if i else x
        name = f"resnet.{2 * i}"
        y = conv2d(leaky_relu(x, 0.2), w[f"{name}.conv_0.weight"], w[f"{name}.conv_0.bias"], padding=1)
        y = conv2d(leaky_relu(y, 0.2), w[f"{name}.conv_1.weight"], w[f"{name}.conv_1.bias"], padding=1)
        shortcut = w.get(f"{name}.conv_s.weight")
        x = (x if shortcut is None else conv2d(x, shortcut)) + 0.1 * y
    wanted = linear(leaky_relu(x.flatten(1), 0.2), w["fc.weight"], w["fc.bias"])
    assert_close(torch.tensor(giraffe.discriminator(case)["logit_fake"]), wanted)


def test_smallest_windows_of_other_schedules():
    settings = {"N_samples": 256, "min_scale": 0.1, "max_scale": 0.8, "scale_anneal": 0.01}
    steps = [0, 999, 1000, 20_000, 10**6]
    case = new_case(settings, {"iterations": np.array(steps)}, {"min_scale": {"shape": [5]}})
    wanted = [min(0.9, max(0.1, 0.8 * math.exp(-3 * (step // 1000) * 0.01))) for step in steps]
    assert_close(torch.tensor(graf.patch_scale(case)["min_scale"]), torch.tensor(wanted).double())


def test_fields_of_birds_have_no_direction():
    settings = {
        "D": 3, "W": 8, "input_ch": 3 + 12 + 4, "input_ch_views": 5, "skips": [1], "use_viewdirs": False,
        "z_dim": 9, "dim_shape": 4, "dim_appearance": 5, "multires": 2, "multires_views": 3,
    }  # fmt: skip
    names = [
        ("pts_linears.0", 8, 19),
        ("pts_linears.1", 8, 8),
        ("pts_linears.2", 8, 27),
        ("alpha_linear", 1, 8),
    ]
    names += [("feature_linear", 8, 8), ("views_linears.0", 4, 13), ("rgb_linear", 3, 4)]
    inputs = {"points": numbers(2, 6, 3), "dirs": numbers(2, 3), "z": numbers(2, 9)}
    case = new_case(settings, inputs, {"raw": {}}, {"network": [e for name in names for e in layer(*name)]})
    w = tensors(case, "network")

    def apply(name, *parts):
        x = torch.cat([part.expand(-1, 6, -1) for part in parts], dim=-1)
        return linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    points, z = torch.tensor(inputs["points"]), torch.tensor(inputs["z"])[:, None]
    encoded = torch.cat(
        [points, *(f(2**i * points) for i in range(2) for f in (torch.sin, torch.cos))], dim=-1
    )
    x = relu(apply("pts_linears.1", relu(apply("pts_linears.0", encoded, z[..., :4]))))
    x = relu(apply("pts_linears.2", encoded, z[..., :4], x))
    rgb = apply("rgb_linear", relu(apply("views_linears.0", apply("feature_linear", x), z[..., 4:])))
    wanted = torch.cat([rgb, apply("alpha_linear", x)], dim=-1)
    assert_close(torch.tensor(graf.field(case)["raw"]), wanted)
