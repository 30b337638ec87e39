"""CIPS's generator: a latent code -> a style -> a picture as a function of the plane."""

from dataclasses import dataclass

from torch import Tensor

from genscene.contract import DEFAULT_OPTIONS, Rendering, RenderOptions
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Grid, Size, check_shapes
from genscene.geometry.priors import PlanePrior
from genscene.layers.coordinates import Outside, check_outside, coordinate_noise
from genscene.layers.mapping import MappingNetwork
from genscene.layers.stylegan2 import style_mapping
from genscene.randomness import Randomness
from genscene.ranges import Channels, Factor, Layers, Side
from genscene.render.canvas import CanvasGenerator, corner_aligned, render_pixels
from genscene.systems.cips.network import CIPSNetwork, CIPSNetworkConfig


@dataclass(frozen=True)
class CIPSGeneratorConfig:
    """All the numbers of the generator."""

    latent_dim: Channels = 512  # numbers in the latent code, and in the style
    mapping_depth: Layers = 8  # layers from the one to the other
    mapping_lr: Factor = 0.01  # factor of these layers' weights, and so of their learning rate
    network: CIPSNetworkConfig = CIPSNetworkConfig()
    # height and width of the pictures whose outermost pixel centers have the coordinates -1 and 1
    size: tuple[Side, Side] = (256, 256)
    # the outermost pixel centers of every picture, whatever its size, lie on the border of its window, at -1
    # and 1 for whole pictures (released code); off: pictures of all sizes and windows show one plane
    legacy_corners: bool = False
    outside: Outside = "border"  # embeddings beyond the outermost pixels

    @property
    def corners(self) -> Size | None:
        """Size of the pictures whose outermost centers are at -1 and 1; None: all."""
        return None if self.legacy_corners else self.size

    def check(self) -> None:
        """Raise BadInput for embeddings whose lookup does not go on outside as it is asked to."""
        network = self.network
        if self.legacy_corners and network.frames > 1:
            raise BadInput("legacy_corners around a cylinder: wanted it off")
        check_outside(self.outside, network.embedding, network.legacy_grid_sample, network.frames > 1)


@dataclass(frozen=True)
class CIPSCanvas:
    """B pictures as functions of the plane (a Canvas)."""

    network: CIPSNetwork
    w: Tensor  # styles [B, S]; or of every pixel [B, H * W, S], row by row; or of layers [B, layers, 1, S]
    outside: Outside = "border"  # embeddings beyond the outermost pixels
    zeroed: tuple[str, ...] = ()  # kinds of input features that are as if they were 0

    def __call__(self, coords: Tensor, noise: Tensor | None = None) -> Tensor:
        """coords (x, y) [B or 1, 2, H, W], -1 to 1 in the frame -> image [B, 3, H, W], about 0 to 1."""
        return self.pixels(coords.flatten(2).mT, self.w, noise).mT.unflatten(-1, coords.shape[2:])

    def pixels(self, coords: Tensor, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """coords [B or 1, N, 2]; w [B, S], [B, N, S] or [B, layers, 1, S]; noise -> colors [B, N, 3]."""
        coords, config = coords.to(w), self.network.config
        if config.noise == "coordinate":
            noise = coordinate_noise(coords, config.layers, config.frames > 1).expand(len(w), -1, -1)
        x = self.network.inputs(coords, self.outside, self.zeroed)
        return (self.network(x.expand(len(w), -1, -1), w, noise) + 1) / 2


class CIPSGenerator(CanvasGenerator):
    """z [B, latent_dim] -> w [B, latent_dim], one style for all layers -> pictures of any size.

    At `config.size` the outermost pixel centers are at -1 and 1, as in the paper's training. Pictures of
    other sizes show the same plane: a larger one is sampled more finely, and a window is a part of it.
    """

    def __init__(self, config: CIPSGeneratorConfig):
        super().__init__()
        self.config, self.latent_dim = config, config.latent_dim
        mapping = style_mapping(config.latent_dim, config.mapping_depth, config.mapping_lr)
        self.mapping = MappingNetwork(mapping, config.latent_dim, (config.latent_dim,))
        self.network = CIPSNetwork(config.network, config.latent_dim)
        self.prior = PlanePrior(config.network.frames)

    def latents(self, randomness: Randomness) -> Tensor:
        """Normal numbers -> z [B, latent_dim]."""
        return self.mapping.latents(randomness, self.latent_dim)

    def style(self, z: Tensor, psi: float | Tensor = 1.0, camera: Camera | None = None) -> Tensor:
        """z [B, latent_dim] -> w [B, latent_dim], truncated towards its mean by psi."""
        return self.mapping(z, psi)

    def bind(self, w: Tensor) -> CIPSCanvas:
        """w [B, latent_dim] -> B pictures."""
        return CIPSCanvas(self.network, w, self.config.outside)

    def bind_pixels(self, w: Tensor) -> CIPSCanvas:
        """Styles of every pixel [B, H * W, latent_dim], row by row -> B pictures of that one size."""
        check_shapes("styles of pixels", w, {"w": ("B", "N", self.latent_dim)})
        return CIPSCanvas(self.network, w, self.config.outside)

    def bind_layers(self, w: Tensor) -> CIPSCanvas:
        """Styles of every layer [B, layers, latent_dim], the first one first -> B pictures."""
        check_shapes("styles of layers", w, {"w": ("B", self.config.network.layers, self.latent_dim)})
        return CIPSCanvas(self.network, w[:, :, None], self.config.outside)

    def coords(self, view: Grid) -> Tensor:
        """Coordinates (x, y) of pixels [B, 2, H, W]; of equal windows once, [1, 2, H, W]."""
        return corner_aligned(view, self.config.corners, self.config.network.frames > 1)

    def input_features(self, view: Grid) -> dict[str, Tensor]:
        """One window -> Fourier features and embeddings of its pixels, those that there are [C, H, W]."""
        found = self.network.features(self.coords(view).flatten(2).mT, self.config.outside)
        return {kind: x[0].mT.unflatten(-1, view.size) for kind, x in found.items()}

    def render(self, scene: CIPSCanvas, view: Grid, options: RenderOptions = DEFAULT_OPTIONS) -> Rendering:
        """B canvases, B windows -> pictures [B, 3, H, W], about 0 to 1; noise where randomness is given."""
        w, count = scene.w, view.size[0] * view.size[1]
        if w.ndim == 3 and w.shape[1] != count:
            raise BadInput(f"styles of {w.shape[1]} pixels for pictures of {view.size[0]}x{view.size[1]}")
        coords, noise = self.coords(view).flatten(2).mT, None
        if options.randomness is not None and self.config.network.noise == "random":
            noise = options.randomness.normal(self.config.network.layers, count).to(w)

        def evaluate(part: slice) -> Tensor:
            styles = w[:, part] if w.ndim == 3 else w
            return scene.pixels(coords[:, part], styles, None if noise is None else noise[:, :, part])

        colors = render_pixels(evaluate, len(w), count, options, self.network.pixel_bytes(w.ndim == 3))
        return Rendering(colors.mT.unflatten(-1, view.size))

    def pixel_bytes(self) -> int:
        """Bytes that a pixel takes in training, with its graph."""
        config = self.config.network  # which keeps two tensors of every layer
        return 4 * (config.inputs + 2 * (config.widths[0] + 2 * sum(config.widths)))
