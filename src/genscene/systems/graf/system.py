"""GRAF as an adversarial system: its discriminator is given patches."""

from dataclasses import dataclass, replace

from torch import Tensor

from genscene.contract import StepContext
from genscene.errors import BadInput
from genscene.geometry.cameras import Size, View
from genscene.geometry.learned_priors import learn_priors
from genscene.objectives.adversarial import AdversarialConfig, AdversarialSystem, DiscriminatorOutput
from genscene.objectives.augmentation import mirror
from genscene.objectives.dcgan import DCGANConfig, DCGANDiscriminator
from genscene.objectives.gan_loss import GANLoss
from genscene.ranges import Natural
from genscene.render.patches import PatchSampler
from genscene.systems.graf.generator import GRAFGenerator, GRAFGeneratorConfig

FLIP = 7  # number of the random streams of mirrored patches


@dataclass(frozen=True)
class GRAFConfig(AdversarialConfig):
    """All the numbers of GRAF's system."""

    generator: GRAFGeneratorConfig = GRAFGeneratorConfig()
    discriminator: DCGANConfig = DCGANConfig((128, 256, 512), norm="instance", spectral=True)
    # the released code's 10 |gradient|^2
    loss: GANLoss = GANLoss(gamma=20.0)
    patches: PatchSampler = PatchSampler(32, 0.25, 1.0, antialias=False, anneal=0.0025)
    noise_steps: Natural = 5000  # of the density noise
    flip: bool = False  # patches are mirrored at random before the discriminator sees them (released CUB)

    def build_generator(self) -> GRAFGenerator:
        """A generator with new weights."""
        generator = GRAFGenerator(self.generator)
        if self.orbit == "learned":
            learn_priors(generator)
        return generator

    def build(self) -> "GRAF":
        """A system with new weights."""
        return GRAF(self)

    def check(self, size: Size) -> None:
        """Raise BadInput for a discriminator that does not take the patches, or images smaller than these."""
        if self.discriminator.residual:
            raise BadInput("discriminator.residual: wanted off for GRAF")
        patch = self.patches.size
        self.patches.check_size(size)
        self.discriminator.check_size((patch, patch) if patch else size)

    def shrunk(self) -> "GRAFConfig":
        """Three layers of 8 channels, 4 samples, patches of 8 pixels."""
        field = replace(self.generator.field, width=8, depth=3, skips=(2,), octaves=2, direction_octaves=1)
        march = replace(self.generator.march, samples=4)
        small = replace(self.generator, shape_codes=3, appearance_codes=3, field=field, march=march)
        group = min(2, self.discriminator.mbstd_group)
        discriminator = replace(self.discriminator, channels=(4,), mbstd_group=group)
        return replace(
            self,
            generator=small,
            discriminator=discriminator,
            patches=replace(self.patches, size=min(8, self.patches.size)),
        )


class GRAF(AdversarialSystem):
    """A GRAF generator and a discriminator of patches."""

    config: GRAFConfig
    generator: GRAFGenerator

    def __init__(self, config: GRAFConfig):
        inputs = 4 if config.mask_weight else 3
        super().__init__(config, config.build_generator(), DCGANDiscriminator(config.discriminator, inputs))
        self.iterated_step = -1  # for which the spectral norms' power iterations have advanced

    def discriminate(
        self, images: Tensor, view: View | None, windows: Tensor | None, context: StepContext
    ) -> DiscriminatorOutput:
        """Patches [B, 3, K, K] in [-1, 1] -> predictions; power iterations advance once in every step."""
        if context.step != self.iterated_step:
            assert isinstance(self.discriminator, DCGANDiscriminator)
            self.discriminator.iterate()
            self.iterated_step = context.step
        if self.config.flip:
            coins = context.random_streams(len(images), FLIP, images.device).uniform()
            images = mirror(images, coins < 0.5)
        return DiscriminatorOutput(self.discriminator(images))
