"""CIPS's experiments: the paper's data sets, its ablations, and one that learns on two CPU cores."""

from dataclasses import replace
from typing import cast

from genscene.experiment.schema import EMA, Experiment, ImageConfig, Optim, Stage
from genscene.objectives.gan_loss import GANLoss
from genscene.objectives.stylegan2 import StyleGAN2DiscriminatorConfig
from genscene.render.patches import PatchSampler
from genscene.systems.cips.generator import CIPSGeneratorConfig
from genscene.systems.cips.network import CIPSNetworkConfig
from genscene.systems.cips.system import CIPSConfig

ADAM = Optim(2e-3, betas=(0.0, 0.99))
FLIPPED = ImageConfig(flip=True)
NETWORK = CIPSNetworkConfig()


def released(network: CIPSNetworkConfig = NETWORK, side: int = 256) -> Experiment:
    """The released training: 38.4 million pictures in batches of 32."""
    size = (side, side)
    system = CIPSConfig(
        generator=CIPSGeneratorConfig(network=network, size=size),
        discriminator=StyleGAN2DiscriminatorConfig(size=side),
    )
    optim = {"generator": ADAM, "discriminator": ADAM}
    average = EMA(half_life=10_000, warmup=0.0)
    return Experiment(system, "", FLIPPED, (Stage(0, size, 32),), 1_200_000, optim, average)


def as_released(paper: Experiment) -> Experiment:
    """The same as the released code has it, whose weights a run may start from."""
    system = cast(CIPSConfig, paper.system)
    network = replace(
        system.generator.network,
        widths=(512,) * 5 + (256, 128),
        noise="random",
        legacy_fourier_bias=True,
        legacy_grid_sample=True,
    )
    system = replace(system, generator=replace(system.generator, network=network))
    # the generator's is that of path lengths at every fourth step, which the released code leaves out
    return replace(paper, system=system, optim={"generator": ADAM.lazy(4), "discriminator": ADAM.lazy(16)})


def on_patches(paper: Experiment, side: int) -> Experiment:
    """The same on patches of so many pixels, whose coordinates the discriminator sees (released code)."""
    system = cast(CIPSConfig, paper.system)
    system = replace(
        system,
        discriminator=replace(system.discriminator, size=side),
        patches=PatchSampler(side, strides=True, antialias=False),
        discriminator_coords=True,
    )
    return replace(paper, system=system)


def panorama(paper: Experiment, frames: int, cross_frame: float) -> Experiment:
    """The same around a cylinder: pictures of its data, side by side, close to a panorama."""
    system = cast(CIPSConfig, paper.system)
    network = system.generator.network
    table = (network.embedding_size[0], network.embedding_size[1] * frames)
    network = replace(network, frames=frames, embedding_size=table)
    generator = replace(system.generator, network=network)
    return replace(paper, system=replace(system, generator=generator, cross_frame=cross_frame))


def recomputed(paper: Experiment) -> Experiment:
    """The same in less memory: fakes are rendered again in parts for the backward pass."""
    return replace(paper, system=replace(cast(CIPSConfig, paper.system), recompute=True))


def demo() -> Experiment:
    """Landscapes at 64 x 64 on two CPU cores: a small network without embeddings, on patches of 32 pixels."""
    network = CIPSNetworkConfig(
        features=192, embedding=False, widths=(96,) * 4, legacy_fourier_bias=True, fourier_scale=4.0
    )
    system = CIPSConfig(
        generator=CIPSGeneratorConfig(64, 4, network=network, size=(64, 64)),
        discriminator=StyleGAN2DiscriminatorConfig(size=32, channel_base=768, channel_max=64),
        loss=GANLoss(gamma=1.0, penalty_every=16, penalty_turn=True),
        patches=PatchSampler(32, start=1500),
        discriminator_coords=True,
        share_fakes=True,
    )
    adam = replace(ADAM, final_lr_ratio=0.1, decay_from=0.6)
    optim = {"generator": adam, "discriminator": adam}
    images, stages = ImageConfig(limit=4000), (Stage(0, (64, 64), 8),)
    return Experiment(system, "synthetic:landscapes", images, stages, 5000, optim, EMA(0.998))


PRESETS: dict[str, Experiment] = {
    "cips-demo": demo(),
    "cips-panorama-demo": panorama(demo(), 4, 0.5),
    "cips-ffhq-256": released(),
    "cips-churches-256": released(),
    "cips-landscapes-256": released(replace(NETWORK, variant="residual")),
    "cips-satellite-buildings-256": released(),
    "cips-satellite-landscapes-256": released(),
    "cips-panorama-256": recomputed(panorama(released(replace(NETWORK, variant="residual")), 6, 0.5)),
    "cips-ffhq-1024": recomputed(released(side=1024)),
    "cips-ffhq-256-patches": on_patches(released(), 128),
    "cips-ffhq-256-released": as_released(released()),
    "cips-landscapes-256-released": as_released(released(replace(NETWORK, variant="residual"))),
    "cips-ffhq-256-ne": released(replace(NETWORK, embedding=False)),
    "cips-ffhq-256-no-fourier": released(replace(NETWORK, fourier=False)),
    "cips-ffhq-256-residual": released(replace(NETWORK, variant="residual")),
    "cips-ffhq-256-sine": released(replace(NETWORK, activation="sin")),
}
