"""The mappings of NeRF's cases on settings that no stored case has, against plain formulas."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from conformance import reference_nerf as plain
from conformance.case import new_case
from conformance.nerf import KINDS

NERF = {
    "near": 2.0,
    "far": 6.0,
    "N_samples": 9,
    "N_importance": 11,
    "perturb": 0.0,
    "white_bkgd": True,
    "lindisp": False,
    "raw_noise_std": 0.0,
    "multires": 3,
    "multires_views": 2,
    "i_embed": 0,
    "net_D": 4,
    "net_W": 24,
    "net_skips": [1],
    "use_viewdirs": True,
    "output_ch": 5,
    "coarse_weight": 1.0,
    "fine_weight": 1.0,
}


def assert_near(found, wanted):
    """Values of a mapping and of a plain formula; the disparity of empty rays is not a number."""
    assert_close(torch.from_numpy(found), wanted.detach(), rtol=1e-7, atol=1e-8, equal_nan=True)


def rows_of_rays(count=5):
    numbers = np.random.default_rng(1)
    directions = numbers.normal(size=(count, 3)) * 0.2 + [0, 0, -1]
    origins = numbers.normal(size=(count, 3)) * 0.1 + [0, 0, 4]
    views = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return np.concatenate([origins, directions, np.tile([2.0, 6.0], (count, 1)), views], axis=1)


NERFS = {
    "no fine network": {"N_importance": 0},
    "no encoding": {"i_embed": -1},
    "no directions": {"use_viewdirs": False, "white_bkgd": False},
    "disparity": {"lindisp": True, "perturb": 1.0, "raw_noise_std": 0.3},
    "noise alone, one pass": {"N_importance": 0, "raw_noise_std": 1.0},
    "shallow, no skip": {"net_D": 2, "net_skips": [], "multires": 5, "N_samples": 4},
    "two skips": {"net_D": 6, "net_skips": [0, 3], "perturb": 1.0},
}


def recorded(s, count):
    """Rays, target colors and recorded random numbers of so many rays."""
    numbers, first = np.random.default_rng(2), s["N_samples"]
    shapes = {"t_rand": first, "u": s["N_importance"], "noise0": first, "noise1": first + s["N_importance"]}
    inputs = {name: numbers.random((count, size)) for name, size in shapes.items()}
    return inputs | {"rays": rows_of_rays(count), "target": numbers.random((count, 3))}


def plain_render(case, s):
    """Both passes by plain formulas, and the weights that they are computed from."""
    weights = {name: case.weights(name) for name in case.about["state_dicts"]}
    inputs = {key.removeprefix("inputs/"): case[key] for key in case.arrays}
    return plain.render(weights, inputs, s), weights


@pytest.mark.parametrize("changes", NERFS.values(), ids=NERFS)
def test_rays_are_rendered_as_in_plain_formulas(changes):
    s = NERF | changes
    passes = ["coarse", "fine"][: 1 + (s["N_importance"] > 0)]
    quantities = ("rgb", "acc", "disp", "depth", "weights")
    outputs = {f"{of} {one}": {"of": of, "pass": one} for of in quantities for one in passes}
    if len(passes) == 2:
        outputs["z_std"] = {"of": "z_std", "pass": "fine"}
    case = new_case(s, recorded(s, 5), outputs, {name: plain.tensors(s) for name in passes})
    found, (wanted, _) = KINDS["render_rays"](case), plain_render(case, s)
    for name, args in outputs.items():
        assert_near(found[name], wanted[args["pass"]][args["of"]])


@pytest.mark.parametrize("changes", NERFS.values(), ids=NERFS)
def test_the_loss_and_its_gradients_as_in_plain_formulas(changes):
    s = NERF | changes
    passes = ["coarse", "fine"][: 1 + (s["N_importance"] > 0)]
    last = "rgb_linear.weight" if s["use_viewdirs"] else "output_linear.weight"
    outputs = {
        f"{name} {wrt}": {"of": "loss", "state_dict": name, "wrt": wrt, "index": [[None, None, 2]]}
        for name in passes
        for wrt in (last, "pts_linears.0.bias")
    }
    outputs |= {"loss": {"of": "loss"}, "target": {"of": "loss", "wrt": "inputs/target", "rows": 2}}
    case = new_case(s, recorded(s, 5), outputs, {name: plain.tensors(s) for name in passes})
    found, (wanted, weights) = KINDS["loss_gradient"](case), plain_render(case, s)
    loss = sum((wanted[name]["rgb"] - case["target"]).square().mean() for name in passes)
    assert_near(found.pop("loss"), loss[None])
    for name, value in found.items():
        args = outputs[name]
        leaf = case["target"] if name == "target" else weights[args["state_dict"]][args["wrt"]]
        (gradient,) = torch.autograd.grad(loss, leaf, retain_graph=True)
        assert_near(value, gradient[:2] if name == "target" else gradient[::2])


def test_one_network_for_both_passes():
    outputs = {
        "rgb": {"of": "rgb"},
        "gradient": {"of": "rgb", "state_dict": "coarse", "wrt": "rgb_linear.bias"},
    }
    case = new_case(NERF, recorded(NERF, 4), outputs, {"coarse": plain.tensors(NERF)})
    found, (wanted, weights) = KINDS["render_rays"](case), plain_render(case, NERF)
    (gradient,) = torch.autograd.grad(wanted["fine"]["rgb"].sum(), weights["coarse"]["rgb_linear.bias"])
    assert_near(found["rgb"], wanted["fine"]["rgb"])
    assert_near(found["gradient"], gradient)


@pytest.mark.parametrize(("directed", "outputs"), [(True, 5), (False, 4), (False, 6)])
def test_mlp_with_inputs_of_any_width(directed, outputs):
    s = {"D": 3, "W": 10, "input_ch": 7, "input_ch_views": 5, "output_ch": outputs, "skips": [0]}
    s["use_viewdirs"] = directed
    numbers = np.random.default_rng(0)
    inputs = {"x": numbers.normal(size=(6, 7)), "v": numbers.normal(size=(6, 5))}
    tensors = plain.mlp_tensors(3, 10, 7, 5, [0], directed, outputs)
    case = new_case(s, inputs, {"raw": {"rows": 4}}, {"any name": tensors})
    wanted = plain.network(case.weights("any name"), case["x"], case["v"], 3, [0], directed)
    assert_near(KINDS["mlp"](case)["raw"], wanted[:4])


@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5])
def test_rays_of_a_picture_that_is_not_square(offset):
    intrinsics = np.array([[50.0, 0, 3.2], [0, 40.0, 1.7], [0, 0, 1]])
    pose = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    pose = np.concatenate([pose, [[1.0], [2], [3]]], axis=1)
    case = new_case(
        {"H": 4, "W": 6, "pixel_offset": offset},
        {"K": intrinsics, "c2w": pose},
        {"rays_o": {}, "rays_d": {"index": [[None, None, 2], 3]}},
    )
    found = KINDS["get_rays"](case)
    j = np.arange(0, 4, 2) + offset
    camera = np.stack([np.full(2, (3 + offset - 3.2) / 50), -(j - 1.7) / 40, -np.ones(2)], axis=-1)
    np.testing.assert_allclose(found["rays_d"], camera @ pose[:, :3].T, atol=1e-12)
    np.testing.assert_allclose(found["rays_o"], np.broadcast_to([1.0, 2, 3], (4, 6, 3)))


def test_a_picture_in_normalised_device_coordinates_with_any_near_plane():
    s = NERF | {
        "H": 3,
        "W": 5,
        "near": 0.0,
        "far": 1.0,
        "ndc": True,
        "ndc_near": 0.7,
        "chunk": 4,
        "white_bkgd": False,
    }
    inputs = {"K": np.array([[4.0, 0, 2.5], [0, 4.0, 1.5], [0, 0, 1]]), "c2w": np.eye(4)[:3] + 0.0}
    inputs["c2w"][:, 3] = [0.1, -0.2, 0.3]
    state_dicts = {name: plain.tensors(s) for name in ("coarse", "fine")}
    outputs = {of: {"of": of, "pass": "fine"} for of in ("rgb", "acc", "disp")}
    case = new_case(s, inputs, outputs, state_dicts)
    found = KINDS["render_image"](case)
    y, x = np.mgrid[:3, :5]
    d = np.stack([(x - 2.5) / 4, -(y - 1.5) / 4, -np.ones_like(x, dtype=float)], -1).reshape(-1, 3)
    o = np.broadcast_to(inputs["c2w"][:, 3], d.shape)
    views = d / np.linalg.norm(d, axis=1, keepdims=True)
    o = o - (0.7 + o[:, 2:]) / d[:, 2:] * d
    fx, fy = 2 * 4 / 5, 2 * 4 / 3
    slope = np.stack(
        [
            -fx * (d[:, 0] / d[:, 2] - o[:, 0] / o[:, 2]),
            -fy * (d[:, 1] / d[:, 2] - o[:, 1] / o[:, 2]),
            -1.4 / o[:, 2],
        ],
        -1,
    )
    start = np.stack([-fx * o[:, 0] / o[:, 2], -fy * o[:, 1] / o[:, 2], 1 + 1.4 / o[:, 2]], -1)
    rows = torch.from_numpy(np.concatenate([start, slope, np.zeros((15, 2)), views], axis=1))
    weights = {name: case.weights(name) for name in state_dicts}
    wanted = plain.render(weights, {"rays": rows}, s)["fine"]
    for of in outputs:
        assert_close(
            torch.from_numpy(found[of]).flatten(0, 1), wanted[of], rtol=1e-7, atol=1e-8, equal_nan=True
        )


def test_encodings_between_any_frequencies():
    x, settings = np.random.default_rng(0).normal(size=(7, 3)), {"multires": 4, "i_embed": 0}
    both = {"of": "inputs/x", "bands": 4, "lowest": 1.0}
    linear = both | {"highest": 10.0, "include_input": True, "log_sampling": False}
    log = both | {"highest": 27.0, "include_input": False, "log_sampling": True}
    outputs = {
        "linear": linear,
        "log": log,
        "widths": {"of": "widths", "outputs": ["log", "linear"]},
    }
    found = KINDS["positional_encoding"](new_case(settings, {"x": x}, outputs))
    waves = [
        np.concatenate([w(f * x) for f in fs for w in (np.sin, np.cos)], 1)
        for fs in ((1, 4, 7, 10), (1, 3, 9, 27))
    ]
    np.testing.assert_allclose(found["linear"], np.concatenate([x, waves[0]], axis=1), atol=1e-12)
    np.testing.assert_allclose(found["log"], waves[1], atol=1e-12)
    assert found["widths"].tolist() == [24, 27]


def test_compositing_with_an_interval_and_noise_of_the_arguments():
    numbers = np.random.default_rng(0)
    inputs = {"raw": numbers.normal(size=(4, 6, 4)), "z_vals": np.sort(numbers.random((4, 6)))}
    inputs |= {"rays_d": numbers.normal(size=(4, 3)), "noise": numbers.normal(size=(4, 6))}
    settings = {"raw_noise_std": 0.0, "last_interval": 1e10, "white_bkgd": False}
    outputs = {of: {"of": of, "rows": 3} for of in ("rgb", "acc", "depth", "weights")}
    outputs["white"] = {"of": "rgb", "white_bkgd": True, "raw_noise_std": 0.4, "index": [1, [None, None, 2]]}
    case = new_case(settings, inputs, outputs)
    found, given = KINDS["raw2outputs"](case), [case[name] for name in ("raw", "z_vals", "rays_d")]
    for of, value in plain.composite(*given, False, 0.0).items():
        if of in outputs:
            assert_near(found[of], value[:3])
    assert_near(found["white"], plain.composite(*given, True, 0.4 * case["noise"])["rgb"][1, ::2])


def test_importance_sampling_between_uneven_edges():
    numbers = np.random.default_rng(0)
    inputs = {"bins": np.sort(numbers.random((3, 6))), "weights": numbers.random((3, 5)) ** 8}
    inputs["other"] = numbers.random((3, 7))
    settings = {"N_samples": 9, "weight_eps": 1e-5, "cdf_step_min": 1e-5, "search_right": True}
    outputs = {"even": {"det": True}, "random": {"det": False, "uniforms": "inputs/other", "N_samples": 7}}
    case = new_case(settings, inputs, outputs)
    found, even = KINDS["sample_pdf"](case), torch.linspace(0, 1, 9, dtype=torch.float64).expand(3, 9)
    for name, u in (("even", even), ("random", case["other"])):
        assert_near(found[name], plain.importance(case["bins"], case["weights"], u))


@pytest.mark.parametrize("degrees", [True, False])
def test_poses_on_a_sphere(degrees):
    unit = 1.0 if degrees else np.pi / 180
    settings = {"turntable_theta_first": 10 * unit, "turntable_theta_step": 70 * unit, "turntable_count": 5}
    settings |= {"turntable_phi": 40 * unit, "turntable_radius": 2.5, "degrees": degrees}
    outputs = {"given": {"of": "inputs/angles"}, "around": {}, "other": {"phi": -20 * unit, "count": 3}}
    angles = np.array([[30.0, -50, 3], [200, 12, 0.5]]) * [unit, unit, 1]
    found = KINDS["pose_spherical"](new_case(settings, {"angles": angles}, outputs))

    def matrix(theta, phi, radius):
        theta, phi = np.radians([theta, phi]) if degrees else (theta, phi)
        lift, tilt, turn = np.eye(4), np.eye(4), np.eye(4)
        lift[2, 3] = radius
        tilt[1:3, 1:3] = [[np.cos(phi), -np.sin(phi)], [np.sin(phi), np.cos(phi)]]
        turn[::2, ::2][:2, :2] = [[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]]
        axes = np.array([[-1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
        return axes @ turn @ tilt @ lift

    np.testing.assert_allclose(found["given"], [matrix(*row) for row in angles], atol=1e-8)
    for name, phi, count in (("around", 40, 5), ("other", -20, 3)):
        rows = [matrix((10 + 70 * i) * unit, phi * unit, 2.5) for i in range(count)]
        np.testing.assert_allclose(found[name], rows, atol=1e-8)
