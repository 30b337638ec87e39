"""The mappings of pi-GAN's cases on settings that no stored case has, against plain formulas."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from conformance import reference_pigan as plain
from conformance.case import new_case
from conformance.pigan import KINDS

SIREN = {
    "siren": "TALLSIREN",
    "z_dim": 12,
    "input_dim": 3,
    "hidden_dim": 16,
    "output_dim": 4,
    "n_layers": 3,
    "mapping_hidden_dim": 20,
    "mapping_layers": 3,
    "input_scale": 1.0,
    "grid_channels": None,
    "grid_size": None,
    "frequency_factor": 15.0,
    "frequency_offset": 30.0,
}
FORWARD = SIREN | {
    "img_size": 4,
    "num_steps": 5,
    "sample_dist": "gaussian",
    "fov": 20,
    "ray_start": 0.8,
    "ray_end": 1.2,
    "h_stddev": 0.3,
    "v_stddev": 0.2,
    "h_mean": math.pi / 2,
    "v_mean": 1.4,
    "clamp_mode": "relu",
    "hierarchical_sample": True,
    "nerf_noise": 0.0,
    "last_back": False,
    "white_back": False,
    "lock_view_dependence": False,
    "fill_mode": None,
    "weight_eps": 1e-5,
    "last_interval": 1e10,
}
DISCRIMINATOR = {
    "discriminator": "CCSEncoderDiscriminator",
    "coord_channels": True,
    "encoder": True,
    "latent_outputs": 12,
    "position_outputs": 2,
    "channels": [6, 8, 10, 10],
    "entry_sizes": [16, 8, 4, 2],
    "leaky_slope": 0.2,
}


def assert_near(found, wanted):
    assert_close(torch.from_numpy(found), torch.atleast_1d(wanted.detach()), rtol=1e-7, atol=1e-8)


def test_mapping_network_of_other_sizes():
    s = SIREN | {"mapping_layers": 2, "n_layers": 2, "hidden_dim": 5}
    settings = {"z_dim": 12, "map_hidden_dim": 20, "map_output_dim": 30, "n_layers": 2, "leaky_slope": 0.2}
    settings |= {"film_layers": 3, "film_width": 5}
    prefix = "mapping_network."
    entries = [[e[0].removeprefix(prefix), *e[1:]] for e in plain.field_tensors(s) if e[0].startswith(prefix)]
    outputs = {
        "frequencies": {"of": "first half"},
        "phases": {"of": "second half", "index": [[None, 2, None]]},
    }
    case = new_case(settings, {"z": np.random.default_rng(0).normal(size=(3, 12))}, outputs, {"any": entries})
    found, w = KINDS["mapping"](case), {prefix + name: x for name, x in case.weights("any").items()}
    frequencies, phases = plain.style(w, case["z"], 2).chunk(2, dim=-1)
    assert_near(found["frequencies"], frequencies)
    assert_near(found["phases"], phases[:2])


FIELDS = {
    "narrow": {},
    "warped": {"input_scale": 8.3, "n_layers": 5, "frequency_factor": 7.0, "frequency_offset": 11.0},
    "grid": {"input_scale": 8.3, "grid_channels": 5, "grid_size": 6, "mapping_layers": 2},
}


@pytest.mark.parametrize("changes", FIELDS.values(), ids=FIELDS)
def test_field_as_in_plain_formulas(changes):
    s = SIREN | changes
    numbers = np.random.default_rng(3)
    directions = numbers.normal(size=(2, 9, 3))
    inputs = {"points": 0.08 * numbers.normal(size=(2, 9, 3)), "z": numbers.normal(size=(2, 12))}
    inputs["dirs"] = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    outputs = {"out": {"style_scale": 0.8, "pictures": [1]}}
    case = new_case(s, inputs, outputs, {"siren": plain.field_tensors(s)})
    w = case.weights("siren")
    raw = 0.8 * plain.style(w, case["z"][1:], s["mapping_layers"])
    wanted = plain.field(w, s, case["points"][1:], case["dirs"][1:], raw)
    assert_near(KINDS["field"](case)["out"], wanted)


PICTURES = {
    "one pass": {"hierarchical_sample": False, "nerf_noise": 0.4, "num_steps": 7},
    "softplus, noise, mean pose": {"clamp_mode": "softplus", "nerf_noise": 0.5, "sample_dist": None},
    "both backgrounds": {"last_back": True, "white_back": True, "sample_dist": "uniform"},
    "sphere, locked": {"sample_dist": "spherical_uniform", "h_stddev": math.pi, "lock_view_dependence": True},
    "truncated, debug": {"sample_dist": "truncated_gaussian", "fill_mode": "debug", "img_size": 5},
    "finite last interval": {"last_interval": 0.05, "sample_dist": "normal", "h_stddev": 4.0},
}


def generation(s, count):
    """Recorded numbers of `count` pictures."""
    numbers, rays, steps = np.random.default_rng(4), s["img_size"] ** 2, s["num_steps"]
    inputs = {
        "z": numbers.normal(size=(count, s["z_dim"])),
        "jitter": numbers.random((count, rays, steps, 1)),
    }
    inputs["importance"] = numbers.random((count * rays, steps))
    inputs["noise0"] = numbers.normal(size=(count, rays, steps, 1))
    total = steps * (1 + s["hierarchical_sample"])
    inputs["noise1"] = numbers.normal(size=(count, rays, total, 1))
    if s["sample_dist"] in ("gaussian", "normal"):
        inputs["pose"] = numbers.normal(size=(2, count, 1))
    elif s["sample_dist"] == "truncated_gaussian":
        inputs["pose"] = 1.3 * numbers.normal(size=(2, count, 1, 4))
    elif s["sample_dist"]:
        inputs["pose"] = numbers.random((2, count, 1))
    return inputs


@pytest.mark.parametrize("changes", PICTURES.values(), ids=PICTURES)
def test_pictures_as_in_plain_formulas(changes):
    s, count = FORWARD | changes | {"psi": 0.6, "max_batch_size": 50}, 3
    inputs = generation(s, count)
    styles = (s["n_layers"] + 1) * s["hidden_dim"]
    averages = np.random.default_rng(5).normal(size=(2, 1, styles)) * 0.2
    inputs |= {"avg_frequencies": averages[0], "avg_phase_shifts": averages[1]}
    outputs = {"pixels": {}, "positions": {}}
    outputs["gradient"] = {"of": "pixels", "wrt": "inputs/z", "index": [1, [None, None, 5]]}
    state_dicts = {"generator": plain.field_tensors(s, "siren.")}
    for kind, psi in (("generator", 1.0), ("generator_staged", 0.6)):
        if kind == "generator_staged":
            outputs = {"depth": {}, **outputs}
            del outputs["gradient"]
        case = new_case(s, inputs, outputs, state_dicts)
        found = KINDS[kind](case)
        w = {name.removeprefix("siren."): tensor for name, tensor in case.weights("generator").items()}
        average = torch.cat([case["avg_frequencies"], case["avg_phase_shifts"]], dim=-1)
        raw = plain.style(w, case["z"], s["mapping_layers"])
        raw = raw if psi == 1 else average + psi * (raw - average)
        pixels, depth, positions = plain.render(w, {name: case[name] for name in inputs}, s, raw)
        wanted = {"pixels": pixels, "depth": depth, "positions": positions}
        if "gradient" in outputs:
            wanted["gradient"] = torch.autograd.grad(pixels.sum(), case["z"])[0][1, ::5]
        for name in outputs:
            assert_near(found[name], wanted[name])


DISCRIMINATORS = {
    "coord-strided with heads": {},
    "coord-strided": {"discriminator": "CCSDiscriminator", "encoder": False},
    "strided": {"discriminator": "StridedDiscriminator", "encoder": False, "coord_channels": False},
    "progressive": {"discriminator": "ProgressiveDiscriminator", "encoder": False},
    "progressive with heads": {"discriminator": "ProgressiveEncoderDiscriminator", "channels": [4, 6, 8, 9]},
}


def discriminator_settings(changes):
    s = DISCRIMINATOR | changes
    return s if s["encoder"] else s | {"latent_outputs": 0, "position_outputs": 0}


@pytest.mark.parametrize("changes", DISCRIMINATORS.values(), ids=DISCRIMINATORS)
def test_discriminator_as_in_plain_formulas(changes):
    s, numbers = discriminator_settings(changes), np.random.default_rng(6)
    inputs = {f"image{size}": numbers.uniform(-1, 1, (3, 3, size, size)) for size in (16, 8, 4, 2)}
    outputs = {
        f"{size} {alpha}": {"of": "logit", "input": f"image{size}", "size": size, "alpha": alpha}
        for size, alpha in ((16, 0.3), (8, 0.0), (8, 1.0), (4, 0.6), (2, 0.5))
    }
    outputs["one"] = {"of": "logit", "input": "image16", "alpha": 0.3, "pictures": [2]}
    if s["encoder"]:
        outputs["z"] = {"of": "latent", "input": "image8", "alpha": 0.9}
        outputs["pose"] = {"of": "position", "input": "image8", "alpha": 0.9, "index": [1]}
    case = new_case(s, inputs, outputs, {"discriminator": plain.discriminator_tensors(s)})
    found, w = KINDS["discriminator"](case), case.weights("discriminator")
    for name, args in outputs.items():
        out = plain.discriminator(w, s, case[args["input"]], args["alpha"])
        wanted = {"logit": out[:, :1], "latent": out[:, 1:-2], "position": out[1, -2:]}[args["of"]]
        assert_near(found[name], wanted[2:] if name == "one" else wanted)


TERMS = ("d_loss", "g_loss", "k", "logits of the fakes", "identity term of d_loss")
TERMS += ("0.5*r1_lambda*mean squared gradient norm",)
LOSSES = {
    "heads": {"encoder": True, "z_lambda": 0.7, "pos_lambda": 3.0, "alpha": 0.4, "r1_lambda": 2.0},
    "no heads": {"discriminator": "StridedDiscriminator", "encoder": False, "coord_channels": False},
    "no penalty, all fakes, noise": {"encoder": False, "r1_lambda": 0.0, "topk_v": 1.0, "nerf_noise": 0.6},
    "first step, nothing of the new layers": {"encoder": False, "step": 0, "alpha": 0.0},
}


@pytest.mark.parametrize("changes", LOSSES.values(), ids=LOSSES)
def test_losses_and_their_gradients_as_in_plain_formulas(changes):
    common = {"z_lambda": 0.0, "pos_lambda": 0.0, "alpha": 1.0, "r1_lambda": 0.3, "step": 777}
    common |= {"topk_interval": 20, "topk_v": 0.3, "topk_base": 0.99}
    s, count = discriminator_settings(FORWARD | {"img_size": 8} | common | changes), 4
    inputs = generation(s, count) | {"real": np.random.default_rng(7).uniform(-1, 1, (count, 3, 8, 8))}
    outputs = {of: {"of": of} for of in TERMS}
    for of, state_dict, wrt in (
        ("d_loss", "discriminator", "final_layer.weight"),
        ("d_loss", "discriminator", "fromRGB.2.model.0.bias"),
        ("g_loss", "discriminator", "final_layer.weight"),
        ("g_loss", "generator", "siren.network.1.layer.weight"),
    ):
        outputs[f"{of} {wrt}"] = {"of": of, "state_dict": state_dict, "wrt": wrt, "rows": 1}
    outputs["real"] = {"of": "d_loss", "wrt": "inputs/real", "index": [1, 0]}
    outputs["z"] = {"of": "sum(logits of the fakes)", "wrt": "inputs/z"}
    tensors = {"generator": plain.field_tensors(s, "siren.")}
    case = new_case(s, inputs, outputs, tensors | {"discriminator": plain.discriminator_tensors(s)})
    found, wanted = KINDS["losses"](case), plain_losses(case, s)
    for name, args in outputs.items():
        value = wanted[args["of"].removeprefix("sum(").removesuffix(")")]
        if "wrt" in args:
            source = case.weights(args["state_dict"]) if "state_dict" in args else case
            (value,) = torch.autograd.grad(value.sum(), source[args["wrt"]], retain_graph=True)
            value = value[1, 0] if "index" in args else value[: args.get("rows")]
        assert_near(found[name], value)


def plain_losses(case, s):
    """The terms of both losses by plain formulas."""
    w, real = case.weights("discriminator"), case["real"]
    field = {name.removeprefix("siren."): tensor for name, tensor in case.weights("generator").items()}
    inputs = {key.removeprefix("inputs/"): case[key] for key in case.arrays}
    raw = plain.style(field, case["z"], s["mapping_layers"])
    fake, _, pose = plain.render(field, inputs, s, raw)
    of_real, of_fake, of_still = (
        plain.discriminator(w, s, x, s["alpha"]) for x in (real, fake, fake.detach())
    )
    found = plain.losses(of_real, of_fake, real, case["z"], pose, s)
    found["d_loss"] = plain.losses(of_real, of_still, real, case["z"], pose, s)["d_loss"]
    return found | {
        "logits of the fakes": of_fake[:, :1],
        "0.5*r1_lambda*mean squared gradient norm": found["r1"],
        "identity term of d_loss": found["identity"],
    }


MODES = ["uniform", "normal", "truncated_gaussian", "spherical_uniform", "hybrid", "unknown"]


@pytest.mark.parametrize("hybrid", [0.2, 0.8])
@pytest.mark.parametrize("mode", MODES)
def test_cameras_of_every_distribution_as_in_plain_formulas(mode, hybrid):
    numbers = np.random.default_rng(8)
    s = {"far.horizontal_mean": 1.0, "far.horizontal_stddev": 0.4, "far.vertical_mean": 1.2}
    s |= {"far.vertical_stddev": 0.3, "resolution": [3, 4], "num_steps": 5, "fov": 40, "ray_start": 0.5}
    s |= {"ray_end": 1.7, "hybrid_number": hybrid, "hybrid_threshold": 0.5, "n_cameras": 6}
    inputs = {"u": numbers.random((2, 6, 1)), "t": 1.3 * numbers.normal(size=(2, 6, 1, 4))}
    inputs |= {"jitter": numbers.random((6, 12, 5, 1)), "yaw_pitch": numbers.random((3, 2)) + 0.5}
    given = {
        "mode": mode,
        "dist": "far",
        "numbers": "inputs/t" if mode == "truncated_gaussian" else "inputs/u",
    }
    outputs = {of: given | {"of": of} for of in ("yaw_pitch", "position")}
    outputs |= {name: given | {"jitter": "inputs/jitter"} for name in ("z_jittered", "world_points")}
    outputs["matrix"] = {"of": "inputs/yaw_pitch", "dist": "far"}
    case = new_case(s, inputs, outputs)
    mean, std = (torch.tensor(x, dtype=torch.float64) for x in ([1.0, 1.2], [0.4, 0.3]))
    yaw_pitch = plain.angles(mode, mean, std, case[given["numbers"]][:, :, 0].movedim(1, 0), hybrid)
    eye, directions, _ = plain.rays(yaw_pitch, 40, 3, 4)
    t = torch.linspace(0.5, 1.7, 5, dtype=torch.float64) + (case["jitter"][..., 0] - 0.5) * 0.3
    points = eye[:, None, None] + t[..., None] * directions[:, :, None]
    place, _, pose = plain.rays(case["yaw_pitch"], 40, 1, 1)
    matrix = torch.eye(4).double().repeat(3, 1, 1)
    matrix[:, :3, :3], matrix[:, :3, 3] = pose, place
    wanted = {
        "yaw_pitch": yaw_pitch,
        "position": eye,
        "z_jittered": t,
        "world_points": points,
        "matrix": matrix,
    }
    found = KINDS["camera"](case)
    for name, value in wanted.items():
        assert_near(found[name], value)
