"""Parts of GIRAFFE's cases: networks with the case's weights, scenes, pictures."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from conformance.case import Args, Case, attach, fed_part
from conformance.pigan_parts import Recorded
from genscene.contract import RenderOptions
from genscene.geometry.boxes import Boxes, BoxPrior
from genscene.geometry.cameras import Camera
from genscene.geometry.priors import CameraPrior
from genscene.io.rename import rename
from genscene.layers.feature_field import FeatureFieldConfig
from genscene.layers.neural_renderer import NeuralRendererConfig
from genscene.objectives.dcgan import DCGANConfig, DCGANDiscriminator, ResidualDiscriminator
from genscene.render.march import March
from genscene.systems.giraffe.convert import DISCRIMINATOR, GENERATOR
from genscene.systems.giraffe.generator import GIRAFFEGenerator, GIRAFFEGeneratorConfig, ObjectStyles

OPENGL = (1.0, -1.0, -1.0, 1.0)  # right, down, forward -> right, up, back
UPSAMPLING = {"nn": "nearest", "bilinear": "bilinear"}


def camera_prior(args: Args) -> CameraPrior:
    """Cameras in ranges of azimuth and polar angle (of its cosine); azimuth runs the other way here."""
    middle = [(args[f"range_{name}"][0] + args[f"range_{name}"][1]) / 2 for name in "uvr"]
    half = [args[f"range_{name}"][1] - middle[i] for i, name in enumerate("uvr")]
    return CameraPrior(
        "sphere",
        (-2 * math.pi * middle[0], 2 * math.pi * half[0]),
        (math.pi * middle[1], math.pi * half[1]),
        middle[2],
        radius_spread=half[2],
        up="z",
    )


def world_to_box(boxes: Boxes) -> Tensor:
    """The rotations of the world into the boxes [B, O, 3, 3]."""
    axes = torch.eye(3).to(boxes.rotation).expand(*boxes.rotation.shape, 3, 3)
    return boxes.turned(axes).mT


def field_config(args: Args, prefix: str = "") -> FeatureFieldConfig:
    """The feature field of the settings."""
    extent = args[f"{prefix}downscale_p_by"]
    gaussian = args[f"{prefix}positional_encoding"] == "gauss"
    octaves = ("gauss_dim_pos", "gauss_dim_view") if gaussian else ("n_freq_posenc", "n_freq_posenc_views")
    return FeatureFieldConfig(
        args[f"{prefix}z_dim"],
        args[f"{prefix}hidden_size"],
        args[f"{prefix}n_blocks"],
        tuple(args[f"{prefix}skips"]),
        args[prefix + octaves[0]],
        args[prefix + octaves[1]],
        extent,
        extent,
        args[f"{prefix}use_viewdirs"],
        "gaussian" if gaussian else "positional",
        args[f"{prefix}gauss_std"],
        args[f"{prefix}final_sigmoid_activation"],
    )


def renderer_config(args: Args, prefix: str) -> NeuralRendererConfig:
    """The neural renderer of the settings."""
    return NeuralRendererConfig(
        args[f"{prefix}input_dim"],
        args[f"{prefix}n_feat"],
        args[f"{prefix}min_feat"],
        int(math.log2(args[f"{prefix}img_size"])) - 4,
        args[f"{prefix}use_rgb_skip"],
        UPSAMPLING[args[f"{prefix}upsample_feat"]],
        UPSAMPLING[args[f"{prefix}upsample_rgb"]],
        args[f"{prefix}use_norm"],
        args[f"{prefix}final_actvn"],
    )


def generator_config(args: Args) -> GIRAFFEGeneratorConfig:
    """The generator of the settings, with the released code's conventions."""
    return GIRAFFEGeneratorConfig(
        field_config(args, "decoder."),
        field_config(args, "background."),
        BoxPrior(args["boxes.n_boxes"]),
        operator="max" if args["use_max_composition"] else "mean",
        march=March(
            *args["depth_range"], args["n_ray_samples"], last_interval=args["last_interval"], bins="midpoints"
        ),
        renderer=renderer_config(args, "renderer."),
        margin=args["box_limit"],
        pixels="border",
        axis_depth=True,
    )


def build_generator(case: Case, args: Args) -> GIRAFFEGenerator:
    """The generator of the settings with the case's weights."""
    network = GIRAFFEGenerator(generator_config(args)).to(case.dtype)
    attach(network, rename(case.weights("generator"), GENERATOR, dict(network.named_parameters())))
    return network


def build_discriminator(case: Case, args: Args, prefix: str) -> nn.Module:
    """The discriminator of the settings with the case's weights."""
    settings = {key.removeprefix(prefix): args[key] for key in args if key.startswith(prefix)}
    side = settings["img_size"]
    residual = "Resnet" in settings["class"]
    if residual:
        least, most = settings["nfilter"], settings["nfilter_max"]
        channels = [min(most, least << i) for i in range(int(math.log2(side)) - 1)]
    else:
        count = int(math.log2(side)) - 2
        channels = [settings["n_feat"] >> (count - 1 - i) for i in range(count)]
    config = DCGANConfig(tuple(channels), residual=residual)
    network = (ResidualDiscriminator if residual else DCGANDiscriminator)(config).to(case.dtype)
    attach(network, rename(case.weights("discriminator"), DISCRIMINATOR, dict(network.named_parameters())))
    return network


@dataclass(frozen=True)
class RoundedBoxes(Boxes):
    """Boxes turned by recorded matrices, which are rotations up to their rounding in single precision."""

    matrix: Tensor  # [B, O, 3, 3], from the world to the box

    def turned(self, x: Tensor) -> Tensor:
        """Vectors [B, O or 1, N, 3] of the world -> in the boxes' axes [B, O, N, 3]."""
        return x @ self.matrix.to(x).mT


def style(case: Case, args: Args) -> ObjectStyles:
    """The codes and boxes of the pictures that are fed."""
    given = {name: fed_part(case[name], args) for name in ("z_shape_obj", "z_app_obj", "s", "t", "R")}
    behind = [fed_part(case[name], args) for name in ("z_shape_bg", "z_app_bg")]
    ones = torch.ones_like(given["s"][..., 0])
    if args.get("objects_present") is not None:
        ones = fed_part(torch.tensor(args["objects_present"]).to(ones), args)
    shown = ones * (not args.get("only_render_background"))
    turn = torch.zeros_like(behind[0][:, 0])
    if "bg_rotation" in case:
        matrix = fed_part(case["bg_rotation"], args)
        turn = -torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0])
    boxes = RoundedBoxes(given["s"], given["t"], torch.zeros_like(ones), given["R"])
    seen = torch.full_like(turn, float(not args.get("not_render_background")))
    codes = given["z_shape_obj"], given["z_app_obj"], torch.zeros_like(ones)
    return ObjectStyles(*codes, boxes, shown, *behind, turn, seen)


def render(network: GIRAFFEGenerator, case: Case, args: Args) -> Tensor:
    """A picture, a feature image, or the opacity of each object alone."""
    pose = fed_part(case["world_mat"], args)
    focal = 1 / fed_part(case["camera_mat"], args)[:, [0, 1], [0, 1]] / 2
    intrinsics = torch.eye(3).to(pose).repeat(len(pose), 1, 1)
    intrinsics[:, [0, 1], [0, 1]], intrinsics[:, :2, 2] = focal, 0.5
    side = args["resolution_vol"] << network.config.renderer.levels
    camera = Camera(pose * pose.new_tensor(OPENGL), intrinsics, (side, side))
    w = style(case, args)
    if args["of"].startswith("opacity"):
        return object_opacity(network, w, camera, args)
    options = RenderOptions()
    if args["mode"] == "train":
        count = args["resolution_vol"] ** 2
        # the released code lists pixels column by column
        jitter = columns_to_rows(case[args["train_jitter"]], args["resolution_vol"])
        noise = case[args["train_noise"]].movedim(0, -1).unflatten(1, (count, -1))
        noise = columns_to_rows(noise, args["resolution_vol"])
        options = RenderOptions(Recorded([jitter], [noise]), args["train_noise_std"])
    rendering = network.render(network.bind(w), camera, options)
    assert rendering.features is not None
    return rendering.image if args["of"] == "picture" else rendering.features


def columns_to_rows(x: Tensor, side: int) -> Tensor:
    """[B, W * H, ...] -> [B, H * W, ...]."""
    return x.unflatten(1, (side, side)).transpose(1, 2).flatten(1, 2)


def object_opacity(network: GIRAFFEGenerator, w: ObjectStyles, camera: Camera, args: Args) -> Tensor:
    """The opacity of each object without the others, on the rays of the feature image [B, O, h, w]."""
    march, network.march = network.march, replace(network.march, last_interval=args["last_interval"])
    found = []
    for i in range(w.present.shape[1]):
        alone = torch.zeros_like(w.present)
        alone[:, i] = w.present[:, i]
        one = replace(w, present=alone, background_present=torch.zeros_like(w.background_present))
        alpha = network.render_features(network.bind(one), camera, RenderOptions()).alpha
        assert alpha is not None
        found.append(alpha)
    network.march = march
    return torch.cat(found, dim=1)
