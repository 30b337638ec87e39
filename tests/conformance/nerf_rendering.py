"""NeRF's cases with whole networks: rays, pictures and the loss, rendered by our functions."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from conformance.case import Args, Case, Results, attach, compute_outputs, fed_part, once
from genscene import kernels
from genscene.contract import Background, RenderOptions
from genscene.geometry.cameras import Camera, PixelConvention, Rays
from genscene.layers.nerf_field import FieldConfig
from genscene.metrics.image import psnr
from genscene.objectives.reconstruction import photometric_loss
from genscene.render.march import March, RayNoise
from genscene.render.volume import RayRendering, render_rays, sample_pdf, sample_t
from genscene.scenes import Field
from genscene.systems.nerf.convert import rename_official
from genscene.systems.nerf.generator import NeRFGenerator, NeRFGeneratorConfig

OPENGL = (1.0, -1.0, -1.0, 1.0)  # right, up, back -> right, down, forward
PIXELS: dict[float, PixelConvention] = {0.0: "corner", 0.5: "center"}


@dataclass(frozen=True)
class DirectedField:
    """A field of one scene whose colors are seen along given directions [1, R, 3], not along the rays."""

    field: Field
    directions: Tensor

    def __call__(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points [1, R * S, 3] -> colors [1, R * S, 3], raw density [1, R * S]."""
        samples = points.shape[1] // self.directions.shape[1]
        return self.field(points, self.directions.repeat_interleave(samples, dim=1))


@dataclass(frozen=True)
class Pass:
    """The coarse or the fine pass along R rays."""

    found: RayRendering  # [1, R, ...]
    t: Tensor  # [1, R, S], of all its samples
    importance: Tensor | None = None  # [1, R, F], of those that the coarse weights placed

    def quantity(self, of: str) -> Tensor:
        """The quantity under its official name -> [R, ...]."""
        depth = kernels.weighted_sum(self.found.weights, self.t[..., None])
        values = {
            "rgb": self.found.color,
            "acc": self.found.alpha[..., 0],
            "weights": self.found.weights,
            "depth": depth[..., 0],
            "disp": (1 / (depth / self.found.alpha).clamp_min(1e-10))[..., 0],
        }
        if self.importance is not None:
            values["z_std"] = self.importance.std(dim=-1, correction=0)
        return values[of][0]


def build_generator(case: Case, args: Args, focal: tuple[float, float] | None = None) -> NeRFGenerator:
    """Both networks with the case's weights, and the march of the settings; one network where it has one."""
    encoded = args["i_embed"] != -1
    field = FieldConfig(
        width=args["net_W"],
        depth=args["net_D"],
        skips=tuple(i + 1 for i in args["net_skips"]),
        octaves=args["multires"] if encoded else 0,
        direction_octaves=args["multires_views"] if encoded else 0,
        view_dependent=args["use_viewdirs"],
        official_encoding=True,
    )
    march = March(
        args["near"],
        args["far"],
        args["N_samples"],
        fine_samples=args["N_importance"],
        bins="midpoints",
        inverse_depth=args["lindisp"],
        ndc=focal,
        raw_depth=True,
    )
    background: Background = "white" if args["white_bkgd"] else "black"
    generator = NeRFGenerator(NeRFGeneratorConfig(field, march=march, background=background)).to(case.dtype)
    attach(generator.coarse, rename_official(generator.coarse, case.weights("coarse")))
    if generator.fine is not None:
        if "fine" in case.about["state_dicts"]:
            attach(generator.fine, rename_official(generator.fine, case.weights("fine")))
        else:
            generator.fine = generator.coarse
    return generator


def recorded_noise(case: Case, args: Args) -> RayNoise:
    """The recorded random numbers of a rendering."""

    def numbers(name: str) -> Tensor:
        return fed_part(case[name], args)[None]

    std, fine = args["raw_noise_std"], args["N_importance"] > 0
    jitter = numbers("t_rand") if args["perturb"] else None
    importance = numbers("u") if args["perturb"] and fine else None
    if not std:
        return RayNoise(jitter, importance)
    if not fine:
        return RayNoise(jitter, density=std * numbers("noise0"))
    return RayNoise(jitter, importance, std * numbers("noise0"), std * numbers("noise1"))


def render_passes(
    generator: NeRFGenerator, rays: Rays, noise: RayNoise, directions: Tensor | None = None
) -> dict[str, Pass]:
    """The passes along rays of one scene; directions [1, R, 3] in place of the rays' own; one pass: both."""
    scene = generator.bind(rays.origins.new_zeros(1, 0))
    coarse, fine, march = scene.coarse, scene.fine, generator.march
    if directions is not None:
        coarse = DirectedField(coarse, directions)
        fine = None if fine is None else DirectedField(fine, directions)
    options = RenderOptions(background=generator.config.background)
    found = render_rays(coarse, rays, march, options, fine, noise)
    t = sample_t(rays if march.ndc is None else rays.ndc(march.ndc), march, noise.jitter)
    if found.coarse is None:
        return dict.fromkeys(("coarse", "fine"), Pass(found, t))
    other = sample_pdf(
        t, found.coarse.weights.detach(), march.fine_samples, noise.importance, march.pdf_floor
    )
    union = torch.cat([t, other], dim=-1).sort(dim=-1).values
    return {"coarse": Pass(found.coarse, t), "fine": Pass(found, union, other)}


def render_rows(case: Case, args: Args) -> dict[str, Pass]:
    """The passes along rays in rows: origin, direction, near, far, and unit viewing direction where used."""
    rows = fed_part(case["rays"], args)[None]
    directions = rows[..., 8:11] if args["use_viewdirs"] else None
    rays = Rays(rows[..., :3], rows[..., 3:6])
    return render_passes(build_generator(case, args), rays, recorded_noise(case, args), directions)


def official_camera(case: Case, args: Args) -> Camera:
    """The camera with their matrices, in pixels and OpenGL axes."""
    sides = case["K"].new_tensor([[args["W"]], [args["H"]], [1.0]])
    pose = torch.cat([case["c2w"][:3], case["c2w"].new_tensor([[0.0, 0.0, 0.0, 1.0]])])
    return Camera((pose * pose.new_tensor(OPENGL))[None], (case["K"] / sides)[None], (args["H"], args["W"]))


def official_rays(case: Case, args: Args) -> Rays:
    """The rays through all pixels, crossed at the offset of the settings from their upper left corner."""
    camera, offset = official_camera(case, args), args.get("pixel_offset", 0.0)
    if offset in PIXELS:
        return camera.rays(PIXELS[offset])
    shift = [1.0, (offset - 0.5) / args["W"], (offset - 0.5) / args["H"]]
    return camera.crop(camera.pose.new_tensor([shift]), camera.size).rays()


def rays(case: Case) -> Results:
    """Coarse and fine rendering of rays."""
    render = once(lambda args: render_rows(case, args))

    def quantity(name: str, args: Args) -> Tensor:
        found = render(args)
        return found[args.get("pass", "fine")].quantity(args.get("of", name))

    return compute_outputs(case, quantity)


def image(case: Case) -> Results:
    """Coarse and fine rendering of a picture, in normalised device coordinates or not."""

    @once
    def render(args: Args) -> dict[str, Pass]:
        rays, focal = official_rays(case, args), None
        if args["ndc"]:
            pixels = case["K"][0, 0].float()  # the official code keeps this one number in single precision
            focal = tuple(float(1 / (args[side] / (2 * pixels))) for side in ("W", "H"))
            # in a world made smaller the near plane is at depth 1
            rays = replace(rays, origins=rays.origins / args["ndc_near"])
        return render_passes(build_generator(case, args, focal), rays, recorded_noise(case, args))

    def quantity(name: str, args: Args) -> Tensor:
        values = render(args)[args.get("pass", "fine")].quantity(args.get("of", name))
        return values.view(args["H"], args["W"], *values.shape[1:])

    return compute_outputs(case, quantity)


def loss(case: Case) -> Results:
    """The training loss, its parts and gradients."""
    render = once(lambda args: render_rows(case, args))

    def quantity(name: str, args: Args) -> Tensor:
        target = fed_part(case["target"], args)[None]
        found = {key: each.found.color for key, each in render(args).items()}
        errors = {f"mse_{key}": photometric_loss(color, target, "mean") for key, color in found.items()}
        total = args["fine_weight"] * errors["mse_fine"]
        if args["N_importance"]:
            total = total + args["coarse_weight"] * errors["mse_coarse"]
        decibels = {f"-10*log10({key})": psnr(error) for key, error in errors.items()}
        return (errors | decibels | {"loss": total})[args["of"]]

    return compute_outputs(case, quantity)
