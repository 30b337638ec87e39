"""pi-GAN's experiments: the paper's, the released code's, the ablations, and two that learn on a laptop."""

import math
from dataclasses import replace

from genscene.contract import Background, Vector
from genscene.experiment.schema import EMA, Experiment, ImageConfig, Optim, Stage
from genscene.geometry.priors import CameraPrior
from genscene.objectives.gan_loss import GANLoss
from genscene.render.march import March
from genscene.render.patches import PatchSampler
from genscene.systems.pigan.discriminator import STRIDED_CHANNELS, DiscriminatorConfig
from genscene.systems.pigan.generator import FieldConfig, Legacy, PiGANGeneratorConfig
from genscene.systems.pigan.system import PiGANConfig

WARP = 2 / 0.24  # of the released CelebA and Cats fields
V = math.pi / 4 * 85 / 90  # CARLA's mean and half range of the area-uniform polar angle

FACES = CameraPrior("gaussian", yaw=(math.pi / 2, 0.3), pitch=(math.pi / 2, 0.155), radius=1.0, fov=12.0)
CATS = CameraPrior("gaussian", yaw=(math.pi / 2, 0.289), pitch=(math.pi / 2, 0.231), radius=1.0, fov=12.0)
CARS = CameraPrior("sphere", yaw=(math.pi / 2, math.pi), pitch=(V, V), radius=1.0, fov=30.0)

FACE = PiGANGeneratorConfig(march=March(0.88, 1.12, 12, fine_samples=12), prior=FACES)
CAT = PiGANGeneratorConfig(march=March(0.8, 1.2, 24, fine_samples=24), prior=CATS)
CAR = PiGANGeneratorConfig(
    march=March(0.7, 1.3, 48, fine_samples=48), prior=CARS, background="white", eval_background="white"
)

FACE_FILES = ImageConfig(center_crop=0.8, flip=True)  # 256 of 320 pixels of the shorter side
CAT_FILES, CAR_FILES = ImageConfig(flip=True), ImageConfig()

GROWING = (Stage(0, (32, 32), 120, 2), Stage(10_000, (64, 64), 60, 4), Stage(50_000, (128, 128), 24, 8))
# for a card of 11 GB: a recipe of its users
SMALL_GPU = (Stage(0, (32, 32), 40, 2), Stage(10_000, (64, 64), 20, 4), Stage(50_000, (128, 128), 8, 8))


def paper(
    generator: PiGANGeneratorConfig, images: ImageConfig, stages: tuple[Stage, ...] = GROWING
) -> Experiment:
    """The paper's training (sec. 3.4): 32, 64, 128 pixels; steps and later batches are those of its users."""
    optim = {
        "generator": Optim(5e-5, clip=10.0, final_lr_ratio=0.2),
        "discriminator": Optim(4e-4, clip=10.0, final_lr_ratio=0.25),
    }
    return Experiment(PiGANConfig(generator=generator), "", images, stages, 200_000, optim)


def constant_lr(generator: float, discriminator: float, clip: float) -> dict[str, Optim]:
    """Constant learning rates of both players, and the norm that their gradients are clipped to."""
    return {"generator": Optim(generator, clip=clip), "discriminator": Optim(discriminator, clip=clip)}


def released(
    generator: PiGANGeneratorConfig,
    system: PiGANConfig,
    images: ImageConfig,
    stages: tuple[Stage, ...],
    optim: dict[str, Optim],
) -> Experiment:
    """The released code's training with its quirks, except that pictures are deterministic at evaluation."""
    march = replace(generator.march, raw_depth=True, pdf_floor=2e-5)
    legacy = Legacy(fade_first_stage=True, sum_accumulation=True)
    generator = replace(generator, march=march, pixels="border", legacy=legacy)
    return Experiment(replace(system, generator=generator), "", images, stages, 200_000, optim)


def celeba_release() -> Experiment:
    """CelebA: box warp, strided discriminator with coordinate channels that predicts the pose."""
    generator = replace(FACE, field=FieldConfig(warp=WARP), eval_background="last")
    discriminator = DiscriminatorConfig("coord-strided", STRIDED_CHANNELS, heads=True)
    system = PiGANConfig(discriminator=discriminator, loss=GANLoss(gamma=0.2, top_k=0.6), pose_weight=15.0)
    return released(
        generator, system, FACE_FILES, (Stage(0, (64, 64), 56, 2),), constant_lr(6e-5, 2e-4, 10.0)
    )


def cats_release() -> Experiment:
    """Cats: box warp, plain strided discriminator, uniform poses."""
    poses = replace(CATS, distribution="uniform", yaw=(math.pi / 2, 0.5), pitch=(math.pi / 2, 0.4))
    generator = replace(CAT, field=FieldConfig(warp=WARP), prior=poses, eval_background="last")
    discriminator = DiscriminatorConfig("strided", STRIDED_CHANNELS)
    system = PiGANConfig(discriminator=discriminator, loss=GANLoss(gamma=0.2, top_k=0.6))
    return released(generator, system, CAT_FILES, (Stage(0, (64, 64), 28, 4),), constant_lr(6e-5, 2e-4, 10.0))


def carla_release() -> Experiment:
    """CARLA: no warp, progressive discriminator with unused heads, three stages."""
    stages = (
        Stage(0, (32, 32), 30, 1),
        Stage(10_000, (64, 64), 14, 2, lr=0.5),
        Stage(55_000, (128, 128), 10, 5, lr=0.25),
    )
    loss = GANLoss(gamma=10.0, top_k_interval=1000)
    system = PiGANConfig(discriminator=DiscriminatorConfig(heads=True), loss=loss)
    return released(CAR, system, CAR_FILES, stages, constant_lr(4e-5, 4e-4, 1.0))


def ablation(field: FieldConfig) -> Experiment:
    """The paper's CelebA at 64 pixels with another field (table 3)."""
    return paper(replace(FACE, field=field), FACE_FILES, GROWING[:2])


def laptop(
    prior: CameraPrior, march: March, box: Vector | None, background: Background, images: ImageConfig
) -> Experiment:
    """Small enough for two CPU cores: 4 layers of 64 channels, one pass, a discriminator of 16 x 16 pixels.

    It is first given whole images averaged to 16 pixels; then, for sharpness, points of windows (GRAF).
    """
    generator = PiGANGeneratorConfig(
        latent_dim=32,
        mapping_width=128,
        mapping_depth=2,
        field=FieldConfig(width=64, depth=4, frequency=(3.0, 8.0), view_dependent=False, box=box),
        march=march,
        background=background,
        eval_background=background,
        prior=prior,
    )
    system = PiGANConfig(
        generator=generator,
        discriminator=DiscriminatorConfig("coord-strided", (16, 32, 64, 128), mbstd_group=16),
        loss=GANLoss(gamma=1.0, penalty_every=2),
        patches=PatchSampler(size=16, smallest=0.5, share=0.7, start=1000, antialias=False),
        share_fakes=True,
        noise_steps=0,
    )
    adam = Optim(1e-3, betas=(0.0, 0.99), final_lr_ratio=0.1, decay_from=0.6)
    optim = {"generator": adam, "discriminator": adam}
    return Experiment(system, "", images, (Stage(0, (64, 64), 32),), 5000, optim, EMA(0.995))


def demo() -> Experiment:
    """Cars from all sides, from unposed images, in minutes."""
    pitch = (math.radians(58.5), math.radians(23.5))
    around = CameraPrior("uniform", (math.pi / 2, math.pi), pitch, radius=2.6, fov=42.0)
    march = March(1.75, 3.45, 12, "softplus", gain=25.0, shift=-3.5, last_interval=0.15)
    experiment = laptop(around, march, (1.0, 0.5, 0.45), "white", ImageConfig(limit=4000))
    return replace(experiment, data="synthetic:cars")


def own_images() -> Experiment:
    """A person's own images of things seen more or less from the front, whatever the background."""
    front = CameraPrior("gaussian", (math.pi / 2, 0.3), (math.pi / 2, 0.155), radius=2.6, fov=42.0)
    march = March(1.6, 3.6, 14, "softplus", gain=25.0, shift=-3.5, last_interval=0.15)
    return laptop(front, march, None, "last", ImageConfig(flip=True))


RELU = FieldConfig(activation="relu", octaves=10, frequency=(1.0, 1.0))

PRESETS: dict[str, Experiment] = {
    "pigan-demo": demo(),
    "pigan-pictures": own_images(),
    "pigan-celeba": paper(FACE, FACE_FILES),
    "pigan-cats": paper(CAT, CAT_FILES),
    "pigan-carla": paper(CAR, CAR_FILES),
    "pigan-celeba-release": celeba_release(),
    "pigan-cats-release": cats_release(),
    "pigan-carla-release": carla_release(),
    "pigan-celeba-relu": ablation(RELU),
    "pigan-celeba-concat": ablation(FieldConfig(conditioning="concat")),
    "pigan-celeba-relu-concat": ablation(replace(RELU, conditioning="concat")),
    "pigan-celeba-nogrow": paper(FACE, FACE_FILES, (replace(GROWING[-1], start=0),)),
    "pigan-celeba-grid128": ablation(FieldConfig(width=128, warp=WARP, grid_channels=32)),
    "pigan-celeba-grid256": ablation(FieldConfig(warp=WARP, grid_channels=32, grid_size=64, grid_std=0.1)),
    "pigan-small-gpu": paper(FACE, FACE_FILES, SMALL_GPU),
}
