"""Experiments with Gaussians fitted to photographs."""

from genscene.experiment.schema import EMA, Experiment, Optim, PosedConfig, Stage
from genscene.systems.nerf.presets import TURNTABLE
from genscene.systems.splats.density import DensityConfig
from genscene.systems.splats.generator import SplatsGeneratorConfig
from genscene.systems.splats.system import SplatsConfig

RATES = {  # those of the paper; of places, in units of the scene's extent
    "means": 1.6e-4,
    "log_scales": 5e-3,
    "quats": 1e-3,
    "opacity_logits": 0.05,
    "f_dc": 2.5e-3,
    "sh_rest": 1.25e-4,
}


def fitted(
    generator: SplatsGeneratorConfig,
    density: DensityConfig,
    steps: int,
    side: int,
    degree_every: int = 1000,
    speed: float = 1.0,
) -> Experiment:
    """One photograph a step; speed: factor of the learning rates of places, which decay to a hundredth."""
    rates = RATES | {"means": speed * RATES["means"]}
    adam = Optim(
        1.0,
        betas=(0.9, 0.999),
        eps=1e-15,
        final_lr_ratio=0.01,
        decay="exponential",
        lr_multipliers=rates,
        decaying=("means",),
    )
    return Experiment(
        SplatsConfig(generator=generator, density=density, degree_every=degree_every),
        "",
        stages=(Stage(0, (100, 100), 1),),
        steps=steps,
        optim={"generator": adam},
        ema=EMA(decay=0.0),
        posed=PosedConfig(side=side),
    )


QUICK = DensityConfig(begin=0.05, end=0.6, every=50, reset_every=0)

PRESETS: dict[str, Experiment] = {
    "splat-demo": fitted(
        SplatsGeneratorConfig(20_000, 5_000, degree=1, prior=TURNTABLE), QUICK, 1500, 100, 500, speed=4.0
    ),
    "splat": fitted(SplatsGeneratorConfig(60_000, 10_000, prior=TURNTABLE), QUICK, 6000, 400, speed=2.0),
    "splat-paper": fitted(
        SplatsGeneratorConfig(1_000_000, 100_000, prior=TURNTABLE), DensityConfig(), 30_000, 0
    ),
}
