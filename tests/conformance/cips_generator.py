"""CIPS's cases of its generator, its gradient and its patches, by kind."""

from dataclasses import replace

import torch
from torch import Tensor

from conformance.case import Args, Case, Results, attach, compute_outputs, fed_part, once
from conformance.cips import discriminator_config
from genscene.geometry.cameras import Grid
from genscene.io.rename import rename
from genscene.objectives.gan_loss import nonsaturating_loss
from genscene.objectives.stylegan2 import StyleGAN2Discriminator
from genscene.objectives.stylegan2_released import RELEASED_NAMES
from genscene.render.patches import crop_and_resize, strided_windows
from genscene.systems.cips.convert import official, our_tensors
from genscene.systems.cips.generator import CIPSGenerator, CIPSGeneratorConfig
from genscene.systems.cips.network import CIPSNetworkConfig

VARIANTS = {"CIPSskip": "skip", "CIPSres": "residual"}


def build_generator(case: Case, args: Args, prefix: str = "") -> CIPSGenerator:
    """The generator of the settings, whose names begin with a prefix, with the case's weights."""

    def setting(name: str, default: object = None) -> object:
        return args.get(prefix + name, default)

    found = case.weights("generator")
    activation = setting("activation") or "leaky_relu"
    like = CIPSGeneratorConfig(network=CIPSNetworkConfig(activation=activation))
    config = official(found, like)
    network = replace(config.network, legacy_grid_sample=not setting("align_corners", False))
    assert network.activation == activation
    assert network.variant == VARIANTS[setting("class")]
    assert network.features == setting("hidden_size")
    assert config.mapping_depth == setting("n_mlp")
    assert config.latent_dim == setting("style_dim")
    config = replace(
        config,
        network=network,
        mapping_lr=setting("lr_mlp"),
        outside=setting("padding_mode", "border"),
    )
    generator = CIPSGenerator(config).to(case.dtype)
    attach(generator, our_tensors(found, generator))
    return generator.train(args["mode"] == "train")


def generator(case: Case) -> Results:
    """Pictures in [-1, 1], in both modes, truncated in w or in z, with and without noise."""
    build = once(lambda args: build_generator(case, args))

    def quantity(name: str, args: Args) -> Tensor:
        network, psi = build(case.settings | {"mode": args["mode"]}), args["truncation"]
        network.mapping.w_avg = mean = case["w_avg"]
        z = fed_part(case["z"], args)
        if args["input_is_latent"]:
            w = network.style(z, psi)
        else:
            w = network.style(z if psi == 1 else mean + psi * (z - mean))
        noise = None
        if args["noise"] is not None:
            noise = fed_part(case[args["noise"]].movedim(0, 1), args).flatten(2)
        return 2 * network.bind(w)(case[args["coords"]], noise) - 1

    return compute_outputs(case, quantity)


def generator_gradient(case: Case) -> Results:
    """The generator's loss, for its gradients."""

    def build(args: Args) -> StyleGAN2Discriminator:
        config = discriminator_config(args, "discriminator.")
        network = StyleGAN2Discriminator(config, args["discriminator.input_size"])
        weights = case.weights("discriminator")
        attach(network, rename(weights, RELEASED_NAMES, dict(network.named_parameters())))
        return network

    @once
    def loss(args: Args) -> Tensor:
        network = build_generator(case, args, "generator.")
        places = case[args["coords"]]
        images = 2 * network.bind(network.style(case["z"]))(places) - 1
        if args["discriminator.input_size"] > 3:
            images = torch.cat([images, places.expand(len(images), -1, -1, -1)], dim=1)
        return nonsaturating_loss(build(args)(images))

    return compute_outputs(case, lambda name, args: loss(args))


def multiscale_patches(case: Case) -> Results:
    """Colors in [-1, 1] and coordinates of crops, and of every second, fourth ... pixel."""

    def quantity(name: str, args: Args) -> Tensor:
        image = case["image"].to(case.dtype).movedim(-1, 0)[None] / 127.5 - 1
        side, patch, stride = args["resolution"], args["crop_size"], args["stride"]
        phase, crop = (
            torch.tensor([args[key] or (0, 0)], dtype=case.dtype) for key in ("phase", "crop_start")
        )
        windows = strided_windows(phase + stride * crop, stride, patch, side)
        coords = Grid(windows, (patch, patch)).coords() * (side / (side - 1))
        colors = crop_and_resize(image, windows, (patch, patch), antialias=False)
        return torch.cat([colors, coords], dim=1)[0]

    return compute_outputs(case, quantity)


KINDS = {
    "generator": generator,
    "generator_gradient": generator_gradient,
    "multiscale_patches": multiscale_patches,
}
