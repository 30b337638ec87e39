"""CIPS's cases: what the released code computes, by our functions, by kind."""

import torch
from torch import Tensor, nn

from conformance.case import Args, Case, Results, attach, compute_outputs, fed_part, once
from genscene.geometry.cameras import Grid
from genscene.io.rename import rename
from genscene.layers.mapping import MappingNetwork
from genscene.layers.stylegan2 import ModulatedConv2d, ModulatedLinear, style_mapping
from genscene.objectives.gan_loss import GANLoss, r1_penalty
from genscene.objectives.stylegan2 import StyleGAN2Discriminator, StyleGAN2DiscriminatorConfig
from genscene.objectives.stylegan2_released import RELEASED_NAMES
from genscene.systems.cips.generator import CIPSGenerator, CIPSGeneratorConfig
from genscene.systems.cips.network import CIPSNetworkConfig


def mapping(case: Case) -> Results:
    """Styles of latent codes."""

    @once
    def build(args: Args) -> MappingNetwork:
        width = args["style_dim"]
        network = style_mapping(width, args["n_mlp"], args["lr_mlp"])
        rules = [(rf"{i + 1}\.(weight|bias)", rf"{i}.\1") for i in range(args["n_mlp"])]
        attach(network, rename(case.weights("style"), rules, dict(network.named_parameters())))
        return MappingNetwork(network, width, (width,)).to(case.dtype)

    return compute_outputs(case, lambda name, args: build(args)(fed_part(case["z"], args)))


def modulated_conv(case: Case) -> Results:
    """Modulated layers: matrix products for 1x1 pixels, as CIPS has them, convolutions for more."""

    @once
    def build(args: Args) -> nn.Module:
        sizes = args["in_channel"], args["out_channel"]
        weights = case.weights("layer")
        weights = weights | {"weight": weights["weight"][0]}
        network: nn.Module
        if args["kernel_size"] == 1:
            network = ModulatedLinear(*sizes, args["style_dim"], args["demodulate"])
            weights["weight"] = weights["weight"][..., 0, 0]
        else:
            network = ModulatedConv2d(*sizes, args["kernel_size"], args["style_dim"], args["demodulate"])
        attach(network, weights)
        return network

    def quantity(name: str, args: Args) -> Tensor:
        network = build(args)
        x, style = fed_part(case["x"], args), fed_part(case["style"], args)
        if isinstance(network, ModulatedLinear):
            return network(x.flatten(2).mT, style).mT.unflatten(-1, x.shape[-2:])
        return network(x, style)

    return compute_outputs(case, quantity)


def coords(case: Case) -> Results:
    """Coordinates of pixels: x, then y, the first and the last pixel at the border; or their numbers."""

    def quantity(name: str, args: Args) -> Tensor:
        side = args["size"]
        network = CIPSNetworkConfig(features=2, embedding_size=(2, 2), widths=(2,))
        generator = CIPSGenerator(CIPSGeneratorConfig(2, 1, network=network, size=(side, side)))
        whole = Grid(torch.tensor([[1.0, 0.0, 0.0]], dtype=case.dtype), (side, side))
        found = generator.coords(whole).expand(args["batch"], -1, -1, -1)
        return (found + 1) / 2 * (side - 1) if args["integer"] else found

    return compute_outputs(case, quantity)


def discriminator_config(args: Args, prefix: str = "") -> StyleGAN2DiscriminatorConfig:
    """The discriminator of the settings."""
    assert args[f"{prefix}blur_kernel"] == [1, 3, 3, 1]
    assert not args[f"{prefix}n_first_layers"]
    assert args[f"{prefix}stddev_features"] == 1
    return StyleGAN2DiscriminatorConfig(
        args[f"{prefix}size"],
        16_384 * args[f"{prefix}channel_multiplier"],
        mbstd_group=args[f"{prefix}stddev_group"],
        mbstd_strided=True,
    )


def discriminator(case: Case) -> Results:
    """Logits, losses, R1 and gradients."""

    @once
    def build(args: Args) -> StyleGAN2Discriminator:
        network = StyleGAN2Discriminator(discriminator_config(args), args["input_size"])
        weights = case.weights("discriminator")
        attach(network, rename(weights, RELEASED_NAMES, dict(network.named_parameters())))
        return network

    def quantity(name: str, args: Args) -> Tensor:
        network, of = build({key: args[key] for key in case.settings}), args["of"]
        loss = GANLoss(args["loss"])
        if of == "logit":
            return network(fed_part(case[args["input"]], args))[:, None]
        if of == "r1":
            return r1(network, fed_part(case[args["input"]], args), args["r1_channels"])
        if of.startswith("sum(logit_"):
            return network(case[of.removeprefix("sum(logit_").removesuffix(")")]).sum()
        if of == "softplus(-fake)":
            return loss.generator(network(case["fake"]), None, 0)
        total = loss.discriminator(network(case["real"]), network(case["fake"]))
        if "r1_total_factor" in args:
            total = total + args["r1_total_factor"] * r1(network, case["real"], args["r1_channels"])
        return total

    return compute_outputs(case, quantity)


@torch.enable_grad()
def r1(network: nn.Module, images: Tensor, channels: list[int]) -> Tensor:
    """The mean squared norm of the gradient of logits with respect to some channels of the images."""
    images = images if images.requires_grad else images.detach().requires_grad_()
    part = images[:, channels]
    fed = images.index_copy(1, torch.tensor(channels), part)
    return 2 * r1_penalty(network(fed), part)


KINDS = {
    "coords": coords,
    "discriminator": discriminator,
    "mapping": mapping,
    "modulated_conv": modulated_conv,
}
