"""What pi-GAN's official code computes, from our parts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from genscene.systems.pigan.field import StyledField
from torch import Tensor

from conformance.case import Case
from genscene.contract import ImageBatch, StepContext
from genscene.geometry.cameras import Camera
from genscene.geometry.priors import CameraPrior, camera_angles
from genscene.io.rename import rename
from genscene.render.march import March, RayNoise
from genscene.render.volume import sample_t
from genscene.systems.pigan.convert import CLASSES, DISCRIMINATOR, GENERATOR, fill
from genscene.systems.pigan.discriminator import STRIDED_CHANNELS, Discriminator, DiscriminatorConfig
from genscene.systems.pigan.generator import PiGANGenerator, PiGANGeneratorConfig
from genscene.systems.pigan.presets import PRESETS
from genscene.systems.pigan.system import Fakes, PiGAN, PiGANConfig

Results = dict[str, Any]

LAWS = {
    "uniform": "uniform",
    "gaussian": "gaussian",
    "normal": "gaussian",
    "truncated_gaussian": "truncated",
    "spherical_uniform": "sphere",
    "hybrid": "hybrid",
    None: "fixed",
}
JUDGES = {
    "disc_ccs_encoder": DiscriminatorConfig("coord-strided", STRIDED_CHANNELS, heads=True),
    "disc_progressive_encoder": DiscriminatorConfig("progressive", heads=True),
    "disc_strided": DiscriminatorConfig("strided", STRIDED_CHANNELS),
}


class Recorded:
    """Random numbers that were written down: handed out in order, whatever shape is asked for."""

    def __init__(self, *numbers: Tensor):
        self.numbers = list(numbers)

    def uniform(self, *shape: int) -> Tensor:
        """The next."""
        return self.numbers.pop(0)

    normal = uniform


def orbit_of(options: dict[str, Any], law: str | None) -> CameraPrior:
    """Their camera arguments as ours."""
    yaw, pitch = (
        (options[f"{a}_mean"], options[f"{a}_stddev"])
        for a in (
            "horizontal" if "horizontal_mean" in options else "h",
            "vertical" if "vertical_mean" in options else "v",
        )
    )
    return CameraPrior(LAWS[law], yaw, pitch, 1.0, options.get("fov", 12))


def generator_of(case: Case, state: str = "generator") -> PiGANGenerator:
    """Their generator with the case's weights."""
    options = case.about["constructor"]["forward"]
    released = PRESETS[CLASSES[case.about["constructor"]["siren"]]].system
    assert isinstance(released, PiGANConfig)
    background = "white" if options.get("white_back") else "last" if options.get("last_back") else "black"
    config = replace(
        released.generator,
        march=March(options["ray_start"], options["ray_end"], options["num_steps"], options["clamp_mode"]),
        hierarchical=options["hierarchical_sample"],
        background=background,
        eval_background=background,
        orbit=orbit_of(options, options.get("sample_dist")),
    )
    generator = PiGANGenerator(config).to(case.dtype)
    fill(generator, rename(case.weights(state), GENERATOR, dict(generator.named_parameters())))
    return generator


def perturb_of(case: Case) -> RayNoise:
    """The recorded random numbers of a march."""
    options = case.about["constructor"]["forward"]
    jitter = case["jitter"][..., 0]
    batch, rays = jitter.shape[:2]
    importance = case["importance"].view(batch, rays, -1) if options["hierarchical_sample"] else None
    if not options["nerf_noise"]:
        return RayNoise(jitter, importance)
    noises = (options["nerf_noise"] * case[name][..., 0] for name in ("noise0", "noise1"))
    return RayNoise(jitter, importance, *noises)


def camera_of(case: Case, generator: PiGANGenerator) -> Camera:
    """The recorded camera."""
    size = (case.about["constructor"]["forward"]["img_size"],) * 2
    numbers = (
        case["pose"][..., 0].mT
        if "inputs/pose" in case.arrays
        else torch.zeros(len(case["z"]), 2).to(case.dtype)
    )
    return generator.orbit.sample(Recorded(numbers), size)


def positions(camera: Camera, generator: PiGANGenerator) -> Tensor:
    """(pitch, yaw) as their renderer returns them."""
    yaw, pitch = camera_angles(camera, generator.orbit.yaw[0])
    return torch.stack([pitch, yaw], dim=-1)


def camera(case: Case) -> Results:
    options = case.about["constructor"]
    u, g, t = case["u"][..., 0].mT, case["g"][..., 0].mT, case["t"][:, :, 0].movedim(1, 0)
    recorded = {
        "uniform": (u,),
        "gaussian": (g,),
        "truncated_gaussian": (t,),
        "spherical_uniform": (u,),
        "hybrid": (torch.full((6,), 0.3), u, g),
    }
    size, results = (options["resolution"],) * 2, {}
    for law, numbers in recorded.items():
        orbit = orbit_of(options["spherical_uniform" if law == "spherical_uniform" else "dist"], law)
        yaw, pitch = orbit.sample_angles(Recorded(*numbers))
        results[f"pose_{law}"] = torch.stack([yaw, pitch], dim=-1)
        results[f"pos_{law}"] = orbit.camera_at(yaw, pitch, size).pose[:, :3, 3]
    orbit = replace(orbit_of(options["dist"], "gaussian"), fov=options["fov"])
    opengl = torch.tensor([1.0, -1.0, -1.0, 1.0]).to(case.dtype)
    fixed = orbit.camera_at(*case["yaw_pitch"].unbind(-1), size)
    still = replace(fixed[:1], pose=torch.eye(4).to(case.dtype)[None])
    march = March(options["ray_start"], options["ray_end"], options["num_steps"])
    rays = orbit.sample(Recorded(g), size).corner_aligned().rays().unit()
    t_regular, t = sample_t(rays, march, None), sample_t(rays, march, case["jitter"][..., 0])
    return results | {
        "cam2world": fixed.pose * opengl,
        "cam_dirs": still.corner_aligned().rays().unit().directions[0] * opengl[:3],
        "z_regular": t_regular[0, 0],
        "z_jittered": t,
        "world_points": rays.at(t),
        "world_dirs": rays.directions,
        "world_origins": rays.origins[:, 0],
    }


def mapping(case: Case) -> Results:
    generator = PiGANGenerator(PiGANGeneratorConfig()).to(case.dtype)
    names = {f"siren.mapping_network.{name}": value for name, value in case.weights("mapping").items()}
    wanted = {n: p for n, p in generator.named_parameters() if n.startswith("mapping")}
    generator.load_state_dict(rename(names, GENERATOR, wanted), strict=False)
    w = generator.style(case["z"])
    return {"frequencies": w[:, 0].flatten(1), "phase_shifts": w[:, 1].flatten(1)}


def field(case: Case) -> Results:
    kind = case.about["source_objects"][0].split(".")[-1]
    system = PRESETS[CLASSES[kind]].system
    assert isinstance(system, PiGANConfig)
    generator = PiGANGenerator(system.generator).to(case.dtype)
    fill(generator, rename(case.weights("siren"), GENERATOR, dict(generator.named_parameters())))
    w = generator.style(case["z"])
    points, directions = case["points"], case["dirs"]
    outs = {}
    for name, styles in (("out", w), ("out_half", 0.5 * w)):
        colors, density = generator.bind(styles)(points, directions)
        outs[name] = torch.cat([colors, density[..., None]], dim=-1)
    return outs


def render(case: Case) -> Results:
    generator = generator_of(case)
    camera = camera_of(case, generator)
    scene = generator.scene(case["z"])
    rendering = generator.trace(scene, camera, perturb_of(case), generator.config.background, 10**9)
    return {"pixels": 2 * rendering.image - 1, "positions": positions(camera, generator)}


def staged(case: Case) -> Results:
    generator = generator_of(case)
    averages = [
        case[name].view(1, *generator.average.shape[1:]) for name in ("avg_frequencies", "avg_phase_shifts")
    ]
    generator.average.copy_(torch.cat(averages))
    camera = camera_of(case, generator)
    scene = generator.scene(case["z"], psi=case.about["constructor"]["forward"]["psi"])
    results = {}
    for name, seen in (("pixels", scene), ("pixels_locked", generator.lock_view(scene))):
        assert isinstance(seen, StyledField)
        rendering = generator.trace(seen, camera, perturb_of(case), "last", 80)
        results[name] = 2 * rendering.image - 1
    last = generator.trace(scene, camera, perturb_of(case), "last", 80)
    assert last.depth is not None
    assert last.alpha is not None
    return results | {"depth": last.depth[:, 0], "weight": 2 * last.alpha - 1}


def discriminator(case: Case) -> Results:
    judge = Discriminator(JUDGES[case.about["case"]], 256).to(case.dtype)
    judge.load_state_dict(rename(case.weights("discriminator"), DISCRIMINATOR, judge.state_dict()))
    results = {}
    for size in (64, 32):
        for fade, mark in ((0.5, "a05"), (1.0, "a1")):
            verdict = judge(case[f"image{size}"], fade)
            results[f"logit_{size}_{mark}"] = verdict.logits[:, None]
            results[f"latent_{size}_{mark}"] = verdict.z
            results[f"position_{size}_{mark}"] = verdict.pose
    return results


def losses(case: Case) -> Results:
    options, generator = case.about["constructor"], generator_of(case)
    config = PiGANConfig(
        generator.config,
        JUDGES["disc_ccs_encoder"],
        gamma=options["r1_lambda"],
        z_weight=options["z_lambda"],
        pose_weight=options["pos_lambda"],
        topk=options["topk_v"],
        topk_interval=options["topk_interval"],
        fade_steps=10,
    )
    system = PiGAN(config).to(case.dtype)
    system.generator = generator
    judge = system.discriminator
    judge.load_state_dict(rename(case.weights("discriminator"), DISCRIMINATOR, judge.state_dict()))
    camera = camera_of(case, generator)
    image = generator.trace(generator.scene(case["z"]), camera, perturb_of(case), "black", 10**9).image
    fakes = Fakes(image, case["z"], positions(camera, generator))
    step = options["step"]
    moment = StepContext(step, stage_start=step - round(10 * options["alpha"]))  # faded in by alpha
    batch = ImageBatch((case["real"] + 1) / 2)
    d_loss, stats = system.judgement(batch, fakes.detach(), moment)
    d_loss.backward()
    grads = {n: p.grad.clone() for n, p in judge.named_parameters() if p.grad is not None}
    real = case["real"].clone().requires_grad_()
    logits = judge(real, options["alpha"]).logits
    (grad_real,) = torch.autograd.grad(logits.sum(), real)
    verdict = judge(2 * image - 1, options["alpha"])
    identity = system.identity(verdict, fakes)
    assert isinstance(identity, Tensor)
    g_loss, _ = system.deception(fakes, moment)
    g_loss.backward()
    field = generator.field
    share = max(0.99 ** (step / config.topk_interval), config.topk)
    return {
        "d_loss": d_loss[None],
        "r1": (config.gamma * stats["r1"])[None],
        "identity_d": identity[None],
        "grad_real": grad_real,
        "gd_final": grads["last.weight"][:2],
        "gd_conv": grads["blocks.5.first.weight"][:2],
        "gd_rgb": grads["entrances.4.weight"],
        "g_loss": g_loss[None],
        "topk": [len(torch.arange(-(-len(image) * share // 1)))],
        "fake_logits": verdict.logits[:, None],
        "gg_net3": field.layers[3].weight.grad[:8],
        "gg_map0": generator.mapping[0].weight.grad[:8],
        "gg_sigma": field.density.weight.grad,
        "gg_rgb": field.color.weight.grad,
    }


CASES: dict[str, Callable[[Case], Results]] = {
    "camera": camera,
    "mapping": mapping,
    "siren_tall": field,
    "siren_spatial": field,
    "siren_embedding128": field,
    "render_flat_softplus_lastback": render,
    "render_hier_relu": render,
    "render_hier_softplus_noise": render,
    "render_hier_white": render,
    "staged_psi07": staged,
    "disc_ccs_encoder": discriminator,
    "disc_progressive_encoder": discriminator,
    "disc_strided": discriminator,
    "losses": losses,
}
