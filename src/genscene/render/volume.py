"""Volume rendering: choose distances along rays, weigh the densities there, add up."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus
from torch.utils.checkpoint import checkpoint

from genscene.geometry.cameras import Rays, Size, wide
from genscene.randomness import Source
from genscene.scenes import Field

EMPTY = -1e4  # raw density of nothing: relu and softplus both make it 0


@dataclass(frozen=True)
class March:
    """How to walk along a ray, and what its densities mean."""

    near: float = 0.88  # distance of the first sample, in lengths of the ray's direction
    far: float = 1.12  # distance of the last sample
    samples: int = 12  # samples a ray, in each pass
    density: Literal["relu", "softplus"] = "relu"  # what makes raw density positive
    gain: float = 1.0  # density is gain * density(raw + shift)
    shift: float = 0.0  # added to raw density; negative: space is empty at first
    tail: float | None = 1e10  # length of the last interval; 1e10: opaque (released NeRF); None: to far
    bins: Literal["around", "equal", "between"] = "around"  # pi-GAN's; NeRF's, eq. 2; the released NeRF's
    inverse: bool = False  # even steps in 1 / distance


@dataclass(frozen=True)
class RayNoise:
    """The random numbers of one march; without them it is deterministic."""

    jitter: Tensor | None = None  # [B, R, S], 0 to 1
    importance: Tensor | None = None  # [B, R, S], 0 to 1
    coarse_noise: Tensor | None = None  # [B, R, S], added to the raw density of the first pass
    noise: Tensor | None = None  # [B, R, 2 S], added to the raw density of both passes

    def __getitem__(self, part: slice) -> "RayNoise":
        """The random numbers of some of the rays."""
        return RayNoise(*(None if x is None else x[:, part] for x in vars(self).values()))


def sample_perturb(draws: Source, rays: int, march: March, hierarchical: bool, noise: float) -> RayNoise:
    """Random numbers for a march of R rays a picture; noise is the deviation of the density noise."""
    jitter = draws.uniform(rays, march.samples)
    importance = draws.uniform(rays, march.samples) if hierarchical else None
    if noise == 0:
        return RayNoise(jitter, importance)
    coarse = noise * draws.normal(rays, march.samples) if hierarchical else None
    return RayNoise(
        jitter, importance, coarse, noise * draws.normal(rays, march.samples * (1 + hierarchical))
    )


def stratified(rays: Rays, march: March, jitter: Tensor | None) -> Tensor:
    """S even distances, each moved by jitter [B, R, S] within its bin (NeRF, eq. 2) -> [B, R, S].

    Bins are cut around even places from near to far, or near to far is cut into equal ones, or they lie between the
    middles of even places, so that the outer two are halved. Without jitter: the even places, or the bins' middles.
    """
    like, count = wide(rays.origins), march.samples
    share = torch.linspace(0, 1, count, dtype=like.dtype, device=like.device)
    if march.bins == "equal":
        share = (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) / count
    if jitter is not None and march.bins != "between":
        share = share + (jitter - 0.5) / (count if march.bins == "equal" else max(1, count - 1))
    if march.inverse:
        t = 1 / ((1 - share) / march.near + share / march.far)
    else:
        t = march.near + share * (march.far - march.near)
    if jitter is not None and march.bins == "between":
        middles = (t[1:] + t[:-1]) / 2
        low, high = torch.cat([t[:1], middles]), torch.cat([middles, t[-1:]])
        t = low + jitter * (high - low)
    return t.to(rays.origins).expand(*rays.origins.shape[:2], -1)


def query(field: Field, rays: Rays, t: Tensor) -> tuple[Tensor, Tensor]:
    """Ask the field at distances t [B, R, S] -> features [B, R, S, C], raw density [B, R, S]."""
    batch, count, samples = t.shape
    directions = rays.unit().directions[:, :, None].expand(-1, -1, samples, -1)
    features, density = field(rays.at(t).flatten(1, 2), directions.flatten(1, 2))
    return features.view(batch, count, samples, -1), density.view(batch, count, samples)


def positive(raw: Tensor, march: March) -> Tensor:
    """Raw density -> density, of the same shape, per world unit."""
    shifted = raw + march.shift
    return march.gain * (relu(shifted) if march.density == "relu" else softplus(shifted))


def weigh(density: Tensor, t: Tensor, rays: Rays, march: March, noise: Tensor | None = None) -> Tensor:
    """What each sample adds to its pixel (NeRF, eq. 3): raw density, t, noise and the result [B, R, S]."""
    raw = density if noise is None else density + noise
    last = march.far - t[..., -1:] if march.tail is None else torch.full_like(t[..., :1], march.tail)
    steps = torch.cat([t.diff(dim=-1), last], dim=-1)
    optical = positive(raw, march) * steps * rays.directions.norm(dim=-1, keepdim=True)
    passed = torch.cat([torch.zeros_like(optical[..., :1]), optical[..., :-1].cumsum(-1)], dim=-1)
    return (-passed).exp() * -torch.expm1(-optical)


def resample(t: Tensor, weights: Tensor, count: int, uniforms: Tensor | None, floor: float = 1e-5) -> Tensor:
    """New distances where the weights are (NeRF, sec. 5.2), evenly without uniforms -> [B, R, count].

    t, weights [B, R, S]; uniforms [B, R, count], 0 to 1; floor is added to every weight, so that no bin is empty.
    Computed with room for rounding: where little is, a sample's place is a small difference of sums near 1.
    """
    given, (t, weights) = t, (wide(t), wide(weights))
    edges = (t[..., 1:] + t[..., :-1]) / 2
    chances = weights[..., 1:-1] + floor
    steps = (chances / chances.sum(-1, keepdim=True)).cumsum(-1)
    cdf = torch.cat([torch.zeros_like(steps[..., :1]), steps], dim=-1)
    if uniforms is None:
        uniforms = torch.linspace(0, 1, count, dtype=t.dtype, device=t.device).expand(*t.shape[:2], -1)
    places = uniforms.to(t).contiguous()
    above = torch.searchsorted(cdf, places, right=True).clamp(1, cdf.shape[-1] - 1)
    low, high = cdf.gather(-1, above - 1), cdf.gather(-1, above)
    left, right = edges.gather(-1, above - 1), edges.gather(-1, above)
    width = torch.where(high - low < 1e-5, 1.0, high - low)  # NeRF's guard of an empty bin
    return (left + (places - low) / width * (right - left)).to(given)


def merge(t: Tensor, finer: Tensor, *values: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Both sets of distances [B, R, S] in order, and the values [B, R, S, ...] at them -> [B, R, 2 S, ...]."""
    ordered, order = torch.cat([t, finer], dim=-1).sort(dim=-1)
    merged = []
    for pair in values:
        joint = torch.cat(pair, dim=2)
        index = order if joint.ndim == 3 else order[..., None].expand_as(joint)
        merged.append(joint.gather(2, index))
    return ordered, *merged


def composite(weights: Tensor, values: Tensor) -> Tensor:
    """Weighted sum over samples: [B, R, S], [B, R, S, C] -> [B, R, C]."""
    return (weights[..., None] * values).sum(
        dim=-2
    )  # no product of matrices: mixed precision would round the picture


def to_image(pixels: Tensor, size: Size) -> Tensor:
    """[B, H * W, C] -> [B, C, H, W]."""
    return pixels.mT.unflatten(-1, size)


Tracer = Callable[[Rays, RayNoise], tuple[Tensor, ...]]


def in_chunks(
    trace: Tracer, rays: Rays, perturb: RayNoise, chunk: int, deferred: bool = False
) -> tuple[Tensor, ...]:
    """Trace R rays, so many at once -> what trace gives for all of them, [B, R, C] each.

    Deferred (Zhang et al. 2022, ARF, sec. 3.3): no chunk's graph is kept; each is traced again when its
    gradient is due, so that memory for the graph is that of one chunk, whatever the size of the picture.
    """
    if len(rays) <= chunk and not deferred:
        return trace(rays, perturb)
    parts = []
    for start in range(0, len(rays), chunk):
        part = slice(start, start + chunk)
        if deferred:
            parts.append(
                checkpoint(trace, rays[part], perturb[part], use_reentrant=False, preserve_rng_state=False)
            )
        else:
            parts.append(trace(rays[part], perturb[part]))
    return tuple(torch.cat(columns, dim=1) for columns in zip(*parts, strict=True))
