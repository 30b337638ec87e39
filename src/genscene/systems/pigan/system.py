"""pi-GAN as a game of two players: a generator that fools, a discriminator that tells."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from genscene.contract import MAX_BYTES, ImageBatch, Stats, StepContext, System, SystemConfig, Turn
from genscene.errors import BadInput
from genscene.geometry.cameras import Size, exact
from genscene.geometry.priors import camera_angles
from genscene.objectives.losses import best, fool, r1, tell
from genscene.render.patches import PatchSampler, crop_and_resize
from genscene.render.volume import sample_perturb
from genscene.systems.pigan.discriminator import Discriminator, DiscriminatorConfig, Verdict, entrance
from genscene.systems.pigan.generator import PiGANGenerator, PiGANGeneratorConfig

DISCRIMINATOR, GENERATOR = 0, 1  # the turns, for their random numbers


@dataclass(frozen=True)
class PiGANConfig(SystemConfig):
    """All the numbers of pi-GAN's system."""

    generator: PiGANGeneratorConfig = PiGANGeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    gamma: float = 20.0  # weight of R1, gamma / 2 * |gradient|^2; the paper's 10 |gradient|^2
    r1_every: int = 1  # discriminator steps between two penalties, which weigh so much more
    z_weight: float = 0.0  # of the error of the guessed z; wants heads
    pose_weight: float = 0.0  # of the error of the guessed pose; wants heads (released CelebA: 15)
    topk: float = 1.0  # share of the fakes, the best ones, that the generator learns from in the end
    topk_interval: int = 2000  # steps in which that share falls by 1 % until then
    noise_steps: int = 5000  # density noise falls from deviation 1 to 0 in so many steps; 0: no noise
    fade_steps: int = 10_000  # a new stage's entrance of the discriminator is faded in over so many steps
    share_fakes: bool = False  # one rendering a step serves both players: the generator goes first
    deferred: bool = (
        False  # trace rays again when their gradient is due: any size of picture in constant memory
    )
    patches: PatchSampler = PatchSampler()

    def __post_init__(self) -> None:
        if (self.z_weight or self.pose_weight) and not self.discriminator.heads:
            raise BadInput(
                "z_weight and pose_weight want a discriminator with heads (--system.discriminator.heads)"
            )

    def build(self) -> "PiGAN":
        """A system with build_seeded weights."""
        return PiGAN(self)

    def check(self, size: Size) -> None:
        """Raise BadInput where the discriminator has no entrance for pictures of this size."""
        entrance(self.patches.size or min(size), self.discriminator)

    def shrunk(self) -> "PiGANConfig":
        """Two layers of 8 channels, 4 samples, pictures up to 16 pixels."""
        generator = self.generator
        field = replace(generator.field, width=8, depth=2, octaves=min(2, generator.field.octaves))
        if field.grid_channels:
            field = replace(field, grid_channels=2, grid_size=4)
        small = replace(
            generator,
            latent_dim=4,
            mapping_width=8,
            mapping_depth=1,
            field=field,
            march=replace(generator.march, samples=4),
        )
        judge = self.discriminator
        discriminator = replace(judge, channels=(4, 4, 4, 4), group=min(2, judge.group))
        patches = replace(self.patches, size=min(8, self.patches.size), start=0)
        return replace(self, generator=small, discriminator=discriminator, patches=patches)


@dataclass(frozen=True)
class Fakes:
    """B renderings and what they were made from."""

    images: Tensor  # [B, 3, H, W], 0 to 1
    z: Tensor  # [B, latent_dim]
    pose: Tensor  # [B, 2], (pitch, yaw) in radians
    windows: Tensor | None = None  # [B, 3], through which they are seen; None: whole

    def detach(self) -> "Fakes":
        """The same without their graph."""
        return replace(self, images=self.images.detach())


class PiGAN(System):
    """The generator, the discriminator, and their losses."""

    def __init__(self, config: PiGANConfig):
        super().__init__()
        self.config = config
        self.generator: PiGANGenerator = PiGANGenerator(config.generator)
        self.discriminator = Discriminator(config.discriminator, config.generator.latent_dim)

    def turns(self) -> tuple[Turn, ...]:
        """Discriminator, then generator; or, where fakes are shared, the other way round."""
        if not self.config.share_fakes:
            return Turn("discriminator", self.discriminator_loss), Turn("generator", self.generator_loss)
        judged: list[Fakes] = []

        def learn(batch: ImageBatch, moment: StepContext) -> tuple[Tensor, Stats]:
            judged.append(self.paint(batch, moment, GENERATOR))
            return self.deception(judged[-1], moment)

        def judge(batch: ImageBatch, moment: StepContext) -> tuple[Tensor, Stats]:
            return self.judgement(batch, judged.pop(0).detach(), moment)

        return Turn("generator", learn), Turn("discriminator", judge)

    def discriminator_loss(self, batch: ImageBatch, moment: StepContext) -> tuple[Tensor, Stats]:
        """Fresh fakes, without a graph, beside photographs."""
        with torch.no_grad():
            fakes = self.paint(batch, moment, DISCRIMINATOR)
        return self.judgement(batch, fakes, moment)

    def generator_loss(self, batch: ImageBatch, moment: StepContext) -> tuple[Tensor, Stats]:
        """Fresh fakes, as many as there are photographs."""
        return self.deception(self.paint(batch, moment, GENERATOR), moment)

    def paint(self, batch: ImageBatch, moment: StepContext, turn: int) -> Fakes:
        """As many pictures as the batch has, of the size the discriminator sees."""
        config, generator = self.config.generator, self.generator
        device = batch.images.device
        draws = moment.draws(len(batch), turn, device)
        size = self.seen_size(batch)
        z = generator.latents(draws)
        camera = config.orbit.sample(draws, size)
        windows = self.config.patches.sample(draws, moment.step)
        if windows is not None:
            camera = camera.crop(windows, size)
        noise = max(0.0, 1 - moment.step / self.config.noise_steps) if self.config.noise_steps else 0.0
        rays = size[0] * size[1]
        perturb = sample_perturb(draws, rays, config.march, config.hierarchical, noise)
        deferred = self.config.deferred and torch.is_grad_enabled()
        chunk = (
            generator.chunk(len(batch), MAX_BYTES, deferred)
            if deferred or not torch.is_grad_enabled()
            else rays
        )
        scene = generator.bind(generator.style(z))
        image = generator.trace(scene, camera, perturb, config.background, chunk, deferred).image
        yaw, pitch = camera_angles(camera, config.orbit.yaw[0])
        return Fakes(image, z, torch.stack([pitch, yaw], dim=-1), windows)

    def seen_size(self, batch: ImageBatch) -> Size:
        """(height, width) of what the discriminator sees: patches, or whole pictures."""
        height, width = batch.images.shape[-2:]
        return (self.config.patches.size,) * 2 if self.config.patches.size else (height, width)

    def seen(self, batch: ImageBatch, moment: StepContext) -> tuple[Tensor, Tensor | None]:
        """Photographs as the discriminator sees them [B, 3, H, W], in [0, 1], and through which windows [B, 3]."""
        if not self.config.patches.size:
            return batch.images, None
        draws = moment.draws(len(batch), DISCRIMINATOR + 2, batch.images.device)
        windows = self.config.patches.sample(draws, moment.step)
        return crop_and_resize(
            batch.images, windows, self.seen_size(batch), self.config.patches.antialias
        ), windows

    def judgement(self, batch: ImageBatch, fakes: Fakes, moment: StepContext) -> tuple[Tensor, Stats]:
        """The discriminator's loss: logistic, R1, and the errors of its guesses."""
        photos, windows = self.seen(batch, moment)
        penalised = self.config.gamma > 0 and moment.step % self.config.r1_every == 0
        if penalised:
            photos = (2 * photos - 1).requires_grad_()
            real = self.judge(photos, windows, moment).logits
            verdict = self.judge(2 * fakes.images - 1, fakes.windows, moment)
        else:
            joint = None if windows is None or fakes.windows is None else torch.cat([windows, fakes.windows])
            both = self.judge(2 * torch.cat([photos, fakes.images]) - 1, joint, moment)
            real, verdict = both[: len(photos)].logits, both[len(photos) :]
        loss = tell(real, verdict.logits)
        stats = {"real": real.mean(), "fake": verdict.logits.mean()}
        if penalised:
            with exact(photos):
                stats["r1"] = r1(real, photos)
            loss = loss + self.config.gamma * self.config.r1_every * stats["r1"]
        return loss + self.identity(verdict, fakes), stats | {"discriminator": loss}

    def deception(self, fakes: Fakes, moment: StepContext) -> tuple[Tensor, Stats]:
        """The generator's loss: non-saturating on the best fakes, and the errors of the discriminator's guesses."""
        verdict = self.judge(2 * fakes.images - 1, fakes.windows, moment)
        share = max(0.99 ** (moment.step / self.config.topk_interval), self.config.topk)
        loss = fool(best(verdict.logits, share)) + self.identity(verdict, fakes)
        scale = moment.slices if self.config.generator.legacy.chunk_sum else 1
        return scale * loss, {"generator": loss}

    def judge(self, images: Tensor, windows: Tensor | None, moment: StepContext) -> Verdict:
        """What the discriminator says of pictures [B, 3, H, W] in [-1, 1]; exact, for R1 differentiates twice."""
        with exact(images):
            return self.discriminator(images, self.fade(moment), windows)

    def identity(self, verdict: Verdict, fakes: Fakes) -> Tensor | float:
        """How far the guessed z and pose are off (released code), in both players' losses."""
        if verdict.z is None or verdict.pose is None:
            return 0.0
        error = self.config.z_weight * mse_loss(verdict.z, fakes.z)
        return error + self.config.pose_weight * mse_loss(verdict.pose, fakes.pose)

    def fade(self, moment: StepContext) -> float:
        """Share of the stage's own entrance of the discriminator, 0 to 1."""
        first = moment.stage_start == 0 and not self.config.generator.legacy.fade_first_stage
        if first or not self.config.fade_steps:
            return 1.0
        return min(1.0, (moment.step - moment.stage_start) / self.config.fade_steps)
