"""One picture as a function of the plane, which is the weights of a network of coordinates."""

from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.contract import DEFAULT_OPTIONS, Rendering, RenderOptions, SingleSceneGenerator
from genscene.geometry.cameras import Grid
from genscene.layers.coordinate_network import CoordinateNetwork, CoordinateNetworkConfig
from genscene.ranges import Side
from genscene.render.canvas import CanvasGenerator, render_pixels

CHANNELS = 3
MEAN_GRID = (64, 64)  # pixels that the mean color is computed of


@dataclass(frozen=True)
class ImageGeneratorConfig:
    """All the numbers of the generator."""

    network: CoordinateNetworkConfig = CoordinateNetworkConfig()
    # height and width of the picture, in pixels, which is set by the data: encodings are as fine along x as y
    size: tuple[Side, Side] = (256, 256)


@dataclass(frozen=True)
class ImageCanvas:
    """The picture as a function (a Canvas)."""

    generator: "ImageGenerator"
    w: Tensor  # [B, 0], codes without numbers, of B pictures that are the same

    def __call__(self, coords: Tensor) -> Tensor:
        """coords (x, y) [B, 2, H, W], of the frame -1 to 1 -> image [B, 3, H, W], about 0 to 1."""
        return self.pixels(coords.flatten(2).mT).mT.unflatten(-1, coords.shape[2:])

    def pixels(self, coords: Tensor) -> Tensor:
        """coords (x, y) [B, N, 2] -> colors [B, N, 3], about 0 to 1, not clamped."""
        coords, (height, width) = coords.to(self.w), self.generator.config.size
        square = coords * coords.new_tensor([width, height]) / max(height, width)
        return (self.generator.network(square) + 1) / 2 + self.generator.offset


class ImageGenerator(SingleSceneGenerator, CanvasGenerator):
    """One picture of any size, which is the weights of its network."""

    offset: Tensor  # [3], added to all colors: what fitting to derivatives leaves undetermined

    def __init__(self, config: ImageGeneratorConfig):
        super().__init__()
        self.config = config
        self.network = CoordinateNetwork(config.network, 2, CHANNELS)
        self.register_buffer("offset", torch.zeros(CHANNELS))

    def bind(self, w: Tensor) -> ImageCanvas:
        """w [B, 0] -> the picture, for B views."""
        return ImageCanvas(self, w)

    def coords(self, view: Grid) -> Tensor:
        """Coordinates (x, y) of the centers of pixels [B, 2, H, W]."""
        return view.coords()

    def render(self, scene: ImageCanvas, view: Grid, options: RenderOptions = DEFAULT_OPTIONS) -> Rendering:
        """The picture in B windows -> [B, 3, H, W], about 0 to 1."""
        coords = self.coords(view).flatten(2).mT
        pixel_bytes = self.network.point_bytes(graph=False)
        colors = render_pixels(
            lambda part: scene.pixels(coords[:, part]), len(coords), coords.shape[1], options, pixel_bytes
        )
        return Rendering(colors.mT.unflatten(-1, view.size))

    @torch.no_grad()
    def set_mean(self, color: tuple[float, ...]) -> None:
        """Set the offset so that the mean color of the picture is this one."""
        mean = self.render(
            self.bind(self.offset.new_zeros(1, 0)), Grid.whole(1, MEAN_GRID).to(self.offset.device)
        )
        self.offset += self.offset.new_tensor(color) - mean.image.mean(dim=(0, 2, 3))

    def pixel_bytes(self) -> int:
        """Bytes that a pixel takes in training, with its graph."""
        return self.network.point_bytes(graph=True)
