"""CGS-GAN's cases: what the released code computes, by our functions, by kind."""

import math

import torch
from torch import Tensor, nn

from conformance.case import Args, Case, Results, attach, compute_outputs, fed_part, once
from genscene.geometry.cameras import Camera
from genscene.geometry.priors import CameraPrior
from genscene.io.rename import rename
from genscene.layers.mapping import MappingNetwork
from genscene.layers.points.encoding import PointEncoding
from genscene.layers.points.residual import (
    HARMONIC,
    QUATERNION_EPS,
    SIZES,
    SOFT_LIMIT,
    RawGaussians,
    ResidualConfig,
    activated,
    child_gaussians,
    first_anchors,
    released_scales,
)
from genscene.layers.points.transformer import ModulatedBlock, SubpixelUpsample
from genscene.layers.stylegan2 import EPS, LabelMapping, gaussian_blur
from genscene.objectives.gan_loss import r1_penalty
from genscene.objectives.points import center_offset, neighbor_distances
from genscene.objectives.stylegan2 import StyleGAN2Discriminator, StyleGAN2DiscriminatorConfig
from genscene.objectives.stylegan2_released import label_mapping_rules, nvidia_rules
from genscene.systems.cgsgan.convert import BLOCK, our_tensors
from genscene.systems.cgsgan.generator import CGSGANGenerator, CGSGANGeneratorConfig
from genscene.systems.cgsgan.network import PointNetworkConfig

FIELDS = {"xyz": "means", "scale": "scales", "rotation": "quats", "opacity": "opacities", "color": "colors"}


def cameras(case: Case) -> Results:
    """Cameras by yaw and pitch, their matrices, and where they see points."""

    @once
    def build(args: Args) -> Camera:
        yaw, pitch = case["yaw_pitch"].to(case.dtype).unbind(-1)
        fov = math.degrees(2 * math.atan(0.5 / args["focal"]))
        prior = CameraPrior(radius=args["radius"], fov=fov)
        size = (args["size"], args["size"])
        return prior.camera_at(math.pi - yaw, torch.acos(1 - 2 * pitch / math.pi), size)

    def quantity(name: str, args: Args) -> Tensor:
        camera = build(case.settings)
        assert args["pixel_offset"] == 0.5
        to_camera = torch.linalg.inv(camera.pose)
        if name == "vector":
            return camera.label()
        if name == "fov":
            return 2 * torch.atan(0.5 / camera.intrinsics[:, 0, 0])
        if name == "viewmat":
            return to_camera
        if name == "full_proj":
            near, far = args["near"], args["far"]
            clip = torch.zeros_like(to_camera)
            clip[:, 0, 0] = 2 * camera.intrinsics[:, 0, 0]
            clip[:, 1, 1] = 2 * camera.intrinsics[:, 1, 1]
            clip[:, 2, 2], clip[:, 2, 3] = (far + near) / (far - near), -far * near / (far - near)
            clip[:, 3, 2] = 1
            full = clip @ to_camera
            return full.mT if args["transposed"] else full
        inside = case["points"] @ to_camera[:, :3, :3].mT + to_camera[:, None, :3, 3]
        seen = inside @ camera.intrinsics.mT
        return args["size"] * seen[..., :2] / seen[..., 2:]

    return compute_outputs(case, quantity)


def d_blur(case: Case) -> Results:
    """Images in front of the discriminator."""

    def quantity(name: str, args: Args) -> Tensor:
        assert (args["base"], args["padding"]) == (2.0, "zero")
        assert args["taps"] == 2 * math.floor(3 * args["blur_sigma"]) + 1
        return gaussian_blur(case["image"], args["blur_sigma"])

    return compute_outputs(case, quantity)


def mapping(case: Case) -> Results:
    """Styles of latent codes and cameras."""

    @once
    def build(args: Args) -> MappingNetwork:
        assert (args["norm_eps"], args["leaky_slope"]) == (EPS, 0.2)
        assert args["layer_features"] == args["w_dim"]
        sizes = (args["z_dim"], args["c_dim"], args["w_dim"], args["num_layers"], args["lr_multiplier"])
        network = LabelMapping(*sizes)
        weights = case.weights("mapping_network")
        w_avg = weights.pop("w_avg")
        rules = label_mapping_rules("ours", "network")
        wanted = {f"network.{name}": x for name, x in network.named_parameters()}
        renamed = rename({f"ours.{name}": x for name, x in weights.items()}, rules, wanted)
        attach(network, {name.removeprefix("network."): x for name, x in renamed.items()})
        found = MappingNetwork(network, args["z_dim"], (args["w_dim"],)).to(case.dtype)
        found.w_avg = w_avg
        return found

    def quantity(name: str, args: Args) -> Tensor:
        network, z = build(case.settings), fed_part(case["z"], args)
        labels = None if args["camera"] == "zeros" else fed_part(case[args["camera"]], args)
        plain = network(z, 1.0, labels)
        if args.get("of") == "w_avg":
            mean = plain.mean(dim=0)
            beta = args["w_avg_beta"] if args["update_emas"] else 1.0
            return mean + beta * (network.w_avg - mean)
        truncated, count = network(z, args["truncation_psi"], labels), args["num_ws"]
        cutoff = count if args["truncation_cutoff"] is None else args["truncation_cutoff"]
        return torch.stack([truncated if i < cutoff else plain for i in range(count)], dim=1)

    return compute_outputs(case, quantity)


def positional_encoding(case: Case) -> Results:
    """What the network is given of points."""

    @once
    def build(args: Args) -> PointEncoding:
        assert (args["align_corners"], args["padding_mode"]) == (False, "zeros")
        network = PointEncoding(2 * args["pe_dim"], "middle", args["pe_res"])
        weights = case.weights("pe")
        weights["const_pe.const_pe"] = weights["const_pe.const_pe"].squeeze(2)
        rules = (
            (r"learnable_pe\.ffm\.linear\.(weight|bias)", r"sines.linear.\1"),
            (r"const_pe\.const_pe", "table"),
        )
        attach(network, rename(weights, rules, dict(network.named_parameters())))
        return network

    return compute_outputs(case, lambda name, args: build(case.settings)(fed_part(case["pos"], args)))


def regularisers(case: Case) -> Results:
    """What keeps anchors together."""

    def quantity(name: str, args: Args) -> Tensor:
        assert args["drop_self"]
        if args["of"] == "centre":
            return center_offset(case["anchors"])
        each = neighbor_distances(case["anchors"], args["k"])
        return each if args["of"] == "knn per point" else each.mean()

    return compute_outputs(case, quantity)


def residual_config(args: Args) -> ResidualConfig:
    """The bounds and offsets of the settings."""
    return ResidualConfig(
        max_scale=math.exp(args["scale_threshold"]),
        min_scale=math.exp(args["scale_end"]),
        split_ratio=args["split_ratio"],
        first_scale=math.exp(args["first_scale_start"]),
        anchor_factor=args["first_xyz_factor"],
        opacity=args["start_opacity"],
    )


def residual_parameters(case: Case) -> Results:
    """Anchors and Gaussians of what heads say."""

    def cloud(prefix: str) -> RawGaussians:
        return RawGaussians(**{name: case[f"{prefix}_{name}"] for name in SIZES})

    def quantity(name: str, args: Args) -> Tensor:
        assert args["quaternion_eps"] == QUATERNION_EPS
        assert args["soft_limit"] == SOFT_LIMIT
        assert (args["start_rotation"], args["start_color"]) == ([1.0, 0.0, 0.0, 0.0], 0.0)
        if name == "constants":
            rows = [released_scales(size, args["num_pts"]) for size in args["resolutions"]]
            return torch.tensor([(split, low, math.log(high)) for split, low, high in rows]).double()
        config = residual_config(args)
        if args["first_anchor"]:
            found = first_anchors(cloud("raw"), torch.zeros(()), config)
        else:
            found = child_gaussians(cloud("raw"), cloud("anchor"), config)
        return getattr(found, args["of"])

    return compute_outputs(case, quantity)


def transformer_block(case: Case) -> Results:
    """A block of the transformer and its parts."""

    @once
    def build(args: Args) -> ModulatedBlock:
        assert args["norm_eps"] == EPS
        network = ModulatedBlock(args["width"], args["heads"], args["w_dim"], args["mlp_ratio"])
        attach(network, rename(case.weights("block"), BLOCK, dict(network.named_parameters())))
        return network

    def quantity(name: str, args: Args) -> Tensor:
        network, x, style = build(case.settings), case["x"], case["w"][:, 0]
        if args["of"] == "block":
            return network(x, style)
        normed = network.norms[0](x, style)
        attention, pointwise = network.mixes
        parts = {"attention of norm1": attention, "mlp of norm1": pointwise, "norm1": nn.Identity()}
        return parts[args["of"]](normed)

    return compute_outputs(case, quantity)


def upsample(case: Case) -> Results:
    """Children of tokens."""

    @once
    def build(args: Args) -> SubpixelUpsample:
        assert args["leaky_slope"] == 0.2
        network = SubpixelUpsample(args["in_features"], args["out_features"], args["upsample_ratio"])
        rules = ((r"subpixel\.(weight|bias)", r"subpixel.\1"), (r"res_fc\.(weight|bias)", r"shortcut.\1"))
        attach(network, rename(case.weights("up"), rules, dict(network.named_parameters())))
        return network

    return compute_outputs(case, lambda name, args: build(case.settings)(case["x"]))


def discriminator(case: Case) -> Results:
    """Scores, R1 and gradients."""

    @once
    def build(args: Args) -> StyleGAN2Discriminator:
        assert (args["architecture"], args["resample_filter"]) == ("resnet", [1, 3, 3, 1])
        assert not args["disc_c_noise"]
        assert not args["half_precision"]
        config = StyleGAN2DiscriminatorConfig(
            args["img_resolution"],
            args["channel_base"],
            args["channel_max"],
            mbstd_group=args["epilogue.mbstd_group_size"],
            mbstd_strided=True,
            conv_clamp=args["conv_clamp"] or 0.0,
            label_features=args["cmap_dim"],
            label_depth=args["mapping.num_layers"],
            label_lr=args["mapping.lr_multiplier"],
        )
        network = StyleGAN2Discriminator(config, args["img_channels"], args["c_dim"])
        weights = case.weights("discriminator")
        rules = nvidia_rules(args["img_resolution"])
        attach(network, rename(weights, rules, dict(network.named_parameters())))
        return network

    def quantity(name: str, args: Args) -> Tensor:
        network, of = build(case.settings), args.get("of")
        images, labels = fed_part(case[args.get("input", "image")], args), fed_part(case["c"], args)
        if of is None:
            return network(images, labels)[:, None]
        if of == "sum(score)":
            return network(images, labels).sum()
        with torch.enable_grad():
            images = images if images.requires_grad else images.detach().requires_grad_()
            score = network(images, labels)
            if of == "squared gradient norm of the summed scores per picture":
                (slope,) = torch.autograd.grad(score.sum(), images)
                return slope.square().flatten(1).sum(dim=1)
            loss = torch.nn.functional.softplus(-score).mean()
            return loss + args["r1_weight"] * 2 * r1_penalty(score, images)

    return compute_outputs(case, quantity)


def build_generator(case: Case, args: Args) -> CGSGANGenerator:
    """The generator of the settings with the case's weights."""
    assert args["use_start_pe"]
    assert 2 * args["pe_dim"] == args["transformer_width"]
    assert args["color_factor"] == HARMONIC
    network = PointNetworkConfig(
        points=args["num_pts"],
        width=args["transformer_width"],
        heads=args["transformer_heads"],
        pe_entries=args["pe_res"],
        first_blocks=args["num_first_layers"],
        children=tuple(args["upsample_ratios"]),
        features=tuple(args["level_widths"]),
    )
    assert network.blocks == args["num_ws"]
    assert network.counts == args["level_sizes"]
    steps = math.log2(2 * args["res_end"]) - 3
    residual = ResidualConfig(
        max_scale=math.exp(args["scale_threshold"]),
        min_scale=math.exp(args["scale_end"]),
        split_ratio=math.exp((args["scale_init"] - args["scale_end"]) / steps),
        bound=args["position_limit"],
    )
    of_mapping = (args["mapping.num_layers"], args["mapping.lr_multiplier"])
    config = CGSGANGeneratorConfig(
        args["z_dim"], args["w_dim"], *of_mapping, network=network, residual=residual
    )
    generator = CGSGANGenerator(config).to(case.dtype)
    attach(generator, our_tensors(case.weights("generator"), generator))
    return generator


def generator(case: Case) -> Results:
    """Gaussians before and after activation, checksums of each level, anchors."""
    build = once(lambda args: build_generator(case, args))

    @once
    def raw_of(args: Args) -> tuple[RawGaussians, list[RawGaussians], CGSGANGenerator]:
        network = build(case.settings)
        assert (case.settings["camera"], case.settings["truncation_cutoff"]) == ("zeros", None)
        w = network.style(case["z"], case.settings["truncation_psi"])
        if args["ws"] != "mapping(inputs/z)":
            w = case[args["ws"]]
        return *network.raw(w), network

    def quantity(name: str, args: Args) -> Tensor:
        raw, anchors, network = raw_of({"ws": args["ws"]})
        of = args["of"]
        if of == "anchor xyz":
            return torch.cat([each.xyz for each in anchors], dim=1)
        if "attributes" in args:
            assert not args["activated"]
            return checksums(raw, args["level_sizes"], args["attributes"], of)
        values = getattr(raw, of)
        if args["activated"]:
            values = activated(raw, network.config.residual)[FIELDS[of]]
            values = values[..., None] if of == "opacity" else values
        values = values[:, case[args["gaussians"]]]
        return values if name.startswith(("raw", "act")) else values[0]

    return compute_outputs(case, quantity)


def checksums(raw: RawGaussians, sizes: list[int], attributes: list[str], of: str) -> Tensor:
    """A statistic of all numbers of an attribute in a level -> [B, levels, attributes], in float64."""
    found = []
    for attribute in attributes:
        levels = getattr(raw, attribute).double().split(sizes, dim=1)
        flat = [each.flatten(1) for each in levels]
        if of == "standard deviation":
            found.append(torch.stack([x.std(dim=1, correction=0) for x in flat], dim=1))
        else:
            found.append(torch.stack([(x.abs() if "absolute" in of else x).mean(dim=1) for x in flat], dim=1))
    return torch.stack(found, dim=2)


def generator_gradient(case: Case) -> Results:
    """Losses of Gaussians before activation and of their anchors, for their gradients."""

    @once
    def terms(args: Args) -> tuple[Tensor, Tensor, Tensor]:
        network = build_generator(case, args)
        raw, anchors = network.raw(network.style(case["z"], args["truncation_psi"]))
        losses = [args[f"weight_{name}"] * getattr(raw, name).square().mean() for name in SIZES]
        points = anchors[0].xyz[:, : args["knn_anchors"]]
        return sum(losses), neighbor_distances(points, args["knn_k"]).mean(), center_offset(points)

    def quantity(name: str, args: Args) -> Tensor:
        loss, near, center = terms(case.settings)
        if args["of"] == "whole scalar":
            return loss + args["weight_knn"] * near + args["weight_centre"] * center
        parts = {"first five terms": loss, "knn regulariser": near, "centre regulariser": center}
        return parts[args["of"]]

    return compute_outputs(case, quantity)


KINDS = {
    "cameras": cameras,
    "d_blur": d_blur,
    "discriminator": discriminator,
    "generator": generator,
    "generator_gradient": generator_gradient,
    "mapping": mapping,
    "positional_encoding": positional_encoding,
    "regularisers": regularisers,
    "residual_parameters": residual_parameters,
    "transformer_block": transformer_block,
    "upsample": upsample,
}
