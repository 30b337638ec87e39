"""Render rays in parts within the memory of the options."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from genscene.contract import RenderOptions
from genscene.errors import Cancelled
from genscene.geometry.cameras import Rays
from genscene.kernels.threads import side_by_side, threads_at_once
from genscene.render.fields.visible import SLABS
from genscene.render.march import RayNoise

# of a part on a CPU: the system clears the memory of larger tensors anew each time
CPU_BYTES = 1 << 26
LEAST = 1 << 23  # bytes of all rays from which on their parts are rendered side by side


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
    most, ray = options.max_bytes, max(1, ray_bytes * len(rays.origins))
    threads, on_cpu = 1, rays.origins.device.type == "cpu"
    if on_cpu and not (options.recompute or torch.is_grad_enabled()):
        if options.record is None and options.cancelled is None and ray * len(rays) >= LEAST:
            threads = threads_at_once()
        most = min(most // threads, CPU_BYTES * (SLABS if options.least_transmittance else 1))
    chunk = max(1, min(most // ray, -(-len(rays) // threads)))
    if not options.recompute and (torch.is_grad_enabled() or len(rays) <= chunk):
        whole = render(rays, noise)
        report_rays(options, rays)
        return whole

    def part(start: int) -> tuple[Tensor, ...]:
        if options.cancelled is not None and options.cancelled():
            raise Cancelled("rendering was cancelled")
        some = rays[start : start + chunk], noise[start : start + chunk]
        if options.recompute:
            return checkpoint(render, *some, use_reentrant=False, preserve_rng_state=False)
        return render(*some)

    starts, parts = range(0, len(rays), chunk), []
    for start, found in zip(starts, side_by_side(part, starts, threads), strict=True):
        parts.append(found)
        report_rays(options, rays[start : start + chunk])
    return tuple(torch.cat(columns, dim=1) for columns in zip(*parts, strict=True))


def report_rays(options: RenderOptions, rays: Rays) -> None:
    """Tell options.progress that these rays are done."""
    if options.progress is not None:
        options.progress(len(rays.origins) * len(rays))
