"""NeRF as a game of one player: colours of rays against those of photographs."""

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from genscene.contract import Background, PosedConfig, RayBatch, Stats, StepContext, System, Turn, at_least
from genscene.geometry.cameras import Camera, Size
from genscene.metrics.image import psnr
from genscene.objectives.losses import photometric
from genscene.render.volume import RayNoise
from genscene.systems.nerf.fitting import focal_of, march_of, orbit_of
from genscene.systems.nerf.generator import NeRFGenerator, NeRFGeneratorConfig


@dataclass(frozen=True)
class NeRFConfig(PosedConfig):
    """All the numbers of NeRF's system."""

    generator: NeRFGeneratorConfig = NeRFGeneratorConfig()
    noise: float = 0.0  # deviation of the noise on raw density in training (released code: 1 for real scenes)
    loss: Literal["sum", "mean"] = "sum"  # of squared errors over rays and channels; released code: mean
    bounds: Literal["given", "photographs"] = "given"  # where near and far come from

    def build(self) -> "NeRF":
        """A system with build_seeded weights."""
        return NeRF(self)

    def check(self, size: Size) -> None:
        """Raise BadInput for noise that is none; rays come from pictures of any size."""
        at_least(self, 0, "noise")

    @property
    def corners(self) -> bool:
        """Whether rays go through the pixels' corners."""
        return self.generator.legacy.pixel_corners

    def fitted(self, photographed: Camera, bounds: Tensor, behind: Background | None = None) -> "NeRFConfig":
        """With the photographs' bounds, focal lengths, orbit and background."""
        background = behind or self.generator.background
        orbit = orbit_of(photographed)
        generator = replace(self.generator, photographs=len(photographed), orbit=orbit, background=background)
        if generator.ndc is not None:
            generator = replace(generator, ndc=focal_of(photographed))
        elif self.bounds == "photographs":
            generator = replace(generator, march=march_of(generator.march, bounds))
        return replace(self, generator=generator)

    def shrunk(self) -> "NeRFConfig":
        """Three layers of 8 channels, 4 samples."""
        generator = self.generator
        field = replace(generator.field, width=8, depth=3, skip=1, octaves=min(2, generator.field.octaves))
        march = replace(generator.march, samples=4)
        return replace(
            self, generator=replace(generator, field=field, march=march, fine=min(4, generator.fine))
        )


class NeRF(System):
    """The generator and its loss."""

    def __init__(self, config: NeRFConfig):
        super().__init__()
        self.config = config
        self.generator: NeRFGenerator = NeRFGenerator(config.generator)

    def turns(self) -> tuple[Turn, ...]:
        """One player."""
        return (Turn("generator", self.generator_loss),)

    def generator_loss(self, batch: RayBatch, moment: StepContext) -> tuple[Tensor, Stats]:
        """Errors of the coarse and the fine picture, equally weighed (NeRF, eq. 6)."""
        generator = self.generator
        scene = generator.bind(batch.colors.new_zeros(1, 0))
        seen = generator.walk(scene, batch.rays, self.perturb(batch, moment))
        loss = sum(
            (photometric(s.color, batch.colors, self.config.loss) for s in seen), batch.colors.new_zeros(())
        )
        error = photometric(seen[-1].color.detach(), batch.colors, "mean")
        scale = (
            moment.slices if self.config.loss == "sum" else 1
        )  # slices are averaged, sums want to be added
        return scale * loss, {"loss": scale * loss, "psnr": psnr(error)}

    def perturb(self, batch: RayBatch, moment: StepContext) -> RayNoise:
        """Random places within bins, and noise on densities, for every ray of a batch."""
        config = self.config.generator
        draws = moment.ray_draws(len(batch), 0, batch.colors.device)
        samples, fine = config.march.samples, config.fine
        jitter = draws.uniform(samples)[None]
        importance = draws.uniform(fine)[None] if fine else None
        if not self.config.noise:
            return RayNoise(jitter, importance)
        coarse, both = (self.config.noise * draws.normal(n)[None] for n in (samples, samples + fine))
        return RayNoise(jitter, importance, coarse, both)
