"""pi-GAN's generator: latent code -> FiLM styles -> SIREN field -> picture; the field's ablations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from secrets import randbits
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, relu

import genscene.kernels as kernels
from genscene.contract import DEFAULT_OPTIONS, Background, Rendering, RenderOptions
from genscene.geometry.cameras import Camera, PixelConvention, Rays
from genscene.geometry.priors import CameraPrior
from genscene.layers.encoding import positional_encoding
from genscene.layers.mapping import LatentDistribution, MappingNetwork
from genscene.layers.siren import siren_init
from genscene.randomness import Randomness, RandomStreams
from genscene.ranges import Box, Cells, Channels, Factor, Layers, NonNegative, Octaves, Range, Signed
from genscene.render.fields.query import query_where
from genscene.render.fields.sparse import POINTS, Parts, SparseField, skip_empty
from genscene.render.march import March
from genscene.render.volume import VolumeGenerator, render_view


@dataclass(frozen=True)
class FieldConfig:
    """The network of color and density at a point."""

    width: Channels = 256  # channels of every layer
    depth: Layers = 8  # layers before the density
    activation: Literal["sine", "relu"] = "sine"  # relu: ablation, to be used with octaves
    # concat: ablation, the latent code is an input as in GRAF
    conditioning: Literal["film", "concat"] = "film"
    octaves: Octaves = 0  # of positional encoding of the point (NeRF, eq. 4); 0: the point itself
    # scale and offset of the mapping network's raw frequencies
    frequency: tuple[Signed, Signed] = (15.0, 30.0)
    warp: Factor = 1.0  # points are multiplied by this first (released CelebA and Cats: 2 / 0.24)
    # of a learned 3-D grid whose features are concatenated to the point; 0: no grid
    grid_channels: Annotated[int, Range(0, 4096)] = 0
    grid_size: Cells = 96  # cells along each side of the grid
    grid_std: NonNegative = 0.01  # standard deviation of the grid's initial values
    view_dependent: bool = True  # color depends on the ray's direction, through one more layer
    box: Box | None = None  # half sides of the box outside which space is empty; None: no box

    @property
    def film_layers(self) -> int:
        """Layers that take a frequency and a phase."""
        return self.depth + self.view_dependent


@dataclass(frozen=True)
class Legacy:
    """What the released code does differently; converted checkpoints set what they need."""

    # samples are jittered at evaluation too: the same seed gives different pictures
    eval_jitter: bool = False
    fade_first_stage: bool = False  # the discriminator's layers fade in even in the first stage
    # gradients of accumulated parts are summed for the generator, not averaged
    sum_accumulation: bool = False


@dataclass(frozen=True)
class PiGANGeneratorConfig:
    """All the numbers of the generator."""

    latent: LatentDistribution = "gaussian"  # distribution of z; uniform: -1 to 1
    latent_dim: Channels = 256  # numbers in z
    mapping_width: Channels = 256  # channels of the mapping network's hidden layers
    mapping_depth: Annotated[int, Range(0, 1024)] = 3  # hidden layers of the mapping network
    field: FieldConfig = FieldConfig()
    march: March = March(fine_samples=12)
    background: Background = "black"  # in training
    eval_background: Background = "black"  # outside training
    prior: CameraPrior = CameraPrior()
    pixels: PixelConvention = "center"  # border: outermost rays through the image's border (released code)
    legacy: Legacy = Legacy()


class FieldBase(nn.Module):
    """What both kinds of conditioning share: inputs, layers, heads."""

    def __init__(self, config: FieldConfig, code_dim: int):
        """code_dim: numbers of the latent code that are concatenated to the point."""
        super().__init__()
        self.config = config
        inputs = (6 * config.octaves or 3) + config.grid_channels + code_dim
        sides = [inputs] + [config.width] * config.depth
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sides))
        self.density = nn.Linear(config.width, 1)
        self.color_layer = nn.Linear(3 + config.width, config.width) if config.view_dependent else None
        self.color = nn.Linear(config.width, 3)
        if config.grid_channels:
            cells = (1, config.grid_channels) + (config.grid_size,) * 3
            self.grid = nn.Parameter(torch.empty(cells).normal_(std=config.grid_std))
        self._initialise()

    def inputs(self, points: Tensor) -> Tensor:
        """World points [B, N, 3] -> input of the first layer, without a latent code [B, N, I]."""
        warped = points * self.config.warp
        encoded = positional_encoding(warped, self.config.octaves) if self.config.octaves else warped
        if not self.config.grid_channels:
            return encoded
        # 0 outside [-1, 1]^3
        found = grid_sample(self.grid, warped.reshape(1, 1, 1, -1, 3), align_corners=True)
        return torch.cat(
            [found[0, :, 0, 0].mT.reshape(*warped.shape[:-1], self.config.grid_channels), encoded], dim=-1
        )

    def heads(self, x: Tensor, color: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Features for density and color [B, N, W] -> colors [B, N, 3] in (0, 1), raw density [B, N]."""
        return self.color(color).to(dtype).sigmoid(), self.density(x)[..., 0].to(dtype)

    @torch.no_grad()
    def _initialise(self) -> None:
        """SIREN's initialisation with frequency 25 (pi-GAN, supplement); He's for relu."""
        for layer in self.modules():
            if not isinstance(layer, nn.Linear):
                continue
            if self.config.activation == "relu":
                nn.init.kaiming_normal_(layer.weight)
            else:
                siren_init(layer, 25)
        if self.config.activation == "sine":
            first = self.layers[0]
            assert isinstance(first, nn.Linear)
            siren_init(first, 25, first=True)


class FilmField(FieldBase):
    """Frequencies and phases of every layer come from the latent code: FiLM (pi-GAN, eq. 2)."""

    def forward(self, points: Tensor, directions: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """points, directions [B, N, 3], raw styles w [B, 2, L, W] -> colors [B, N, 3], raw density [B, N]."""
        scale, offset = self.config.frequency
        frequencies, phases = scale * w[:, 0] + offset, w[:, 1]
        with torch.autocast(points.device.type, enabled=False):  # coordinates times 30 need more than 8 bits
            first = frequencies[:, 0].to(points.dtype), phases[:, 0].to(points.dtype)
            x = self.film(self.layers[0], (self.inputs(points),), *first)
        for i in range(1, self.config.depth):
            x = self.film(self.layers[i], (x,), frequencies[:, i], phases[:, i])
        color = x
        if self.color_layer is not None:
            color = self.film(self.color_layer, (directions, x), frequencies[:, -1], phases[:, -1])
        return self.heads(x, color, points.dtype)

    def film(self, layer: nn.Module, parts: Sequence[Tensor], frequency: Tensor, phase: Tensor) -> Tensor:
        """One FiLM layer: parts of x [B, N, I_k], styles [B, O] -> [B, N, O]."""
        assert isinstance(layer, nn.Linear)
        if self.config.activation == "sine":
            return kernels.film_sine(parts, layer.weight, layer.bias, frequency, phase)
        x = torch.cat([part.to(parts[-1]) for part in parts], dim=-1)
        return relu(frequency[:, None] * layer(x) + phase[:, None])


class ConcatField(FieldBase):
    """The latent code is an input like the point, frequencies are constant (pi-GAN, sec. 4.3, ablation)."""

    def forward(self, points: Tensor, directions: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """points, directions [B, N, 3], codes w [B, Z] -> colors [B, N, 3], raw density [B, N]."""
        x = torch.cat([self.inputs(points), w[:, None].expand(-1, points.shape[1], -1)], dim=-1)
        for layer in self.layers:
            x = self.activate(layer(x))
        color = x
        if self.color_layer is not None:
            color = self.activate(self.color_layer(torch.cat([directions.to(x), x], dim=-1)))
        return self.heads(x, color, points.dtype)

    def activate(self, x: Tensor) -> Tensor:
        """The activation; the frequency of the sine is the offset of pi-GAN's frequencies."""
        return (self.config.frequency[1] * x).sin() if self.config.activation == "sine" else relu(x)


@dataclass(frozen=True)
class StyledField:
    """A field network bound to B styles."""

    network: FilmField | ConcatField
    w: Tensor  # [B, 2, L, W] raw frequencies and phases, or [B, Z] codes
    boxed: bool = True  # space outside the network's box, if it has one, is empty and black

    def __call__(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points, unit directions [B, N, 3] -> colors [B, N, 3] in (0, 1), raw density [B, N]."""
        box = self.network.config.box
        if box is None or not self.boxed:
            return self.network(points, directions, self.w)
        inside = (points.abs() <= torch.tensor(box).to(points)).all(dim=-1)
        return query_where(
            lambda scenes: StyledField(self.network, self.w[scenes], boxed=False), points, directions, inside
        )


class PiGANGenerator(VolumeGenerator):
    """z [B, latent_dim] -> fields bound to it -> pictures of any size."""

    def __init__(self, config: PiGANGeneratorConfig):
        super().__init__()
        self.config, self.march, self.pixels = config, config.march, config.pixels
        self.latent_dim, self.prior = config.latent_dim, config.prior
        self.bounds = config.field.box or ((config.march.far - config.march.near) / 2,) * 3
        film = config.field.conditioning == "film"
        self.layer_dim = 2 if film else None
        network = mapping_layers(config) if film else nn.Identity()
        shape = (2, config.field.film_layers, config.field.width) if film else (config.latent_dim,)
        self.mapping = MappingNetwork(network, config.latent_dim, shape, config.latent)
        self.field = FilmField(config.field, 0) if film else ConcatField(config.field, config.latent_dim)

    def latents(self, randomness: Randomness) -> Tensor:
        """One latent code for each stream -> z [B, latent_dim]."""
        return self.mapping.latents(randomness, self.latent_dim)

    def style(self, z: Tensor, psi: float | Tensor = 1.0, camera: Camera | None = None) -> Tensor:
        """z [B, latent_dim] -> raw frequencies and phases w [B, 2, L, W], or codes [B, Z]."""
        return self.mapping(z, psi)

    def bind(self, w: Tensor) -> StyledField:
        """w, as `style` returns it -> B fields."""
        return StyledField(self.field, w)

    def measure_empty(self, scene: StyledField, points: int = POINTS) -> Parts[SparseField]:
        """The scene with its empty space measured, so many points at once."""
        boxed = self.config.field.box is not None
        inside = replace(scene, boxed=False) if boxed else None
        return skip_empty(scene, scene.w, self.bounds, self.march, inside, points)

    def render(
        self, scene: StyledField | SparseField, view: Camera | Rays, options: RenderOptions = DEFAULT_OPTIONS
    ) -> Rendering:
        """B fields, B cameras -> pictures in [0, 1], depth, alpha."""
        rays, size = self.rays(view)
        if options.background is None:
            options = replace(options, background=self.config.eval_background)
        if options.randomness is None and self.config.legacy.eval_jitter:
            # of the machine: rendering leaves torch's random state, which a training run counts on, alone
            seeds = [randbits(62) for _ in range(len(rays.origins))]
            options = replace(options, randomness=RandomStreams(seeds, rays.origins.device))
        sample_bytes = self.sample_bytes(torch.is_grad_enabled())
        return render_view(scene, rays.unit(), size, self.march, options, sample_bytes)

    def sample_bytes(self, graph: bool) -> int:
        """Bytes that a sample takes: all activations where a graph is kept, else those of a layer."""
        field = self.config.field
        return 4 * ((3 * field.film_layers if graph else 4) * field.width + 30)


def mapping_layers(config: PiGANGeneratorConfig) -> nn.Sequential:
    """z [B, Z] -> raw frequencies, then raw phases [B, 2 * L * W] (pi-GAN, sec. 3.1)."""
    sides = [config.latent_dim] + [config.mapping_width] * config.mapping_depth
    sides.append(2 * config.field.film_layers * config.field.width)
    layers = [nn.Linear(a, b) for a, b in pairwise(sides)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, a=0.2)
    with torch.no_grad():
        layers[-1].weight *= 0.25
    hidden = [part for layer in layers[:-1] for part in (layer, nn.LeakyReLU(0.2))]
    return nn.Sequential(*hidden, layers[-1])
