"""GRAF's experiments: all released configurations, and one that learns on a laptop."""

import math
from dataclasses import replace

from genscene.experiment.schema import EMA, Experiment, ImageConfig, Optim, Stage
from genscene.geometry.boxes import Interval
from genscene.geometry.priors import CameraPrior
from genscene.layers.nerf_field import FieldConfig
from genscene.objectives.dcgan import DCGANConfig
from genscene.objectives.gan_loss import GANLoss
from genscene.render.march import March
from genscene.render.patches import PatchSampler
from genscene.systems.graf.generator import GRAFGeneratorConfig
from genscene.systems.graf.system import GRAFConfig

FACING = (0.329, 0.4564)  # 70 to 85 degrees from the pole
PATCHES = PatchSampler(32, 0.25, 1.0, antialias=False, anneal=0.0025)
FINER = replace(PATCHES, smallest=0.125, anneal=0.0019)  # of CelebA-HQ


def cameras(azimuth: Interval, height: Interval, radius: Interval, fov: float) -> CameraPrior:
    """Cameras in ranges of azimuth in turns, of the polar angle's share of the area, and of the radius."""
    (u0, u1), (v0, v1), (r0, r1) = azimuth, height, radius
    return CameraPrior(
        "sphere",
        (-math.pi * (u0 + u1), math.pi * (u1 - u0)),
        (math.pi * (v0 + v1) / 2, math.pi * (v1 - v0) / 2),
        (r0 + r1) / 2,
        fov,
        up="z",
        radius_spread=(r1 - r0) / 2,
    )


def released(
    generator: GRAFGeneratorConfig,
    side: int,
    images: ImageConfig,
    flip: bool = False,
    patches: PatchSampler = PATCHES,
) -> Experiment:
    """The released training; learning rates are halved after 50,000, 100,000 and 200,000 steps."""
    system = GRAFConfig(generator=generator, patches=patches, flip=flip)
    size = (side, side)
    stages = tuple(
        Stage(start, size, 8, lr=lr)
        for start, lr in ((0, 1.0), (50_000, 0.5), (100_000, 0.25), (200_000, 0.125))
    )
    optim = {
        "generator": Optim(5e-4, betas=(0.0, 0.99), kind="rmsprop"),
        "discriminator": Optim(1e-4, betas=(0.0, 0.99), kind="rmsprop"),
    }
    return Experiment(system, "", images, stages, 400_000, optim, EMA(0.999, warmup=0.0))


def carla(side: int) -> Experiment:
    """Cars from all sides before white."""
    prior = cameras((0.0, 1.0), (0.0, 0.4564), (10.0, 10.0), 30.0)
    return released(GRAFGeneratorConfig(prior=prior), side, ImageConfig())


def faces(side: int, turn: float, crop: float, radius: Interval) -> Experiment:
    """Faces of people or cats, whatever the background."""
    prior = cameras((0.0, turn), FACING, radius, 10.0)
    generator = GRAFGeneratorConfig(prior=prior, background="black")
    patches = FINER if side >= 256 else PATCHES
    return released(generator, side, ImageConfig(center_crop=crop, flip=True), patches=patches)


def birds() -> Experiment:
    """Birds of CUB before white: colors do not depend on the direction, patches are mirrored."""
    low, high = ((1 - math.cos(math.radians(x))) / 2 for x in (60, 95))
    prior = cameras((0.0, 1.0), (low, high), (9.0, 11.0), 30.0)
    generator = GRAFGeneratorConfig(prior=prior, view_dependent=False)
    return released(generator, 64, ImageConfig(), flip=True)


def demo() -> Experiment:
    """Cars from all sides from patches of 16 pixels, in minutes on two CPU cores."""
    pitch = (math.radians(58.5), math.radians(23.5))
    generator = GRAFGeneratorConfig(
        16,
        16,
        FieldConfig(64, 4, (), 5, 2, extent=1.2),
        view_dependent=False,
        march=March(1.75, 3.45, 16, "softplus", gain=25.0, shift=-3.5, last_interval=0.15),
        prior=CameraPrior("uniform", (math.pi / 2, math.pi), pitch, 2.6, 42.0),
    )
    system = GRAFConfig(
        generator=generator,
        discriminator=DCGANConfig((64, 128), bias=True, mbstd_group=8),
        loss=GANLoss(gamma=1.0, penalty_every=2),
        patches=PatchSampler(16, 0.35, 1.0, antialias=True, anneal=0.1),
        share_fakes=True,
        noise_steps=0,
    )
    adam = Optim(1e-3, betas=(0.0, 0.99), final_lr_ratio=0.1, decay_from=0.6)
    optim = {"generator": adam, "discriminator": adam}
    return Experiment(
        system, "synthetic:cars", ImageConfig(limit=4000), (Stage(0, (64, 64), 32),), 3000, optim, EMA(0.995)
    )


PRESETS: dict[str, Experiment] = {
    "graf-demo": demo(),
    "graf-carla-64": carla(64),
    "graf-carla-128": carla(128),
    "graf-carla-256": carla(256),
    "graf-carla-512": carla(512),
    "graf-celeba-64": faces(64, 0.25, 108 / 178, (9.5, 10.5)),
    "graf-celeba-128": faces(128, 0.25, 108 / 178, (9.5, 10.5)),
    "graf-celebahq-256": faces(256, 0.25, 650 / 1024, (9.5, 10.5)),
    "graf-celebahq-512": faces(512, 0.25, 650 / 1024, (9.5, 10.5)),
    "graf-cats": faces(64, 0.1944, 1.0, (10.0, 10.0)),
    "graf-cub": birds(),
}
