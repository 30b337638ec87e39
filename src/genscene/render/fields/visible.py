"""Evaluate fields along rays: all samples, or those alone that are seen and not known to be empty."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.geometry.cameras import Rays
from genscene.render.fields.query import pack, query
from genscene.render.fields.sparse import SparseField
from genscene.render.march import EMPTY, March, activate_density, interval_lengths
from genscene.scenes import Field

SLABS = 4  # parts that the samples of a ray are evaluated in, from front to back


@dataclass(frozen=True)
class Evaluated:
    """What a field is at samples along rays."""

    features: Tensor  # [B, R, S, C]
    density: Tensor  # [B, R, S], raw
    known: Tensor | None = None  # [B, R, S], bool, where the field was evaluated; None: everywhere


@dataclass(frozen=True)
class Marching:
    """Rays along which fields are evaluated, and how far."""

    rays: Rays
    directions: Tensor  # [B, R, 3], unit, that colors are seen along
    march: March
    skip: bool = False  # in empty space of sparse fields, and behind `least`, samples are not evaluated
    least: float = 0.0  # transmittance behind which space is left empty
    last: bool = False  # the last sample is evaluated even in empty space

    def evaluate(self, field: Field, t: Tensor, noise: Tensor | None = None) -> Evaluated:
        """A field at t [B, R, S]; noise [B, R, S, F]: for the F fields of a composition."""
        if not self.skip:
            return Evaluated(*query(field, self.rays, t, self.directions, noise))
        if isinstance(field, SparseField):
            return self.visible(field.inside, t, Evaluated(*field.known(self.rays, t, self.last)))
        return self.visible(field, t, None)

    def add(self, field: Field, t: Tensor, found: Evaluated, other: Tensor) -> tuple[Tensor, Evaluated]:
        """More distances [B, R, F] of a field that is known at t [B, R, S] -> all of both, sorted."""
        if not self.skip:
            others = query(field, self.rays, other, self.directions)
            t, *both = merge(t, other, (found.features, others[0]), (found.density, others[1]))
            return t, Evaluated(*both)
        assert found.known is not None
        if isinstance(field, SparseField):
            more, field = field.known(self.rays, other), field.inside
        else:
            more = nothing(other, found.features.shape[-1])
        pairs = zip((found.features, found.density, found.known), more, strict=True)
        t, *both = merge(t, other, *pairs)
        return t, self.visible(field, t, Evaluated(*both))

    def visible(self, field: Field, t: Tensor, found: Evaluated | None) -> Evaluated:
        """A field at t [B, R, S] from front to back, as far as it is seen; found: what is known at t.

        That is changed in place.
        """
        lengths = interval_lengths(t, self.rays, self.march)
        most = -math.log(self.least) if self.least else math.inf
        passed = torch.zeros_like(t[..., 0])  # optical depth in front of a slab of samples
        for start in range(0, t.shape[-1], size := math.ceil(t.shape[-1] / SLABS)):
            part = slice(start, start + size)
            missing = (passed < most)[..., None]
            if found is None or found.known is None:
                missing = missing.expand_as(t[..., part])
            else:
                missing = missing & ~found.known[..., part]
            if bool(missing.any()) or found is None:
                found = self.fill(field, t, part, missing, found)
            optical = activate_density(found.density[..., part], self.march) * lengths[..., part]
            passed = passed + optical.sum(dim=-1)
        assert found is not None
        return found

    def table(self) -> Tensor:
        """Origins, directions, and directions that colors are seen along, of all rays -> [B * R, 9]."""
        return torch.cat([self.rays.origins, self.rays.directions, self.directions], dim=-1).flatten(0, 1)

    def fill(
        self, field: Field, t: Tensor, part: slice, missing: Tensor, found: Evaluated | None
    ) -> Evaluated:
        """Evaluate a field at those of the samples t[..., part] that are missing [B, R, P]."""
        counts, samples = missing.flatten(1).sum(dim=1), t.shape[-1]
        index, real = pack(missing.flatten(1), counts, torch.arange(len(t), device=t.device))
        width, shape = missing.shape[2], (*index.shape, 3)
        ray = index.flatten() // width  # of all B * R
        sample = ray * samples + part.start + index.flatten() % width  # of all B * R * S
        origins, slopes, along = self.table().index_select(0, ray).split(3, dim=1)
        points = torch.addcmul(origins, t.flatten().index_select(0, sample)[:, None], slopes)
        features, density = field(points.view(shape), along.reshape(shape))
        if found is None:
            found = Evaluated(*nothing(t, features.shape[-1]))
        assert found.known is not None
        if len(real) < len(sample):
            sample = sample.index_select(0, real)
            features, density = (x.flatten(0, 1).index_select(0, real) for x in (features, density))
        flat = features.reshape(len(sample), -1).to(found.features), density.flatten().to(found.density)
        found.features.flatten(0, 2).index_copy_(0, sample, flat[0])
        found.density.flatten().index_copy_(0, sample, flat[1])
        found.known.flatten().index_fill_(0, sample, True)
        return found


def nothing(t: Tensor, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features and densities of empty space at t [B, R, S], and that nothing is known of it."""
    return t.new_zeros(*t.shape, channels), torch.full_like(t, EMPTY), torch.zeros_like(t, dtype=torch.bool)


def merge(t: Tensor, fine: Tensor, *values: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Sort distances [B, R, S], [B, R, F] and values [B, R, *, ...] at them -> [B, R, S + F, ...]."""
    ordered, order = torch.cat([t, fine], dim=-1).sort(dim=-1)
    merged = []
    for pair in values:
        joint = torch.cat(pair, dim=2)
        index = order if joint.ndim == 3 else order[..., None].expand_as(joint)
        merged.append(joint.gather(2, index))
    return ordered, *merged
