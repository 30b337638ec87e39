"""Parts of pi-GAN's cases: networks with the case's weights, recorded random numbers, pictures."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from conformance.case import Args, Case, attach, fed_part
from genscene.contract import Background, Rendering, RenderOptions
from genscene.geometry.cameras import Camera, Size
from genscene.geometry.priors import CameraPrior, Distribution, camera_angles
from genscene.io.rename import rename
from genscene.render.march import March
from genscene.systems.pigan.convert import DISCRIMINATOR, GENERATOR
from genscene.systems.pigan.discriminator import Discriminator, DiscriminatorConfig
from genscene.systems.pigan.generator import FieldConfig, Legacy, PiGANGenerator, PiGANGeneratorConfig

# any other distribution of the released code is the mean
DISTRIBUTIONS: dict[str | None, Distribution] = {
    "uniform": "uniform",
    "gaussian": "gaussian",
    "normal": "gaussian",
    "truncated_gaussian": "truncated",
    "spherical_uniform": "sphere",
    "hybrid": "hybrid",
}
DEBUG = (1.0, 0.0, 0.0)  # color of pixels with an opacity below 0.9 in the fill_mode "debug"


class Recorded:
    """Recorded random numbers: the next uniform or normal ones, whatever shape is requested."""

    def __init__(self, uniform: list[Tensor], normal: list[Tensor]):
        """Tensors [B, ...] in the order in which they are requested."""
        self.numbers = {"uniform": list(uniform), "normal": list(normal)}
        self.count = len([*uniform, *normal][0])

    def __len__(self) -> int:
        return self.count

    def uniform(self, *shape: int) -> Tensor:
        """The next uniform numbers -> [B, ...]."""
        return self.numbers["uniform"].pop(0)

    def normal(self, *shape: int) -> Tensor:
        """The next normal numbers -> [B, ...]."""
        return self.numbers["normal"].pop(0)


def build_prior(
    mode: str | None, yaw: tuple[float, float], pitch: tuple[float, float], fov: float
) -> CameraPrior:
    """Cameras on the unit sphere; yaw, pitch: mean and stddev."""
    return CameraPrior(DISTRIBUTIONS.get(mode, "fixed"), yaw, pitch, 1.0, fov)


def picture_size(side: int | list[int]) -> Size:
    """(height, width) of a resolution that the released code has as one number, or width and height."""
    return (side, side) if isinstance(side, int) else (side[1], side[0])


def cameras_at(prior: CameraPrior, yaw: Tensor, pitch: Tensor, size: Size) -> Camera:
    """Cameras whose field of view is that of both sides, as the released code has it."""
    return prior.camera_at(yaw, pitch, (1, 1)).resized(size)


def field_config(args: Args) -> FieldConfig:
    """The field network of the settings."""
    return FieldConfig(
        width=args["hidden_dim"],
        depth=args["n_layers"],
        frequency=(args["frequency_factor"], args["frequency_offset"]),
        warp=args["input_scale"],
        grid_channels=args["grid_channels"] or 0,
        grid_size=args["grid_size"] or 1,
    )


def generator_config(args: Args) -> PiGANGeneratorConfig:
    """The generator of the settings; fields alone have no march, cameras and background."""
    config = PiGANGeneratorConfig(
        latent_dim=args["z_dim"],
        mapping_width=args["mapping_hidden_dim"],
        mapping_depth=args["mapping_layers"] - 1,
        field=field_config(args),
    )
    if "num_steps" not in args:
        return config
    march = March(
        args["ray_start"],
        args["ray_end"],
        args["num_steps"],
        args["clamp_mode"],
        fine_samples=args["num_steps"] if args["hierarchical_sample"] else 0,
        last_interval=args["last_interval"],
        pdf_floor=2 * args["weight_eps"],  # added before the sampling, and once more in it
        raw_depth=True,
    )
    yaw, pitch = ((args[f"{axis}_mean"], args[f"{axis}_stddev"]) for axis in ("h", "v"))
    background: Background = "last" if args["last_back"] else "white" if args["white_back"] else "black"
    return PiGANGeneratorConfig(
        config.latent,
        config.latent_dim,
        config.mapping_width,
        config.mapping_depth,
        config.field,
        march,
        background,
        background,
        build_prior(args["sample_dist"], yaw, pitch, args["fov"]),
        "border",
        Legacy(fade_first_stage=True),
    )


def build_generator(case: Case, args: Args, state_dict: str = "generator") -> PiGANGenerator:
    """The generator of the settings with the case's weights."""
    generator = PiGANGenerator(generator_config(args)).to(case.dtype)
    attach(generator, rename(case.weights(state_dict), GENERATOR, dict(generator.named_parameters())))
    return generator


def discriminator_config(case: Case, args: Args) -> DiscriminatorConfig:
    """The discriminator of the settings.

    Progressive ones pool instead of striding, and so have no projection where the width stays the same.
    """
    channels = tuple(args["channels"])
    assert [2 ** (len(channels) - i) for i in range(len(channels))] == args["entry_sizes"]
    names = {entry[0] for entry in case.about["state_dicts"]["discriminator"]["tensors"]}
    pooled = "Progressive" in args["discriminator"]
    for i, (before, after) in enumerate(pairwise(channels)):
        if before == after:
            pooled = f"layers.{i}.proj.weight" not in names
    strided: Literal["strided", "coord-strided"] = "coord-strided" if args["coord_channels"] else "strided"
    return DiscriminatorConfig("progressive" if pooled else strided, channels, args["encoder"])


def build_discriminator(case: Case, args: Args) -> Discriminator:
    """The discriminator of the settings with the case's weights."""
    network = Discriminator(discriminator_config(case, args), args["latent_outputs"]).to(case.dtype)
    attach(network, rename(case.weights("discriminator"), DISCRIMINATOR, dict(network.named_parameters())))
    return network


def angle_numbers(numbers: Tensor) -> Tensor:
    """Numbers of yaws, then pitches [2, B, 1, ...] -> [B, 2, ...]."""
    return numbers[:, :, 0].movedim(1, 0)


def angle_queues(mode: str | None, numbers: Tensor, hybrid: float) -> tuple[list[Tensor], list[Tensor]]:
    """The uniform and the normal numbers that a prior takes, of the numbers [B, 2, ...] for yaw and pitch."""
    distribution = DISTRIBUTIONS.get(mode, "fixed")
    if distribution == "hybrid":  # the coin, then one of both
        return [numbers.new_full((len(numbers),), hybrid), numbers], [numbers]
    return ([], [numbers]) if distribution in ("gaussian", "truncated") else ([numbers], [])


def recorded_numbers(case: Case, args: Args) -> Recorded:
    """All random numbers of a generation: latent codes, cameras, jitter, importance sampling, noise."""
    count = len(case["z"])

    def numbers(name: str) -> Tensor:
        """[B, R, S] of the pictures that are fed."""
        return fed_part(
            case[name].reshape(count, -1, case[name].shape[1 if name == "importance" else 2]), args
        )

    z = fed_part(case["z"], args)
    pose = fed_part(angle_numbers(case["pose"]), args) if "pose" in case else z.new_zeros(len(z), 2)
    uniform, normal = angle_queues(args["sample_dist"], pose, args.get("hybrid_number", 0.0))
    uniform.append(numbers("jitter"))
    if args["hierarchical_sample"]:
        uniform.append(numbers("importance"))
    if args["nerf_noise"]:
        names = ("noise0", "noise1") if args["hierarchical_sample"] else ("noise1",)
        normal += [args["nerf_noise"] * numbers(name) for name in names]
    return Recorded(uniform, [z, *normal])


def render(
    generator: PiGANGenerator, case: Case, args: Args, psi: float = 1.0, max_bytes: int = 1 << 28
) -> tuple[Rendering, Tensor]:
    """Pictures by the recorded numbers, and the (pitch, yaw) of their cameras [B, 2]."""
    randomness = recorded_numbers(case, args)
    z = generator.latents(randomness)
    yaw, pitch = generator.prior.sample_angles(randomness)
    camera = cameras_at(generator.prior, yaw, pitch, picture_size(args["img_size"]))
    options = RenderOptions(
        randomness,
        1.0 if args["nerf_noise"] else 0.0,  # the recorded noise is scaled
        fixed_direction=(0.0, 0.0, -1.0) if args["lock_view_dependence"] else None,
        max_bytes=max_bytes,
    )
    rendering = generator.render(generator.scene(z, psi), camera, options)
    yaw, pitch = camera_angles(camera, yaw)
    return rendering, torch.stack([pitch, yaw], dim=-1)


def pixels(rendering: Rendering, args: Args) -> Tensor:
    """Pictures in [-1, 1] as the fill_mode has them; of two backgrounds white is added to the last color."""
    assert rendering.alpha is not None
    image, alpha = rendering.image, rendering.alpha
    if args["last_back"] and args["white_back"]:
        image = image + 1 - alpha
    if args["fill_mode"] == "weight":
        image = alpha.expand_as(image)
    elif args["fill_mode"] == "debug":
        image = torch.where(alpha < 0.9, image.new_tensor(DEBUG)[:, None, None], image)
    return 2 * image - 1
