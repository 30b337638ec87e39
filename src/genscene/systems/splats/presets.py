"""Experiments with Gaussians fitted to photographs."""

from genscene.experiment.schema import EMA, Experiment, Optim, PosedConfig, Stage
from genscene.systems.nerf.presets import TURNTABLE
from genscene.systems.splats.density import DensityConfig
from genscene.systems.splats.generator import SplatsGeneratorConfig
from genscene.systems.splats.system import SplatsConfig

# learning rates; of places, in units of the scene's extent
COLORS = {"f_dc": 2.5e-3, "sh_rest": 1.25e-4}
PAPER = {"means": 1.6e-4, "log_scales": 5e-3, "quats": 1e-3, "opacity_logits": 0.05} | COLORS
# for a tenth of the paper's steps: by 2 to 3 dB better after 600
FAST = PAPER | {"means": 6.4e-4, "log_scales": 1e-2, "quats": 2e-3, "f_dc": 1e-2, "sh_rest": 5e-4}
OFTEN = DensityConfig(begin=0.05, end=0.6, every=50, gradient=1e-4, reset_every=0)


def fitted(
    generator: SplatsGeneratorConfig,
    density: DensityConfig,
    rates: dict[str, float],
    steps: int,
    side: int,
    degree_every: int = 1000,
) -> Experiment:
    """One photograph a step; of all learning rates only that of places decays, to a hundredth."""
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


def slots(capacity: int, initial: int, degree: int, antialiased: bool) -> SplatsGeneratorConfig:
    """The generator; its cameras are those of the photographs."""
    return SplatsGeneratorConfig(capacity, initial, degree, antialiased, prior=TURNTABLE)


PRESETS: dict[str, Experiment] = {
    "splat-demo": fitted(slots(20_000, 5_000, 1, True), OFTEN, FAST, 800, 100, 200),
    "splat": fitted(slots(50_000, 10_000, 2, True), OFTEN, FAST, 3000, 200, 500),
    "splat-paper": fitted(slots(1_000_000, 100_000, 3, False), DensityConfig(), PAPER, 30_000, 0),
}
