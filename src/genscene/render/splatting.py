"""Pictures of Gaussians: scenes and cameras of the library, rendered by `rasterize`."""

from collections.abc import Callable

import torch
from torch import Tensor

from genscene.errors import Cancelled
from genscene.geometry.cameras import Camera
from genscene.kernels.splats import Limits
from genscene.render.rasterization import LIMITS, rasterize
from genscene.scenes import Gaussians, Rendering

NEAR, DILATION = 0.01, 0.3  # nearest depth in world units; added variance in square pixels


def render_gaussians(
    gaussians: Gaussians,
    cameras: Camera,
    background: Tensor | None = None,
    *,
    near: float = NEAR,
    dilation: float = DILATION,
    limits: Limits = LIMITS,
    cancelled: Callable[[], bool] | None = None,
) -> Rendering:
    """B clouds, B cameras, background [B, 3] or None for black -> B pictures with alpha and depth.

    Depth is the mean distance from the eye of what is seen of the Gaussians' centers; 0 where nothing is.
    Raises Cancelled where `cancelled` returns True.
    """
    if cancelled is not None and cancelled():
        raise Cancelled("rendering was cancelled")
    height, width = cameras.size
    degree = None if gaussians.colors.ndim == 3 else round(gaussians.colors.shape[2] ** 0.5) - 1
    image, alpha, _ = rasterize(
        gaussians.means,
        gaussians.quats,
        gaussians.scales,
        gaussians.opacities,
        gaussians.colors,
        torch.linalg.inv(cameras.pose)[:, None],
        in_pixels(cameras)[:, None],
        width,
        height,
        near_plane=near,
        eps2d=dilation,
        sh_degree=degree,
        backgrounds=None if background is None else background[:, None],
        render_mode="RGB+ED",
        limits=limits,
    )
    image, alpha = image[:, 0].movedim(-1, 1), alpha[:, 0].movedim(-1, 1)
    rays = cameras.rays()
    longer = rays.directions.norm(dim=-1).unflatten(1, cameras.size)[:, None]
    return Rendering(image[:, :3], image[:, 3:] * longer, alpha, rays=rays)


def in_pixels(cameras: Camera) -> Tensor:
    """Intrinsics [B, 3, 3] in pixels."""
    height, width = cameras.size
    return cameras.intrinsics * cameras.intrinsics.new_tensor([width, height, 1.0])[:, None]
