"""Volume rendering: sample distances along rays, turn densities into weights, composite."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import genscene.kernels as kernels
from genscene.contract import Background, Generator, Rendering, RenderOptions
from genscene.errors import Cancelled
from genscene.geometry.cameras import Camera, PixelConvention, Rays, Size, as_float64, check_shapes
from genscene.geometry.priors import HasPrior
from genscene.render.march import (
    NO_NOISE,
    March,
    RayNoise,
    RaySamples,
    activate_density,
    sample_ray_noise,
)
from genscene.scenes import Field

EMPTY = -1e4  # raw density of empty space: relu and softplus both make it 0


@dataclass(frozen=True)
class RayRendering:
    """What R rays of B pictures meet."""

    color: Tensor  # [B, R, C], or features
    distance: Tensor  # [B, R, 1], mean distance of what is seen, in lengths of the directions
    alpha: Tensor  # [B, R, 1], opacity
    weights: Tensor  # [B, R, S], of each sample
    coarse: "RayRendering | None" = None  # by the coarse network


def sample_t(rays: Rays, march: March, jitter: Tensor | None = None) -> Tensor:
    """Stratified distances (NeRF, eq. 2), each jittered [B, R, S] in its bin -> t [B, R, S].

    Without jitter: the evenly spaced distances, or the centers of equal bins.
    """
    like, count = as_float64(rays.origins), march.samples
    share = torch.linspace(0, 1, count, dtype=like.dtype, device=like.device)
    if march.bins == "equal":
        share = (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) / count
    if jitter is not None and march.bins != "midpoints":
        share = share + (jitter - 0.5) / (count if march.bins == "equal" else max(1, count - 1))
    if march.inverse_depth:
        share = share.clamp(0, 1)  # beyond far the inverse would become negative
        t = 1 / ((1 - share) / march.near + share / march.far)
    else:
        t = march.near + share * (march.far - march.near)
    if jitter is not None and march.bins == "midpoints":
        middles = (t[1:] + t[:-1]) / 2
        low, high = torch.cat([t[:1], middles]), torch.cat([middles, t[-1:]])
        t = low + jitter * (high - low)
    return t.to(rays.origins).expand(*rays.origins.shape[:2], -1)


def query(
    field: Field, rays: Rays, t: Tensor, directions: Tensor, noise: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Evaluate a field at t [B, R, S] along directions [B, R, 3] -> [B, R, S, C], raw density [B, R, S].

    noise [B, R, S, F]: for the densities of the F fields of a composition.
    """
    points = rays.at(t)
    flat = points.flatten(1, 2)
    more = () if noise is None else (noise.flatten(1, 2),)
    features, density = field(flat, directions[:, :, None].expand_as(points).flatten(1, 2), *more)
    sizes = {"B": len(flat), "N": flat.shape[1]}
    check_shapes("what the field returns", features, {"features": ("B", "N", "C")}, sizes)
    check_shapes("what the field returns", density, {"density": ("B", "N")}, sizes)
    return features.view(*t.shape, features.shape[-1]), density.view(t.shape)


def optical_depths(
    density: Tensor, t: Tensor, rays: Rays, march: March, noise: Tensor | None = None
) -> Tensor:
    """Raw density, t, noise [B, R, S] -> density times length of the interval of each sample [B, R, S]."""
    raw = density if noise is None else density + noise
    last = (march.far - t[..., -1:]).clamp_min(0)  # jitter in centered bins goes beyond far
    if march.last_interval is not None:
        last = torch.full_like(last, march.last_interval)
    steps = torch.cat([t.diff(dim=-1), last], dim=-1)
    return activate_density(raw, march) * steps * rays.directions.norm(dim=-1, keepdim=True)


def compute_weights(
    density: Tensor, t: Tensor, rays: Rays, march: March, noise: Tensor | None = None
) -> Tensor:
    """Weights of samples (NeRF, eq. 3): raw density, t, noise -> weights, all [B, R, S]."""
    return kernels.ray_weights(optical_depths(density, t, rays, march, noise))


def sample_pdf(
    t: Tensor, weights: Tensor, count: int, uniforms: Tensor | None, floor: float = 1e-5
) -> Tensor:
    """Importance sampling by the inverse CDF of the weights (NeRF, sec. 5.2) -> t [B, R, count].

    t, weights [B, R, S]; uniforms [B, R, count], 0 to 1, None: evenly spaced; floor is added to every weight.
    In float64: where weights are small, uniforms are small differences of sums near 1.
    """
    given, (t, weights) = t, (as_float64(t), as_float64(weights))
    edges = (t[..., 1:] + t[..., :-1]) / 2
    chances = weights[..., 1:-1] + floor
    steps = (chances / chances.sum(-1, keepdim=True)).cumsum(-1)
    cdf = torch.cat([torch.zeros_like(steps[..., :1]), steps], dim=-1)
    if uniforms is None:
        uniforms = torch.linspace(0, 1, count, dtype=t.dtype, device=t.device).expand(*t.shape[:2], -1)
    uniforms = uniforms.to(t).contiguous()
    above = torch.searchsorted(cdf, uniforms, right=True).clamp(1, cdf.shape[-1] - 1)
    low, high = cdf.gather(-1, above - 1), cdf.gather(-1, above)
    left, right = edges.gather(-1, above - 1), edges.gather(-1, above)
    width = torch.where(high - low < 1e-5, 1.0, high - low)  # official NeRF's guard of an empty bin
    return (left + (uniforms - low) / width * (right - left)).to(given)


def merge(t: Tensor, fine: Tensor, *values: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Sort distances [B, R, S], [B, R, F] and values [B, R, *, ...] at them -> [B, R, S + F, ...]."""
    ordered, order = torch.cat([t, fine], dim=-1).sort(dim=-1)
    merged = []
    for pair in values:
        joint = torch.cat(pair, dim=2)
        index = order if joint.ndim == 3 else order[..., None].expand_as(joint)
        merged.append(joint.gather(2, index))
    return ordered, *merged


def composite_ray(
    optical: Tensor, values: Tensor, distances: Tensor, background: Background | None, raw_depth: bool
) -> RayRendering:
    """Optical depths, distances [B, R, S], values [B, R, S, C] -> color, mean distance, opacity."""
    weights, color, mean, alpha = kernels.composite(optical, values, distances)
    if background == "white":
        color = color + (1 - alpha)
    if background == "last":
        color = color + (1 - alpha) * values[..., -1, :]
        if raw_depth:
            mean = mean + (1 - alpha) * distances[..., -1:]
    return RayRendering(color, mean if raw_depth else mean / alpha.clamp_min(1e-5), alpha, weights)


def render_rays(
    field: Field,
    rays: Rays,
    march: March,
    options: RenderOptions,
    fine: Field | None = None,
    noise: RayNoise = NO_NOISE,
) -> RayRendering:
    """March along R rays of B fields once, or twice with importance sampling (NeRF, sec. 5.2).

    fine: the network of the second pass, queried at all samples (NeRF); None: the same network, whose samples
    of both passes are merged (pi-GAN). options: background and fixed_direction count here; None is black.
    """
    directions = view_directions(rays, options.fixed_direction)
    marched = rays if march.ndc is None else rays.ndc(march.ndc)

    def finish(t: Tensor, density: Tensor, values: Tensor, noise: Tensor | None) -> RayRendering:
        distances = t if march.ndc is None else rays.t_from_ndc(t)
        optical = optical_depths(density, t, marched, march, noise)
        found = composite_ray(optical, values, distances, options.background, march.raw_depth)
        record(options, rays, march, t, density, found.weights)
        return found

    t = sample_t(marched, march, noise.jitter)
    values, density = query(field, marched, t, directions, noise.fields)
    if not march.fine_samples:
        return finish(t, density, values, noise.density)
    if fine is None:
        weights = compute_weights(density.detach(), t, marched, march, noise.coarse_density)
        record(options, rays, march, t, density, weights)
        other = sample_pdf(t, weights, march.fine_samples, noise.importance, march.pdf_floor)
        others = query(field, marched, other, directions)
        t, values, density = merge(t, other, (values, others[0]), (density, others[1]))
        return finish(t, density, values, noise.density)
    coarse = finish(t, density, values, noise.coarse_density)
    other = sample_pdf(t, coarse.weights.detach(), march.fine_samples, noise.importance, march.pdf_floor)
    t = torch.cat([t, other], dim=-1).sort(dim=-1).values
    values, density = query(fine, marched, t, directions)
    return replace(finish(t, density, values, noise.density), coarse=coarse)


def view_directions(rays: Rays, fixed: tuple[float, float, float] | None) -> Tensor:
    """Unit directions of rays [B, R, 3], or the fixed one for all of them."""
    own = rays.unit().directions
    return own if fixed is None else own.new_tensor(fixed).expand_as(own)


def record(
    options: RenderOptions, rays: Rays, march: March, t: Tensor, density: Tensor, weights: Tensor
) -> None:
    """Give options.record the samples of a pass: t, raw density, weights [B, R, S]."""
    if options.record is not None:
        distances = t if march.ndc is None else rays.t_from_ndc(t)
        options.record(RaySamples(rays, distances, activate_density(density, march), weights))


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
    chunk = max(1, options.max_bytes // max(1, ray_bytes * len(rays.origins)))
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


def to_image(pixels: Tensor, size: Size) -> Tensor:
    """[B, H * W, C] -> [B, C, H, W]."""
    return pixels.mT.unflatten(-1, size)


def render_view(
    field: Field,
    rays: Rays,
    size: Size,
    march: March,
    options: RenderOptions,
    sample_bytes: int,
    fine: Field | None = None,
    fields: int = 0,
) -> Rendering:
    """B fields along the rays of B pictures, with the random numbers and within the memory of the options.

    sample_bytes: that one sample takes while a field is evaluated, with its graph where one is kept.
    fields: of a composition.
    """
    noise = NO_NOISE
    if options.samples:
        march = march.with_samples(options.samples)
    if options.randomness is not None:
        noise = sample_ray_noise(options.randomness, len(rays), march, options.density_noise, fields)

    def part(rays: Rays, noise: RayNoise) -> tuple[Tensor, ...]:
        found = render_rays(field, rays, march, options, fine, noise)
        depth = found.distance * rays.directions.norm(dim=-1, keepdim=True)
        return found.color, depth, found.alpha, *(() if found.coarse is None else (found.coarse.color,))

    ray_bytes = sample_bytes * (march.samples + march.fine_samples)
    parts = in_chunks(part, rays, noise, options, ray_bytes)
    image, depth, alpha, *coarse = (to_image(x, size) for x in parts)
    return Rendering(image, depth, alpha, rays=rays, coarse=coarse[0] if coarse else None)


class VolumeGenerator(HasPrior, Generator):
    """A generator whose scenes are fields of density, rendered by marching along rays."""

    march: March
    pixels: PixelConvention = "center"
    surface_density: float | None = None  # density at the surface; None: found where light is stopped

    @property
    def has_density_box(self) -> bool:
        """Whether scenes are densities in a box of the world."""
        return self.bounds is not None and self.march.ndc is None

    def sample_bytes(self, graph: bool) -> int:
        """Bytes that a sample takes while the field is evaluated, with its graph where one is kept."""
        return 0

    def ray_bytes(self) -> int:
        """Bytes that a ray takes in training, with its graph."""
        return self.sample_bytes(graph=True) * (self.march.samples + self.march.fine_samples)

    def rays(self, view: Camera | Rays) -> tuple[Rays, Size]:
        """The rays of B views, in the generator's precision, and their size; of bare rays a single row."""
        rays, size = (view, (1, len(view))) if isinstance(view, Rays) else (view.rays(self.pixels), view.size)
        weights = next(self.parameters(), rays.origins)  # torch.func.functional_call leaves no parameters
        return Rays(rays.origins.to(weights.dtype), rays.directions.to(weights.dtype)), size
