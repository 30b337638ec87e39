"""A solid as the signed distance to its surface, rendered by sphere tracing."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genscene.contract import DEFAULT_OPTIONS, Rendering, RenderOptions, SingleSceneGenerator
from genscene.geometry.cameras import Camera, Rays
from genscene.geometry.priors import CameraPrior
from genscene.layers.coordinate_network import CoordinateNetwork, CoordinateNetworkConfig
from genscene.ranges import Positive
from genscene.render.derivatives import gradient
from genscene.render.fields.chunks import in_chunks
from genscene.render.march import NO_NOISE, March
from genscene.render.volume import VolumeGenerator, to_image
from genscene.scenes import SolidBackground

AROUND = CameraPrior(
    "uniform", (math.pi / 2, math.pi), (math.radians(65), math.radians(20)), radius=3.0, fov=38.0
)
BAND = 0.01  # distance outside of the surface from which there is density
GAIN = 2 * math.log(2) / BAND**2  # along its normal, half of the light is stopped at the surface
COLOR, LIGHT = 0.85, (0.5, 0.75, 0.43)  # of the solid; direction towards the light, about of length 1
AMBIENT, HEADLIGHT, SUN = 0.25, 0.3, 0.45  # weights of constant light, light from the eye, and that light


@dataclass(frozen=True)
class SDFGeneratorConfig:
    """All the numbers of the generator."""

    network: CoordinateNetworkConfig = CoordinateNetworkConfig()
    # samples: steps of sphere tracing, at most; density, for export, rises linearly from `shift` outside of
    # the surface on
    march: March = March(0.0, 10.0, 64, gain=GAIN, shift=BAND, last_interval=None)
    close: Positive = 5e-4  # distance to the surface at which a ray has met it
    background: SolidBackground = "white"  # behind the solid
    prior: CameraPrior = AROUND


@dataclass(frozen=True)
class SDFField:
    """The solid: its signed distance, below 0 inside, and as a field."""

    network: CoordinateNetwork
    w: Tensor  # [B, 0], codes without numbers, of B solids that are the same

    def distance(self, points: Tensor) -> Tensor:
        """points [B, N, 3] -> signed distance [B, N, 1]."""
        return self.network(points)

    def normals(self, points: Tensor) -> Tensor:
        """points [B, N, 3] -> directions in which the distance grows, unit [B, N, 3]."""
        with torch.enable_grad():
            points = points.detach().requires_grad_()
            found = gradient(self.distance(points), points)[..., 0, :]
        return normalize(found.detach(), dim=-1)

    def __call__(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points, unit directions [B, N, 3] -> colors [B, N, 3], all the same, raw density [B, N]."""
        return torch.full_like(points, COLOR), -self.distance(points)[..., 0]


class SDFGenerator(SingleSceneGenerator, VolumeGenerator):
    """One solid in the box from -1 to 1, which is the weights of its network."""

    bounds = (1.0, 1.0, 1.0)

    def __init__(self, config: SDFGeneratorConfig):
        super().__init__()
        self.config, self.march, self.prior = config, config.march, config.prior
        self.surface_density = config.march.gain * config.march.shift
        self.network = CoordinateNetwork(config.network, 3, 1)

    def bind(self, w: Tensor) -> SDFField:
        """w [B, 0] -> the solid, for B views."""
        return SDFField(self.network, w)

    def render(
        self, scene: SDFField, view: Camera | Rays, options: RenderOptions = DEFAULT_OPTIONS
    ) -> Rendering:
        """The solid, B cameras or rays -> shaded pictures in [0, 1], depth, alpha (0 or 1), no gradients."""
        rays, size = self.rays(view)
        ray_bytes = self.sample_bytes(graph=True)
        parts = in_chunks(
            lambda rays, noise: self.trace(scene, rays, options), rays.unit(), NO_NOISE, options, ray_bytes
        )
        image, depth, alpha = (to_image(x, size) for x in parts)
        return Rendering(image, depth, alpha, rays=rays)

    @torch.no_grad()
    def trace(self, scene: SDFField, rays: Rays, options: RenderOptions) -> tuple[Tensor, Tensor, Tensor]:
        """Unit rays [B, R] -> color [B, R, 3], distance and opacity [B, R, 1] where they meet the surface."""
        origins, directions = rays.origins.flatten(0, 1), rays.directions.flatten(0, 1)
        t, met = sphere_trace(
            scene, origins, directions, options.samples or self.march.samples, self.config.close
        )
        white = (options.background or self.config.background) == "white"
        color = torch.full_like(origins, float(white))
        points = origins[met] + t[met, None] * directions[met]
        if len(points):
            eye = directions[met]
            if options.fixed_direction is not None:
                eye = eye.new_tensor(options.fixed_direction).expand_as(eye)
            color[met] = shade(scene.normals(points[None])[0], eye)
        depth = torch.where(met, t, 0.0)
        shape = rays.origins.shape[:2]
        return tuple(x.unflatten(0, shape) for x in (color, depth[:, None], met[:, None].to(color)))

    def sample_bytes(self, graph: bool) -> int:
        """Bytes that a sample takes: all activations where a graph is kept, else those of a layer."""
        return self.network.point_bytes(graph)

    def ray_bytes(self) -> int:
        """Bytes that a point on the surface, and one beside it, take in training, with all graphs."""
        return 6 * self.network.point_bytes(graph=True)


def shade(normals: Tensor, directions: Tensor) -> Tensor:
    """Unit normals, and unit directions from the eye [N, 3] -> diffuse colors [N, 3], 0 to 1."""
    facing = -(normals * directions).sum(dim=-1, keepdim=True)
    sun = (normals @ normals.new_tensor(LIGHT))[:, None].clamp_min(0)
    return (COLOR * (AMBIENT + HEADLIGHT * facing.clamp_min(0) + SUN * sun)).expand(-1, 3).clamp(0, 1)


def sphere_trace(
    scene: SDFField, origins: Tensor, directions: Tensor, steps: int, close: float
) -> tuple[Tensor, Tensor]:
    """Go along R unit rays [R, 3] by the signed distance (Hart 1996) -> t [R], whether they met it [R]."""
    safe = torch.where(directions.abs() < 1e-9, 1e-9, directions)
    sides = torch.stack([(-1 - origins) / safe, (1 - origins) / safe])
    t, end = sides.amin(dim=0).amax(dim=-1).clamp_min(0), sides.amax(dim=0).amin(dim=-1)
    met, going = torch.zeros_like(t, dtype=torch.bool), (t < end).nonzero()[:, 0]
    for _ in range(steps):
        if not len(going):
            break
        points = origins[going] + t[going, None] * directions[going]
        distance = scene.distance(points[None])[0, :, 0]
        arrived = distance.abs() < close
        met[going[arrived]] = True
        going, distance = going[~arrived], distance[~arrived]
        t[going] += distance
        going = going[(t[going] < end[going]) & (t[going] >= 0)]
    return t, met
