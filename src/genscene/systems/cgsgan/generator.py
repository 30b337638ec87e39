"""CGS-GAN's generator: a latent code -> styles of blocks -> Gaussians -> pictures from any camera."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from genscene.contract import DEFAULT_OPTIONS, Generator, Rendering, RenderOptions
from genscene.errors import BadInput
from genscene.geometry.cameras import LABEL_SIZE, Camera, no_autocast
from genscene.geometry.priors import CameraPrior
from genscene.layers.mapping import MappingNetwork
from genscene.layers.points.residual import RawGaussians, ResidualConfig, activated
from genscene.layers.stylegan2 import LabelMapping
from genscene.randomness import Randomness
from genscene.ranges import Channels, Factor, Layers, NonNegative
from genscene.render.splatting import render_gaussians
from genscene.scenes import Gaussians, SolidBackground
from genscene.systems.cgsgan.network import PointNetwork, PointNetworkConfig

FACES = CameraPrior("gaussian", (math.pi / 2, 0.3), (math.pi / 2, 0.155), radius=2.7, fov=13.373)


@dataclass(frozen=True)
class CGSGANGeneratorConfig:
    """All the numbers of the generator."""

    latent_dim: Channels = 512  # numbers in the latent code
    style_dim: Channels = 512  # numbers in a style
    mapping_depth: Layers = 2  # layers from the one to the other
    mapping_lr: Factor = 0.01  # factor of these layers' weights, and so of their learning rate
    # the mapping is given a camera, so that a head may change with it (GSGAN); off: zeros
    camera_conditioning: bool = False
    # without camera_conditioning the mapping embeds a camera of zeros, as released: a learned constant, whose
    # direction the first steps turn at will; off: it has the code alone
    label_embedding: bool = True
    # one style for all blocks of the transformer (first release); off: one for each
    legacy_single_w: bool = False
    # styles pass the mapping once more, as in the published pictures
    legacy_double_mapping: bool = False
    network: PointNetworkConfig = PointNetworkConfig()
    residual: ResidualConfig = ResidualConfig()
    prior: CameraPrior = FACES
    background: SolidBackground = "white"  # behind the Gaussians
    dilation: NonNegative = 0.3  # variance added to every Gaussian in the picture, in square pixels

    def check(self) -> None:
        """Raise BadInput for styles that cannot be mapped once more."""
        if self.legacy_double_mapping and self.latent_dim != self.style_dim:
            raise BadInput("legacy_double_mapping: wanted a style_dim equal to latent_dim with it")


@dataclass(frozen=True)
class AnchoredGaussians(Gaussians):
    """B clouds of Gaussians, and where the anchors of their first level are."""

    anchors: Tensor  # [B, P, 3]


class CGSGANGenerator(Generator):
    """z [B, latent_dim] -> w [B, blocks, style_dim], or [B, style_dim] -> Gaussians -> pictures."""

    def __init__(self, config: CGSGANGeneratorConfig):
        super().__init__()
        self.config, self.latent_dim, self.prior = config, config.latent_dim, config.prior
        label = config.prior.sweep(1, (1, 1)).label()[0] if config.camera_conditioning else None
        labels = LABEL_SIZE * (config.label_embedding or config.camera_conditioning)
        sizes = (labels, config.style_dim, config.mapping_depth, config.mapping_lr)
        network = LabelMapping(config.latent_dim, *sizes, label)
        self.mapping = MappingNetwork(network, config.latent_dim, (config.style_dim,))
        self.network = PointNetwork(config.network, config.style_dim)
        self.layer_dim = None if config.legacy_single_w else 1
        self.conditioned = config.camera_conditioning
        self.bounds = (config.residual.bound,) * 3

    def latents(self, randomness: Randomness) -> Tensor:
        """Normal numbers -> z [B, latent_dim]."""
        return self.mapping.latents(randomness, self.latent_dim)

    def style(self, z: Tensor, psi: float | Tensor = 1.0, camera: Camera | None = None) -> Tensor:
        """z [B, latent_dim] -> w [B, blocks, style_dim], or [B, style_dim] where blocks share one.

        camera: the one that conditions the mapping, where that is configured; None: the prior's mean.
        """
        seen = camera if self.config.camera_conditioning else None
        w = self.mapping(z, psi, None if seen is None else seen.label().to(z))
        if self.config.legacy_double_mapping:
            w = self.mapping(w)
        return w if self.config.legacy_single_w else w[:, None].expand(-1, self.config.network.blocks, -1)

    def raw(self, w: Tensor) -> tuple[RawGaussians, list[RawGaussians]]:
        """w, as `style` gives it -> all Gaussians before activation, and the anchors of each level."""
        if w.ndim == 2:
            w = w[:, None].expand(-1, self.config.network.blocks, -1)
        return self.network(w, self.config.residual)

    def bind(self, w: Tensor) -> AnchoredGaussians:
        """w [B, blocks, style_dim], or [B, style_dim] -> B clouds of Gaussians."""
        raw, anchors = self.raw(w)
        values: dict[str, Any] = activated(raw, self.config.residual)
        return AnchoredGaussians(**values, anchors=anchors[0].xyz)

    def render(self, scene: Gaussians, view: Camera, options: RenderOptions = DEFAULT_OPTIONS) -> Rendering:
        """B clouds, B cameras -> pictures, depth and opacity."""
        if not isinstance(view, Camera):
            raise BadInput(f"the view is {type(view).__name__}, wanted a Camera to see Gaussians from")
        color = scene.means.new_tensor(options.background_color(self.config.background))
        with no_autocast(color):
            behind, dilation = color.expand(len(view), 3), self.config.dilation
            return render_gaussians(scene, view, behind, dilation=dilation, options=options)

    def grow(self, smaller: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a generator with fewer levels, and its own of the others."""
        levels = sum(name.startswith("network.upsample.") and "subpixel.w" in name for name in smaller)
        own = {f"network.{name}": x for name, x in self.network.state_dict().items()}
        return {name: x for name, x in own.items() if self.network.level_of(name) >= levels} | smaller
