"""Gaussian splatting: pictures and their gradients, spherical harmonics, a picture of CGS-GAN's scenes."""

from typing import Any

from torch import Tensor
from torch.nn.functional import normalize

from conformance.case import Args, Case, Results, compute_outputs, once
from genscene.geometry.cameras import Camera
from genscene.kernels.splats import Limits
from genscene.render import spherical_harmonics
from genscene.render.rasterization import rasterize
from genscene.render.splatting import render_gaussians
from genscene.scenes import Gaussians


def limits_of(settings: Args) -> Limits:
    """Where splats are cut off."""
    return Limits(
        alpha_min=settings["alpha_min"],
        alpha_max=settings["alpha_max"],
        stop=settings["transmittance_min"],
        frustum_margin=settings["frustum_margin"],
        shrinkage_min=settings.get("compensation_min", 0.005),
    )


def scene(case: Case) -> Results:
    """Pictures, alpha, depth and gradients of a dense reference."""

    def picture(args: Args) -> dict[str, Tensor]:
        intrinsics = case["K"].clone()
        intrinsics[:2, 2] += 0.5 - args["pixel_offset"]
        image, alpha, _ = rasterize(
            *(case[name] for name in ("means", "quats", "scales", "opacities", "colors")),
            case["viewmat"][None],
            intrinsics[None],
            args["width"],
            args["height"],
            near_plane=args["near_plane"],
            eps2d=args["eps2d"],
            backgrounds=case["background"][None],
            render_mode="RGB+D",
            rasterize_mode="antialiased" if args["antialiased"] else "classic",
            limits=limits_of(args),
        )
        return {"image": image[0, ..., :3], "alpha": alpha[0, ..., 0], "depth": image[0, ..., 3]}

    rendered = once(picture)

    def quantity(name: str, args: Args) -> Tensor:
        found = rendered(args)
        if args["of"] in found:
            return found[args["of"]]
        return (case["cot_image"] * found["image"]).sum() + (case["cot_alpha"] * found["alpha"]).sum()

    return compute_outputs(case, quantity)


def harmonics(case: Case) -> Results:
    """Colors from spherical harmonics of each degree."""

    def quantity(name: str, args: Args) -> Tensor:
        directions = case["means"] - case["camera"]
        return spherical_harmonics.evaluate(case["coefficients"], directions, args["degree"])

    return compute_outputs(case, quantity)


def cgs_picture(case: Case) -> Results:
    """A picture of attributes before activation, seen by a camera of EG3D."""
    settings = case.settings
    means, scales, quats, colors, opacities = (
        case[name][None] for name in ("xyz", "scale", "rotation", "color", "opacity")
    )
    gaussians = Gaussians(
        means,
        normalize(quats, dim=-1),
        scales.exp(),
        opacities[..., 0].sigmoid(),
        (spherical_harmonics.C0 * colors + 0.5).clamp(min=0),  # sh_factor, of which the case has 8 digits
    )
    camera = Camera.from_label(case["camera"][None], (settings["size"], settings["size"]))
    background = means.new_tensor([settings["background"]])
    look: dict[str, Any] = {"near": settings["near_plane"], "dilation": settings["eps2d"]}
    rendering = render_gaussians(gaussians, camera, background, limits=limits_of(settings), **look)
    return compute_outputs(
        case,
        lambda name, args: rendering.image[0] * 2 - 1 if name == "image" else rendering.alpha[0, 0],
    )


KINDS = {"scene": scene, "spherical_harmonics": harmonics, "cgs_picture": cgs_picture}
