"""GRAF's generator: shape and appearance codes -> NeRF with codes -> picture."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from genscene.contract import DEFAULT_OPTIONS, Background, Rendering, RenderOptions
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, PixelConvention, Rays
from genscene.geometry.priors import CameraPrior
from genscene.layers.mapping import scale_codes
from genscene.layers.nerf_field import FieldConfig, NeRFField
from genscene.randomness import Randomness
from genscene.ranges import Channels
from genscene.render.fields.sparse import DETAILED, POINTS, Parts, SparseField, skip_empty
from genscene.render.march import March
from genscene.render.volume import VolumeGenerator, render_view

V = math.pi / 2 * 0.4564  # mean and half range of CARLA's polar angle, uniform in area


@dataclass(frozen=True)
class GRAFGeneratorConfig:
    """All the numbers of the generator."""

    shape_codes: Channels = 128  # numbers in the shape code
    appearance_codes: Channels = 128  # numbers in the appearance code
    field: FieldConfig = FieldConfig(official_encoding=True)
    # color depends on the direction; off: on the appearance code alone (released CUB)
    view_dependent: bool = True
    march: March = March(7.5, 12.5, 64, bins="midpoints")
    background: Background = "white"
    prior: CameraPrior = CameraPrior("sphere", (0.0, math.pi), (V, V), 10.0, 30.0, up="z")
    pixels: PixelConvention = "center"  # corner: rays through the pixels' upper left corners (released code)
    axis_depth: bool = False  # near and far are depths along the camera's axis (released code)
    # near and far are those of the farthest camera; of nearer ones they are as much smaller (released code)
    follow_radius: bool = True

    def check(self) -> None:
        """Raise BadInput for a field without a layer for the appearance code."""
        if not self.field.view_dependent:
            raise BadInput(
                "field.view_dependent off: wanted view_dependent off, which keeps the appearance code"
            )
        if self.march.fine_samples:
            raise BadInput("march.fine_samples: wanted 0, GRAF samples once")


@dataclass(frozen=True)
class Codes:
    """What B scenes are made of."""

    shape: Tensor  # [B, shape_codes]
    appearance: Tensor  # [B, appearance_codes]


@dataclass(frozen=True)
class CodedField:
    """A field bound to B pairs of codes."""

    network: NeRFField
    codes: Codes
    view_dependent: bool

    def __call__(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points, unit directions [B, N, 3] -> colors [B, N, 3] in (0, 1), raw density [B, N]."""
        along = directions if self.view_dependent else None
        return self.network(points, along, self.codes.shape, self.codes.appearance)


class GRAFGenerator(VolumeGenerator):
    """z [B, latent_dim], the shape code before the appearance code -> fields -> pictures of any size."""

    def __init__(self, config: GRAFGeneratorConfig):
        super().__init__()
        self.config, self.march, self.pixels, self.prior = config, config.march, config.pixels, config.prior
        self.latent_dim = config.shape_codes + config.appearance_codes
        self.bounds = ((config.march.far - config.march.near) / 2,) * 3
        codes = (config.shape_codes, config.appearance_codes)
        self.field = NeRFField(config.field, codes=codes, view_dependent=config.view_dependent)
        for layer in self.field.modules():
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()  # PyTorch's default, as the released code has it

    def latents(self, randomness: Randomness) -> Tensor:
        """Normal numbers -> z [B, latent_dim]."""
        return randomness.normal(self.latent_dim)

    def style(self, z: Tensor, psi: float | Tensor = 1.0, camera: Camera | None = None) -> Codes:
        """z [B, latent_dim] -> its codes, multiplied by psi."""
        sides = [self.config.shape_codes, self.config.appearance_codes]
        return Codes(*scale_codes(z, psi).split(sides, dim=1))

    def bind(self, w: Codes) -> CodedField:
        """Codes -> B fields."""
        return CodedField(self.field, w, self.config.view_dependent)

    def measure_empty(self, scene: CodedField, points: int = POINTS) -> Parts[SparseField]:
        """The scene with its empty space measured, so many points at once."""
        codes = scene.codes.shape
        return skip_empty(scene, codes, self.bounds, self.march, points=points, margin=DETAILED)

    def render(
        self, scene: CodedField | SparseField, view: Camera | Rays, options: RenderOptions = DEFAULT_OPTIONS
    ) -> Rendering:
        """B fields, B cameras or rays -> pictures in [0, 1], depth, alpha."""
        rays, size = self.rays(view)
        if options.background is None:
            options = replace(options, background=self.config.background)
        rays = rays if self.config.axis_depth else rays.unit()
        farther = self.beyond(rays)
        back = Rays(rays.origins - farther * rays.directions, rays.directions)
        found = render_view(scene, back, size, self.march, options, self.sample_bytes(False))
        assert found.depth is not None
        assert found.alpha is not None
        lengths = (farther * rays.directions.norm(dim=-1, keepdim=True)).mT.unflatten(-1, size)
        depth = torch.where(found.alpha > 0, found.depth - lengths, found.depth)
        return replace(found, depth=depth, rays=rays)

    def sample_bytes(self, graph: bool) -> int:
        """Memory of one sample while the field is evaluated, with its graph where one is kept."""
        return 4 * (self.config.field.depth + 2 if graph else 5) * self.config.field.width

    def beyond(self, rays: Rays) -> Tensor:
        """How much nearer than the farthest one the camera of each ray is [B, R, 1]."""
        prior = self.config.prior
        if not (self.config.follow_radius and prior.radius_spread):
            return torch.zeros_like(rays.origins[..., :1])
        return prior.radius + prior.radius_spread - rays.origins.norm(dim=-1, keepdim=True)
