"""CIPS as an adversarial system: StyleGAN2's discriminator and losses, on whole pictures or patches."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genscene.contract import ImageBatch, StepContext
from genscene.errors import BadInput
from genscene.geometry.cameras import Grid, Size, View
from genscene.objectives.adversarial import AdversarialConfig, AdversarialSystem, DiscriminatorOutput, Reals
from genscene.objectives.gan_loss import GANLoss
from genscene.objectives.stylegan2 import StyleGAN2Discriminator, StyleGAN2DiscriminatorConfig
from genscene.randomness import Randomness
from genscene.ranges import Share
from genscene.render.canvas import append_coords, cross_fade
from genscene.scenes import Scene
from genscene.systems.cips.generator import CIPSGenerator, CIPSGeneratorConfig


@dataclass(frozen=True)
class CIPSConfig(AdversarialConfig):
    """All the numbers of CIPS's system."""

    generator: CIPSGeneratorConfig = CIPSGeneratorConfig()
    discriminator: StyleGAN2DiscriminatorConfig = StyleGAN2DiscriminatorConfig()
    loss: GANLoss = GANLoss(gamma=10.0, penalty_every=16, penalty_turn=True)
    # the discriminator also sees the coordinates of pixels, so of a patch where it is (released patches)
    discriminator_coords: bool = False
    legacy_r1_coords: bool = False  # R1 is also that of the coordinates it sees (released code)
    cross_frame: Share = 0.0  # of the fakes, whose style changes along x to that of another latent code

    @property
    def mixed_aspects(self) -> bool:
        """Whether images may be pictures of any aspect within a frame, which a fourth channel tells."""
        return self.patches.size > 0 and not self.patches.strides and self.generator.network.frames == 1

    @property
    def graph_factor(self) -> float:
        """Greater where every pixel of the fakes has a style of its own."""
        return 4.0 if self.cross_frame else 1.0

    def build_generator(self) -> CIPSGenerator:
        """A generator with new weights."""
        return CIPSGenerator(self.generator)

    def build(self) -> "CIPS":
        """A system with new weights."""
        return CIPS(self)

    def check(self, size: Size) -> None:
        """Raise BadInput for images, or patches, of another size than the discriminator's; for no canvas."""
        self.discriminator.check_size((self.patches.size,) * 2 if self.patches.size else size)
        self.patches.check_size(size)
        for name, wanted in (("mask_weight", 0), ("noise_steps", 0), ("fade_steps", 0), ("orbit", "given")):
            if (value := getattr(self, name)) != wanted:
                raise BadInput(f"{name} {value}: wanted {wanted}, CIPS has no depth, cameras or fading")
        if self.augment.flip and self.discriminator_coords:
            raise BadInput("augment.flip: wanted off with discriminator_coords, that tell left from right")
        if self.legacy_r1_coords and (self.augment.active or not self.discriminator_coords):
            raise BadInput("legacy_r1_coords: wanted discriminator_coords with it, and no augment")

    def shrunk(self) -> "CIPSConfig":
        """One or two blocks of 8 channels, images of 16 pixels or patches of 8."""
        table = (16, 16 * self.generator.network.frames)
        network = replace(self.generator.network, features=8, embedding_size=table, widths=(8, 4))
        small = replace(self.generator, latent_dim=8, mapping_depth=2, network=network, size=(16, 16))
        patches = replace(self.patches, size=min(8, self.patches.size))
        discriminator = self.discriminator.shrunk(patches.size or 16)
        return replace(self, generator=small, discriminator=discriminator, patches=patches)


class CIPS(AdversarialSystem):
    """A CIPS generator and StyleGAN2's discriminator."""

    config: CIPSConfig
    generator: CIPSGenerator

    def __init__(self, config: CIPSConfig):
        discriminator = StyleGAN2Discriminator(config.discriminator, 5 if config.discriminator_coords else 3)
        super().__init__(config, config.build_generator(), discriminator)

    def bind_fakes(self, z: Tensor, view: View, randomness: Randomness) -> Scene:
        """Canvases, some of them of styles that change along x."""
        if not self.config.cross_frame:
            return super().bind_fakes(z, view, randomness)
        assert isinstance(view, Grid)
        left, right = (self.generator.style(each) for each in (z, self.sample_latents(randomness)))
        chance, start = randomness.uniform(2)[..., None].to(z).unbind(1)
        right = torch.where(chance < self.config.cross_frame, right, left)
        return self.generator.bind_pixels(cross_fade(left, right, start, view))

    def prepare_reals(self, batch: ImageBatch, context: StepContext) -> Reals:
        """Real images, with coordinates where R1 is also that of these [B, 3 or 5, S, S]."""
        images, view, windows = super().prepare_reals(batch, context)
        if self.config.legacy_r1_coords:
            images = append_coords(images, windows, self.config.generator.corners)
        return images, view, windows

    def discriminate(
        self, images: Tensor, view: View | None, windows: Tensor | None, context: StepContext
    ) -> DiscriminatorOutput:
        """Images, or patches, [B, 3 or 5, S, S] in [-1, 1] -> predictions."""
        if self.config.discriminator_coords and images.shape[1] == 3:
            images = append_coords(images, windows, self.config.generator.corners)
        return DiscriminatorOutput(self.discriminator(images, step=context.step))
