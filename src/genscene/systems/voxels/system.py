"""NeRF over voxels as a game of one player: the same pictures, coarse grids first, empty space skipped."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genscene.contract import Background, PosedConfig, RayBatch, Stats, StepContext, System, Turn, at_least
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Size
from genscene.metrics.image import psnr
from genscene.objectives.losses import binary_entropy, photometric
from genscene.systems.nerf.fitting import orbit_of
from genscene.systems.voxels.generator import VoxelsGenerator, VoxelsGeneratorConfig


@dataclass(frozen=True)
class VoxelsConfig(PosedConfig):
    """All the numbers of the system."""

    generator: VoxelsGeneratorConfig = VoxelsGeneratorConfig()
    ends: tuple[float, ...] = (0.1, 0.3)  # shares of the run at which the next finer level takes over
    empty_every: int = 50  # steps between two looks for empty space, from the second level on
    empty_below: float = 1e-3  # space is empty where a step stops less light than that
    variation: float = 1e-5  # weight of the squared difference of neighbours' densities
    entropy: float = 1e-3  # weight of the entropy of the pixels' opacity: they should be there or not
    distortion: float = (
        0.0  # weight of how far apart along a ray its weights lie (Barron et al. 2022): against haze
    )

    def build(self) -> "VoxelsSystem":
        """A system with build_seeded weights."""
        return VoxelsSystem(self)

    def check(self, size: Size) -> None:
        """Raise BadInput where levels would never or wrongly take over; rays come from pictures of any size."""
        ends, levels = self.ends, self.generator.voxels.levels
        if (
            len(ends) != len(levels) - 1
            or list(ends) != sorted(ends)
            or not all(0 <= end <= 1 for end in ends)
        ):
            raise BadInput(
                f"ends {ends} of levels {levels}: wanted one fewer than levels, rising shares from 0 to 1"
            )
        at_least(self, 1, "empty_every")
        at_least(self, 0, "empty_below", "variation", "entropy", "distortion")

    @property
    def corners(self) -> bool:
        """Rays go through the pixels' centres."""
        return False

    def fitted(
        self, photographed: Camera, bounds: Tensor, behind: Background | None = None
    ) -> "VoxelsConfig":
        """With the photographs' orbit and background; a box that is not all of space grows with their distance / 4."""
        orbit = orbit_of(photographed)
        background = behind or self.generator.background
        generator = replace(self.generator, photographs=len(photographed), orbit=orbit, background=background)
        scale = float(f"{orbit.radius:.2g}") / 4
        if not generator.voxels.contracted and scale != 1:
            x, y, z = (round(scale * half, 6) for half in generator.voxels.box)
            march = replace(generator.march, gain=generator.march.gain / scale)
            generator = replace(generator, voxels=replace(generator.voxels, box=(x, y, z)), march=march)
        return replace(self, generator=generator)

    def shrunk(self) -> "VoxelsConfig":
        """Levels of 4 and 6 corners."""
        voxels = replace(self.generator.voxels, levels=(4, 6), width=8)
        return replace(self, generator=replace(self.generator, voxels=voxels), ends=(0.5,))


class VoxelsSystem(System):
    """The generator and its loss."""

    def __init__(self, config: VoxelsConfig):
        super().__init__()
        self.config = config
        self.generator: VoxelsGenerator = VoxelsGenerator(config.generator)

    def turns(self) -> tuple[Turn, ...]:
        """One player."""
        return (Turn("generator", self.generator_loss),)

    def generator_loss(self, batch: RayBatch, moment: StepContext) -> tuple[Tensor, Stats]:
        """Mean squared error of the colours, and what keeps the voxels tidy."""
        self.tend(moment)
        generator = self.generator
        jitter = moment.ray_draws(len(batch), 0, batch.colors.device).uniform()
        scene = generator.bind(batch.colors.new_zeros(1, 0))
        met = generator.walk(scene, batch.rays.unit(), jitter)
        error = photometric(met.color, batch.colors[0], "mean")
        loss = error + self.config.variation * generator.voxels.variation()
        loss = loss + self.config.entropy * binary_entropy(met.alpha)
        if self.config.distortion:
            loss = loss + self.config.distortion * generator.distortion(met)
        return loss, {"loss": loss, "psnr": psnr(error.detach())}

    @torch.no_grad()
    def tend(self, moment: StepContext) -> None:
        """Change to the next level, or look for empty space, when it is time; once a step."""
        voxels = self.generator.voxels
        wanted = sum(moment.step >= end * moment.steps for end in self.config.ends)
        if wanted > int(voxels.level):
            voxels.grow(wanted)
            self.generator.look_for_empty(self.config.empty_below)
        elif wanted and moment.step % self.config.empty_every == 0:
            self.generator.look_for_empty(self.config.empty_below)
