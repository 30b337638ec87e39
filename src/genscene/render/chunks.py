"""Render rays in parts within the memory of the options."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from genscene.contract import RenderOptions
from genscene.errors import Cancelled
from genscene.geometry.cameras import Rays
from genscene.render.march import RayNoise

CPU_BYTES = 1 << 26  # of a part on a CPU: the system clears the memory of larger tensors each time


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
    graph = options.recompute or torch.is_grad_enabled()
    on_cpu = rays.origins.device.type == "cpu"
    most = min(options.max_bytes, CPU_BYTES) if on_cpu and not graph else options.max_bytes
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
