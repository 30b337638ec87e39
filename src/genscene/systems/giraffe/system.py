"""GIRAFFE as an adversarial system."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genscene.contract import ImageBatch, RenderOptions, StepContext
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Size, View, no_autocast
from genscene.layers.dcgan import DCGANConfig, DCGANDiscriminator, ResidualDiscriminator
from genscene.objectives.adversarial import (
    AdversarialConfig,
    AdversarialSystem,
    DiscriminatorOutput,
    GANLoss,
)
from genscene.randomness import Randomness
from genscene.ranges import Distance
from genscene.systems.giraffe.generator import GIRAFFEGenerator, GIRAFFEGeneratorConfig


@dataclass(frozen=True)
class GIRAFFEConfig(AdversarialConfig):
    """All the numbers of GIRAFFE's system."""

    generator: GIRAFFEGeneratorConfig = GIRAFFEGeneratorConfig()
    discriminator: DCGANConfig = DCGANConfig()
    loss: GANLoss = GANLoss(gamma=20.0)  # the released code's 10 |gradient|^2
    density_noise: Distance = 1.0  # standard deviation of the noise on densities in training
    # axes of the cameras are divided by the longest in the batch (released code)
    batch_look_at: bool = False

    def build_generator(self) -> GIRAFFEGenerator:
        """A generator with new weights."""
        return GIRAFFEGenerator(self.generator)

    def build(self) -> "GIRAFFE":
        """A system with new weights."""
        return GIRAFFE(self)

    def check(self, size: Size) -> None:
        """Raise BadInput for images of a size that generator or discriminator does not have."""
        if self.patches.size:
            raise BadInput("patches.size: wanted 0, pictures are computed as a whole")
        times = 2**self.generator.renderer.levels
        if any(side % times for side in size):
            raise BadInput(f"images of {size[0]}x{size[1]}: wanted multiples of {times} (renderer.levels)")
        self.discriminator.check(size)

    def shrunk(self) -> "GIRAFFEConfig":
        """Few layers, channels and samples, images of 16 pixels and more."""
        generator = self.generator
        field = replace(
            generator.object, codes=4, width=8, depth=3, skips=(1,), octaves=2, direction_octaves=1
        )
        small = replace(
            generator,
            object=field,
            background=replace(field, extent=generator.background.extent),
            march=replace(generator.march, samples=8),
            renderer=replace(generator.renderer, features=8, channels=8, min_channels=4, levels=1),
        )
        residual = self.discriminator.residual
        discriminator = replace(self.discriminator, channels=(4, 4, 4) if residual else (4, 4))
        return replace(self, generator=small, discriminator=discriminator)


class GIRAFFE(AdversarialSystem):
    """A GIRAFFE generator and a discriminator of whole images."""

    config: GIRAFFEConfig
    generator: GIRAFFEGenerator

    def __init__(self, config: GIRAFFEConfig):
        network = ResidualDiscriminator if config.discriminator.residual else DCGANDiscriminator
        super().__init__(config, GIRAFFEGenerator(config.generator), network(config.discriminator))

    def discriminate(
        self, images: Tensor, view: View | None, windows: Tensor | None, context: StepContext
    ) -> DiscriminatorOutput:
        """Images [B, 3, H, W] in [-1, 1] -> predictions; the network sees them in [0, 1]."""
        with no_autocast(images):
            return DiscriminatorOutput(self.discriminator((images + 1) / 2))

    def render_options(self, context: StepContext, randomness: Randomness) -> RenderOptions:
        """Fakes have noise on the density of every field."""
        options = super().render_options(context, randomness)
        return replace(options, density_noise=self.config.density_noise)

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
