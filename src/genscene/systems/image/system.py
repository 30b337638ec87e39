"""Fitting a picture as a system of one player: its colors, or only their derivatives."""

import io
import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from torch import Tensor

from genscene.contract import Stats, StepContext, SystemConfig
from genscene.geometry.cameras import Size
from genscene.layers.coordinate_network import CoordinateNetworkConfig, weight_count
from genscene.metrics.image import psnr
from genscene.objectives.reconstruction import ReconstructionSystem, photometric_loss
from genscene.ranges import NonNegative, Range, Share
from genscene.render.derivatives import gradient, laplacian
from genscene.scenes import PointBatch
from genscene.systems.image.generator import CHANNELS, ImageGenerator, ImageGeneratorConfig

BITS = 32  # of a weight


@dataclass(frozen=True)
class ImageSystemConfig(SystemConfig):
    """All the numbers of the system."""

    batch = "pixels"

    generator: ImageGeneratorConfig = ImageGeneratorConfig()
    # what is fitted: colors; their derivatives alone (SIREN, sec. 4.1), with the mean color of the picture
    target: Literal["color", "gradient", "laplacian"] = "color"
    # bytes of weights for each byte that the picture takes as PNG: the width of the network, or the table of
    # its grid, follows; 0: as given
    content: Annotated[NonNegative, Range(0, 1000)] = 0.0
    mean: tuple[Share, Share, Share] | None = None  # mean color, set by the data where derivatives are fitted

    @property
    def graph_factor(self) -> float:
        """Greater where derivatives are differentiated again; of layers of sines as measured."""
        return {"color": 1.0, "gradient": 6.0, "laplacian": 48.0}[self.target]

    @property
    def differentiates_twice(self) -> bool:
        """Whether derivatives are fitted."""
        return self.target != "color"

    def adapt(self, dataset: Tensor) -> "ImageSystemConfig":
        """With the size of the picture [3, H, W], 0 to 1, its mean color, and weights by its content."""
        height, width = dataset.shape[1:]
        network = self.generator.network
        if network.encoding == "grid" and not network.grid.finest:
            finest = max(height, width, network.grid.coarsest)
            network = replace(network, grid=replace(network.grid, finest=finest))
        if self.content:
            network = sized(network, round(self.content * png_bytes(dataset) * 8 / BITS))
        mean = self.mean
        if self.target != "color":
            red, green, blue = (round(x, 6) for x in dataset.mean(dim=(1, 2)).tolist())
            mean = (red, green, blue)
        return replace(self, generator=ImageGeneratorConfig(network, (height, width)), mean=mean)

    def build_generator(self) -> ImageGenerator:
        """A generator with new weights."""
        return ImageGenerator(self.generator)

    def build(self) -> "ImageSystem":
        """A system with new weights."""
        return ImageSystem(self)

    def check(self, size: Size) -> None:
        """Pictures have any size."""

    def shrunk(self) -> "ImageSystemConfig":
        """Two layers of 8 channels, two small grids."""
        grid = replace(self.generator.network.grid, levels=2, coarsest=4, finest=16, table=64)
        network = replace(self.generator.network, width=8, depth=2, octaves=2, features=4, grid=grid)
        return replace(self, generator=ImageGeneratorConfig(network, (16, 16)))


class ImageSystem(ReconstructionSystem):
    """The generator and its loss."""

    config: ImageSystemConfig
    generator: ImageGenerator

    def generator_loss(self, batch: PointBatch, context: StepContext) -> tuple[Tensor, Stats]:
        """Mean squared error of the colors, or of their derivatives by pixel."""
        config, generator = self.config, self.generator
        if config.target != "color" and config.mean is not None:
            generator.set_mean(config.mean)
        points = batch.points.detach().requires_grad_(config.target != "color")
        values = generator.bind(points.new_zeros(1, 0)).pixels(points)
        if config.target != "color":
            height, width = config.generator.size
            values = derivatives(values, points, (height, width), config.target)
        error = photometric_loss(values, batch.values, "mean")
        stats = {"loss": error}
        return error, stats | ({"psnr": psnr(error.detach())} if config.target == "color" else {})


def derivatives(values: Tensor, points: Tensor, size: Size, kind: str) -> Tensor:
    """Colors [B, N, 3] of points [B, N, 2] in a picture of this size -> their derivatives by pixel.

    gradient: along x and y, [B, N, 6]; laplacian: [B, N, 3].
    """
    pixel = points.new_tensor([2 / size[1], 2 / size[0]])
    first = gradient(values, points) * pixel
    return first.flatten(2) if kind == "gradient" else laplacian(first, points, pixel)


def sized(network: CoordinateNetworkConfig, weights: int) -> CoordinateNetworkConfig:
    """The network with at most so many weights: the widest, or with the largest table, that there is."""
    grid = network.encoding == "grid"

    def candidate(number: int) -> CoordinateNetworkConfig:
        if grid:
            return replace(network, grid=replace(network.grid, table=number))
        return replace(network, width=number)

    low, high = 4, 1 << 24 if grid else 4096
    while high - low > 1:
        middle = (low + high) // 2
        fits = weight_count(candidate(middle), 2, CHANNELS) <= weights
        low, high = (middle, high) if fits else (low, middle)
    return candidate(low)


def png_bytes(pixels: Tensor) -> int:
    """Bytes of a picture [3, H, W], 0 to 1, as PNG: a measure of its content."""
    rgb = (pixels * 255).round().byte().movedim(0, -1).numpy()
    Image.fromarray(np.ascontiguousarray(rgb)).save(found := io.BytesIO(), "PNG", optimize=True)
    return len(found.getvalue())


def bits_per_pixel(config: ImageSystemConfig) -> float:
    """Bits that the weights take for each pixel of the picture."""
    count = weight_count(config.generator.network, 2, CHANNELS)
    return BITS * count / math.prod(config.generator.size)
