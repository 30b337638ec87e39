"""pi-GAN as an adversarial system: its configuration, what its discriminator is given, its auxiliary loss."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from genscene.contract import ImageBatch, RenderOptions, Stats, StepContext
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Size, View
from genscene.geometry.learned_priors import learn_priors
from genscene.geometry.priors import camera_angles
from genscene.objectives.adversarial import (
    AdversarialConfig,
    AdversarialSystem,
    DiscriminatorOutput,
    FakeBatch,
)
from genscene.objectives.gan_loss import GANLoss
from genscene.randomness import Randomness
from genscene.ranges import Natural, NonNegative
from genscene.systems.pigan.discriminator import Discriminator, DiscriminatorConfig, image_level
from genscene.systems.pigan.generator import PiGANGenerator, PiGANGeneratorConfig


@dataclass(frozen=True)
class PiGANConfig(AdversarialConfig):
    """All the numbers of pi-GAN's system."""

    generator: PiGANGeneratorConfig = PiGANGeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    loss: GANLoss = GANLoss(gamma=20.0)  # the paper's 10 |gradient|^2
    fade_steps: Natural = 10_000  # steps in which a new stage's layers of the discriminator are blended in
    z_weight: NonNegative = 0.0  # of the error of the predicted z; wants discriminator.heads
    # of the error of the predicted pose; wants discriminator.heads (released CelebA: 15)
    pose_weight: NonNegative = 0.0
    noise_steps: Natural = 5000  # of the density noise

    def build_generator(self) -> PiGANGenerator:
        """A generator with new weights."""
        generator = PiGANGenerator(self.generator)
        if self.orbit == "learned":
            learn_priors(generator)
        return generator

    def build(self) -> "PiGAN":
        """A system with new weights."""
        return PiGAN(self)

    def check(self, size: Size) -> None:
        """Raise BadInput where the discriminator takes no images of this size."""
        if (self.z_weight or self.pose_weight) and not self.discriminator.heads:
            raise BadInput(
                "z_weight and pose_weight want a discriminator with heads (--system.discriminator.heads)"
            )
        if self.mask_weight:
            raise BadInput("mask_weight: wanted 0, pi-GAN's discriminator takes colors alone")
        if self.augment.flip and (self.patches.size or self.pose_weight):
            raise BadInput("augment.flip: wanted off with patches or pose_weight, that tell left from right")
        self.patches.check_size(size)
        image_level(self.patches.size or min(size), self.discriminator)

    def shrunk(self) -> "PiGANConfig":
        """Two layers of 8 channels, 4 samples, images up to 16 pixels."""
        generator, march = self.generator, self.generator.march
        field = replace(generator.field, width=8, depth=2, octaves=min(2, generator.field.octaves))
        if field.grid_channels:
            field = replace(field, grid_channels=2, grid_size=4)
        march = replace(march, samples=4, fine_samples=min(4, march.fine_samples))
        small = replace(generator, latent_dim=4, mapping_width=8, mapping_depth=1, field=field, march=march)
        group = min(2, self.discriminator.mbstd_group)
        discriminator = replace(self.discriminator, channels=(4, 4, 4, 4), mbstd_group=group)
        patches = replace(self.patches, size=min(8, self.patches.size), start=0)
        return replace(self, generator=small, discriminator=discriminator, patches=patches)


class PiGAN(AdversarialSystem):
    """A pi-GAN generator and discriminator."""

    config: PiGANConfig
    generator: PiGANGenerator

    def __init__(self, config: PiGANConfig):
        latent_dim = config.generator.latent_dim
        super().__init__(config, config.build_generator(), Discriminator(config.discriminator, latent_dim))

    def discriminate(
        self, images: Tensor, view: View | None, windows: Tensor | None, context: StepContext
    ) -> DiscriminatorOutput:
        """Images [B, 3, H, W] in [-1, 1] -> predictions."""
        return self.discriminator(images, self.fade_alpha(context), windows)

    def render_options(self, context: StepContext, randomness: Randomness) -> RenderOptions:
        """Fakes have the background of training."""
        options = super().render_options(context, randomness)
        return replace(options, background=self.config.generator.background)

    def generator_loss(self, batch: ImageBatch, context: StepContext) -> tuple[Tensor, Stats]:
        """The adversarial loss; in released presets summed over the parts of the batch, not averaged."""
        loss, stats = super().generator_loss(batch, context)
        return (context.accumulation if self.config.generator.legacy.sum_accumulation else 1) * loss, stats

    def auxiliary_loss(self, output: DiscriminatorOutput, fakes: FakeBatch) -> Tensor | float:
        """Latent and pose loss (released code): squared errors of the predicted z and (pitch, yaw) -> []."""
        if output.z is None or output.pose is None:
            return 0.0
        assert isinstance(fakes.view, Camera)
        yaw, pitch = camera_angles(fakes.view, self.config.generator.prior.yaw[0])
        pose_error = mse_loss(output.pose, torch.stack([pitch, yaw], dim=-1).detach())
        return self.config.z_weight * mse_loss(output.z, fakes.z) + self.config.pose_weight * pose_error

    def fade_alpha(self, context: StepContext) -> float:
        """Weight of this stage's layers, 0 to 1; released presets fade in the first stage, too."""
        if self.config.generator.legacy.fade_first_stage and self.config.fade_steps:
            return min(1.0, (context.step - context.stage_start) / self.config.fade_steps)
        return super().fade_alpha(context)
