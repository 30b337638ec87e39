"""pi-GAN's generator: latent code -> styles -> field -> picture, marched twice with the same network."""

import copy
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from genscene.contract import MAX_BYTES, Generator, Rendering
from genscene.geometry.cameras import Camera, Rays, exact
from genscene.geometry.priors import CameraPrior
from genscene.randomness import RandomStreams
from genscene.render.volume import (
    March,
    RayNoise,
    composite,
    in_chunks,
    merge,
    query,
    resample,
    sample_perturb,
    stratified,
    to_image,
    weigh,
)
from genscene.systems.pigan.field import ConcatField, FieldConfig, FilmField, StyledField

Background = Literal["black", "white", "last"]
FRONT = (0.0, 0.0, -1.0)  # the one direction of locked view dependence: from the front


@dataclass(frozen=True)
class Legacy:
    """What the released code does differently; converted checkpoints set what they need."""

    corner_pixels: bool = False  # rays go through the image's corners, not through pixel centres
    eval_jitter: bool = False  # samples stay random at evaluation, so that the same seed gives other pictures
    raw_depth: bool = False  # depth is the weighted sum of distances, not divided by the sum of weights
    double_floor: bool = False  # the resampler adds 1e-5 to its weights twice
    fade_first_stage: bool = False  # the discriminator fades in even at the start of the first stage
    chunk_sum: bool = (
        False  # gradients of the accumulated slices are added up for the generator, not averaged
    )


@dataclass(frozen=True)
class PiGANGeneratorConfig:
    """All the numbers of the generator."""

    latent: Literal["gaussian", "uniform"] = "gaussian"  # where z is drawn from; uniform: -1 to 1
    latent_dim: int = 256  # numbers in z
    mapping_width: int = 256  # channels of the mapping network's hidden layers
    mapping_depth: int = 3  # hidden layers of the mapping network
    field: FieldConfig = FieldConfig()
    march: March = March()
    hierarchical: bool = True  # march a second time, where the first found something
    background: Background = (
        "black"  # what light that nothing stops takes on; last: the farthest sample's colour
    )
    eval_background: Background = "black"  # the same outside training
    orbit: CameraPrior = CameraPrior()
    legacy: Legacy = Legacy()


def mapping_network(config: PiGANGeneratorConfig) -> nn.Sequential:
    """z [B, Z] -> raw frequencies, then raw phases [B, 2 * L * W] (pi-GAN, sec. 3.1)."""
    sides = [config.latent_dim] + [config.mapping_width] * config.mapping_depth
    sides.append(2 * config.field.styles * config.field.width)
    layers = [nn.Linear(a, b) for a, b in pairwise(sides)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, a=0.2)
    with torch.no_grad():
        layers[-1].weight *= 0.25
    hidden = [part for layer in layers[:-1] for part in (layer, nn.LeakyReLU(0.2))]
    return nn.Sequential(*hidden, layers[-1])


class PiGANGenerator(Generator):
    """z [B, latent_dim] -> a field of colour and density bound to it -> pictures of any size."""

    average: Tensor
    photographed = None

    def __init__(self, config: PiGANGeneratorConfig):
        super().__init__()
        self.config = config
        self.latent_dim, self.orbit, self.march = config.latent_dim, config.orbit, config.march
        self.reach = config.field.box or ((config.march.far - config.march.near) / 2,) * 3
        film = config.field.conditioning == "film"
        self.mapping = mapping_network(config) if film else None
        self.field = FilmField(config.field) if film else ConcatField(config.field, config.latent_dim)
        shape = (2, config.field.styles, config.field.width) if film else (config.latent_dim,)
        self.register_buffer("average", torch.zeros(shape))

    def latents(self, draws: RandomStreams) -> Tensor:
        """One latent code for each stream of draws -> z [B, latent_dim]."""
        return self.codes(draws, self.latent_dim)

    def codes(self, draws: RandomStreams, *shape: int) -> Tensor:
        """Numbers of latent codes -> [B, *shape]."""
        return 2 * draws.uniform(*shape) - 1 if self.config.latent == "uniform" else draws.normal(*shape)

    def style(self, z: Tensor, psi: float = 1.0) -> Tensor:
        """z [B, latent_dim] -> raw frequencies and phases w [B, 2, L, W]; psi: truncation towards the average."""
        with exact(z):  # frequencies of 30 do not fit 8 bits
            w = z if self.mapping is None else self.mapping(z).view(len(z), *self.average.shape)
        return w if psi == 1 else self.average + psi * (w - self.average)

    def bind(self, w: Tensor) -> StyledField:
        """w [B, 2, L, W] -> B fields."""
        return StyledField(self.field, w)

    def lock_view(self, scene: StyledField) -> StyledField:
        """The same fields, every sample seen from the front: colours no longer drift with the view."""
        return replace(scene, direction=FRONT)

    def render(self, scene: StyledField, view: Camera, budget: int = MAX_BYTES) -> Rendering:
        """B fields from B cameras -> pictures in [0, 1], depth, alpha; the same every time."""
        rays, perturb = view.size[0] * view.size[1], RayNoise()
        if self.config.legacy.eval_jitter:
            streams = RandomStreams(
                [int(torch.randint(2**62, ())) for _ in range(len(view))], view.pose.device
            )
            perturb = sample_perturb(streams, rays, self.config.march, self.config.hierarchical, 0.0)
        chunk = rays if torch.is_grad_enabled() else self.chunk(len(view), budget)
        return self.trace(scene, view, perturb, self.config.eval_background, chunk)

    def chunk(self, batch: int, budget: int, graph: bool = False) -> int:
        """Rays of each of B pictures that fit into so many bytes; graph: with all that their gradient needs."""
        field, passes = self.config.field, 2 if self.config.hierarchical else 1
        layers = 3 * passes * field.styles if graph else 4  # kept at once, as wide as the field
        a_ray = 4 * self.config.march.samples * (layers * field.width + 30 * passes)
        return max(1, budget // (a_ray * batch))

    def measured(self, view: Camera) -> Rays:
        """Rays of unit length, as pi-GAN measures its distances."""
        return (view.corner_aligned() if self.config.legacy.corner_pixels else view).rays().unit()

    def trace(
        self,
        scene: StyledField,
        view: Camera,
        perturb: RayNoise,
        background: Background,
        chunk: int,
        deferred: bool = False,
    ) -> Rendering:
        """Render with given random numbers, so many rays at once."""

        def part(rays: Rays, perturb: RayNoise) -> tuple[Tensor, ...]:
            return self.walk(scene, rays, perturb, background)

        color, depth, alpha = in_chunks(part, self.measured(view), perturb, chunk, deferred)
        return Rendering(*(to_image(x, view.size) for x in (color, depth, alpha)))

    def walk(
        self, scene: StyledField, rays: Rays, perturb: RayNoise, background: Background
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Walk along R rays of B scenes -> colours [B, R, 3], depth [B, R, 1], alpha [B, R, 1]."""
        march = self.config.march
        t = stratified(rays, march, perturb.jitter)
        colors, density = query(scene, rays, t)
        if self.config.hierarchical:
            finer = self.finer(t, weigh(density.detach(), t, rays, march, perturb.coarse_noise), perturb)
            fine_colors, fine_density = query(scene, rays, finer)
            t, colors, density = merge(t, finer, (colors, fine_colors), (density, fine_density))
        weights = weigh(density, t, rays, march, perturb.noise)
        alpha = weights.sum(dim=-1, keepdim=True)
        filled = weights
        if background == "last":
            filled = torch.cat([weights[..., :-1], weights[..., -1:] + 1 - alpha], dim=-1)
        color = composite(filled, colors)
        if background == "white":
            color = color + (1 - alpha)
        if self.config.legacy.raw_depth:
            return color, composite(filled, t[..., None]), alpha
        return color, composite(weights, t[..., None]) / alpha.clamp_min(1e-5), alpha

    def finer(self, t: Tensor, weights: Tensor, perturb: RayNoise) -> Tensor:
        """Distances for the second pass, without a gradient -> [B, R, S]."""
        floor = 2e-5 if self.config.legacy.double_floor else 1e-5
        return resample(t, weights.detach(), self.config.march.samples, perturb.importance, floor)

    def resampled(self, samples: int) -> "PiGANGenerator":
        """The same generator with another number of samples in each pass; shares the weights."""
        other = copy.copy(self)
        other.config = replace(self.config, march=replace(self.config.march, samples=samples))
        other.march = other.config.march
        return other

    @torch.no_grad()
    def settle(self) -> None:
        """Store the average style of 10,000 fixed latent codes, the centre of truncation."""
        if self.mapping is not None:
            z = self.codes(RandomStreams([0]), 10_000, self.latent_dim)[0].to(self.average.device)
            self.average.copy_(self.style(z).mean(dim=0))
