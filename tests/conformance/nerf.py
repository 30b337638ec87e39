"""NeRF's cases: what the PyTorch port of the official code computes, by our functions, by kind."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from conformance import nerf_rendering
from conformance.case import Args, Case, Results, attach, compute_outputs, fed_part
from conformance.llff import llff_poses
from conformance.nerf_rendering import OPENGL, Pass, official_rays
from genscene.contract import Background
from genscene.geometry.cameras import Rays
from genscene.geometry.priors import CameraPrior
from genscene.layers.encoding import fourier_features, frequency_bands, official_encoding
from genscene.layers.nerf_field import FieldConfig, NeRFField
from genscene.render.march import March
from genscene.render.volume import composite_ray, optical_depths, sample_pdf
from genscene.systems.nerf.convert import rename_official


def get_rays(case: Case) -> Results:
    """Rays of a picture."""

    def quantity(name: str, args: Args) -> Tensor:
        rays = official_rays(case, args)
        values = {"rays_o": rays.origins, "origins": rays.origins}
        values |= {"rays_d": rays.directions, "directions": rays.directions}
        return values[args.get("of", name)].view(args["H"], args["W"], 3)

    return compute_outputs(case, quantity)


def ndc_rays(case: Case) -> Results:
    """Rays in normalised device coordinates."""

    def quantity(name: str, args: Args) -> Tensor:
        focal = (2 * args["focal"] / args["W"], 2 * args["focal"] / args["H"])
        rays = Rays(*(fed_part(case[name], args)[None] for name in ("rays_o", "rays_d")))
        return getattr(rays.ndc(focal, args["near"]), args["of"])[0]

    return compute_outputs(case, quantity)


def positional_encoding(case: Case) -> Results:
    """Encodings of points and directions; the widths of encodings."""

    def quantity(name: str, args: Args) -> Tensor:
        if args["of"] == "widths":
            every = case.outputs()
            return torch.tensor([quantity(each, every[each]).shape[-1] for each in args["outputs"]])
        x = fed_part(case[args["of"]], args)
        return x if args["i_embed"] == -1 else encode(x, args)

    return compute_outputs(case, quantity)


def encode(x: Tensor, args: Args) -> Tensor:
    """x [N, 3] -> its encoding in so many bands, from the lowest to the highest frequency."""
    count, spacing = args.get("bands", args["multires"]), "log" if args["log_sampling"] else "linear"
    low, high = args.get("lowest", 1.0), args.get("highest", 2.0 ** (count - 1))
    if args["include_input"] and low == 1 and high == 2.0 ** (count - 1):
        return official_encoding(x, count, spacing)
    bands = frequency_bands(count, x, spacing)
    if low != 1 or high != 2.0 ** (count - 1):
        ends = (low, high) if spacing == "linear" else (math.log2(low), math.log2(high))
        bands = torch.linspace(*ends, count, dtype=x.dtype)
        bands = bands if spacing == "linear" else 2**bands
    encoded = fourier_features(x, bands)
    return torch.cat([x, encoded], dim=-1) if args["include_input"] else encoded


def pose_spherical(case: Case) -> Results:
    """Poses on a sphere, at angles in rows or evenly around."""

    def quantity(name: str, args: Args) -> Tensor:
        if str(args.get("of", "")).startswith("inputs/"):
            theta, phi, radius = fed_part(case[args["of"]], args).unbind(-1)
        else:
            values = {key.removeprefix("turntable_"): value for key, value in args.items()}
            values |= {key: value for key, value in args.items() if not key.startswith("turntable_")}
            theta = torch.arange(values["count"], dtype=case.dtype) * values["theta_step"]
            theta = theta + values["theta_first"]
            phi, radius = (torch.full_like(theta, values[key]) for key in ("phi", "radius"))
        if args["degrees"]:
            theta, phi = theta.deg2rad(), phi.deg2rad()
        pose = CameraPrior(up="z").camera_at(theta - math.pi / 2, math.pi / 2 + phi, (1, 1)).pose
        position = pose[:, :3, 3:] * radius[:, None, None]
        pose = torch.cat([torch.cat([pose[:, :3, :3], position], dim=-1), pose[:, 3:]], dim=1)
        return pose * pose.new_tensor(OPENGL)

    return compute_outputs(case, quantity)


def mlp(case: Case) -> Results:
    """The network on encoded points and directions, before the activations."""

    def quantity(name: str, args: Args) -> Tensor:
        skips = tuple(i + 1 for i in args["skips"])
        config = FieldConfig(args["W"], args["D"], skips, view_dependent=args["use_viewdirs"])
        field = NeRFField(config, (args["input_ch"], args["input_ch_views"])).to(case.dtype)
        (state_dict,) = case.about["state_dicts"]
        weights = case.weights(state_dict)
        attach(field, rename_official(field, weights))
        x = fed_part(case["x"], args)[None]
        rgb, density = field.raw([x], [fed_part(case["v"], args)[None]] if args["use_viewdirs"] else [])
        raw = torch.cat([rgb, density[..., None]], dim=-1)
        if not args["use_viewdirs"] and args["output_ch"] > 4:  # channels that no renderer reads
            unused = (weights[f"output_linear.{end}"][4:] for end in ("weight", "bias"))
            raw = torch.cat([raw, linear(field.trunk([x]), *unused)], dim=-1)
        return raw[0]

    return compute_outputs(case, quantity)


def raw2outputs(case: Case) -> Results:
    """Compositing of raw samples."""

    def quantity(name: str, args: Args) -> Tensor:
        raw, t, directions = (fed_part(case[key], args)[None] for key in ("raw", "z_vals", "rays_d"))
        std = args["raw_noise_std"]
        noise = std * fed_part(case["noise"], args)[None] if std else None
        rays = Rays(torch.zeros_like(directions), directions)
        march = March(last_interval=args["last_interval"])
        optical = optical_depths(raw[..., 3], t, rays, march, noise)
        background: Background = "white" if args["white_bkgd"] else "black"
        found = composite_ray(optical, raw[..., :3].sigmoid(), t, background, raw_depth=True)
        return Pass(found, t).quantity(args["of"])

    return compute_outputs(case, quantity)


def sample_pdf_between(case: Case) -> Results:
    """Importance sampling between given edges."""

    def quantity(name: str, args: Args) -> Tensor:
        edges, weights = (fed_part(case[key], args)[None] for key in ("bins", "weights"))
        uniforms = None if args["det"] else fed_part(case[args.get("uniforms", "u")], args)[None]
        inner = pad(weights, (1, 1))
        return sample_pdf(around(edges), inner, args["N_samples"], uniforms, args["weight_eps"])[0]

    return compute_outputs(case, quantity)


def around(edges: Tensor) -> Tensor:
    """Distances whose middles are given edges [..., M] -> [..., M + 1], in double precision."""
    t = [edges[..., 0].double() - 0.01]
    for edge in edges.double().unbind(-1):
        t.append(2 * edge - t[-1])
    return torch.stack(t, dim=-1)


KINDS: dict[str, Callable[..., Results]] = {
    "get_rays": get_rays,
    "ndc_rays": ndc_rays,
    "positional_encoding": positional_encoding,
    "pose_spherical": pose_spherical,
    "llff_poses": llff_poses,
    "mlp": mlp,
    "raw2outputs": raw2outputs,
    "sample_pdf": sample_pdf_between,
    "render_rays": nerf_rendering.rays,
    "render_image": nerf_rendering.image,
    "loss_gradient": nerf_rendering.loss,
}
