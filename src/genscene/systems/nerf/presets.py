"""NeRF's experiments: the paper's, the official code's, the ablations of table 2."""

import math
from dataclasses import replace
from typing import Literal

from genscene.experiment.schema import EMA, Experiment, Optim, PosedConfig, Stage
from genscene.geometry.priors import CameraPrior
from genscene.layers.nerf_field import FieldConfig
from genscene.systems.nerf.generator import NeRFGeneratorConfig
from genscene.systems.nerf.system import NeRFConfig

PITCH = (math.radians(60), math.radians(25))
TURNTABLE = CameraPrior("uniform", (math.pi / 2, math.pi), PITCH, radius=4.0, fov=39.6, up="z")
BLENDER = NeRFGeneratorConfig(prior=TURNTABLE)
FORWARD = replace(
    BLENDER, march=replace(BLENDER.march, near=0.0, far=1.0, ndc=(1.0, 1.0)), background="black"
)
VOXELS = replace(BLENDER, march=replace(BLENDER.march, near=0.5, far=2.5))  # DeepVoxels' shapes
SINGLE = replace(BLENDER, march=replace(BLENDER.march, samples=256, fine_samples=0))

SIZE = (800, 800)
NO_EMA, ALL = EMA(decay=0.0), PosedConfig()


def paper(
    system: NeRFConfig, steps: int, decay: int, rays: int = 4096, posed: PosedConfig = ALL
) -> Experiment:
    """Adam at 5e-4, a tenth of that every `decay` thousand steps (NeRF, sec. 5.3)."""
    adam = Optim(
        5e-4, betas=(0.9, 0.999), eps=1e-7, final_lr_ratio=0.1, decay="exponential", decay_steps=1000 * decay
    )
    stages = (Stage(0, SIZE, rays, accumulation=max(1, rays // 256)),)
    return Experiment(
        system, "", stages=stages, steps=steps, optim={"generator": adam}, ema=NO_EMA, posed=posed
    )


def official(generator: NeRFGeneratorConfig) -> NeRFGeneratorConfig:
    """The official code's encoding, pixels, bins, last interval and depth."""
    march = replace(generator.march, last_interval=1e10, bins="midpoints", raw_depth=True)
    field = replace(generator.field, official_encoding=True)
    return replace(generator, field=field, march=march, pixels="corner")


def released(
    generator: NeRFGeneratorConfig,
    noise: float,
    steps: int,
    decay: int,
    rays: int,
    batching: Literal["all", "image"],
) -> Experiment:
    """The official code's settings, with its conventions and the mean of squared errors."""
    posed = PosedConfig(batching=batching, world="forward" if generator.march.ndc else "around")
    system = NeRFConfig(generator=official(generator), noise=noise, loss="mean")
    return paper(system, steps, decay, rays, posed)


def ablated(generator: NeRFGeneratorConfig = BLENDER, limit: int = 0) -> Experiment:
    """A row of table 2, for the lego scene."""
    return paper(NeRFConfig(generator=generator), 300_000, 300, posed=PosedConfig(limit=limit))


def field(octaves: int = 10, views: bool = True) -> FieldConfig:
    """The network without a part of it."""
    return FieldConfig(octaves=octaves, direction_octaves=4 if octaves else 0, view_dependent=views)


PRESETS: dict[str, Experiment] = {
    "nerf-blender": paper(NeRFConfig(generator=BLENDER), 300_000, 300),
    "nerf-llff": paper(
        NeRFConfig(generator=FORWARD, noise=1.0), 200_000, 250, posed=PosedConfig(world="forward")
    ),
    "nerf-deepvoxels": paper(NeRFConfig(generator=VOXELS, bounds="photographs"), 200_000, 200),
    "nerf-blender-release": released(BLENDER, 0.0, 500_000, 500, 1024, "image"),
    "nerf-llff-release": released(FORWARD, 1.0, 200_000, 250, 4096, "all"),
    "nerf-deepvoxels-release": released(VOXELS, 0.0, 200_000, 200, 4096, "image"),
    "nerf-minimal": ablated(replace(SINGLE, field=field(0, views=False))),
    "nerf-no-encoding": ablated(replace(BLENDER, field=field(0))),
    "nerf-no-views": ablated(replace(BLENDER, field=field(views=False))),
    "nerf-no-hierarchy": ablated(SINGLE),
    "nerf-25-pictures": ablated(limit=25),
    "nerf-50-pictures": ablated(limit=50),
    "nerf-5-octaves": ablated(replace(BLENDER, field=field(5))),
    "nerf-15-octaves": ablated(replace(BLENDER, field=field(15))),
}
