"""NeRF: a step of the paper's network, and a picture; a step of the voxels."""

from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.side import Side, Work
from genscene.contract import MAX_BYTES, RayBatch
from genscene.distributed import ProcessGroup
from genscene.experiment.schema import Stage
from genscene.geometry.cameras import Rays
from genscene.systems import PRESETS
from genscene.systems.nerf.system import NeRFConfig
from genscene.training.loop import train_step
from genscene.training.run import init_state


def step(side: Side) -> Work:
    """One step of the paper-size networks, 64 + 128 samples -> the loss."""
    count = 4096 if side.large else 1024
    preset = PRESETS["nerf-blender"]
    stage = Stage(0, (800, 800), count, accumulation=1 if side.plain else count // 256)
    game = init_state(replace(preset, stages=(stage,)), side.device, ProcessGroup(), side.precision)
    batch = looking_in(count).to(side.device)

    def work() -> Tensor:
        with side.kernels():
            return train_step(game, batch, 1)["loss"].double()[None]

    return work


def render(side: Side) -> Work:
    """One picture without a gradient."""
    size = 200 if side.large else 32
    config = PRESETS["nerf-blender"].system
    assert isinstance(config, NeRFConfig)
    generator = config.build().generator.to(side.device)
    assert generator.orbit is not None
    camera = generator.orbit.camera_at(torch.ones(1), torch.ones(1), (size, size)).to(side.device)

    @torch.no_grad()
    def work() -> Tensor:
        with side.kernels(), side.mixed():
            scene = generator.bind(torch.zeros(1, 0))
            return generator.render(scene, camera, 1 << 50 if side.plain else MAX_BYTES).image

    return work


def looking_in(count: int) -> RayBatch:
    """Rays from a distance of 4 towards the middle, and grey."""
    random = torch.Generator().manual_seed(0)
    eye = torch.nn.functional.normalize(torch.randn(1, count, 3, generator=random), dim=-1) * 4
    return RayBatch(Rays(eye, -eye / 4), torch.rand(1, count, 3, generator=random))
