"""CGS-GAN's experiments: heads at four sizes, and cars that learn on two CPU cores."""

import math
from dataclasses import replace

from genscene.experiment.schema import EMA, Experiment, ImageConfig, Optim, Stage
from genscene.geometry.priors import CameraPrior
from genscene.layers.points.residual import ResidualConfig, released_scales
from genscene.objectives.dcgan import DCGANConfig
from genscene.objectives.gan_loss import GANLoss
from genscene.objectives.stylegan2 import StyleGAN2DiscriminatorConfig
from genscene.render.patches import PatchSampler
from genscene.systems.cgsgan.generator import CGSGANGeneratorConfig
from genscene.systems.cgsgan.network import PointNetworkConfig
from genscene.systems.cgsgan.system import CGSGANConfig

CHILDREN = (1, 4, 4, 4, 2, 2, 2, 2)
FEATURES = (512, 256, 128, 64, 32, 16, 16, 8)
# parts of the generator that learn slowly: where points and Gaussians are
PLACES = ("network.points", "network.anchors.xyz", "network.gaussians.xyz")
HEADS = ImageConfig(background="random", flip=True)


def of_levels(levels: int) -> tuple[CGSGANGeneratorConfig, int]:
    """The released generator with so many levels, 5 to 8, and the side of its pictures."""
    size = 256 << (levels - 5)
    split, smallest, largest = released_scales(size)
    network = PointNetworkConfig(children=CHILDREN[:levels], features=FEATURES[:levels])
    residual = ResidualConfig(max_scale=largest, min_scale=smallest, split_ratio=split)
    return CGSGANGeneratorConfig(network=network, residual=residual), size


def released(levels: int) -> Experiment:
    """The released training: 15 million pictures in batches of 32."""
    generator, side = of_levels(levels)
    blurred = StyleGAN2DiscriminatorConfig(side, conv_clamp=256.0, blur_steps=6250)
    system = CGSGANConfig(generator=generator, discriminator=blurred)
    slow = dict.fromkeys(PLACES, 0.01)
    optim = {
        "generator": Optim(2.5e-3, betas=(0.0, 0.99), clip=20.0, lr_multipliers=slow),
        "discriminator": Optim(2e-3, betas=(0.0, 0.99), clip=5.0).lazy(16),
    }
    stages = (Stage(0, (side, side), 32, accumulation=4),)
    average = EMA(half_life=10_000, rampup=0.05, warmup=0.0)
    return Experiment(system, "", HEADS, stages, 468_750, optim, average)


CAR_POINTS = PointNetworkConfig(
    points=256,
    ellipsoid=(0.8, 0.35, 0.38),
    filled=True,
    box=1.05,
    width=64,
    heads=4,
    mlp_ratio=2,
    gate=0.5,
    constant_pe="point",
    frequency=3.0,
    first_blocks=2,
    children=(1, 4),
    features=(64, 32),
    xyz_init=0.3,
    color_init=0.1,
    scale_bias=1.0,
)
CAR_SPLATS = ResidualConfig(
    first_scale=0.18,  # the first Gaussians' standard deviations begin as about 0.08
    max_scale=0.14,
    min_scale=1e-3,
    split_ratio=1.6,
    split_first=False,
    child_box=1.5,
    scale_range=1.3,
    anchor_bound=0.3,
    color="sigmoid",
    bound=1.2,
)


def demo() -> Experiment:
    """Cars from all sides at 64 x 64 on two CPU cores: 1,280 Gaussians, 8 cars from 4 sides in a step."""
    pitch = (math.radians(58.5), math.radians(23.5))
    prior = CameraPrior("uniform", (math.pi / 2, math.pi), pitch, radius=2.6, fov=42.0)
    generator = CGSGANGeneratorConfig(
        64, 64, 2, 0.1, label_embedding=False, network=CAR_POINTS, residual=CAR_SPLATS, prior=prior
    )
    system = CGSGANConfig(
        generator=generator,
        dcgan=DCGANConfig((32, 64, 128), bias=True, kaiming=True, mbstd_group=4),
        loss=GANLoss(gamma=0.2, penalty_every=4),
        patches=PatchSampler(32, smallest=0.5, largest=1.0, share=0.7, start=500),
        share_fakes=True,
        views_in_batch=True,
        background="white",
        supersample=2,
        discriminator_camera="angles",
        discriminator_coords=True,
        neighbor_weight=0.0,
        center_weight=0.0,
    )
    adam = Optim(3e-3, betas=(0.0, 0.99), final_lr_ratio=0.1, decay_from=0.4)
    # equalised layers divide their weights by a root of their inputs, not their biases
    slow = {"network.points": 0.1, "*.bias": 0.2}
    optim = {"generator": replace(adam, lr_multipliers=slow), "discriminator": replace(adam, lr=1e-3)}
    images, stages = ImageConfig(limit=4000), (Stage(0, (64, 64), 32),)
    return Experiment(system, "synthetic:cars", images, stages, 5000, optim, EMA(0.998))


PRESETS: dict[str, Experiment] = {
    "cgsgan-demo": demo(),
    "cgsgan-ffhqc-256": released(5),
    "cgsgan-ffhqc-512": released(6),
    "cgsgan-ffhqc-1024": released(7),
    "cgsgan-ffhqc-2048": released(8),
    "cgsgan-ffhq-512": released(6),
}
