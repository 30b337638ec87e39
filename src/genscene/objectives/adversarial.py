"""Adversarial training: sampling fakes, preparing reals, the turns of a generator and a discriminator."""

from abc import abstractmethod
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from genscene.contract import (
    Generator,
    ImageBatch,
    RenderOptions,
    Stats,
    StepContext,
    System,
    SystemConfig,
    Turn,
)
from genscene.geometry.cameras import Camera, Grid, Size, View, named_tensors, no_autocast
from genscene.kernels.convolutions import DifferentiatedTwice
from genscene.objectives.augmentation import Augmentation
from genscene.objectives.gan_loss import GANLoss, r1_penalty
from genscene.randomness import Randomness
from genscene.ranges import Natural, NonNegative
from genscene.render.patches import PatchSampler, crop_and_resize, windows_inside
from genscene.scenes import Scene

DISCRIMINATOR, GENERATOR, REALS, PENALTY = 0, 1, 2, 3  # numbers of the turns, for their random streams
AUGMENT_REALS, AUGMENT_FAKES = 4, 5
SMALL = 300_000  # weights of a discriminator below which conversions to bfloat16 take longer than they save


# real images for the discriminator [B, 3, H, W] in [-1, 1], their cameras, their windows [B, 3]
Reals = tuple[Tensor, View | None, Tensor | None]


@dataclass(frozen=True)
class DiscriminatorOutput:
    """What a discriminator predicts of B images."""

    logits: Tensor  # [B], above 0: real
    z: Tensor | None = None  # [B, latent_dim], predicted latent code
    pose: Tensor | None = None  # [B, 2], predicted (pitch, yaw) in radians


@dataclass(frozen=True)
class FakeBatch:
    """B rendered images and what they were rendered from."""

    images: Tensor  # [B, 3, H, W], 0 to 1; with masks of all objects [B, 4, H, W]
    z: Tensor  # [B, latent_dim]
    view: View  # B, cropped to the windows
    windows: Tensor | None = None  # [B, 3], of patches; None: whole images
    object_alpha: Tensor | None = None  # [B, O, 1, H, W], opacity of each object, where there are objects

    def detach(self) -> "FakeBatch":
        """The same images without their graph."""
        view: dict[str, Any] = {n: x.detach() for n, x in named_tensors(self.view).items()}
        alpha = None if self.object_alpha is None else self.object_alpha.detach()
        return FakeBatch(self.images.detach(), self.z, replace(self.view, **view), self.windows, alpha)


@dataclass(frozen=True)
class AdversarialConfig(SystemConfig):
    """What all adversarial systems share."""

    less_memory: ClassVar[str] = (
        "lower --batch or --size, raise --stages.0.accumulation, or add --system.recompute"
    )
    loss: GANLoss = GANLoss()
    augment: Augmentation = Augmentation()
    patches: PatchSampler = PatchSampler()
    share_fakes: bool = False  # one rendering a step for both players: the generator's turn comes first
    # learned: the priors of cameras, and of boxes, are trained with the generator; they begin as given
    orbit: Literal["given", "learned"] = "given"
    # the discriminator also sees the masks of all objects, times this, as a fourth channel; 0: it does not
    mask_weight: NonNegative = 0.0
    recompute: bool = False  # render again for the backward pass: images of any size in constant memory
    # density noise decays from standard deviation 1 to 0 in so many steps; 0: no noise
    noise_steps: Natural = 0
    fade_steps: Natural = 0  # steps in which the layers of a new stage of progressive growing are blended in

    @property
    def discriminating(self) -> Any:
        """The configuration of the discriminator; None for systems without one of their own."""
        return getattr(self, "discriminator", None)

    @property
    def mbstd_group(self) -> int:
        """Images over which the discriminator's minibatch standard deviation is taken."""
        return max(1, getattr(self.discriminating, "mbstd_group", 1))

    @property
    def mixed_aspects(self) -> bool:
        """Whether images may be pictures of any aspect within a frame, which a fourth channel tells."""
        return False

    def density_noise_at(self, step: int) -> float:
        """Standard deviation of the noise on the densities of fakes at a step."""
        return max(0.0, 1 - step / self.noise_steps) if self.noise_steps else 0.0


class AdversarialSystem(System):
    """A generator and a discriminator: sampling fakes, preparing reals, both losses, penalties.

    A system gives `discriminate`, and what is special of it by overriding the other methods.
    """

    config: AdversarialConfig

    def __init__(self, config: AdversarialConfig, generator: Generator, discriminator: nn.Module):
        super().__init__()
        self.config, self.generator, self.discriminator = config, generator, discriminator

    @abstractmethod
    def discriminate(
        self, images: Tensor, view: View | None, windows: Tensor | None, context: StepContext
    ) -> DiscriminatorOutput:
        """Images [B, 3, H, W] in [-1, 1], seen from views through windows [B, 3] -> predictions."""

    def predict(
        self, images: Tensor, view: View | None, windows: Tensor | None, context: StepContext, turn: int
    ) -> DiscriminatorOutput:
        """The same after augmentation with the random streams of a turn.

        Under autocast in float32, too, where a penalty differentiates predictions of this step twice, of
        reals and fakes alike, and by small networks.
        """
        if self.config.augment.active:
            randomness = context.random_streams(len(images), turn, images.device)
            images = self.config.augment.apply(images, randomness)
        weights = list(self.discriminator.parameters())
        learns = any(x.requires_grad for x in weights)
        twice = learns and images.requires_grad
        penalized = learns and self.config.loss.penalizes(context.step)
        small = sum(x.numel() for x in weights) < SMALL
        precision = no_autocast(images) if twice or penalized or small else nullcontext()
        with precision, DifferentiatedTwice() if twice else nullcontext():
            return self.discriminate(images, view, windows, context)

    def auxiliary_loss(self, output: DiscriminatorOutput, fakes: FakeBatch) -> Tensor | float:
        """What is added to both players' losses on fakes."""
        return 0.0

    def render_options(self, context: StepContext, randomness: Randomness) -> RenderOptions:
        """How fakes are rendered."""
        recompute = self.config.recompute and torch.is_grad_enabled()
        noise = self.config.density_noise_at(context.step)
        return RenderOptions(randomness, noise, recompute=recompute)

    def sample_views(self, batch: ImageBatch, randomness: Randomness, size: Size) -> Camera | Grid:
        """The views of the fakes: of the generator's prior."""
        return self.generator.prior.sample(randomness, size)

    def sample_latents(self, randomness: Randomness) -> Tensor:
        """The latent codes of the fakes [B, latent_dim]."""
        return self.generator.latents(randomness)

    def bind_fakes(self, z: Tensor, view: View, randomness: Randomness) -> Scene:
        """The scenes of the fakes, of latent codes [B, latent_dim]."""
        return self.generator.scene(z)

    def turns(self) -> tuple[Turn, ...]:
        """Discriminator, then generator; where fakes are shared, the other way round."""
        generator = Turn("generator", self.generator_loss)
        discriminator = Turn("discriminator", self.discriminator_loss)
        turns = (generator, discriminator) if self.config.share_fakes else (discriminator, generator)
        penalty = Turn("discriminator", self.penalty_loss, every=self.config.loss.penalty_every)
        apart = self.config.loss.penalty_turn and self.config.loss.has_penalties
        return (*turns, penalty) if apart else turns

    def generator_loss(self, batch: ImageBatch, context: StepContext) -> tuple[Tensor, Stats]:
        """The GAN loss on as many fakes as there are real images, and the auxiliary loss."""
        fakes = self.sample_fakes(batch, context, GENERATOR)
        if self.config.share_fakes:
            context.shared[context.first] = fakes.detach()
        output = self.predict(2 * fakes.images - 1, fakes.view, fakes.windows, context, AUGMENT_FAKES)
        real = None
        if self.config.loss.kind == "relativistic":
            real = self.predict(*self.prepare_reals(batch, context), context, AUGMENT_REALS).logits
        loss = self.config.loss.generator(output.logits, real, context.step)
        loss = loss + self.auxiliary_loss(output, fakes)
        return loss, {"generator": loss}

    def discriminator_loss(self, batch: ImageBatch, context: StepContext) -> tuple[Tensor, Stats]:
        """The GAN loss, the auxiliary loss on fakes, and the penalties when they are due."""
        fakes = context.shared.pop(context.first, None)
        if fakes is None:
            with torch.no_grad():
                fakes = self.sample_fakes(batch, context, DISCRIMINATOR)
        config, penalized = self.config.loss, self.config.loss.penalizes(context.step)
        reals, view, windows = self.prepare_reals(batch, context)
        images = 2 * fakes.images - 1
        if penalized:
            reals.requires_grad_(config.gamma > 0)
            images.requires_grad_(config.gamma_fake > 0)
        real = self.predict(reals, view, windows, context, AUGMENT_REALS).logits
        output = self.predict(images, fakes.view, fakes.windows, context, AUGMENT_FAKES)
        loss = config.discriminator(real, output.logits)
        stats = {"real": real.mean(), "fake": output.logits.mean()}
        if penalized:
            penalty, found = self.penalties((real, reals), (output.logits, images), context)
            loss, stats = loss + penalty, stats | found
        loss = loss + self.auxiliary_loss(output, fakes)
        return loss, stats | {"discriminator": loss}

    def penalty_loss(self, batch: ImageBatch, context: StepContext) -> tuple[Tensor, Stats]:
        """The penalties alone, for a turn of their own."""
        reals, view, windows = self.prepare_reals(batch, context)
        reals.requires_grad_()
        real = self.predict(reals, view, windows, context, AUGMENT_REALS).logits
        if not self.config.loss.gamma_fake:
            return self.penalties((real, reals), None, context)
        with torch.no_grad():
            fakes = self.sample_fakes(batch, context, PENALTY)
        images = (2 * fakes.images - 1).requires_grad_()
        fake = self.predict(images, fakes.view, fakes.windows, context, AUGMENT_FAKES).logits
        return self.penalties((real, reals), (fake, images), context)

    def penalties(
        self, real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor] | None, context: StepContext
    ) -> tuple[Tensor, Stats]:
        """Logits [B] and the images [B, 3, H, W] they depend on -> weighted penalties [], and each."""
        config, total, stats = self.config.loss, real[0].new_zeros(()), {}
        factor = config.penalty_factor(context.step, context.steps)
        with no_autocast(real[0]):
            for name, gamma, pair in (("r1", config.gamma, real), ("r2", config.gamma_fake, fake)):
                if gamma > 0 and pair is not None:
                    stats[name] = r1_penalty(*pair)
                    total = total + gamma * factor * stats[name]
        return total, stats

    def sample_fakes(self, batch: ImageBatch, context: StepContext, turn: int) -> FakeBatch:
        """As many images as the batch has, of the size that the discriminator is given."""
        randomness = context.random_streams(len(batch), turn, batch.images.device)
        size = self.discriminator_size(batch)
        z = self.sample_latents(randomness)
        view = self.sample_views(batch, randomness, size)
        windows = self.sample_windows(batch, context, randomness)
        if windows is not None:
            view = view.crop(windows, size)
        scene = self.bind_fakes(z, view, randomness)
        found = self.generator.render(scene, view, self.render_options(context, randomness))
        image = found.image
        if self.config.mask_weight:
            seen = found.alpha if found.object_alpha is None else found.object_alpha.sum(dim=1)
            assert seen is not None
            image = torch.cat([image, self.config.mask_weight * seen.to(image)], dim=1)
        return FakeBatch(image, z, view, windows, found.object_alpha)

    def prepare_masks(self, masks: Tensor) -> Tensor:
        """Masks of real images [B, 1, H, W], 0 to 1, as those of the fakes are."""
        return masks

    def prepare_reals(self, batch: ImageBatch, context: StepContext) -> Reals:
        """What the discriminator is given of real images."""
        view: View | None = getattr(batch, "cameras", None)
        images = batch.images[:, :3] if self.config.mixed_aspects else batch.images
        if self.config.mask_weight:
            masks = self.config.mask_weight * self.prepare_masks(images[:, 3:])
            images = torch.cat([images[:, :3], masks], dim=1)
        if not self.config.patches.size:
            return 2 * images - 1, view, None
        randomness = context.random_streams(len(batch), REALS, batch.images.device)
        size = self.discriminator_size(batch)
        windows = self.sample_windows(batch, context, randomness)
        images = crop_and_resize(images, windows, size, self.config.patches.antialias)
        return 2 * images - 1, view, windows

    def sample_windows(
        self, batch: ImageBatch, context: StepContext, randomness: Randomness
    ) -> Tensor | None:
        """The windows of patches [B, 3] in image sides, or inside of pictures of any aspect [B, 4].

        None: whole images.
        """
        side = batch.images.shape[-1]
        windows = self.config.patches.sample(randomness, context.step, side, context.seed)
        if not self.config.mixed_aspects or batch.images.shape[1] == 3:
            return windows
        return windows_inside(windows, batch.images[:, 3:], randomness)

    def discriminator_size(self, batch: ImageBatch) -> Size:
        """(height, width) of what the discriminator is given: patches, or whole images."""
        height, width = batch.images.shape[-2:]
        return (self.config.patches.size,) * 2 if self.config.patches.size else (height, width)

    def fade_alpha(self, context: StepContext) -> float:
        """Weight of the layers that this stage of progressive growing has added, 0 to 1."""
        if not self.config.fade_steps or context.stage_start == 0:
            return 1.0
        return min(1.0, (context.step - context.stage_start) / self.config.fade_steps)
