"""What NeRF's official code computes, from our parts."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from genscene.objectives.losses import photometric
from genscene.systems.nerf.field import FieldConfig, NeRFField
from PIL import Image
from torch import Tensor
from torch.nn.functional import mse_loss, normalize

from conformance.case import Case
from genscene.data.posed import Posed, llff
from genscene.geometry.cameras import Camera, Rays
from genscene.geometry.priors import CameraPrior
from genscene.geometry.trajectories import average_pose, circle, forward_spiral, llff_focus_depth
from genscene.geometry.transforms import WorldTransform, crossing
from genscene.layers.encoding import raw_positional
from genscene.metrics.image import psnr
from genscene.render.march import March, RayNoise
from genscene.render.volume import composite, compute_weights, sample_pdf
from genscene.systems.nerf.convert import legacy, network
from genscene.systems.nerf.generator import NeRFGenerator, NeRFGeneratorConfig, Seen

Results = dict[str, Any]
OPENGL = torch.tensor([1.0, -1.0, -1.0, 1.0])


def camera_of(case: Case, height: int, width: int) -> Camera:
    """Their matrices, in pixels and OpenGL axes, as ours."""
    sides = torch.tensor([[width], [height], [1.0]], dtype=case.dtype)
    pose = torch.cat([case["c2w"], torch.tensor([[0, 0, 0, 1.0]], dtype=case.dtype)]) * OPENGL.to(case.dtype)
    return Camera(pose[None], (case["K"] / sides)[None], (height, width))


def generator_of(
    case: Case, near: float, far: float, ndc: tuple[float, float] | None = None
) -> NeRFGenerator:
    """Their two networks with the case's weights."""
    options = case.about["constructor"]
    config = NeRFGeneratorConfig(
        FieldConfig(octaves=options["multires"], direction_octaves=options["multires_views"]),
        March(near, far, options["N_samples"]),
        fine=options["N_importance"],
        background="white" if options.get("white_bkgd") else "black",
        ndc=ndc,
    )
    generator = NeRFGenerator(legacy(config)).to(case.dtype)
    for name in ("coarse", "fine"):
        part = getattr(generator, name)
        part.load_state_dict(network(case.weights(name), dict(part.named_parameters())))
    return generator


def disparity(seen: Seen) -> Tensor:
    """The official disparity, from their depth that is not divided by the opacity."""
    return (1 / (seen.depth / seen.alpha).clamp_min(1e-10))[..., 0]


def get_rays(case: Case) -> Results:
    height, width = case.about["constructor"]["H"], case.about["constructor"]["W"]
    generator = NeRFGenerator(legacy(NeRFGeneratorConfig(FieldConfig(width=8))))
    rays = generator.measured(camera_of(case, height, width))
    return {"rays_o": rays.origins.view(height, width, 3), "rays_d": rays.directions.view(height, width, 3)}


def ndc_rays(case: Case) -> Results:
    options = case.about["constructor"]
    rays = Rays(case["rays_o"][None], case["rays_d"][None])
    focal = (2 * options["focal"] / options["W"], 2 * options["focal"] / options["H"])
    one, other = rays.ndc(focal, 1.0), rays.ndc(focal, 0.6)
    return {
        "o": one.origins[0],
        "d": one.directions[0],
        "o_near06": other.origins[0],
        "d_near06": other.directions[0],
    }


def positional_encoding(case: Case) -> Results:
    x = case["x"]
    angles = x[:, None] * torch.linspace(1, 16, 5, dtype=case.dtype)[:, None]
    points, dirs = raw_positional(x, 10), raw_positional(case["d"], 4)
    linear = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)
    off = raw_positional(x, 0)
    return {
        "points": points,
        "dirs": dirs,
        "linear_bands": linear,
        "off": off,
        "sizes": [part.shape[-1] for part in (points, dirs, linear, off)],
    }


def pose_spherical(case: Case) -> Results:
    orbit = CameraPrior(up="z")

    def poses(angles: Tensor) -> Tensor:
        theta, phi, radius = angles.unbind(-1)
        at = (
            replace(orbit, radius=1.0)
            .at(theta.deg2rad() - math.pi / 2, math.pi / 2 + phi.deg2rad(), (8, 8))
            .pose
        )
        at[:, :3, 3] *= radius[:, None]
        return at * OPENGL.to(case.dtype)

    theta = torch.arange(40, dtype=case.dtype) * 9 - 180
    turn = torch.stack([theta, torch.full_like(theta, -30), torch.full_like(theta, 4)], dim=-1)
    return {"c2w": poses(case["angles"]), "turntable": poses(turn)}


def llff_poses(case: Case, scratch: Path) -> Results:
    np.save(scratch / "poses_bounds.npy", case.arrays["inputs/poses_bounds"])
    for folder, size in (("images", (40, 30)), ("images_2", (20, 15))):
        (scratch / folder).mkdir()
        for i in range(7):
            Image.new("RGB", size).save(scratch / folder / f"{i}.png")
    full, half = llff.read(scratch), llff.read(scratch, "images_2")
    recentred = llff.recentred(full)
    sphere = spherified(recentred)
    found: Results = {
        "recentred": columns(
            llff.recentred(replace(full, bounds=torch.full((7, 2), 1 / 0.75, dtype=torch.float64)))
        ),
        "average": columns(replace(full, pose=average_pose(full.pose)[None].expand(7, 4, 4)))[0],
    }
    for name, posed, path in (
        ("spiral", recentred, spiral(recentred)),
        ("half", llff.recentred(half), spiral(llff.recentred(half))),
        ("sphere", sphere, around(sphere)),
        ("plain", full, spiral(full)),
    ):
        shown = replace(
            posed, pose=path, sizes=posed.sizes[:1] * 120, intrinsics=posed.intrinsics[:1].expand(120, 3, 3)
        )
        found |= {f"{name}_poses": columns(posed).float(), f"{name}_bds": posed.bounds.float()}
        found |= {f"{name}_path": columns(shown)[::8].float(), f"{name}_test": [llff.holdout(posed)]}
    return found


def spiral(posed: Posed) -> Tensor:
    """Their film of a scene that faces one way: as wide as cameras stand from the world's middle, along its axes."""
    cameras = Camera(posed.pose, posed.intrinsics, posed.sizes[0])
    radii = cameras.pose[:, :3, 3].abs().quantile(0.9, dim=0)
    return forward_spiral(
        cameras, 120, llff_focus_depth(float(posed.bounds.min()), float(posed.bounds.max())), radii
    ).pose


def spherified(posed: Posed) -> Posed:
    """Their world of a scene photographed from all sides: its middle at the origin, z upwards, cameras about 1 away."""
    centre = crossing(posed.pose)
    up = normalize((posed.pose[:, :3, 3] - centre).mean(dim=0), dim=0)
    first = normalize(torch.linalg.cross(torch.tensor([0.1, 0.2, 0.3], dtype=up.dtype), up), dim=0)
    rotation = torch.stack([first, normalize(torch.linalg.cross(up, first), dim=0), up])
    scale = 1 / (posed.pose[:, :3, 3] - centre).square().sum(dim=-1).mean().sqrt()
    return posed.moved(WorldTransform(float(scale), rotation, centre))


def around(posed: Posed) -> Tensor:
    """Their film of it: at the cameras' mean height, the other way round than ours, the first place twice."""
    height = float(posed.pose[:, 2, 3].mean())
    ours = circle(
        CameraPrior(yaw=(0.0, 0.0), pitch=(math.acos(height), 0.0), radius=1.0, up="z"), 119, posed.sizes[0]
    ).pose
    return torch.cat([ours, ours[:1]]).flip(0).double()


def columns(posed: Posed) -> Tensor:
    """Poses as theirs: right, up, back, position, and (height, width, focal) in pixels [N, 3, 5]."""
    shape = [[h, w, float(k[0, 0] * w)] for (h, w), k in zip(posed.sizes, posed.intrinsics, strict=True)]
    return torch.cat(
        [(posed.pose * OPENGL)[:, :3], torch.tensor(shape, dtype=torch.float64)[..., None]], dim=-1
    )


def mlp(case: Case, views: bool) -> Results:
    field = NeRFField(FieldConfig(legacy_encoding=True, view_dependent=views)).to(case.dtype)
    field.load_state_dict(network(case.weights("network"), dict(field.named_parameters())))
    rgb, density = field.raw(case["x"][None], case["v"][None] if views else case["x"][None])
    return {"raw": torch.cat([rgb[0], density[0, :, None]], dim=-1)}


def raw2outputs(case: Case) -> Results:
    raw, t, march = case["raw"][None], case["z_vals"][None], March(tail=1e10)
    rays = Rays(torch.zeros_like(case["rays_d"][None]), case["rays_d"][None])
    colors = raw[..., :3].sigmoid()
    found = {}
    for name, noise in (("", None), ("_noise", 0.7 * case["noise"][None])):
        weights = compute_weights(raw[..., 3], t, rays, march, noise)
        acc, depth = weights.sum(-1), composite(weights, t[..., None])[..., 0]
        found |= {f"acc{name}": acc[0], f"depth{name}": depth[0]}
        color = composite(weights, colors)
        found |= {f"rgb{name}_black": color[0], f"rgb{name}_white": (color + 1 - acc[..., None])[0]}
        if not name:
            found |= {"weights": weights[0], "disp": (acc / depth)[0, :-1]}
    return found


def sample_pdf(case: Case) -> Results:
    bins, weights = case["bins"][None], case["weights"][None]
    t = distances_between(bins)
    padded = torch.nn.functional.pad(weights, (1, 1))
    return {
        "det": sample_pdf(t, padded, 128, None)[0],
        "random": sample_pdf(t, padded, 128, case["u"][None])[0],
    }


def distances_between(edges: Tensor) -> Tensor:
    """Distances whose middles are the given edges [..., M] -> [..., M + 1], in double precision."""
    t = [edges[..., 0].double() - 0.01]
    for i in range(edges.shape[-1]):
        t.append(2 * edges[..., i].double() - t[-1])
    return torch.stack(t, dim=-1)


def rays_of(case: Case) -> tuple[Rays, float, float]:
    """Their rows of eleven numbers."""
    rows = case["rays"][None]
    assert torch.all(rows[..., 6:8] == rows[:, :1, 6:8])
    return Rays(rows[..., :3], rows[..., 3:6]), float(rows[0, 0, 6]), float(rows[0, 0, 7])


def perturb_of(case: Case) -> RayNoise:
    """The recorded random numbers of a march."""
    if not case.about["constructor"]["perturb"]:
        return RayNoise()
    std = case.about["constructor"]["raw_noise_std"]
    return RayNoise(
        case["t_rand"][None], case["u"][None], std * case["noise0"][None], std * case["noise1"][None]
    )


def render_rays(case: Case) -> Results:
    rays, near, far = rays_of(case)
    generator, perturb = generator_of(case, near, far), perturb_of(case)
    scene = generator.bind(torch.zeros(1, 0))
    coarse, fine = generator.walk(scene, rays, perturb)
    t = generator.places(rays, perturb)
    finer = sample_pdf(t, coarse.weights, generator.config.fine, perturb.importance)
    found: Results = {"z_std": finer.std(dim=-1, unbiased=False)[0]}
    for end, seen in (("", fine), ("0", coarse)):
        found |= {
            f"rgb{end}": seen.color[0],
            f"acc{end}": seen.alpha[0, :, 0],
            f"disp{end}": disparity(seen)[0],
        }
    return found


def render_ndc_image(case: Case) -> Results:
    options = case.about["constructor"]
    height, width = options["H"], options["W"]
    camera = camera_of(case, height, width)
    pixels = case["K"][0, 0].float()  # the official code keeps this one number in single precision
    focal = (float(1 / (width / (2 * pixels))), float(1 / (height / (2 * pixels))))
    generator = generator_of(case, options["near"], options["far"], focal)
    rays = generator.measured(camera)
    bent = rays.ndc(focal)
    scene = generator.bind(torch.zeros(1, 0))
    coarse, fine = generator.walk(scene, rays, RayNoise())
    t = generator.places(bent, RayNoise())
    finer = sample_pdf(t, coarse.weights, generator.config.fine, None)
    t = torch.cat([t, finer], dim=-1).sort(dim=-1).values
    depth = composite(fine.weights, t[..., None])
    picture = {"rgb": fine.color, "rgb0": coarse.color, "acc": fine.alpha, "disp": fine.alpha / depth}
    return {name: value[0].view(height, width, -1).squeeze(-1) for name, value in picture.items()}


def loss_gradient(case: Case) -> Results:
    rays, near, far = rays_of(case)
    generator = generator_of(case, near, far)
    coarse, fine = generator.walk(generator.bind(torch.zeros(1, 0)), rays, RayNoise())
    target = case["target"][None]
    loss_fine = photometric(fine.color, target, "mean")
    loss = loss_fine + photometric(coarse.color, target, "mean")
    loss.backward()
    assert generator.fine is not None
    return {
        "loss": loss[None],
        "loss_fine": loss_fine[None],
        "psnr_fine": psnr(mse_loss(fine.color, target))[None],
        "g_coarse_alpha": generator.coarse.density.weight.grad,
        "g_fine_alpha": generator.fine.density.weight.grad,
        "g_coarse_pts5_rows": generator.coarse.layers[5].weight.grad[:6],
        "g_fine_rgb": generator.fine.color.weight.grad,
        "g_fine_bias0": generator.fine.layers[0].bias.grad,
    }


CASES: dict[str, Callable[..., Results]] = {
    "get_rays": get_rays,
    "ndc_rays": ndc_rays,
    "positional_encoding": positional_encoding,
    "pose_spherical": pose_spherical,
    "llff_poses": llff_poses,
    "mlp_viewdirs": lambda case: mlp(case, True),
    "mlp_no_viewdirs": lambda case: mlp(case, False),
    "raw2outputs": raw2outputs,
    "sample_pdf": sample_pdf,
    "render_rays": render_rays,
    "render_rays_l10": render_rays,
    "render_rays_perturb": render_rays,
    "render_ndc_image": render_ndc_image,
    "loss_gradient": loss_gradient,
}
