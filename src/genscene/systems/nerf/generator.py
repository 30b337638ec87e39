"""NeRF's picture: a coarse network tells a fine one where along the ray to look."""

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genscene.contract import MAX_BYTES, Background, Photographed, Rendering, at_least
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Rays
from genscene.geometry.priors import CameraPrior
from genscene.render.volume import (
    March,
    RayNoise,
    composite,
    in_chunks,
    resample,
    stratified,
    to_image,
    weigh,
)
from genscene.scenes import Field
from genscene.systems.nerf.field import FieldConfig, NeRFField
from genscene.systems.nerf.single import SingleScene, walkable


@dataclass(frozen=True)
class Legacy:
    """What the released code does differently; converted checkpoints set it. Bins and tail stand in the march."""

    pixel_corners: bool = False  # rays go through the pixels' upper left corners, not their centres
    raw_depth: bool = False  # depth is the weighted sum of distances, not divided by the sum of weights


@dataclass(frozen=True)
class NeRFGeneratorConfig:
    """All the numbers of the generator."""

    field: FieldConfig = FieldConfig()
    march: March = March(2.0, 6.0, 64, tail=None, bins="equal")
    fine: int = 128  # samples that the coarse network's weights place; 0: one network (ablation)
    background: Background = "white"
    ndc: tuple[float, float] | None = None  # forward-facing scenes: twice the focal lengths in image sides
    photographs: int = 0  # how many it was learnt from
    orbit: CameraPrior = CameraPrior()  # to look around without photographs' poses
    legacy: Legacy = Legacy()

    def check(self) -> None:
        """Raise BadInput where no ray can be walked along, or the first pass tells the second too little."""
        walkable(self.march)
        at_least(self, 0, "fine")
        if self.fine and self.march.samples < 3:
            raise BadInput(
                f"march.samples {self.march.samples}: wanted 3 or more, to place {self.fine} others by"
            )
        if min(self.ndc or (1.0,)) <= 0:
            raise BadInput(f"ndc {self.ndc}: wanted numbers above 0")


@dataclass(frozen=True)
class TwoFields:
    """The scene: what is seen is the fine field."""

    coarse: Field
    fine: Field | None

    def __call__(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points, unit directions [B, N, 3] -> colours [B, N, 3], raw density [B, N]."""
        return (self.fine or self.coarse)(points, directions)


@dataclass(frozen=True)
class Seen:
    """What a network says of R rays of B pictures."""

    color: Tensor  # [B, R, 3]
    depth: Tensor  # [B, R, 1]
    alpha: Tensor  # [B, R, 1]
    weights: Tensor  # [B, R, S]


class NeRFGenerator(SingleScene):
    """One scene, which is the weights."""

    def __init__(self, config: NeRFGeneratorConfig):
        super().__init__()
        self.config = config
        self.orbit, self.march = config.orbit, config.march
        self.photographed = Photographed(config.photographs)
        self.reach = (config.field.extent,) * 3
        self.coarse = NeRFField(config.field)
        self.fine = NeRFField(config.field) if config.fine else None

    def bind(self, w: Tensor) -> TwoFields:
        """The scene, as often as it is looked at."""
        return TwoFields(self.coarse, self.fine)

    def lock_view(self, scene: TwoFields) -> TwoFields:
        """The same scene with colours as seen from the front."""
        return TwoFields(FromFront(scene.coarse), None if scene.fine is None else FromFront(scene.fine))

    def render(self, scene: TwoFields, view: Camera, budget: int = MAX_BYTES) -> Rendering:
        """The scene from B cameras -> pictures in [0, 1], depth, alpha; the same every time."""

        def part(rays: Rays, perturb: RayNoise) -> tuple[Tensor, ...]:
            seen = self.walk(scene, rays, perturb)[-1]
            return seen.color, seen.depth, seen.alpha

        a_ray = 4 * (self.config.march.samples + self.config.fine) * 5 * self.config.field.width
        rays = self.measured(view)
        chunk = len(rays) if torch.is_grad_enabled() else max(1, budget // (a_ray * len(view)))
        parts = in_chunks(part, rays, RayNoise(), chunk)
        return Rendering(*(to_image(x, view.size) for x in parts))

    def measured(self, view: Camera) -> Rays:
        """Rays of depth 1, as NeRF measures its distances."""
        if self.config.legacy.pixel_corners:
            height, width = view.size
            shift = view.pose.new_tensor([1.0, -0.5 / width, -0.5 / height])
            view = view.crop(shift.expand(len(view), 3), view.size)
        return view.rays()

    def walk(self, scene: TwoFields, rays: Rays, perturb: RayNoise) -> list[Seen]:
        """Walk along R rays of B pictures, coarse, then fine where there is a fine network."""
        directions = rays.unit().directions  # before any bending
        bent = rays if self.config.ndc is None else rays.ndc(self.config.ndc)
        t = self.places(bent, perturb)
        coarse = self.look(scene.coarse, rays, bent, directions, t, perturb.coarse_noise)
        if scene.fine is None:
            return [coarse]
        finer = resample(t, coarse.weights.detach(), self.config.fine, perturb.importance)
        t = torch.cat([t, finer], dim=-1).sort(dim=-1).values
        return [coarse, self.look(scene.fine, rays, bent, directions, t, perturb.noise)]

    def places(self, rays: Rays, perturb: RayNoise) -> Tensor:
        """Where the coarse network is asked, in lengths of the rays' directions -> [B, R, S]."""
        return stratified(rays, self.config.march, perturb.jitter)

    def look(
        self, field: Field, rays: Rays, bent: Rays, directions: Tensor, t: Tensor, noise: Tensor | None
    ) -> Seen:
        """Ask a field at distances t [B, R, S] of the bent rays, and add up."""
        points = bent.at(t)
        seen_from = directions[:, :, None].expand_as(points)
        colors, density = field(points.flatten(1, 2), seen_from.flatten(1, 2))
        weights = weigh(density.view_as(t), t, bent, self.config.march, noise)
        alpha = weights.sum(dim=-1, keepdim=True)
        color = composite(weights, colors.view(*t.shape, 3))
        if self.config.background == "white":
            color = color + (1 - alpha)
        distances = t if self.config.ndc is None else unbent(t, rays)
        depth = composite(weights, distances[..., None])
        if not self.config.legacy.raw_depth:
            depth = depth / alpha.clamp_min(1e-5)
        return Seen(color, depth, alpha, weights)

    def resampled(self, samples: int) -> "NeRFGenerator":
        """The same generator with another number of samples in the first pass, and in proportion in the second."""
        other, march = copy.copy(self), self.config.march
        fine = self.config.fine * samples // max(1, march.samples)
        other.config = replace(self.config, march=replace(march, samples=samples), fine=fine)
        other.march = other.config.march
        return other


@dataclass(frozen=True)
class FromFront:
    """A field seen from one direction, wherever one looks from."""

    field: Field

    def __call__(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points, unit directions [B, N, 3] -> colours [B, N, 3], raw density [B, N]."""
        front = torch.tensor([0.0, 0.0, -1.0]).to(directions)
        return self.field(points, front.expand_as(directions))


def unbent(t: Tensor, rays: Rays, near: float = 1.0, far: float = 1e3) -> Tensor:
    """Distances along bent rays (NeRF, app. C) -> along the rays themselves, the sky at `far` [B, R, S]."""
    origin, slope = rays.origins[..., 2:], rays.directions[..., 2:]
    start = -(near + origin) / slope  # where the ray meets the near plane
    depth = origin + start * slope
    return start + (t * depth / slope / (1 - t).clamp_min(1e-6)).clamp(max=far)
