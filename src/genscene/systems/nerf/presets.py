"""NeRF's experiments: the paper's, the released code's, the ablations of table 2."""

import math
from dataclasses import replace
from typing import Literal

from genscene.experiment.schema import Experiment, Optim, PosedConfig, Stage
from genscene.geometry.priors import CameraPrior
from genscene.render.volume import March
from genscene.systems.nerf.field import FieldConfig
from genscene.systems.nerf.generator import Legacy, NeRFGeneratorConfig
from genscene.systems.nerf.system import NeRFConfig
from genscene.systems.voxels.generator import VoxelsGeneratorConfig
from genscene.systems.voxels.grid import VoxelConfig
from genscene.systems.voxels.system import VoxelsConfig

TURNTABLE = CameraPrior(
    "uniform", (math.pi / 2, math.pi), (math.radians(60), math.radians(25)), radius=4.0, fov=39.6, up="z"
)
BLENDER = NeRFGeneratorConfig(orbit=TURNTABLE)
FORWARD = replace(
    BLENDER, march=March(0.0, 1.0, 64, tail=None, bins="equal"), background="black", ndc=(1.0, 1.0)
)
VOXELS = replace(BLENDER, march=March(0.5, 2.5, 64, tail=None, bins="equal"))

SIZE = (800, 800)
EVERY = PosedConfig()  # all of them, at random
Batching = Literal["all", "image"]
World = Literal["around", "forward"]
Color = Literal["harmonics", "network"]


def fitted(
    system: NeRFConfig, steps: int, decay: int, rays: int = 4096, posed: PosedConfig = EVERY
) -> Experiment:
    """Adam at 5e-4, a tenth of that every `decay` thousand steps (NeRF, sec. 5.3)."""
    adam = Optim(5e-4, betas=(0.9, 0.999), eps=1e-7, end=0.1, decay="exponential", decay_steps=1000 * decay)
    stages, optim = (Stage(0, SIZE, rays, slices=max(1, rays // 256)),), {"generator": adam}
    return Experiment(system, "", stages=stages, steps=steps, optim=optim, ema=0.0, posed=posed)


def released(
    generator: NeRFGeneratorConfig, noise: float, steps: int, decay: int, rays: int, batching: Batching
) -> Experiment:
    """The released code's settings, with its encoding, bins, pixels, last interval, depth and mean."""
    made = replace(
        generator,
        field=replace(generator.field, legacy_encoding=True),
        march=replace(generator.march, tail=1e10, bins="between"),
        legacy=Legacy(pixel_corners=True, raw_depth=True),
    )
    world: World = "forward" if generator.ndc else "around"
    return fitted(
        NeRFConfig(made, noise, "mean"), steps, decay, rays, PosedConfig(batching=batching, world=world)
    )


def ablated(generator: NeRFGeneratorConfig = BLENDER, limit: int = 0) -> Experiment:
    """A row of table 2, with the lego scene in mind."""
    return fitted(NeRFConfig(generator), 300_000, 300, posed=PosedConfig(limit=limit))


SINGLE = replace(BLENDER, fine=0, march=replace(BLENDER.march, samples=256))


def field(octaves: int = 10, views: bool = True) -> FieldConfig:
    """The network with something left out."""
    return FieldConfig(octaves=octaves, direction_octaves=4 if octaves else 0, view_dependent=views)


def grid(levels: tuple[int, ...], rays: int, steps: int, side: int, color: Color = "network") -> Experiment:
    """Voxels, coarse to fine, fitted to scenes that stand free within a box of 2.6 world units."""
    generator = VoxelsGeneratorConfig(VoxelConfig(levels=levels, color=color), orbit=TURNTABLE)
    parts = {"voxels.network": 0.1} if color == "network" else {}
    adam = Optim(
        0.05, betas=(0.9, 0.99), eps=1e-15, end=0.1, decay_from=0.3, decay="exponential", parts=parts
    )
    return Experiment(
        VoxelsConfig(generator),
        "",
        stages=(Stage(0, (100, 100), rays),),
        steps=steps,
        optim={"generator": adam},
        ema=0.0,
        posed=PosedConfig(side=side),
    )


def photos() -> Experiment:
    """Voxels for photographs of a place: all of space, the cameras' surroundings at full resolution."""
    preset = grid((64, 128, 160), 4096, 4000, side=480, color="harmonics")
    march = March(0.05, 30.0, 1, "softplus", gain=40.0, shift=-6.2, tail=None)
    voxels = VoxelConfig(box=(2.0, 2.0, 2.0), levels=(64, 128, 160), contracted=True)
    generator = VoxelsGeneratorConfig(voxels, march, cone=0.02, background="black", orbit=TURNTABLE)
    return replace(preset, system=VoxelsConfig(generator, distortion=1e-2))


PRESETS: dict[str, Experiment] = {
    "nerf-grid-demo": grid((32, 64, 80), 4096, 3000, side=100),
    "nerf-grid-harmonics": grid((32, 64, 80), 4096, 3000, side=100, color="harmonics"),
    "nerf-grid-photos": photos(),
    "nerf-grid": grid((48, 96, 144), 4096, 3500, side=400),
    "nerf-blender": fitted(NeRFConfig(BLENDER), 300_000, 300),
    "nerf-llff": fitted(NeRFConfig(FORWARD, noise=1.0), 200_000, 250, posed=PosedConfig(world="forward")),
    "nerf-deepvoxels": fitted(NeRFConfig(VOXELS, bounds="photographs"), 200_000, 200),
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
