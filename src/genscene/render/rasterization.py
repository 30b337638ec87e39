"""Gaussian splatting on any device: `rasterize`, with the arguments of gsplat's `rasterization`.

Argument by argument:

means, quats, scales: centers [..., N, 3] in the world, rotations [..., N, 4] as (w, x, y, z) of any length
    but 0, standard deviations along the axes [..., N, 3]. "..." are any dimensions of batches of scenes.
opacities: [..., N], 0 to 1.
colors: [..., N, D] or, different for each camera, [..., C, N, D]; with sh_degree (0 to 3), coefficients of
    spherical harmonics [..., N, K, 3] or [..., C, N, K, 3], K at least (sh_degree + 1) ** 2.
viewmats, Ks: world to camera [..., C, 4, 4] with x right, y down, z forward, and intrinsics [..., C, 3, 3] in
    pixels, whose centers are at + 0.5.
near_plane, far_plane: Gaussians nearer or farther along z are left out.
radius_clip: Gaussians whose half extent on the picture, in pixels, is not above this are left out.
eps2d: added to the variances on the picture, in square pixels.
backgrounds: colors behind the Gaussians [..., C, D]; None: 0.
render_mode: colors (RGB), depth along z as a sum (D) or a mean (ED), or both, depth last; 0 where nothing is.
rasterize_mode: antialiased: opacities are reduced by what eps2d adds to the size.
camera_model: perspective (pinhole) or orthographic (ortho).
backend: gsplat, where it is installed, on CUDA; compiled loops on the CPU (numba); plain torch. auto: the
    first of these that there is for the device of the tensors.
limits: where splats and pixels are cut off; without gsplat, which has its own.
packed, tile_size, sparse_grad, absgrad: for gsplat; nothing changes without it.

Gradients of the loss with respect to meta's means2d are what densification is decided by: `retain_grad`, or a
hook, on that tensor.
"""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.geometry.cameras import check_shapes, no_autocast
from genscene.kernels import splats as kernel
from genscene.render import spherical_harmonics
from genscene.render.projection import Lens, Splats, find_visible, project

Mode = Literal["RGB", "D", "ED", "RGB+D", "RGB+ED"]
Backend = Literal["auto", "gsplat", "compiled", "torch"]
Antialiasing = Literal["classic", "antialiased"]
CameraModel = Literal["pinhole", "ortho"]
LIMITS = kernel.Limits()
LEAST_ALPHA = 1e-10  # that a mean depth is divided by


# fmt: off
def rasterize(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor,
    viewmats: Tensor, Ks: Tensor, width: int, height: int,
    near_plane: float = 0.01, far_plane: float = 1e10, radius_clip: float = 0.0, eps2d: float = 0.3,
    sh_degree: int | None = None, packed: bool = True, tile_size: int | None = None,
    backgrounds: Tensor | None = None, render_mode: Mode = "RGB",
    sparse_grad: bool = False, absgrad: bool = False,
    rasterize_mode: Antialiasing = "classic",
    camera_model: CameraModel = "pinhole",
    backend: Backend = "auto", limits: kernel.Limits = LIMITS,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    # fmt: on
    """Render N Gaussians for C cameras -> colors [..., C, H, W, D], alphas [..., C, H, W, 1], meta.

    Differentiable with respect to all tensors: cameras, intrinsics and backgrounds too. The docstring of this
    module says what each argument is. meta: means2d, conics, depths, opacities and radii (half extents in
    pixels [..., C, N, 2], 0: not on the picture) for each camera; width, height, tile_size, n_cameras.

    Raises BadInput for shapes that do not fit, opacities outside of 0 to 1 and modes that do not exist.
    """
    if uses_gsplat(backend, means):
        from gsplat import rasterization

        return rasterization(
            means, quats, scales, opacities, colors, viewmats, Ks, width, height,
            near_plane, far_plane, radius_clip, eps2d, sh_degree, packed, tile_size or kernel.TILE,
            backgrounds, render_mode, sparse_grad, absgrad, rasterize_mode, camera_model=camera_model,
        )  # fmt: skip
    check_modes(render_mode, rasterize_mode, camera_model)
    lens = Lens(viewmats, Ks, (height, width), near_plane, far_plane, camera_model == "ortho")
    cloud = Cloud(means, quats, scales, opacities, colors, sh_degree, backgrounds)
    style = Style(render_mode, eps2d, rasterize_mode == "antialiased", radius_clip, limits)
    with no_autocast(means), kernel.oracle(backend == "torch"):
        return rasterize_batch(*flatten(cloud, lens), style, means.shape[:-2])


@dataclass(frozen=True)
class Cloud:
    """N Gaussians of each of B scenes, and the colors behind them."""

    means: Tensor  # [B, N, 3]
    quats: Tensor  # [B, N, 4]
    scales: Tensor  # [B, N, 3]
    opacities: Tensor  # [B, N]
    colors: Tensor  # [B, 1 or C, N, D], or [B, 1 or C, N, K, 3] with a degree of harmonics
    degree: int | None  # of spherical harmonics
    backgrounds: Tensor | None = None  # [B, C, D]


@dataclass(frozen=True)
class Style:
    """How Gaussians become pictures."""

    mode: Mode
    dilation: float
    antialiased: bool
    radius_clip: float
    limits: kernel.Limits


def uses_gsplat(backend: Backend, means: Tensor) -> bool:
    """Whether gsplat renders; raises BadInput for a backend that does not exist or cannot."""
    if backend not in get_args(Backend):
        raise BadInput(f"backend {backend!r}: wanted one of {', '.join(get_args(Backend))}")
    there = means.is_cuda and has_gsplat()
    if backend == "gsplat" and not there:
        raise BadInput(f"backend gsplat: wanted gsplat installed and tensors on CUDA, got {means.device}")
    if backend == "compiled" and not (kernel.compiled() and means.device.type == "cpu"):
        raise BadInput(f"backend compiled: wanted numba installed and tensors on the CPU, got {means.device}")
    return there and backend in ("auto", "gsplat")


def has_gsplat() -> bool:
    """Whether gsplat is installed; what `provide_gsplat` puts in its place is not loaded from anywhere."""
    spec = find_spec("gsplat")
    return spec is not None and spec.loader is not None


def flatten(cloud: Cloud, lens: Lens) -> tuple[Cloud, Lens]:
    """The same with one dimension of batches; raises BadInput for shapes that do not fit."""
    batch, harmonics = cloud.means.shape[:-2], cloud.degree is not None
    own = cloud.colors.ndim == len(batch) + 3 + harmonics  # colors for each camera
    size = batch.numel()
    tensors: dict[str, tuple[Tensor, tuple[int | str, ...]]]
    tensors = {"viewmats": (lens.viewmats, ("C", 4, 4)), "Ks": (lens.intrinsics, ("C", 3, 3))}
    tensors |= {"means": (cloud.means, ("N", 3)), "quats": (cloud.quats, ("N", 4))}
    tensors |= {"scales": (cloud.scales, ("N", 3)), "opacities": (cloud.opacities, ("N",))}
    tensors["colors"] = (cloud.colors, (*(("C",) * own), "N", *(("K", 3) if harmonics else ("D",))))
    if cloud.backgrounds is not None:
        tensors["backgrounds"] = (cloud.backgrounds, ("C", 3 if harmonics else "D"))
    flat: dict[str, Tensor] = {}
    known: dict[str, int] = {}
    for name, (tensor, wanted) in tensors.items():
        shape = (*batch, *wanted)
        known |= check_shapes("Gaussians", tensor, {name: shape}, known)
        flat[name] = tensor.reshape(size, *tensor.shape[len(batch) :])
    lens = replace(lens, viewmats=flat.pop("viewmats"), intrinsics=flat.pop("Ks"))
    flat["colors"] = flat["colors"] if own else flat["colors"][:, None]
    return Cloud(**flat, degree=cloud.degree), lens


def rasterize_batch(
    cloud: Cloud, lens: Lens, style: Style, batch: torch.Size
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """One dimension of batches; the results have those of `batch`."""
    check_values(cloud.opacities.detach(), lens.size)
    splats = project(cloud.means, cloud.quats, cloud.scales, lens, style.dilation, style.limits)
    opacities = cloud.opacities[:, None].expand_as(splats.depths)
    if style.antialiased:
        opacities = opacities * splats.shrinkage
    visible, half = find_visible(splats, opacities, lens.size, style.limits, style.radius_clip)
    order = splats.depths.detach().masked_fill(~visible, torch.inf).argsort(dim=-1, stable=True)
    values = compute_colors(cloud, lens, splats, style.mode)
    # what meta holds is in the graph of the picture, so that its gradient can be had
    means = splats.means.reshape(*batch, *splats.means.shape[1:])
    given = (means.reshape(splats.means.shape), splats.conics, opacities, values, order, visible.sum(-1))
    sorted_splats = kernel.SortedSplats(*(x.flatten(0, 1) for x in given))
    image, alpha = kernel.blend(sorted_splats, lens.size, style.limits)
    image, alpha = (x.unflatten(0, visible.shape[:2]) for x in (image, alpha[..., None]))
    meta = {"conics": splats.conics, "depths": splats.depths, "opacities": opacities}
    meta["radii"] = torch.where(visible[..., None], half.ceil(), 0).int()
    height, width = lens.size
    about: dict[str, Any] = {"width": width, "height": height, "tile_size": kernel.TILE}
    about |= {"n_cameras": visible.shape[1], "means2d": means}
    about |= {name: x.reshape(*batch, *x.shape[1:]) for name, x in meta.items()}
    image = finish(image, alpha, cloud.backgrounds, style.mode)
    return image.reshape(*batch, *image.shape[1:]), alpha.reshape(*batch, *alpha.shape[1:]), about


def compute_colors(cloud: Cloud, lens: Lens, splats: Splats, mode: Mode) -> Tensor:
    """What is blended: colors, depth along z, or both [B, C, N, D]."""
    depths = splats.depths[..., None]
    if mode in ("D", "ED"):
        return depths
    colors = cloud.colors
    if cloud.degree is not None:
        eyes = torch.linalg.inv(lens.viewmats)[..., :3, 3]
        directions = cloud.means[:, None] - eyes[:, :, None]
        colors = spherical_harmonics.evaluate(colors, directions, cloud.degree)
    colors = colors.expand(-1, depths.shape[1], -1, -1)
    return torch.cat([colors, depths], dim=-1) if mode.endswith("D") and mode != "RGB" else colors


def finish(image: Tensor, alpha: Tensor, backgrounds: Tensor | None, mode: Mode) -> Tensor:
    """Blended values [B, C, H, W, D], alpha [B, C, H, W, 1] -> with background and mean depth."""
    colors, depth = image, None
    if mode != "RGB":
        colors, depth = image[..., :-1], image[..., -1:]
        depth = depth / alpha.clamp(min=LEAST_ALPHA) if "ED" in mode else depth
    if backgrounds is not None and "RGB" in mode:
        colors = colors + (1 - alpha) * backgrounds[:, :, None, None]
    return colors if depth is None else torch.cat([colors, depth], dim=-1)


def check_modes(render_mode: str, rasterize_mode: str, camera_model: str) -> None:
    """Raise BadInput for a mode that does not exist."""
    found = {"render_mode": render_mode, "rasterize_mode": rasterize_mode, "camera_model": camera_model}
    for (name, mode), known in zip(found.items(), (Mode, Antialiasing, CameraModel), strict=True):
        if mode not in get_args(known):
            raise BadInput(f"{name} {mode!r}: wanted one of {', '.join(get_args(known))}")


def check_values(opacities: Tensor, size: kernel.Size) -> None:
    """Raise BadInput for pictures without pixels, and opacities that are none."""
    if min(size) < 1:
        raise BadInput(f"a picture of {size[1]} x {size[0]} pixels: wanted at least 1 x 1")
    if opacities.numel() and not (opacities.min() >= 0 and opacities.max() <= 1):
        low, high = opacities.min().item(), opacities.max().item()
        raise BadInput(f"opacities from {low:g} to {high:g}: wanted 0 to 1")
