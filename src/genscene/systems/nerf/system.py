"""NeRF as a system of one player: colors of rays against those of photographs."""

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from genscene.contract import (
    RayBatch,
    RenderOptions,
    Stats,
    StepContext,
    SystemConfig,
)
from genscene.geometry.cameras import Camera, PixelConvention, Size
from genscene.geometry.priors import CameraPrior
from genscene.metrics.image import psnr
from genscene.objectives.reconstruction import ReconstructionSystem, photometric_loss
from genscene.ranges import NonNegative
from genscene.render.march import March
from genscene.scenes import PosedDataset
from genscene.systems.nerf.generator import NeRFGenerator, NeRFGeneratorConfig


@dataclass(frozen=True)
class NeRFConfig(SystemConfig):
    """All the numbers of NeRF's system."""

    batch = "rays"

    generator: NeRFGeneratorConfig = NeRFGeneratorConfig()
    # standard deviation of the noise on raw density in training (official code: 1 for real scenes)
    noise: NonNegative = 0.0
    loss: Literal["sum", "mean"] = "sum"  # of squared errors over rays and channels; official code: mean
    bounds: Literal["given", "photographs"] = "given"  # where near and far come from

    @property
    def pixels(self) -> PixelConvention:
        """Where rays cross their pixels."""
        return self.generator.pixels

    def adapt(self, dataset: PosedDataset) -> "NeRFConfig":
        """With the photographs' cameras, background, focal lengths (NDC) and depth bounds."""
        generator, march = self.generator, self.generator.march
        if march.ndc is not None:
            march = replace(march, ndc=ndc_focal(dataset.camera))
        elif self.bounds == "photographs" and dataset.bounds is not None:
            march = bounded_march(march, dataset.bounds)
        background = dataset.background or generator.background
        prior = CameraPrior.fit(dataset.camera)
        return replace(self, generator=replace(generator, march=march, background=background, prior=prior))

    def build_generator(self) -> NeRFGenerator:
        """A generator with new weights."""
        return NeRFGenerator(self.generator)

    def build(self) -> "NeRF":
        """A system with new weights."""
        return NeRF(self)

    def check(self, size: Size) -> None:
        """Rays come from images of any size."""

    def shrunk(self) -> "NeRFConfig":
        """Three layers of 8 channels, 4 samples."""
        generator, march = self.generator, self.generator.march
        octaves = min(2, generator.field.octaves)
        field = replace(generator.field, width=8, depth=3, skips=(1,), octaves=octaves)
        march = replace(march, samples=4, fine_samples=min(4, march.fine_samples))
        return replace(
            self, generator=replace(generator, field=field, fine_width=0, fine_depth=0, march=march)
        )


class NeRF(ReconstructionSystem):
    """The generator and its loss."""

    config: NeRFConfig
    generator: NeRFGenerator

    def generator_loss(self, batch: RayBatch, context: StepContext) -> tuple[Tensor, Stats]:
        """Squared errors of the coarse and the fine colors, equally weighted (NeRF, eq. 6)."""
        randomness = context.ray_streams(len(batch), 0, batch.colors.device)
        scene = self.generator.bind(batch.colors.new_zeros(1, 0))
        rendering = self.generator.render(scene, batch.rays, RenderOptions(randomness, self.config.noise))
        target = batch.colors.mT[:, :, None]  # [1, 3, 1, R]
        loss = photometric_loss(rendering.image, target, self.config.loss)
        if rendering.coarse is not None:
            loss = photometric_loss(rendering.coarse, target, self.config.loss) + loss
        error = photometric_loss(rendering.image.detach(), target, "mean")
        # parts and processes are averaged, a sum must add up
        scale = context.accumulation * context.world if self.config.loss == "sum" else 1
        return scale * loss, {"loss": scale * loss, "psnr": psnr(error)}


def bounded_march(march: March, bounds: Tensor) -> March:
    """Near and far from depth bounds [N, 2]: nine tenths of the nearest to the farthest (NeRF's loader)."""
    return replace(march, near=round(0.9 * float(bounds.min()), 6), far=round(float(bounds.max()), 6))


def ndc_focal(camera: Camera) -> tuple[float, float]:
    """Twice the mean focal lengths x and y in image sides, for `Rays.ndc`."""
    x, y = (float(2 * camera.intrinsics[:, i, i].mean()) for i in (0, 1))
    return x, y
