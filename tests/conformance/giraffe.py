"""GIRAFFE's cases: what the released code computes, by our functions, by kind."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from conformance.case import Args, Case, Results, attach, compute_outputs, fed_part, once
from conformance.giraffe_parts import (
    OPENGL,
    build_discriminator,
    build_generator,
    camera_prior,
    field_config,
    render,
    renderer_config,
    world_to_box,
)
from conformance.pigan_parts import Recorded
from genscene.geometry.boxes import Boxes, BoxPrior, collisions
from genscene.geometry.cameras import Camera, pinhole
from genscene.geometry.rotations import slerp_vectors
from genscene.io.rename import rename
from genscene.layers.feature_field import FeatureField
from genscene.layers.neural_renderer import NeuralRenderer
from genscene.objectives.gan_loss import nonsaturating_loss, r1_penalty
from genscene.systems.giraffe.convert import FIELD, RENDERER
from genscene.systems.giraffe.system import batch_look_at


def boxes(case: Case) -> Results:
    """Boxes at given values and at recorded random numbers, and which collide."""

    def quantity(name: str, args: Args) -> Tensor:
        if "boxes" in args:
            scale, translation = case[args["scale"]], case[args["translation"]]
            rows = [
                collisions(
                    Boxes(scale[:, :count], translation[:, :count], scale[:, :count, 0]),
                    args["collision_padding"],
                )
                for count in args["boxes"]
            ]
            return (~torch.stack(rows)).long()
        given, kind = case[args["of"]], args["of"][-1]
        count = args["n_boxes"]
        numbers = given.new_zeros(
            given.numel() // count if kind == "r" else len(given.view(-1, count, given.shape[-1])), count, 8
        )
        place = {"s": slice(0, 3), "t": slice(3, 6), "r": slice(6, 7)}[kind]
        numbers[..., place] = given.view(len(numbers), count, -1)
        uniform = torch.cat([numbers.flatten(1), numbers.new_zeros(len(numbers), 2)], dim=1)
        found, _ = box_prior(args).sample(uniform)
        if kind == "r":
            return world_to_box(found)
        return found.scale if kind == "s" else found.translation

    return compute_outputs(case, quantity)


def camera(case: Case) -> Results:
    """Poses at given values and at recorded random numbers, the pixel grid, rays; interpolated codes."""
    side = case.settings["resolution"]

    def quantity(name: str, args: Args) -> Tensor:
        if "of" not in args and "poses" not in args:
            focal = pinhole(torch.tensor(args["fovs"], dtype=case.dtype), (1, 1))[:, 0, 0] * 2
            return torch.diag_embed(
                torch.stack([1 / focal, 1 / focal, *[torch.ones_like(focal)] * 2], dim=-1)
            )
        if "t" in args:
            share = case[args["t"]][:, None, None]
            return slerp_vectors(case["z1"], case["z2"], share)
        if args.get("of") == "inputs/vals":
            return poses(case["vals"].T, args).pose * case["vals"].new_tensor(OPENGL)
        if args.get("of") == "inputs/random":
            found = poses(case["random"], args)
            return batch_look_at(found).pose * found.pose.new_tensor(OPENGL)
        if "poses" in args:
            cameras = poses(case["vals"].T, args)
            rays = with_fov(cameras.resized((side[0], side[1])), args["fov"]).rays("border")
            if name == "camera_world":
                return rays.origins[:, 0]
            return by_columns(rays.origins + rays.directions, side)
        still = poses(case["vals"].T[:, :1], args).resized((side[0], side[1]))
        still = replace(with_fov(still, 90.0), pose=torch.eye(4, dtype=case.dtype)[None])
        plane = by_columns(still.rays("border").directions, side)[0, :, :2]
        if args["of"] == "integers":
            return ((plane + 1) / 2 * (plane.new_tensor([side[1], side[0]]) - 1)).round().long()
        return plane * plane.new_tensor([1.0, -1.0])

    return compute_outputs(case, quantity)


def poses(uniform: Tensor, args: Args) -> Camera:
    """Cameras of uniform numbers [3, B] for u, v and the radius."""
    azimuth, height, radius = uniform
    prior = camera_prior(args)
    return prior.sample(Recorded([torch.stack([1 - azimuth, height], dim=-1), radius], []), (1, 1))


def with_fov(cameras: Camera, fov: float) -> Camera:
    """The same cameras with a field of view in degrees across both sides."""
    return replace(cameras, intrinsics=pinhole(torch.full_like(cameras.pose[:, 0, 0], fov), (1, 1)))


def by_columns(pixels: Tensor, side: list[int]) -> Tensor:
    """[B, H * W, C] in rows -> in columns."""
    return pixels.unflatten(1, side).transpose(1, 2).flatten(1, 2)


def box_prior(args: Args) -> BoxPrior:
    """The distribution of the settings; the released code turns the other way, and so do all its ranges."""
    low, high = args["rotation_range"]
    return BoxPrior(
        args["n_boxes"],
        tuple(args["scale_range_min"]),
        tuple(args["scale_range_max"]),
        args["fix_scale_ratio"],
        tuple(args["translation_range_min"]),
        tuple(args["translation_range_max"]),
        (-low, -high),
        args["z_level_plane"] if args["object_on_plane"] else None,
    )


def decoder(case: Case) -> Results:
    """Features and raw densities of points."""
    (state_dict,) = case.about["state_dicts"]

    @once
    def build(args: Args) -> FeatureField:
        network = FeatureField(field_config(args), args["rgb_out_dim"]).to(case.dtype)
        attach(network, rename(case.weights(state_dict), FIELD, dict(network.named_parameters())))
        for name, given in (("frequencies", "B_pos"), ("direction_frequencies", "B_view")):
            if given in case:
                setattr(network, name, case[given][0])
        return network

    def quantity(name: str, args: Args) -> Tensor:
        inputs = (fed_part(case[key], args) for key in ("p", "ray_d", "z_shape", "z_app"))
        return build(args)(*inputs)[args["of"] == "density"]

    return compute_outputs(case, quantity)


def discriminator(case: Case) -> Results:
    """Logits, losses, R1 and gradients."""
    build = once(lambda args: build_discriminator(case, args, ""))

    def quantity(name: str, args: Args) -> Tensor:
        network = build({key: args[key] for key in case.settings})
        if args["of"] in ("sum(logit_real)", "loss_real + r1") or (
            args.get("input") == "real" and args["of"] == "r1"
        ):
            images = case["real"].requires_grad_()
            logits = network(images)
            if args["of"] == "sum(logit_real)":
                return logits.sum()
            penalty = 2 * args["r1_weight"] * r1_penalty(logits, images)
            return penalty + (nonsaturating_loss(logits) if "loss" in args["of"] else 0)
        logits = network(fed_part(case[args["input"]], args))
        if args["of"] == "logit":
            return logits[:, None]
        return nonsaturating_loss(logits) if args["target"] else softplus(logits).mean()

    return compute_outputs(case, quantity)


def generator(case: Case) -> Results:
    """Pictures, feature images and the opacity of every object."""
    build = once(lambda args: build_generator(case, args))

    def quantity(name: str, args: Args) -> Tensor:
        network = build({key: case.settings[key] for key in case.settings})
        return render(network, case, args)

    return compute_outputs(case, quantity)


def gradient(case: Case) -> Results:
    """The generator's loss and its gradients."""
    generators = once(lambda args: build_generator(case, args))
    discriminators = once(lambda args: build_discriminator(case, args, "discriminator."))

    def quantity(name: str, args: Args) -> Tensor:
        settings = {key: args[key] for key in case.settings}
        picture = render(generators(settings), case, args | {"of": "picture"})
        logits = discriminators(settings)(picture)
        return nonsaturating_loss(logits) if args["target"] else softplus(logits).mean()

    return compute_outputs(case, quantity)


def renderer(case: Case) -> Results:
    """Pictures of feature images."""

    @once
    def build(args: Args) -> nn.Module:
        network = NeuralRenderer(renderer_config(args, "")).to(case.dtype)
        attach(network, rename(case.weights("renderer"), RENDERER, dict(network.named_parameters())))
        return network

    return compute_outputs(case, lambda name, args: build(args)(fed_part(case["x"], args)))


KINDS = {
    "bounding_boxes": boxes,
    "camera": camera,
    "decoder": decoder,
    "discriminator": discriminator,
    "generator": generator,
    "generator_gradient": gradient,
    "renderer": renderer,
}
