"""pi-GAN's cases: what the released code computes, by our functions, by kind."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from conformance.case import Args, Case, Results, attach, compute_outputs, fed_part, once
from conformance.pigan_parts import (
    Recorded,
    angle_numbers,
    angle_queues,
    build_discriminator,
    build_generator,
    build_prior,
    cameras_at,
    discriminator_config,
    generator_config,
    picture_size,
    pixels,
    recorded_numbers,
    render,
)
from genscene.contract import ImageBatch, Rendering, StepContext
from genscene.geometry.priors import CameraPrior
from genscene.io.rename import rename
from genscene.layers.mapping import MappingNetwork
from genscene.objectives.adversarial import GENERATOR as GENERATOR_TURN
from genscene.objectives.gan_loss import GANLoss, top_k
from genscene.randomness import Randomness
from genscene.render.march import March
from genscene.render.volume import sample_t
from genscene.systems.pigan.convert import GENERATOR
from genscene.systems.pigan.generator import FieldConfig, PiGANGeneratorConfig, mapping_layers
from genscene.systems.pigan.system import PiGAN, PiGANConfig

OPENGL = (1.0, -1.0, -1.0, 1.0)  # right, down, forward -> right, up, back


def camera(case: Case) -> Results:
    """Cameras of every distribution, their rays and the samples along them."""

    def quantity(name: str, args: Args) -> Tensor:
        of = args.get("of", name)
        return camera_quantities(case, args)["cam2world" if of.startswith("inputs/") else of]

    return compute_outputs(case, quantity)


def camera_quantities(case: Case, args: Args) -> dict[str, Tensor]:
    """Cameras at given angles, or sampled with the recorded numbers, and what is computed from them."""
    prior, given = camera_prior(args), str(args.get("of", ""))
    if given.startswith("inputs/"):
        yaw, pitch = fed_part(case[given], args).unbind(-1)
    else:
        numbers = torch.zeros(args["n_cameras"], 2, dtype=case.dtype)
        if args.get("numbers") is not None:
            numbers = fed_part(angle_numbers(case[args["numbers"]]), args)
        queues = angle_queues(args.get("mode"), numbers, args["hybrid_number"])
        yaw, pitch = prior.sample_angles(Recorded(*queues))
    cameras = cameras_at(prior, yaw, pitch, picture_size(args["resolution"]))
    still = replace(cameras[:1], pose=torch.eye(4).to(cameras.pose)[None])
    rays = cameras.rays("border").unit()
    march = March(args["ray_start"], args["ray_end"], args["num_steps"])
    jitter = fed_part(case[args["jitter"]], args)[..., 0] if args.get("jitter") else None
    t, opengl = sample_t(rays, march, jitter), yaw.new_tensor(OPENGL)
    return {
        "yaw_pitch": torch.stack([yaw, pitch], dim=-1),
        "position": cameras.pose[:, :3, 3],
        "cam2world": cameras.pose * opengl,
        "cam_dirs": still.rays("border").unit().directions[0] * opengl[:3],
        "z_regular": sample_t(rays, march)[0, 0],
        "z_jittered": t,
        "world_points": rays.at(t),
        "world_dirs": rays.directions,
        "world_origins": rays.origins[:, 0],
    }


def camera_prior(args: Args) -> CameraPrior:
    """The distribution that the arguments name, with the numbers that they name."""
    name = args.get("dist", "dist")
    yaw, pitch = (
        (args[f"{name}.{axis}_mean"], args[f"{name}.{axis}_stddev"]) for axis in ("horizontal", "vertical")
    )
    return build_prior(args.get("mode"), yaw, pitch, args["fov"])


def mapping(case: Case) -> Results:
    """Raw frequencies and phases of latent codes."""

    def quantity(name: str, args: Args) -> Tensor:
        field = FieldConfig(width=args["film_width"], depth=args["film_layers"] - 1)
        config = PiGANGeneratorConfig(
            latent_dim=args["z_dim"],
            mapping_width=args["map_hidden_dim"],
            mapping_depth=args["n_layers"] - 1,
            field=field,
        )
        shape = (2, args["film_layers"], args["film_width"])
        network = MappingNetwork(mapping_layers(config), config.latent_dim, shape).to(case.dtype)
        wanted = {f"mapping.{name}": parameter for name, parameter in network.named_parameters()}
        (state_dict,) = case.about["state_dicts"]
        official = {f"mapping_network.{n}": tensor for n, tensor in case.weights(state_dict).items()}
        renamed = rename(official, GENERATOR, wanted)
        attach(network, {name.removeprefix("mapping."): tensor for name, tensor in renamed.items()})
        w = network(fed_part(case["z"], args))
        return w[:, ["first half", "second half"].index(args["of"])].flatten(1)

    return compute_outputs(case, quantity)


def field_network(case: Case) -> Results:
    """Colors and raw density of points."""
    (state_dict,) = case.about["state_dicts"]
    build = once(lambda args: build_generator(case, args, state_dict))

    def quantity(name: str, args: Args) -> Tensor:
        generator = build(args)
        z, points, directions = (fed_part(case[key], args) for key in ("z", "points", "dirs"))
        w = args.get("style_scale", 1.0) * generator.style(z)
        colors, density = generator.bind(w)(points, directions)
        return torch.cat([colors, density[..., None]], dim=-1)

    return compute_outputs(case, quantity)


def generator(case: Case) -> Results:
    """Pictures and the angles of their cameras."""
    return pictures(case, lambda args: render(build_generator(case, args), case, args))


def staged(case: Case) -> Results:
    """Pictures with truncation towards given averages, in chunks."""

    def render_truncated(args: Args) -> tuple[Rendering, Tensor]:
        generator = build_generator(case, args)
        averages = (case[f"avg_{name}"] for name in ("frequencies", "phase_shifts"))
        shape = generator.mapping.w_avg.shape[1:]
        generator.mapping.w_avg = torch.stack([average.view(shape) for average in averages])
        max_bytes = 16 * args["hidden_dim"] * args["max_batch_size"]
        return render(generator, case, args, args["psi"], max_bytes)

    return pictures(case, render_truncated)


def pictures(case: Case, render: Callable[[Args], tuple[Rendering, Tensor]]) -> Results:
    """Pictures as the fill_mode has them, depth, and angles of what `render` returns for arguments."""
    cached = once(render)

    def quantity(name: str, args: Args) -> Tensor:
        rendering, angles = cached(args)
        of, shape = args.get("of", name), case.about["outputs"][name]["shape"]
        if of.startswith("position"):
            return angles
        if of.startswith("depth"):
            return rendering.depth[:, 0]
        image = pixels(rendering, args)
        # a picture of the opacity is stored with one channel
        return image[:, :1] if args["fill_mode"] == "weight" and shape[1:2] == [1] else image

    return compute_outputs(case, quantity)


def discriminator(case: Case) -> Results:
    """Logits, predicted latent codes and predicted (pitch, yaw) of images."""
    build = once(lambda args: build_discriminator(case, args))

    def quantity(name: str, args: Args) -> Tensor:
        images = fed_part(case[args["input"]], args)
        output = build(case.settings)(images, args["alpha"])
        values = {"logit": output.logits[:, None], "latent": output.z, "position": output.pose}
        return values[summand(args["of"])]

    return compute_outputs(case, quantity)


def summand(of: str) -> str:
    """X of "sum(X)": quantities that are differentiated are summed anyway."""
    return of.removeprefix("sum(").removesuffix(")") if of.startswith("sum(") else of


@dataclass(frozen=True)
class RecordedContext(StepContext):
    """A step whose random numbers are the recorded ones, the same in every turn."""

    recorded: Callable[[], Randomness] | None = None

    def random_streams(self, count: int, turn: int, device: torch.device | str) -> Randomness:
        """The recorded numbers, from the first on."""
        return self.recorded()


def losses(case: Case) -> Results:
    """Both players' losses, their terms, and gradients."""
    compute = once(lambda args: loss_quantities(case, args))

    def quantity(name: str, args: Args) -> Tensor:
        with torch.enable_grad():
            return compute(args)[summand(args["of"])]

    return compute_outputs(case, quantity)


def loss_quantities(case: Case, args: Args) -> dict[str, Tensor]:
    """Everything that the losses of one step are made of."""
    system = build_system(case, args)
    faded = args["alpha"] > 0  # one step of 1 / alpha since the stage began, or none
    shared: dict[Any, Any] = {}
    recorded = partial(recorded_numbers, case, args)
    context = RecordedContext(args["step"], args["step"] - faded, shared=shared, recorded=recorded)
    batch = ImageBatch((fed_part(case["real"], args) + 1) / 2)
    fakes = system.sample_fakes(batch, context, GENERATOR_TURN)
    shared[context.first] = fakes.detach()
    d_loss, stats = system.discriminator_loss(batch, context)
    g_loss, _ = system.generator_loss(batch, context)
    real = system.discriminate(2 * batch.images - 1, None, None, context).logits
    fake = system.discriminate(2 * fakes.images - 1, fakes.view, None, context)
    still, loss = fakes.detach(), system.config.loss
    output = system.discriminate(2 * still.images - 1, still.view, None, context)
    share = max(args["topk_base"] ** (args["step"] / loss.top_k_interval), loss.top_k)
    return {
        "d_loss": d_loss,
        "g_loss": g_loss,
        "0.5*r1_lambda*mean squared gradient norm": loss.gamma * stats.get("r1", 0 * d_loss),
        "identity term of d_loss": 0 * d_loss + system.auxiliary_loss(output, still),
        "real logits": real[:, None],
        "logits of the fakes": fake.logits[:, None],
        "k": torch.tensor(len(top_k(fake.logits, share))),
    }


def build_system(case: Case, args: Args) -> PiGAN:
    """Both players with the case's weights, and the losses of the settings."""
    config = PiGANConfig(
        generator=generator_config(args),
        discriminator=discriminator_config(case, args),
        loss=GANLoss(
            gamma=args["r1_lambda"],
            top_k=args["topk_v"] or 1.0,
            top_k_interval=args["topk_interval"] or 1,
        ),
        fade_steps=1 / args["alpha"] if args["alpha"] else 1,
        z_weight=args["z_lambda"],
        pose_weight=args["pos_lambda"],
        noise_steps=math.inf if args["nerf_noise"] else 0,  # 1; recorded noise is scaled
    )
    system = PiGAN(config)
    system.generator = build_generator(case, args)
    system.discriminator = build_discriminator(case, args)
    return system


KINDS: dict[str, Callable[[Case], Results]] = {
    "camera": camera,
    "mapping": mapping,
    "field": field_network,
    "generator": generator,
    "generator_staged": staged,
    "discriminator": discriminator,
    "losses": losses,
}
