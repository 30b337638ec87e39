"""Render rays in parts within the memory of the options."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from genscene.contract import RenderOptions
from genscene.errors import Cancelled
from genscene.geometry.cameras import Rays
from genscene.render.fields.visible import SLABS
from genscene.render.march import RayNoise

# of a part on a CPU: the system clears the memory of larger tensors anew each time
CPU_BYTES = 1 << 26


def in_chunks(
    render: Callable[[Rays, RayNoise], tuple[Tensor, ...]],
    rays: Rays,
    noise: RayNoise,
    options: RenderOptions,
    ray_bytes: int,
) -> tuple[Tensor, ...]:
    """Render R rays in parts that fit options.max_bytes -> tensors [B, R, C] of all of them.

    Where a graph is kept for the backward pass all rays are one part, unless options.recompute: then no graph
    is kept, each part is computed again in the backward pass (Zhang et al. 2022, ARF, sec. 3.3).
    """
    most = options.max_bytes
    if rays.origins.device.type == "cpu" and not (options.recompute or torch.is_grad_enabled()):
        most = min(most, CPU_BYTES * (SLABS if options.least_transmittance else 1))
    chunk = max(1, most // max(1, ray_bytes * len(rays.origins)))
    if not options.recompute and (torch.is_grad_enabled() or len(rays) <= chunk):
        whole = render(rays, noise)
        report_rays(options, rays)
        return whole
    parts = []
    for start in range(0, len(rays), chunk):
        if options.cancelled is not None and options.cancelled():
            raise Cancelled("rendering was cancelled")
        part = rays[start : start + chunk], noise[start : start + chunk]
        if options.recompute:
            parts.append(checkpoint(render, *part, use_reentrant=False, preserve_rng_state=False))
        else:
            parts.append(render(*part))
        report_rays(options, part[0])
    return tuple(torch.cat(columns, dim=1) for columns in zip(*parts, strict=True))


def report_rays(options: RenderOptions, rays: Rays) -> None:
    """Tell options.progress that these rays are done."""
    if options.progress is not None:
        options.progress(len(rays.origins) * len(rays))
