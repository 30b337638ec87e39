"""Pictures of voxel grids: only occupied space is sampled, only samples with weight are colored."""

import math
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor

from genscene.contract import (
    DEFAULT_OPTIONS,
    Rendering,
    RenderOptions,
    SingleSceneGenerator,
)
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Rays
from genscene.geometry.priors import CameraPrior
from genscene.ranges import Range, Share
from genscene.render.fields.chunks import in_chunks
from genscene.render.march import EMPTY, March, RayNoise, activate_density
from genscene.render.volume import VolumeGenerator, to_image
from genscene.scenes import SolidBackground
from genscene.systems.voxels.grid import VoxelConfig, VoxelGrid

CAMERAS_WITHIN = 1.25  # mean distances of the cameras from the origin
MOST_STEPS = 1_000_000  # along a ray
MIN_WEIGHT = 1e-4  # samples with less weight in their pixel are not colored


@dataclass(frozen=True)
class VoxelsGeneratorConfig:
    """All the numbers of the generator."""

    voxels: VoxelConfig = VoxelConfig()
    # samples per half voxel
    march: March = March(0.0, 100.0, 1, "softplus", gain=25.0, shift=-6.2, last_interval=None)
    # in contracted space steps grow to this share of the distance
    cone: Annotated[float, Range(0, 1e3)] = 0.01
    background: SolidBackground = "white"  # behind the scene
    # its color, 0 to 1, of photographs on a ground that is nearly that background; None: exactly that
    ground: tuple[Share, Share, Share] | None = None
    prior: CameraPrior = CameraPrior()  # cameras around the scene, fitted to those of the photographs


@dataclass(frozen=True)
class VoxelField:
    """The scene: a voxel grid as a field."""

    voxels: VoxelGrid
    w: Tensor  # [B, 0], codes without numbers, of B scenes that are the same

    def __call__(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points, unit directions [B, N, 3] -> colors [B, N, 3] in (0, 1), raw density [B, N]."""
        coords = self.voxels.to_grid(points.flatten(0, 1))
        raw = self.voxels.raw_density(coords)
        inside = (coords.abs() <= 1).all(dim=-1)
        colors = self.voxels.colors(coords, directions.flatten(0, 1))
        return colors.view_as(points), torch.where(inside, raw, EMPTY).view(points.shape[:2])


@dataclass(frozen=True)
class Samples:
    """N samples in occupied space along R rays, ray by ray, from near to far."""

    ray: Tensor  # [N], index of the ray
    t: Tensor  # [N], distance
    length: Tensor  # [N], of the interval around it
    coords: Tensor  # [N, 3], -1 to 1 inside the grid
    rays: int  # R


class VoxelsGenerator(SingleSceneGenerator, VolumeGenerator):
    """One scene, which is the voxels."""

    def __init__(self, config: VoxelsGeneratorConfig):
        super().__init__()
        self.config, self.march, self.prior = config, config.march, config.prior
        self.bounds = config.voxels.sides
        self.voxels = VoxelGrid(config.voxels)

    def bind(self, w: Tensor) -> VoxelField:
        """w [B, 0] -> the scene, for B views."""
        return VoxelField(self.voxels, w)

    def render(
        self, scene: VoxelField, view: Camera | Rays, options: RenderOptions = DEFAULT_OPTIONS
    ) -> Rendering:
        """The scene, B cameras or rays of one picture -> pictures in [0, 1], depth, alpha."""
        rays, size = self.rays(view)
        rays = rays.unit()
        noise = RayNoise(None if options.randomness is None else options.randomness.uniform(len(rays)))

        def part(rays: Rays, noise: RayNoise) -> tuple[Tensor, ...]:
            origins, directions = rays.origins.flatten(0, 1), rays.directions.flatten(0, 1)
            jitter = None if noise.jitter is None else noise.jitter.flatten()
            found = self.render_rays(scene, origins, directions, jitter, options)
            return tuple(x.unflatten(0, rays.origins.shape[:2]) for x in found)

        ray_bytes = 60 * sum(self.voxels.counts) * (options.samples or self.march.samples)
        color, depth, alpha, *distortion = (
            to_image(x, size) for x in in_chunks(part, rays, noise, options, ray_bytes)
        )
        return Rendering(color, depth, alpha, rays=rays, distortion=distortion[0] if distortion else None)

    def render_rays(
        self,
        scene: VoxelField,
        origins: Tensor,
        directions: Tensor,
        jitter: Tensor | None,
        options: RenderOptions,
    ) -> tuple[Tensor, ...]:
        """R unit rays [R, 3], jitter [R] -> color [R, 3], depth, opacity, distortion [R, 1]."""
        samples = self.sample_occupied(origins, directions, jitter, options.samples)
        if origins.requires_grad or directions.requires_grad:  # cameras are optimised
            points = origins[samples.ray] + samples.t[:, None] * directions[samples.ray]
            samples = replace(samples, coords=self.voxels.to_grid(points))
        weights = compute_weights(scene.voxels.raw_density(samples.coords), samples, self.march)
        kept = (weights.detach() > MIN_WEIGHT).nonzero()[:, 0]
        owner = samples.ray[kept]
        seen_along = directions[owner]
        if options.fixed_direction is not None:
            seen_along = directions.new_tensor(options.fixed_direction).expand_as(seen_along)
        colors = scene.voxels.colors(samples.coords[kept], seen_along)
        alpha = sum_by_ray(weights, samples)[:, None]
        color = weights.new_zeros(samples.rays, 3).index_add(0, owner, weights[kept, None] * colors)
        depth = sum_by_ray(weights * samples.t, samples)[:, None]
        behind = options.background_color(self.config.background, self.config.ground)
        color = color + (1 - alpha) * color.new_tensor(behind)
        distortion = (self.distortion(weights, samples)[:, None],) if options.distortion else ()
        return color, depth / alpha.clamp_min(1e-5), alpha, *distortion

    def distortion(self, weights: Tensor, samples: Samples) -> Tensor:
        """`distortion` of each ray [R]; lengths in half boxes near the cameras, in their inverse far away."""
        unit = max(self.config.voxels.sides)
        near = samples.t / unit
        middles, lengths = near, samples.length / unit
        if self.config.voxels.contracted:
            middles = torch.where(near < 0.5, near, 1 - 0.25 / near.clamp_min(0.5))
            lengths = lengths * torch.where(near < 0.5, 1.0, 0.25 / near.square().clamp_min(0.25))
        return distortion(weights, middles, lengths, samples)

    def ray_bytes(self) -> int:
        """Bytes that a ray through the finest grid takes in training."""
        return 60 * sum(self.config.voxels.counts(-1)) * self.march.samples

    @torch.no_grad()
    def sample_occupied(
        self, origins: Tensor, directions: Tensor, jitter: Tensor | None, samples: int = 0
    ) -> Samples:
        """Samples in occupied space, half a voxel apart over `samples`, along R unit rays."""
        begin, end, edges = self.intervals(origins, directions, samples)
        lengths = edges.diff()
        within = 0.5 if jitter is None else jitter[:, None]
        t = begin[:, None] + edges[:-1] + within * lengths
        coords = self.voxels.to_grid(origins[:, None] + t[..., None] * directions[:, None])
        keep = (self.voxels.is_occupied(coords) & (t < end[:, None])).nonzero()
        ray, step = keep.unbind(-1)
        return Samples(ray, t[ray, step], lengths[step], coords[ray, step], len(origins))

    def intervals(
        self, origins: Tensor, directions: Tensor, samples: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Entry into and exit from the box [R], [R], and edges of S intervals from the entry on [S + 1]."""
        config, step, march = self.config.voxels, self.step_length(samples), self.march
        if config.contracted:
            edges = [march.near]
            while edges[-1] < march.far:
                here = edges[-1]
                edges.append(here + max(step, self.config.cone * here, self.far_step(here, samples)))
                if len(edges) > MOST_STEPS:
                    far = f"march.far {march.far} is over {MOST_STEPS} steps of {step:.3g} away"
                    raise BadInput(f"{far}: wanted a nearer one")
            begin, end = torch.zeros_like(origins[:, 0]), torch.full_like(origins[:, 0], march.far)
            return begin, end, origins.new_tensor(edges)
        half = origins.new_tensor(config.sides)
        safe = torch.where(directions.abs() < 1e-9, 1e-9, directions)
        sides = torch.stack([(-half - origins) / safe, (half - origins) / safe])
        begin = sides.amin(dim=0).amax(dim=-1).clamp_min(march.near)
        end = sides.amax(dim=0).amin(dim=-1).clamp(max=march.far)
        longest = float((end - begin).max()) if len(begin) else 0.0
        count = max(1, math.ceil(longest / step))
        return begin, end, step * torch.arange(count + 1, device=origins.device, dtype=origins.dtype)

    def far_step(self, t: float, samples: int = 0) -> float:
        """Half a voxel of contracted space at the distance t from a camera, or nearer to the origin."""
        unit = max(self.config.voxels.sides) / 2  # where the contraction begins
        nearest = max(0.0, t - CAMERAS_WITHIN * self.config.prior.radius)
        half_voxel = 2 * nearest * nearest / unit / (max(self.voxels.counts) - 1)
        return half_voxel / (samples or self.march.samples)

    def step_length(self, samples: int = 0) -> float:
        """Length of a step, in world units: half a voxel over the number of samples."""
        config = self.config.voxels
        longest = max(config.sides) * (0.5 if config.contracted else 1.0)
        return longest / (max(self.voxels.counts) - 1) / (samples or self.march.samples)

    @torch.no_grad()
    def half_transparent(self) -> float:
        """Share of the corners whose density would make the half box between 10 and 90 % opaque: fog."""
        raw = self.config.voxels.rate * self.voxels.density[int(self.voxels.level)]
        opacity = -torch.expm1(-activate_density(raw, self.march) * max(self.config.voxels.sides))
        return float(((opacity > 0.1) & (opacity < 0.9)).float().mean())

    @torch.no_grad()
    def update_occupancy(self, least: float) -> None:
        """Set the occupancy grid where the opacity of a step is above `least`."""
        raw = self.config.voxels.rate * self.voxels.density[int(self.voxels.level)]
        opacity = -torch.expm1(-activate_density(raw, self.march) * self.step_length())
        self.voxels.update_occupancy(opacity > least)


def compute_weights(raw: Tensor, samples: Samples, march: March) -> Tensor:
    """Weights of N samples in their pixels (NeRF, eq. 3): raw density [N] -> [N]."""
    optical = activate_density(raw, march) * samples.length
    passed = sum_before(optical, samples)
    return (-passed).exp().to(raw) * -torch.expm1(-optical)


def distortion(weights: Tensor, middles: Tensor, lengths: Tensor, samples: Samples) -> Tensor:
    """How far apart the weights of each ray are (Barron et al. 2022, eq. 15) -> [R].

    weights, middles and lengths [N] of the intervals of the samples, ray by ray, from near to far.
    """
    earlier = sum_before(weights, samples), sum_before(weights * middles, samples)
    pairs = 2 * weights * (middles * earlier[0] - earlier[1])  # the double sum, each pair once
    return sum_by_ray(pairs + weights.square() * lengths / 3, samples).to(weights)


def sum_by_ray(values: Tensor, samples: Samples) -> Tensor:
    """Sum N values over the samples of each ray -> [R]."""
    return values.new_zeros(samples.rays).index_add(0, samples.ray, values)


def sum_before(values: Tensor, samples: Samples) -> Tensor:
    """For each of N values, the sum of those before it on its ray -> [N], in float64."""
    before = values.double().cumsum(0) - values  # sums over all rays: float32 is too coarse
    if not len(values):
        return before
    counts = torch.bincount(samples.ray, minlength=samples.rays)
    first = (counts.cumsum(0) - counts).clamp(max=len(values) - 1)
    return before - before[first[samples.ray]]
