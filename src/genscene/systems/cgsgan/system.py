"""CGS-GAN as an adversarial system: a discriminator that is told the cameras, anchors that stay together."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from genscene.contract import PosedImageBatch, Stats, StepContext
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Size, View
from genscene.objectives.adversarial import DiscriminatorOutput
from genscene.objectives.dcgan import DCGANConfig, DCGANDiscriminator
from genscene.objectives.gan_loss import GANLoss
from genscene.objectives.multi_view import MultiViewConfig, MultiViewSystem
from genscene.objectives.points import center_offset, neighbor_distances
from genscene.objectives.stylegan2 import StyleGAN2Discriminator, StyleGAN2DiscriminatorConfig
from genscene.ranges import Count, NonNegative, Share
from genscene.systems.cgsgan.generator import (
    AnchoredGaussians,
    CGSGANGenerator,
    CGSGANGeneratorConfig,
)


@dataclass(frozen=True)
class CGSGANConfig(MultiViewConfig):
    """All the numbers of CGS-GAN's system."""

    generator: CGSGANGeneratorConfig = CGSGANGeneratorConfig()
    discriminator: StyleGAN2DiscriminatorConfig = StyleGAN2DiscriminatorConfig(512)
    dcgan: DCGANConfig = DCGANConfig(())  # where it has channels, strided convolutions discriminate instead
    loss: GANLoss = GANLoss(gamma=1.0, penalty_every=16, penalty_turn=True)
    # weight of the mean squared distance, along an axis, of the first anchors to their nearest others
    neighbor_weight: NonNegative = 20.0
    neighbors: Count = 64  # of an anchor
    center_weight: NonNegative = 1.0  # of the squared distance of the anchors' mean from 0, along an axis
    # with generator.camera_conditioning: chance that the camera is that of another picture (GSGAN: 0.5)
    camera_swap: Share = 0.5

    @property
    def discriminating(self) -> StyleGAN2DiscriminatorConfig | DCGANConfig:
        """The configuration of the discriminator that is built."""
        return self.dcgan if self.dcgan.channels else self.discriminator

    def build_generator(self) -> CGSGANGenerator:
        """A generator with new weights."""
        return CGSGANGenerator(self.generator)

    def build(self) -> "CGSGAN":
        """A system with new weights."""
        return CGSGAN(self)

    def check(self, size: Size) -> None:
        """Raise BadInput for pictures of another size than the discriminator's; for what is not there."""
        self.discriminating.check_size((self.patches.size,) * 2 if self.patches.size else size)
        self.patches.check_size(size)
        for name, wanted in (("mask_weight", 0), ("noise_steps", 0), ("fade_steps", 0), ("orbit", "given")):
            if (value := getattr(self, name)) != wanted:
                raise BadInput(f"{name} {value}: wanted {wanted}, which Gaussians do not have")
        self.check_views()
        if self.neighbors >= self.generator.network.points:
            raise BadInput(f"neighbors {self.neighbors}: wanted fewer than generator.network.points")

    def shrunk(self) -> "CGSGANConfig":
        """Two levels of 8 points, two views, images of 16 pixels or patches of 8."""
        network = replace(self.generator.network, points=8, width=8, heads=2, first_blocks=1, pe_entries=4)
        network = replace(network, children=(1, 2), features=(8, 4))
        small = replace(self.generator, latent_dim=8, style_dim=8, network=network)
        patches = replace(self.patches, size=min(8, self.patches.size))
        discriminator = self.discriminator.shrunk(patches.size or 16)
        if self.views_in_batch:
            discriminator = replace(discriminator, mbstd_group=min(1, discriminator.mbstd_group))
        few = min(discriminator.mbstd_group, self.dcgan.mbstd_group)
        dcgan = replace(self.dcgan, channels=(4,) * min(1, len(self.dcgan.channels)), mbstd_group=few)
        system = replace(self, generator=small, discriminator=discriminator, dcgan=dcgan, patches=patches)
        return replace(system, views=min(2, self.views), neighbors=min(4, self.neighbors))


class CGSGAN(MultiViewSystem):
    """A CGS-GAN generator and StyleGAN2's discriminator."""

    config: CGSGANConfig
    generator: CGSGANGenerator

    def __init__(self, config: CGSGANConfig):
        inputs, labels = config.discriminator_inputs
        if config.dcgan.channels:
            discriminator: nn.Module = DCGANDiscriminator(config.dcgan, inputs, labels)
        else:
            discriminator = StyleGAN2Discriminator(config.discriminator, inputs, labels)
        super().__init__(config, config.build_generator(), discriminator)

    def sample_scenes(
        self, batch: PosedImageBatch, context: StepContext, turn: int
    ) -> tuple[Tensor, AnchoredGaussians]:
        """Latent codes [S, latent_dim] and their Gaussians."""
        randomness = context.random_streams(len(batch), turn, batch.images.device)
        places, cameras = self.places(len(batch), 0), None
        z = self.sample_latents(randomness)[places]
        if self.config.generator.camera_conditioning:
            swapped = randomness.uniform()[places] < self.config.camera_swap
            cameras = self.conditioning_cameras(batch, swapped)
        return z, self.generator.bind(self.generator.style(z, camera=cameras))

    def conditioning_cameras(self, batch: PosedImageBatch, swapped: Tensor) -> Camera:
        """Cameras that scenes are rendered from, or, of those that are swapped [S], others of the batch."""
        own, other = (self.view_cameras(batch, number) for number in (0, 1 % self.config.views))
        return replace(
            own, pose=torch.where(swapped[:, None, None].to(own.pose.device), other.pose, own.pose)
        )

    def regularizers(self, scene: AnchoredGaussians) -> Stats:
        """What keeps the first anchors near one another and around the middle, where it has a weight."""
        config, found = self.config, {}
        if config.neighbor_weight:
            near = neighbor_distances(scene.anchors, config.neighbors).mean()
            found["neighbors"] = config.neighbor_weight * near
        if config.center_weight:
            found["center"] = config.center_weight * center_offset(scene.anchors)
        return found

    def discriminate(
        self, images: Tensor, view: View | None, windows: Tensor | None, context: StepContext
    ) -> DiscriminatorOutput:
        """Images, or patches, [B, 3, S, S] in [-1, 1] from cameras -> predictions."""
        images, labels = self.discriminator_given(images, view, windows)
        if isinstance(self.discriminator, StyleGAN2Discriminator):
            return DiscriminatorOutput(self.discriminator(images, labels, context.step))
        return DiscriminatorOutput(self.discriminator(images, labels))
