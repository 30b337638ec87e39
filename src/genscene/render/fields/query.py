"""Evaluate fields: at all points, or at some of them, with others filled up or in groups of scenes."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from genscene.geometry.cameras import Rays, check_shapes
from genscene.render.march import EMPTY
from genscene.scenes import Field

STEPS = 4  # sizes an octave that numbers of points are rounded up to; oneDNN compiles for each new one


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


def query_where(
    bound_to: Callable[[Tensor], Field], points: Tensor, directions: Tensor, chosen: Tensor
) -> tuple[Tensor, Tensor]:
    """Evaluate fields at points [B, N, 3] where chosen [B, N]; features are 0, density EMPTY elsewhere.

    bound_to: scenes [b], indices -> the field of these alone. Scenes with about as many points are evaluated
    together, in few different sizes.
    """
    if bool(chosen.all()):
        return bound_to(torch.arange(len(chosen), device=chosen.device))(points, directions)
    counts = chosen.sum(dim=1)
    places, features, densities = [], [], []
    for scenes in groups(counts):
        index, real = pack(chosen, counts, scenes)
        found = bound_to(scenes)(points.flatten(0, 1)[index], directions.flatten(0, 1)[index])
        places.append(index.flatten().index_select(0, real))
        features.append(found[0].flatten(0, 1).index_select(0, real))
        densities.append(found[1].flatten().index_select(0, real))
    place, values, density = torch.cat(places), torch.cat(features), torch.cat(densities)
    nothing = values.new_zeros(chosen.numel(), values.shape[-1])
    empty = density.new_full((chosen.numel(),), EMPTY)
    values, density = nothing.index_copy(0, place, values), empty.index_copy(0, place, density)
    return values.view(*chosen.shape, -1), density.view(chosen.shape)


def pack(chosen: Tensor, counts: Tensor, scenes: Tensor) -> tuple[Tensor, Tensor]:
    """The true ones of chosen [B, N], of which each scene has counts [B], for scenes [b].

    -> Their places among B * N, with others filled up to the most of a scene, rounded up, [b, n], and which
    of these b * n are no such others.
    """
    flat, first = chosen.flatten().nonzero()[:, 0], counts.cumsum(0) - counts
    if len(chosen) == 1:
        return flat[None], torch.arange(len(flat), device=flat.device)
    most = rounded_up(max(counts[scenes].tolist(), default=0))
    rank = torch.arange(min(most, chosen.shape[1]), device=chosen.device)
    index = flat[(first[scenes][:, None] + rank).clamp(max=max(0, len(flat) - 1))]
    return index, (rank < counts[scenes][:, None]).flatten().nonzero()[:, 0]


def groups(counts: Tensor) -> Iterator[Tensor]:
    """Numbers of points of B scenes -> groups of scenes with as many when rounded up, the most first."""
    sizes = [rounded_up(count) for count in counts.tolist()]
    for size in sorted(set(sizes) - {0} or {0}, reverse=True):
        yield torch.tensor([i for i, each in enumerate(sizes) if each == size], device=counts.device)


def rounded_up(count: int) -> int:
    """A number of points, up to the next of STEPS sizes an octave."""
    step = max(1, (1 << count.bit_length()) // (2 * STEPS))
    return -(-count // step) * step
