"""A voxel grid fitted to photographs: coarse grids first, empty space skipped, one player."""

import os
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genscene.contract import (
    RayBatch,
    RenderOptions,
    Stats,
    StepContext,
    SystemConfig,
)
from genscene.data.progress import log_line
from genscene.errors import BadInput
from genscene.geometry.cameras import Size
from genscene.geometry.priors import CameraPrior
from genscene.metrics.image import psnr
from genscene.objectives.reconstruction import ReconstructionSystem, binary_entropy, photometric_loss
from genscene.ranges import Count, NonNegative, Share
from genscene.scenes import PosedDataset
from genscene.systems.voxels.generator import VoxelsGenerator, VoxelsGeneratorConfig
from genscene.systems.voxels.grid import UNIT_BOX

FIRST_LEVEL = 0.25  # in the first level, less opaque steps than this share of the limit are empty
# share of half transparent corners after the first level: above 0.9 in a box four times too wide, below 0.6
# in scenes that are found
FOG = 0.8


@dataclass(frozen=True)
class VoxelsConfig(SystemConfig):
    """All the numbers of the system."""

    batch = "rays"

    generator: VoxelsGeneratorConfig = VoxelsGeneratorConfig()
    ends: tuple[Share, ...] = (0.1, 0.3)  # shares of the run at which the next finer level begins
    occupancy_every: Count = 50  # steps between two updates of the occupancy grid
    occupancy_opacity: NonNegative = 1e-3  # space is empty where the opacity of a step is below this
    variation: NonNegative = 1e-5  # weight of the squared difference of neighbouring densities
    entropy: NonNegative = 1e-3  # weight of the entropy of the pixels' opacity, which should be 0 or 1
    distortion: NonNegative = 0.0  # weight of the distortion loss (Barron et al. 2022), against haze

    @property
    def has_box(self) -> bool:
        """Whether the scene is in a box, and not in all of space."""
        return not self.generator.voxels.contracted

    def adapt(self, dataset: PosedDataset) -> "VoxelsConfig":
        """With the photographs' cameras, background and, unless it is given, their box.

        Density scales with the box unless its gain is given, so that steps are as opaque at first in a box
        of any size.
        """
        background = dataset.background or self.generator.background
        prior = CameraPrior.fit(dataset.camera)
        generator = replace(self.generator, prior=prior, background=background, ground=dataset.ground)
        box, march = generator.voxels.box or dataset.box, generator.march
        if self.has_box and box is not None:
            if march.gain == VoxelsGeneratorConfig().march.gain:
                march = replace(march, gain=round(march.gain * max(UNIT_BOX) / max(box), 6))
            generator = replace(generator, voxels=replace(generator.voxels, box=box), march=march)
        return replace(self, generator=generator)

    def build_generator(self) -> VoxelsGenerator:
        """A generator with new weights."""
        return VoxelsGenerator(self.generator)

    def build(self) -> "VoxelsSystem":
        """A system with new weights."""
        return VoxelsSystem(self)

    def check(self, size: Size) -> None:
        """Raise BadInput for levels in the wrong order; rays come from images of any size."""
        ends, levels = self.ends, self.generator.voxels.levels
        if len(ends) != len(levels) - 1 or list(ends) != sorted(ends):
            raise BadInput(
                f"ends {ends} of levels {levels}: wanted one fewer than levels, rising shares from 0 to 1"
            )

    def shrunk(self) -> "VoxelsConfig":
        """Levels of 4 and 6 corners."""
        voxels = replace(self.generator.voxels, levels=(4, 6), width=8)
        return replace(self, generator=replace(self.generator, voxels=voxels), ends=(0.5,))


class VoxelsSystem(ReconstructionSystem):
    """The generator and its loss."""

    config: VoxelsConfig
    generator: VoxelsGenerator

    def generator_loss(self, batch: RayBatch, context: StepContext) -> tuple[Tensor, Stats]:
        """Mean squared error of the colors, and the regularisers."""
        self.update_grid(context)
        config, generator = self.config, self.generator
        randomness = context.ray_streams(len(batch), 0, batch.colors.device)
        options = RenderOptions(randomness, distortion=config.distortion > 0)
        rendering = generator.render(generator.bind(batch.colors.new_zeros(1, 0)), batch.rays, options)
        error = photometric_loss(rendering.image, batch.colors.mT[:, :, None], "mean")
        assert rendering.alpha is not None
        loss = error + config.variation * generator.voxels.variation()
        loss = loss + config.entropy * binary_entropy(rendering.alpha)
        if rendering.distortion is not None:
            loss = loss + config.distortion * rendering.distortion.mean()
        return loss, {"loss": loss, "psnr": psnr(error.detach())}

    def log_fog(self) -> None:
        """Print a line where most of a box is half transparent, as in a wrong box or background."""
        share = 0.0 if self.config.generator.voxels.contracted else self.generator.half_transparent()
        if share > FOG and os.environ.get("RANK", "0") == "0":
            log_line(
                f"the first fit is a fog: {100 * share:.0f} % of the box is half transparent; perhaps the"
                " bounds or the background are wrong (--bounds, --background)"
            )

    @torch.no_grad()
    def update_grid(self, context: StepContext) -> None:
        """Begin the next level, or update the occupancy grid, where this step is the one for it."""
        voxels = self.generator.voxels
        level = sum(context.step >= end * context.steps for end in self.config.ends)
        if level > int(voxels.level):
            if not int(voxels.level):
                self.log_fog()
            voxels.refine(level)
            self.generator.update_occupancy(self.config.occupancy_opacity)
        elif context.step and context.step % self.config.occupancy_every == 0:
            share = 1.0 if level else FIRST_LEVEL
            self.generator.update_occupancy(share * self.config.occupancy_opacity)
