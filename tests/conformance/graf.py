"""GRAF's cases: what the released code computes, by our functions, by kind."""

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from conformance.case import Args, Case, Results, attach, compute_outputs, fed_part, once
from conformance.pigan_parts import Recorded
from genscene.contract import RenderOptions
from genscene.geometry.cameras import Camera, Rays
from genscene.geometry.priors import CameraPrior
from genscene.io.rename import rename
from genscene.layers.nerf_field import FieldConfig
from genscene.objectives.dcgan import DCGANConfig, DCGANDiscriminator
from genscene.objectives.gan_loss import nonsaturating_loss, r1_penalty
from genscene.render.march import March
from genscene.render.patches import PatchSampler, border_windows, crop_and_resize
from genscene.systems.graf.convert import GENERATOR, discriminator_rules
from genscene.systems.graf.generator import GRAFGenerator, GRAFGeneratorConfig
from genscene.systems.graf.system import GRAFConfig

OPENGL = (1.0, -1.0, -1.0)  # right, down, forward -> right, up, back


def patch_sampler(args: Args) -> PatchSampler:
    """The patches of the settings."""
    side = math.isqrt(args["N_samples"])
    anneal = max(0.0, args["scale_anneal"])
    return PatchSampler(
        side, args["min_scale"], 1.0, antialias=False, anneal=anneal, largest=args["max_scale"]
    )


def patch_scale(case: Case) -> Results:
    """The smallest window at every step."""

    def quantity(name: str, args: Args) -> Tensor:
        sampler, (steps, *_) = patch_sampler(args), case["iterations"][None]
        count = case.about["outputs"][name]["shape"][0]
        sizes = [sampler.smallest_at(int(step)) for step in steps[:count]]
        return torch.tensor(sizes, dtype=case.dtype)

    return compute_outputs(case, quantity)


def flex_grid(case: Case) -> Results:
    """Windows of patches, their rays and pixels; the rays of the full picture."""

    def quantity(name: str, args: Args) -> Tensor:
        sampler, size = patch_sampler(args), (args["H"], args["W"])
        unit, sign = case["unit"], 2 * case["sign"].to(case.dtype) - 1
        places = (1 + unit[:, 1:] * sign) / 2 if args["random_shift"] else torch.full_like(unit[:, 1:], 0.5)
        scales = unit[:, :1] if args["random_scale"] else torch.ones_like(unit[:, :1])
        numbers = torch.cat([torch.zeros_like(scales), scales, places], dim=1)
        windows = sampler.sample(Recorded([numbers], []), args["iteration"])
        assert windows is not None
        if args["of"] == "scale":
            return windows[:, 0]
        inner = border_windows(windows, sampler.size, size)
        camera = official_camera(case["pose"], args["focal"], size)
        if args["of"] == "rays of the full picture":
            rays = camera.rays("corner")
            return torch.stack([rays.origins[0], rays.directions[0]])
        if args["of"] == "patch rays":
            half = torch.tensor([[1.0, -0.5 / size[1], -0.5 / size[0]]]).to(camera.pose)
            shifted = camera.crop(half, size)
            shifted = shifted[torch.zeros(len(inner), dtype=torch.long)]
            rays = shifted.crop(inner, (sampler.size,) * 2).rays()
            return torch.stack([rays.origins, rays.directions], dim=1)
        if args["of"] == "grid":  # 0 to 1 between pixel centers -> -1 to 1
            steps = torch.linspace(0, 1, sampler.size, dtype=case.dtype)
            y, x = torch.meshgrid(steps, steps, indexing="ij")
            share = windows[:, 0, None, None, None] * torch.stack([x, y], dim=-1) + windows[:, None, None, 1:]
            return 2 * share - 1
        patches = crop_and_resize(case["image"], inner, (sampler.size,) * 2, antialias=False)
        return patches.flatten(2).mT

    return compute_outputs(case, quantity)


def official_camera(pose: Tensor, focal: float, size: tuple[int, int]) -> Camera:
    """A camera [3, 4] with OpenGL axes and a focal length in pixels."""
    full = torch.eye(4).to(pose)
    full[:3, :3], full[:3, 3] = pose[:, :3] * pose.new_tensor(OPENGL), pose[:, 3]
    intrinsics = torch.eye(3).to(pose)
    intrinsics[0, 0], intrinsics[1, 1] = focal / size[1], focal / size[0]
    intrinsics[:2, 2] = 0.5
    return Camera(full[None], intrinsics[None], size)


def poses(case: Case) -> Results:
    """Cameras at given angles, sampled with the recorded numbers, and in a row."""

    def quantity(name: str, args: Args) -> Tensor:
        if name == "turntable" or args.get("count"):
            return turntable(case, args)
        prior = ranged(args["sample_range_u"], args["sample_range_v"], args["sample_range_radius"])
        if args["of"] == "inputs/unit":
            azimuth, height, radius = case["unit"].T
            numbers = [torch.stack([1 - azimuth, height], dim=-1), radius]
            return opengl(prior.sample(Recorded(numbers, []), (1, 1)).pose)
        prior = ranged((0, 1), (0, 1), (1, 1))
        azimuth, height = case["uv"].T
        camera = prior.sample(Recorded([torch.stack([1 - azimuth, height], dim=-1)], []), (1, 1))
        found = opengl(camera.pose)
        return found[..., 3] if name == "loc" else found[..., :3]

    return compute_outputs(case, quantity)


def turntable(case: Case, args: Args) -> Tensor:
    """Cameras at equal steps of azimuth, at the middle of the polar angles."""
    least = math.radians(args["turntable_angle_min_degrees"])
    (first, last), count = args["range_u"], args["count"]
    yaw = 2 * math.pi * (first + (last - first) * torch.arange(count, dtype=case.dtype) / count)
    low, high = (math.acos(1 - 2 * v) for v in args["range_v"])
    prior = ranged((0, 1), (0, 1), (args["radius"],) * 2)
    pitch = torch.full_like(yaw, max(least, (low + high) / 2))
    return opengl(prior.camera_at(-yaw.clamp_min(least), pitch, (1, 1)).pose)


def ranged(u: tuple[float, float], v: tuple[float, float], radius: tuple[float, float]) -> CameraPrior:
    """Cameras in ranges of azimuth in turns, of the polar angle's share of the area, and of the radius."""
    return CameraPrior(
        "sphere",
        (-math.pi * (u[0] + u[1]), math.pi * (u[1] - u[0])),
        (math.pi * (v[0] + v[1]) / 2, math.pi * (v[1] - v[0]) / 2),
        (radius[0] + radius[1]) / 2,
        radius_spread=(radius[1] - radius[0]) / 2,
        up="z",
    )


def opengl(pose: Tensor) -> Tensor:
    """Poses [B, 4, 4] -> [B, 3, 4] with OpenGL axes."""
    return pose[:, :3] * pose.new_tensor([*OPENGL, 1.0])


def generator_config(args: Args) -> GRAFGeneratorConfig:
    """The generator of the settings, with the released code's conventions."""
    field = FieldConfig(
        args["W"],
        args["D"],
        tuple(i + 1 for i in args["skips"]),
        args["multires"],
        args["multires_views"],
        official_encoding=True,
    )
    config = GRAFGeneratorConfig(
        args["dim_shape"],
        args["dim_appearance"],
        field,
        args["use_viewdirs"],
        pixels="corner",
        axis_depth=True,
    )
    if "near" not in args:
        return config
    march = March(
        args["near"], args["far"], args["N_samples"], bins="midpoints", inverse_depth=args["lindisp"]
    )
    low, high = args["radius"]
    prior = replace(config.prior, radius=(low + high) / 2, radius_spread=(high - low) / 2)
    return replace(
        config,
        march=march,
        prior=prior,
        background="white" if args["white_bkgd"] else "black",
        follow_radius=args["shift_near_far"],
    )


def build_generator(case: Case, args: Args) -> GRAFGenerator:
    """The generator of the settings with the case's weights."""
    network = GRAFGenerator(generator_config(args)).to(case.dtype)
    (state_dict,) = case.about["state_dicts"]
    attach(network, rename(case.weights(state_dict), GENERATOR, dict(network.named_parameters())))
    return network


def field(case: Case) -> Results:
    """Colors before the sigmoid and raw density."""
    build = once(lambda args: build_generator(case, args))

    def quantity(name: str, args: Args) -> Tensor:
        generator = build(args)
        points, z = fed_part(case["points"], args), fed_part(case["z"], args)
        directions = fed_part(case["dirs"], args)[:, None].expand_as(points)
        colors, density = generator.scene(z)(points, directions)
        return torch.cat([torch.logit(colors), density[..., None]], dim=-1)

    return compute_outputs(case, quantity)


def render(case: Case) -> Results:
    """Colors, disparity and opacity of rays, from -1 to 1."""
    build = once(lambda args: build_generator(case, args))

    def quantity(name: str, args: Args) -> Tensor:
        generator, count = build({key: case.settings[key] for key in case.settings}), args["batch"]
        rays = Rays(*(x.unflatten(0, (count, -1)) for x in case["rays"]))
        options = RenderOptions()
        if args["jitter"]:
            std = GRAFConfig(noise_steps=args["raw_noise_iterations"]).density_noise_at(args["iteration"])
            assert std == args["raw_noise_std"]
            jitter, noise = (case[key].unflatten(0, (count, -1)) for key in ("t_rand", "noise"))
            options = RenderOptions(Recorded([jitter], [noise]), density_noise=std)
        found = generator.render(generator.scene(case["z"]), rays, options)
        assert found.alpha is not None
        assert found.depth is not None
        alpha = found.alpha.flatten()[:, None]
        if args["of"] == "rgb":
            return 2 * found.image[:, :, 0].mT.flatten(0, 1) - 1
        if args["of"] == "acc":
            return 2 * alpha - 1
        lengths = rays.directions.norm(dim=-1).flatten()[:, None]
        mean = found.depth.flatten()[:, None] / lengths
        return 2 / (mean * alpha / (alpha + 1e-10)).clamp_min(1e-10) - 1

    return compute_outputs(case, quantity)


def discriminator(case: Case) -> Results:
    """Logits, losses, R1, gradients, and the vectors of the spectral norm."""

    def build(args: Args) -> DCGANDiscriminator:
        config = DCGANConfig(
            tuple(args["conv_channels"][:-1]), args["norm"], args["first_norm"], args["spectral_norm"]
        )
        network = DCGANDiscriminator(config).to(case.dtype)
        weights = case.weights("discriminator")
        wanted = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        renamed = rename(weights, discriminator_rules(weights), wanted)
        attach(network, {name: renamed[name] for name, _ in [*network.named_parameters()]})
        for name, _ in [*network.named_buffers()]:
            owner, _, leaf = name.rpartition(".")
            setattr(network.get_submodule(owner), leaf, renamed[name])
        return network.train(args.get("mode", "train") == "train")

    def quantity(name: str, args: Args) -> Tensor:
        network = build(args)
        of, side = args["of"], args["imsize"]
        if of.startswith("main."):
            for _ in range(args["calls"]):
                network.iterate()
            return network.layers[0].u
        rows = case[args.get("input", "rows")]
        if "input" not in args:
            rows = rows.requires_grad_()
        pictures = rows.unflatten(0, (-1, side, side)).movedim(-1, 1)
        if of in ("r1", "loss_real + r1", "sum(logit)"):
            rows.requires_grad_()
            pictures = rows.unflatten(0, (-1, side, side)).movedim(-1, 1)
        if args.get("flags"):
            kept = torch.tensor(args["flags"]).bool()[:, None, None, None]
            pictures = torch.where(kept, pictures, pictures.flip(-1))
        logits = network(pictures)
        if of == "logit":
            return logits[:, None, None, None]
        if of == "sum(logit)":
            return logits.sum()
        if of == "loss":
            return nonsaturating_loss(logits) if args["target"] else softplus(logits).mean()
        count = len(rows) if args["r1_mean_over"] == "rows" else len(pictures)
        penalty = 2 * args["r1_weight"] * r1_penalty(logits, pictures) * len(pictures) / count
        return penalty if of == "r1" else penalty + nonsaturating_loss(logits)

    return compute_outputs(case, quantity)


KINDS = {
    "discriminator": discriminator,
    "field": field,
    "flex_grid": flex_grid,
    "patch_scale": patch_scale,
    "poses": poses,
    "render": render,
}
