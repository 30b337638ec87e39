"""Pictures of Gaussians: scenes and cameras of the library, rendered by `rasterize`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from genscene.contract import DEFAULT_OPTIONS, RenderOptions, Vector
from genscene.errors import BadInput, Cancelled
from genscene.geometry.cameras import Camera, Rays
from genscene.geometry.rotations import multiply_quaternions, quaternion
from genscene.kernels.splats import Limits
from genscene.render import spherical_harmonics
from genscene.render.rasterization import LIMITS, rasterize
from genscene.scenes import Gaussians, Rendering

NEAR, DILATION = 0.01, 0.3  # nearest depth in world units; added variance in square pixels
# bytes that a Gaussian, a coefficient of its color, and a pixel take in a picture with its gradients
OF_GAUSSIAN, OF_COEFFICIENT, OF_PIXEL = 800, 24, 80
Meta = dict[str, Any]  # of `rasterize`


def render_gaussians(
    gaussians: Gaussians,
    cameras: Camera,
    background: Tensor | None = None,
    *,
    near: float = NEAR,
    dilation: float = DILATION,
    limits: Limits = LIMITS,
    options: RenderOptions = DEFAULT_OPTIONS,
    report: Callable[[Meta], None] | None = None,
) -> Rendering:
    """B clouds, B cameras, background [B, 3] or None for black -> B pictures with alpha and depth, at once.

    Depth is the mean distance from the eye of what is seen of the Gaussians' centers; 0 where nothing is.
    options: who may cancel, and is told of progress; raises Cancelled. report: called with what `rasterize`
    knows of the Gaussians on the pictures (means2d [B, 1, N, 2], ...).
    """
    if options.cancelled is not None and options.cancelled():
        raise Cancelled("rendering was cancelled")
    degree = None if gaussians.colors.ndim == 3 else round(gaussians.colors.shape[2] ** 0.5) - 1
    image, alpha, meta = rasterize(
        *(gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.colors),
        torch.linalg.inv(cameras.pose)[:, None],
        in_pixels(cameras)[:, None],
        *cameras.size[::-1],
        near_plane=near,
        eps2d=dilation,
        sh_degree=degree,
        packed=False,
        backgrounds=None if background is None else background[:, None],
        render_mode="RGB+ED",
        rasterize_mode="antialiased" if gaussians.antialiased else "classic",
        limits=limits,
    )
    if report is not None:
        report(meta)
    if options.progress is not None:
        options.progress(len(cameras) * cameras.size[0] * cameras.size[1])
    return as_rendering(image[:, 0].movedim(-1, 1), alpha[:, 0].movedim(-1, 1), cameras)


def as_rendering(image: Tensor, alpha: Tensor, cameras: Camera) -> Rendering:
    """Colors and mean depth along z [B, 4, H, W], alpha [B, 1, H, W] -> with depth along the rays."""
    rays = cameras.rays()
    longer = rays.directions.norm(dim=-1).unflatten(1, cameras.size)[:, None]
    return Rendering(image[:, :3], image[:, 3:] * longer, alpha, rays=rays)


def splat_bytes(gaussians: int, coefficients: int, pixels: int) -> int:
    """Bytes that pictures of so many Gaussians, all of them seen, take with their gradients."""
    return gaussians * (OF_GAUSSIAN + OF_COEFFICIENT * coefficients) + OF_PIXEL * pixels


def render_views(
    gaussians: Gaussians,
    view: Camera | Rays,
    background: Vector,
    options: RenderOptions = DEFAULT_OPTIONS,
    report: Callable[[Meta], None] | None = None,
) -> Rendering:
    """One or B clouds, B cameras, the color behind them -> B pictures, rendered one after the other.

    report: called with `rasterize`'s meta of each picture. Raises BadInput for rays.
    """
    if not isinstance(view, Camera):
        raise BadInput("Gaussians are rendered as whole pictures: the view is Rays, wanted a Camera")
    if options.fixed_direction is not None and gaussians.colors.ndim == 4:
        gaussians = replace(gaussians, colors=colors_along(gaussians.colors, options.fixed_direction))
    parts = []
    for i in range(max(1, len(view))):  # without views, a picture of none
        part, cloud = slice(i, i + 1), 0 if len(gaussians.means) == 1 and len(view) else i
        one = of_batch(gaussians, slice(cloud, cloud + len(view[part])))
        behind = one.means.new_tensor(background).expand(len(one.means), 3)
        parts.append(render_gaussians(one, view[part], behind, options=options, report=report))
    image, depth, alpha = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("image", "depth", "alpha")
    )
    return Rendering(image, depth, alpha, rays=view.rays())


def colors_along(coefficients: Tensor, direction: Vector) -> Tensor:
    """Spherical harmonics [B, N, K, 3] -> the colors that are seen along one direction [B, N, 3]."""
    degree = round(coefficients.shape[2] ** 0.5) - 1
    return spherical_harmonics.evaluate(coefficients, coefficients.new_tensor(direction), degree)


def of_batch(gaussians: Gaussians, part: slice) -> Gaussians:
    """Some of B clouds."""
    names = ("means", "quats", "scales", "opacities", "colors")
    return replace(gaussians, **{name: getattr(gaussians, name)[part] for name in names})


def transform_gaussians(gaussians: Gaussians, similarity: Tensor) -> Gaussians:
    """The same clouds after a similarity [4, 4] of the world, with their colors by direction."""
    matrix = similarity.detach().cpu().double()
    scale = float(torch.linalg.det(matrix[:3, :3]).abs() ** (1 / 3))
    turn = matrix[:3, :3] / scale
    means = gaussians.means.cpu().double() @ matrix[:3, :3].mT + matrix[:3, 3]
    quats = multiply_quaternions(quaternion(turn[None])[0].to(gaussians.quats), gaussians.quats)
    colors = gaussians.colors
    if colors.ndim == 4 and colors.shape[2] > 1:
        colors = spherical_harmonics.rotate(colors, turn)
    return replace(
        gaussians, means=means.to(quats), quats=quats, scales=scale * gaussians.scales, colors=colors
    )


def in_pixels(cameras: Camera) -> Tensor:
    """Intrinsics [B, 3, 3] in pixels."""
    height, width = cameras.size
    return cameras.intrinsics * cameras.intrinsics.new_tensor([width, height, 1.0])[:, None]
