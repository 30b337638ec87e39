"""Rendering objects by samples inside of their boxes alone, before a background that is a surface."""

import torch
from torch import Tensor

from genscene.geometry.cameras import Rays, as_float64
from genscene.render.composition import Composition, Placed, pack
from genscene.render.volume import RayRendering


def intersect_boxes(placed: Placed, rays: Rays) -> tuple[Tensor, Tensor]:
    """Distances at which unit rays enter and leave each box [B, O, R]; entry beyond exit: never."""
    origins, along = as_float64(rays.origins), as_float64(rays.directions)
    start = placed.boxes.points(origins)
    slope = placed.boxes.directions(along)
    slope = torch.where(slope.abs() < 1e-12, 1e-12, slope)
    low, high = (-1 - start) / slope, (1 - start) / slope
    entry = torch.minimum(low, high).amax(dim=-1).clamp_min(0)
    return entry.to(rays.origins), torch.maximum(low, high).amin(dim=-1).to(rays.origins)


def sample_boxes(
    placed: Placed, rays: Rays, samples: int, jitter: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Evaluate O fields at evenly spaced samples within their boxes, on the rays that meet them.

    jitter [B, O, R, S], 0 to 1, place within each interval; None: its middle. Returns the rays, n of R, that
    meet each box [B, O, n], distances and optical depths [B, O, n, S], features [B, O, n, S, C].
    """
    entry, leave = intersect_boxes(placed, rays)
    index, real = pack((entry < leave) & (placed.present > 0)[..., None])
    if not index.shape[-1]:  # gradients and the number of channels want one ray
        index = torch.zeros_like(entry[..., :1], dtype=torch.long)
        real = torch.zeros_like(index, dtype=torch.bool)
    start, stop = entry.gather(2, index), leave.gather(2, index)
    inside = torch.full((), 0.5).to(start)
    if jitter is not None:
        inside = jitter.gather(2, index[..., None].expand(-1, -1, -1, samples))
    share = (torch.arange(samples).to(start) + inside) / samples
    t = start[..., None] + share * (stop - start)[..., None]  # [B, O, n, S]
    batch = torch.arange(len(index), device=index.device)[:, None, None]
    origins, along = rays.origins[batch, index], rays.directions[batch, index]  # [B, O, n, 3]
    points = (origins[..., None, :] + t[..., None] * along[..., None, :]).flatten(2, 3)
    features, density = placed.evaluate(points, along[..., None, :].expand(*t.shape, 3).flatten(2, 3))
    step = (stop - start)[..., None] / samples
    optical = density.view(t.shape) * step * placed.present[..., None, None].to(density)
    t, optical = (torch.where(real[..., None], x, 0) for x in (t, optical))  # what fills up adds nothing
    return index, t, optical, features.unflatten(2, t.shape[2:]) * real[..., None, None]


def transmitted(t: Tensor, optical: Tensor) -> Tensor:
    """Weights (NeRF, eq. 3) of samples in any order: distances, optical depths [B, R, K] -> [B, R, K]."""
    order = t.argsort(dim=-1)
    ordered = optical.gather(-1, order)
    before = ordered.cumsum(-1) - ordered
    weights = (-before).exp() * -torch.expm1(-ordered)
    return torch.zeros_like(weights).scatter(-1, order, weights)


def render_boxes(
    scene: Composition, rays: Rays, samples: int, plane: float, far: float, jitter: Tensor | None = None
) -> RayRendering:
    """R unit rays of B compositions -> features and objects' shares [B, R, C + O], mean distance, opacity.

    Behind the objects is the background's feature where a ray meets the horizontal plane at a height, or at
    the distance far. jitter [B, O, R, S]: of the samples.
    """
    count = len(rays)
    counts = [placed.present.shape[1] for placed in scene.objects]
    jitters = [None] * len(counts) if jitter is None else jitter.split(counts, dim=1)
    found = [
        sample_boxes(placed, rays, samples, part) for placed, part in zip(scene.objects, jitters, strict=True)
    ]
    spread = [(spread_rays(i, t, count), spread_rays(i, optical, count)) for i, t, optical, _ in found]
    t, optical = (torch.cat(columns, dim=2) for columns in zip(*spread, strict=True))  # [B, R, O * S]
    weights = transmitted(t, optical)
    own = weights.unflatten(2, (-1, samples))  # [B, R, O, S]
    shares = own.sum(dim=-1)
    alpha, distance = shares.sum(dim=-1, keepdim=True), (weights * t).sum(dim=-1, keepdim=True)
    color, ground = behind(scene, rays, plane, far)
    rest = 1 - alpha
    if scene.background_present is not None:
        rest = rest * scene.background_present.to(rest)[:, None, None]
    color = rest * color
    for (index, _, _, features), part in zip(found, own.split(counts, dim=2), strict=True):
        weight = part.movedim(1, 2).gather(2, index[..., None].expand(-1, -1, -1, samples))
        seen = (weight[..., None] * features).sum(dim=3).flatten(1, 2)
        color = color.scatter_add(1, index.flatten(1)[..., None].expand_as(seen), seen)
    total = alpha + rest
    mean = (distance + rest * ground) / total.clamp_min(1e-5)
    return RayRendering(torch.cat([color, shares], dim=-1), mean, total, weights)


def spread_rays(index: Tensor, values: Tensor, count: int) -> Tensor:
    """Values [B, O, n, S] at rays, n of `count`, 0 elsewhere -> [B, count, O * S]."""
    full = values.new_zeros(*values.shape[:2], count, values.shape[-1])
    full = full.scatter_add(2, index[..., None].expand_as(values), values)
    return full.movedim(1, 2).flatten(2)


def behind(scene: Composition, rays: Rays, plane: float, far: float) -> tuple[Tensor, Tensor]:
    """Features of the background where rays meet the plane [B, R, C], and the distances there [B, R, 1]."""
    assert scene.background is not None
    slope = rays.directions[..., 2:]
    distance = (plane - rays.origins[..., 2:]) / torch.where(slope.abs() < 1e-9, 1e-9, slope)
    distance = torch.where(distance > 0, distance, far).clamp(max=far)
    features, _ = scene.background(rays.origins + distance * rays.directions, rays.directions)
    return features, distance
