"""Experiments with voxel grids, for objects and for places."""

from dataclasses import replace
from typing import Literal

from genscene.experiment.schema import EMA, Experiment, Optim, PosedConfig, Stage
from genscene.render.march import March
from genscene.systems.nerf.presets import TURNTABLE
from genscene.systems.voxels.generator import VoxelsGeneratorConfig
from genscene.systems.voxels.grid import VoxelConfig
from genscene.systems.voxels.system import VoxelsConfig


def objects(
    levels: tuple[int, ...],
    rays: int,
    steps: int,
    side: int,
    color: Literal["harmonics", "network"] = "network",
) -> Experiment:
    """Coarse to fine, fitted to scenes within a box of 2.6 world units."""
    generator = VoxelsGeneratorConfig(VoxelConfig(levels=levels, color=color), prior=TURNTABLE)
    adam = Optim(
        0.05,
        betas=(0.9, 0.99),
        eps=1e-15,
        final_lr_ratio=0.1,
        decay_from=0.3,
        decay="exponential",
        lr_multipliers={"voxels.network": 0.1} if color == "network" else {},
    )
    return Experiment(
        VoxelsConfig(generator=generator),
        "",
        stages=(Stage(0, (100, 100), rays),),
        steps=steps,
        optim={"generator": adam},
        ema=EMA(decay=0.0),
        posed=PosedConfig(side=side),
    )


def photos() -> Experiment:
    """Photographs of a place: all of space, the surroundings of the cameras at full resolution."""
    preset = objects((64, 128, 160), 4096, 4000, side=480, color="harmonics")
    march = March(0.05, 30.0, 1, "softplus", gain=40.0, shift=-6.2, last_interval=None)
    voxels = VoxelConfig(box=(2.0, 2.0, 2.0), levels=(64, 128, 160), contracted=True)
    generator = VoxelsGeneratorConfig(voxels, march, cone=0.02, background="black", prior=TURNTABLE)
    return replace(preset, system=VoxelsConfig(generator=generator, distortion=1e-2))


PRESETS: dict[str, Experiment] = {
    "nerf-grid-demo": objects((32, 64, 80), 4096, 3000, side=100),
    "nerf-grid-harmonics": objects((32, 64, 80), 4096, 3000, side=100, color="harmonics"),
    "nerf-grid-photos": photos(),
    "nerf-grid": objects((48, 96, 144), 4096, 3500, side=400),
}
