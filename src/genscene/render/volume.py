"""Volume rendering: sample distances along rays, turn densities into weights, composite."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

import genscene.kernels as kernels
from genscene.contract import Background, Generator, Rendering, RenderOptions
from genscene.geometry.cameras import Camera, PixelConvention, Rays, Size, as_float64
from genscene.geometry.priors import HasPrior
from genscene.render.fields.chunks import in_chunks
from genscene.render.fields.sparse import POINTS, Parts, SparseField, complete, worth
from genscene.render.fields.visible import Evaluated, Marching
from genscene.render.march import (
    NO_NOISE,
    March,
    RayNoise,
    RaySamples,
    activate_density,
    interval_lengths,
    sample_ray_noise,
)
from genscene.scenes import Field


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


def optical_depths(
    density: Tensor, t: Tensor, rays: Rays, march: March, noise: Tensor | None = None
) -> Tensor:
    """Raw density, t, noise [B, R, S] -> density times length of the interval of each sample [B, R, S]."""
    raw = density if noise is None else density + noise
    return activate_density(raw, march) * interval_lengths(t, rays, march)


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

    marching = plan_marching(fine or field, marched, directions, march, options, noise)

    def finish(t: Tensor, found: Evaluated, noise: Tensor | None) -> RayRendering:
        distances = t if march.ndc is None else rays.t_from_ndc(t)
        optical = optical_depths(found.density, t, marched, march, noise)
        rendering = composite_ray(optical, found.features, distances, options.background, march.raw_depth)
        record(options, rays, march, t, found.density, rendering.weights)
        return rendering

    t = sample_t(marched, march, noise.jitter)
    found = marching.evaluate(field, t, noise.fields)
    if not march.fine_samples:
        return finish(t, found, noise.density)
    if fine is None:
        weights = compute_weights(found.density.detach(), t, marched, march, noise.coarse_density)
        record(options, rays, march, t, found.density, weights)
        other = sample_pdf(t, weights, march.fine_samples, noise.importance, march.pdf_floor)
        return finish(*marching.add(field, t, found, other), noise.density)
    coarse = finish(t, found, noise.coarse_density)
    other = sample_pdf(t, coarse.weights.detach(), march.fine_samples, noise.importance, march.pdf_floor)
    t = torch.cat([t, other], dim=-1).sort(dim=-1).values
    return replace(finish(t, marching.evaluate(fine, t), noise.density), coarse=coarse)


def plan_marching(
    field: Field, rays: Rays, directions: Tensor, march: March, options: RenderOptions, noise: RayNoise
) -> Marching:
    """Which samples are evaluated: all for gradients, under noise, and for those who record them."""
    least, noisy = options.least_transmittance, (noise.coarse_density, noise.density, noise.fields)
    every = torch.is_grad_enabled() or options.record or any(x is not None for x in noisy)
    skip = not every and (least > 0 or isinstance(field, SparseField))
    endless = march.last_interval is not None and march.last_interval > march.far - march.near
    return Marching(rays, directions, march, skip, least, last=endless or options.background == "last")


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
    if fields:
        options = replace(options, least_transmittance=0.0)  # networks that follow enlarge differences
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


def sparse_scene(generator: Generator, scene: Any, pixels: int, options: RenderOptions) -> Any:
    """The scene for pictures of so many pixels in all; its empty space is measured where that saves time."""
    if not (
        isinstance(generator, VolumeGenerator) and generator.has_density_box and options.least_transmittance
    ):
        return scene
    assert generator.bounds is not None
    samples = generator.march.samples + generator.march.fine_samples
    samples = options.samples * samples // generator.march.samples if options.samples else samples
    return generator.sparse(scene) if worth(pixels * samples, generator.bounds) else scene


class VolumeGenerator(HasPrior, Generator):
    """A generator whose scenes are fields of density, rendered by marching along rays."""

    march: March
    pixels: PixelConvention = "center"
    surface_density: float | None = None  # density at the surface; None: found where light is stopped

    @property
    def has_density_box(self) -> bool:
        """Whether scenes are densities in a box of the world."""
        return self.bounds is not None and self.march.ndc is None

    def measure_empty(self, scene: Any, points: int = POINTS) -> Parts[Any]:
        """In parts of so many points: the scene with its empty space measured, for many pictures of it.

        The scene itself where this is not done.
        """
        yield from ()
        return scene

    def sparse(self, scene: Any) -> Any:
        """The same at once."""
        return complete(self.measure_empty(scene))

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
