"""Pictures out of voxels: only samples that may hold something are looked at, only those that show are coloured."""

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genscene.contract import MAX_BYTES, Background, Photographed, Rendering, at_least
from genscene.geometry.cameras import Camera, Rays
from genscene.geometry.priors import CameraPrior
from genscene.render.volume import EMPTY, March, RayNoise, in_chunks, positive, to_image
from genscene.systems.nerf.single import SingleScene, walkable
from genscene.systems.voxels.grid import VoxelConfig, Voxels

SHOWN = 1e-4  # samples that add less to their pixel are not coloured


@dataclass(frozen=True)
class VoxelsGeneratorConfig:
    """All the numbers of the generator."""

    voxels: VoxelConfig = VoxelConfig()
    march: March = March(
        0.0, 100.0, 1, "softplus", gain=25.0, shift=-6.2, tail=None
    )  # samples: in each half voxel
    cone: float = 0.01  # in contracted space steps grow to this share of the distance
    background: Background = "white"
    photographs: int = 0  # how many it was learnt from
    orbit: CameraPrior = CameraPrior()

    def check(self) -> None:
        """Raise BadInput where no ray can be walked along."""
        walkable(self.march)
        at_least(self, 0, "cone")


@dataclass(frozen=True)
class VoxelField:
    """The scene."""

    voxels: Voxels
    direction: tuple[float, float, float] | None = None  # every sample is seen from here; None: from its ray

    def __call__(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points, unit directions [B, N, 3] -> colours [B, N, 3] in (0, 1), raw density [B, N]."""
        placed = self.voxels.place(points.flatten(0, 1))
        raw = self.voxels.raw_density(placed)
        inside = (placed.abs() <= 1).all(dim=-1)
        colors = self.voxels.colors(placed, self.seen(directions.flatten(0, 1)))
        return colors.view_as(points), torch.where(inside, raw, EMPTY).view(points.shape[:2])

    def seen(self, directions: Tensor) -> Tensor:
        """The directions that colours are asked for."""
        return (
            directions
            if self.direction is None
            else directions.new_tensor(self.direction).expand_as(directions)
        )


@dataclass(frozen=True)
class Samples:
    """N samples on R rays, ray by ray, from near to far; the empty ones are left out."""

    ray: Tensor  # [N], whose sample it is
    t: Tensor  # [N], distance
    length: Tensor  # [N], of the interval it stands for
    placed: Tensor  # [N, 3], -1 to 1 inside the grid
    rays: int  # R


@dataclass(frozen=True)
class Walked:
    """What R rays met."""

    color: Tensor  # [R, 3]
    depth: Tensor  # [R, 1]
    alpha: Tensor  # [R, 1]
    samples: Samples
    weights: Tensor  # [N], what each sample adds to its pixel


class VoxelsGenerator(SingleScene):
    """One scene, which is the voxels."""

    def __init__(self, config: VoxelsGeneratorConfig):
        super().__init__()
        self.config = config
        self.orbit, self.march = config.orbit, config.march
        self.photographed = Photographed(config.photographs)
        self.reach = config.voxels.box
        self.voxels = Voxels(config.voxels)

    def bind(self, w: Tensor) -> VoxelField:
        """The scene, as often as it is looked at."""
        return VoxelField(self.voxels)

    def lock_view(self, scene: VoxelField) -> VoxelField:
        """The same scene with colours as seen from the front."""
        return replace(scene, direction=(0.0, 0.0, -1.0))

    def render(self, scene: VoxelField, view: Camera, budget: int = MAX_BYTES) -> Rendering:
        """The scene from B cameras -> pictures in [0, 1], depth, alpha; the same every time."""

        def part(rays: Rays, perturb: RayNoise) -> tuple[Tensor, ...]:
            met = [
                self.walk(scene, Rays(o[None], d[None])) for o, d in zip(*vars(rays).values(), strict=True)
            ]
            return tuple(
                torch.stack([getattr(one, name) for one in met]) for name in ("color", "depth", "alpha")
            )

        rays = self.measured(view)
        a_ray = 60 * sum(self.voxels.counts) // self.config.march.samples
        chunk = len(rays) if torch.is_grad_enabled() else max(1, budget // (a_ray * len(view)))
        return Rendering(*(to_image(x, view.size) for x in in_chunks(part, rays, RayNoise(), chunk)))

    def measured(self, view: Camera) -> Rays:
        """Rays of unit length."""
        return view.rays().unit()

    def walk(self, scene: VoxelField, rays: Rays, jitter: Tensor | None = None) -> Walked:
        """Walk along R unit rays [1, R]; jitter [R], 0 to 1."""
        found = self.samples(rays, jitter)
        weights = weigh_packed(self.voxels.raw_density(found.placed), found, self.config.march)
        shown = (weights.detach() > SHOWN).nonzero()[:, 0]
        owner = found.ray[shown]
        colors = scene.voxels.colors(found.placed[shown], scene.seen(rays.directions[0, owner]))
        alpha = weights.new_zeros(found.rays).index_add(0, found.ray, weights)[:, None]
        color = weights.new_zeros(found.rays, 3).index_add(0, owner, weights[shown, None] * colors)
        depth = weights.new_zeros(found.rays).index_add(0, found.ray, weights * found.t)[:, None]
        if self.config.background == "white":
            color = color + (1 - alpha)
        return Walked(color, depth / alpha.clamp_min(1e-5), alpha, found, weights)

    def distortion(self, walked: Walked) -> Tensor:
        """`distortion` of the rays, mean over them []; lengths in half boxes near by, in their inverse far away."""
        found, unit = walked.samples, max(self.config.voxels.box)
        near = found.t / unit
        places, lengths = near, found.length / unit
        if self.config.voxels.contracted:
            places = torch.where(near < 0.5, near, 1 - 0.25 / near.clamp_min(0.5))
            lengths = lengths * torch.where(near < 0.5, 1.0, 0.25 / near.square().clamp_min(0.25))
        return distortion(walked.weights, places, lengths, found.ray, found.rays)

    @torch.no_grad()
    def samples(self, rays: Rays, jitter: Tensor | None) -> Samples:
        """Where along R unit rays the scene is asked: half a voxel apart, where there may be something."""
        origins, directions = rays.origins[0], rays.directions[0]
        begin, end, edges = self.span(origins, directions)
        lengths = edges.diff()
        within = 0.5 if jitter is None else jitter[:, None]
        t = begin[:, None] + edges[:-1] + within * lengths
        placed = self.voxels.place(origins[:, None] + t[..., None] * directions[:, None])
        keep = (self.voxels.full(placed) & (t < end[:, None])).nonzero()
        ray, step = keep.unbind(-1)
        return Samples(ray, t[ray, step], lengths[step], placed[ray, step], len(origins))

    def span(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where R rays are within the box, begin and end [R], [R], and edges of S intervals from there on [S + 1]."""
        config, step = self.config.voxels, self.stride()
        if config.contracted:
            edges = [self.config.march.near]
            while edges[-1] < self.config.march.far:
                edges.append(edges[-1] + max(step, self.config.cone * edges[-1]))
            begin, end = (
                torch.zeros_like(origins[:, 0]),
                torch.full_like(origins[:, 0], self.config.march.far),
            )
            return begin, end, origins.new_tensor(edges)
        half = origins.new_tensor(config.box)
        safe = torch.where(directions.abs() < 1e-9, 1e-9, directions)
        sides = torch.stack([(-half - origins) / safe, (half - origins) / safe])
        begin = sides.amin(dim=0).amax(dim=-1).clamp_min(self.config.march.near)
        end = sides.amax(dim=0).amin(dim=-1).clamp(max=self.config.march.far)
        count = max(1, int(((end - begin).max().clamp_min(0) / step).ceil()))
        return begin, end, step * torch.arange(count + 1, device=origins.device, dtype=origins.dtype)

    def stride(self) -> float:
        """Length of a step, in world units: half a voxel, or less for more samples."""
        config = self.config.voxels
        longest = max(config.box) * (0.5 if config.contracted else 1.0)
        return longest / (max(self.voxels.counts) - 1) / self.config.march.samples

    @torch.no_grad()
    def look_for_empty(self, least: float) -> None:
        """Note where a step stops less than a share of the light."""
        raw = self.config.voxels.rate * self.voxels.density[int(self.voxels.level)]
        self.voxels.look_for_empty(-torch.expm1(-positive(raw, self.config.march) * self.stride()) > least)

    def resampled(self, samples: int) -> "VoxelsGenerator":
        """The same generator with another number of samples in each half voxel; shares the weights."""
        other = copy.copy(self)
        other.config = replace(self.config, march=replace(self.config.march, samples=samples))
        other.march = other.config.march
        return other


def weigh_packed(raw: Tensor, samples: Samples, march: March) -> Tensor:
    """What each of N samples adds to its pixel (NeRF, eq. 3): raw density [N] -> [N]."""
    optical = positive(raw, march) * samples.length
    passed = sum_before(optical, samples.ray, samples.rays)
    return (-passed).exp().to(raw) * -torch.expm1(-optical)


def distortion(weights: Tensor, places: Tensor, lengths: Tensor, ray: Tensor, rays: int) -> Tensor:
    """How far apart the weights of each ray lie (Barron et al. 2022, eq. 15), mean over rays [].

    weights, places and lengths of intervals [N], ray by ray, from near to far; ray [N], whose they are.
    """
    earlier = sum_before(weights, ray, rays), sum_before(weights * places, ray, rays)
    between = 2 * weights * (places * earlier[0] - earlier[1])  # the double sum, each pair once
    return (between + weights.square() * lengths / 3).sum().to(weights) / max(1, rays)


def sum_before(values: Tensor, ray: Tensor, rays: int) -> Tensor:
    """For each of N values, ray by ray, the sum of those before it on its ray -> [N], in float64."""
    before = values.double().cumsum(0) - values  # sums over all rays need room for rounding
    if not len(values):
        return before
    counts = torch.bincount(ray, minlength=rays)
    first = (counts.cumsum(0) - counts).clamp(max=len(values) - 1)
    return before - before[first[ray]]
