"""GIRAFFE as an adversarial system."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from genscene.contract import ImageBatch, StepContext
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Size, View
from genscene.geometry.learned_priors import learn_priors
from genscene.objectives.adversarial import (
    AdversarialConfig,
    AdversarialSystem,
    DiscriminatorOutput,
    FakeBatch,
)
from genscene.objectives.appearance import appearance_loss, pair_groups
from genscene.objectives.dcgan import DCGANConfig, DCGANDiscriminator, ResidualDiscriminator
from genscene.objectives.gan_loss import GANLoss
from genscene.randomness import Randomness
from genscene.ranges import Distance, NonNegative
from genscene.systems.giraffe.generator import GIRAFFEGenerator, GIRAFFEGeneratorConfig


@dataclass(frozen=True)
class GIRAFFEConfig(AdversarialConfig):
    """All the numbers of GIRAFFE's system."""

    generator: GIRAFFEGeneratorConfig = GIRAFFEGeneratorConfig()
    discriminator: DCGANConfig = DCGANConfig()
    # the released code's 10 |gradient|^2 of images in [0, 1]; here gradients are those of images in [-1, 1]
    loss: GANLoss = GANLoss(gamma=80.0)
    density_noise: Distance = 1.0  # standard deviation of the noise on densities in training
    # weight of a loss that makes appearance codes carry colors, which else may hang on shape codes:
    # every second group of scenes has the appearance codes of the one before, and objects with the same code
    # are to have the same mean color
    appearance_weight: NonNegative = 0.0
    # axes of the cameras are divided by the longest in the batch (released code)
    batch_look_at: bool = False

    @property
    def mbstd_group(self) -> int:
        """Images that stay together: a group of the minibatch deviation, two with an appearance loss."""
        return super().mbstd_group * (2 if self.appearance_weight > 0 else 1)

    def density_noise_at(self, step: int) -> float:
        """The same at every step."""
        return self.density_noise

    def build_generator(self) -> GIRAFFEGenerator:
        """A generator with new weights."""
        generator = GIRAFFEGenerator(self.generator)
        if self.orbit == "learned":
            learn_priors(generator, distance=True, boxes=True)
        return generator

    def build(self) -> "GIRAFFE":
        """A system with new weights."""
        return GIRAFFE(self)

    def check(self, size: Size) -> None:
        """Raise BadInput for images of a size that generator or discriminator does not have, or no boxes."""
        if self.patches.size:
            raise BadInput("patches.size: wanted 0, pictures are computed as a whole")
        times = 2**self.generator.renderer.levels
        if any(side % times for side in size):
            raise BadInput(f"images of {size[0]}x{size[1]}: wanted multiples of {times} (renderer.levels)")
        self.discriminator.check_size(size)
        if self.noise_steps:
            raise BadInput("noise_steps: wanted 0, the noise on densities is density_noise at every step")
        if self.generator.box_samples and (self.recompute or self.density_noise):
            raise BadInput("recompute, density_noise: wanted off with box_samples, which know neither")
        boxes = self.generator.boxes
        boxes.sample(torch.full((1, boxes.numbers), 0.5))  # collisions, files of positions

    def shrunk(self) -> "GIRAFFEConfig":
        """Few layers, channels and samples, images of 16 pixels and more."""
        generator = self.generator
        field = replace(
            generator.object, codes=4, width=8, depth=3, skips=(1,), octaves=2, direction_octaves=1
        )
        small = replace(
            generator,
            object=field,
            background=replace(
                field, extent=generator.background.extent, codes=min(4, generator.background.codes)
            ),
            march=replace(generator.march, samples=8),
            renderer=replace(generator.renderer, features=8, channels=8, min_channels=4, levels=1),
        )
        residual = self.discriminator.residual
        group = min(1 if self.appearance_weight else 2, self.discriminator.mbstd_group)
        channels = (4, 4, 4) if residual else (4, 4)
        discriminator = replace(self.discriminator, channels=channels, mbstd_group=group)
        return replace(self, generator=small, discriminator=discriminator)


class GIRAFFE(AdversarialSystem):
    """A GIRAFFE generator and a discriminator of whole images."""

    config: GIRAFFEConfig
    generator: GIRAFFEGenerator

    def __init__(self, config: GIRAFFEConfig):
        network = ResidualDiscriminator if config.discriminator.residual else DCGANDiscriminator
        inputs = 4 if config.mask_weight else 3
        super().__init__(config, config.build_generator(), network(config.discriminator, inputs))

    def discriminate(
        self, images: Tensor, view: View | None, windows: Tensor | None, context: StepContext
    ) -> DiscriminatorOutput:
        """Images [B, 3, H, W] in [-1, 1] -> predictions; the network sees them in [0, 1]."""
        return DiscriminatorOutput(self.discriminator((images + 1) / 2))

    def prepare_masks(self, masks: Tensor) -> Tensor:
        """Masks of real images [B, 1, H, W], as coarse as those of the fakes: of the feature image's size."""
        coarse = avg_pool2d(masks, 2**self.config.generator.renderer.levels)
        return interpolate(coarse, masks.shape[-2:], mode="bilinear")

    def sample_latents(self, randomness: Randomness) -> Tensor:
        """Latent codes; with an appearance loss the second of each pair has the first's appearance codes."""
        z = super().sample_latents(randomness)
        count = self.generator.config.boxes.count * self.generator.config.object.codes
        first, second = self.appearance_pairs(len(z))
        z[second, count : 2 * count] = z[first, count : 2 * count]
        return z

    def appearance_pairs(self, count: int) -> tuple[Tensor, Tensor]:
        """Numbers [P] of the scenes, of so many, that share appearance codes: firsts and seconds."""
        group = max(1, self.config.discriminator.mbstd_group)
        return pair_groups(count if self.config.appearance_weight else 0, group)

    def auxiliary_loss(self, output: DiscriminatorOutput, fakes: FakeBatch) -> Tensor | float:
        """The appearance loss, for the generator."""
        pairs = self.appearance_pairs(len(fakes.images))
        if fakes.object_alpha is None or not fakes.images.requires_grad or not len(pairs[0]):
            return 0.0
        seen = fakes.object_alpha[:, :, 0]
        return self.config.appearance_weight * appearance_loss(fakes.images[:, :3], seen, *pairs)

    def sample_views(self, batch: ImageBatch, randomness: Randomness, size: Size) -> Camera:
        """Cameras of the generator's prior."""
        cameras = self.generator.prior.sample(randomness, size)
        assert isinstance(cameras, Camera)
        return batch_look_at(cameras) if self.config.batch_look_at else cameras


def batch_look_at(cameras: Camera) -> Camera:
    """Axes divided by the longest of the batch (released code): higher views are too narrow."""
    outward = cameras.pose[:, :3, 3]
    outward = outward / outward.norm(dim=-1).max()
    right = torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]).to(outward).expand_as(outward), outward)
    right = right / right.norm(dim=-1).max()
    upward = torch.linalg.cross(outward, right)
    upward = upward / upward.norm(dim=-1).max()
    pose = cameras.pose.clone()
    pose[:, :3, :3] = torch.stack([right, -upward, -outward], dim=-1)
    return replace(cameras, pose=pose)
