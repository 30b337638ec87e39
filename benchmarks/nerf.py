"""NeRF at the paper's size: a training step, and a picture."""

from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.side import WHOLE, Side, Work
from genscene.contract import MAX_BYTES, RayBatch, RenderOptions
from genscene.distributed import ProcessGroup
from genscene.experiment.schema import Stage
from genscene.geometry.cameras import Rays
from genscene.systems import PRESETS
from genscene.systems.nerf.system import NeRFConfig
from genscene.training.loop import train_step
from genscene.training.run import init_state


def step(side: Side) -> Work:
    """One step of both networks, 64 + 128 samples -> the loss."""
    count = 4096 if side.large else 1024
    preset = PRESETS["nerf-blender"]
    stage = Stage(0, (800, 800), count, accumulation=1 if side.plain else count // 256)
    state = init_state(replace(preset, stages=(stage,)), side.device, ProcessGroup(), side.precision)
    batch = rays_to_the_origin(count).to(side.device)

    def work() -> Tensor:
        with side.kernels():
            return train_step(state, batch, 1)["loss"].double()[None]

    return work


def render(side: Side, pixels: int = 32) -> Work:
    """One picture without a gradient."""
    size = 200 if side.large else pixels
    config = PRESETS["nerf-blender"].system
    assert isinstance(config, NeRFConfig)
    generator = config.build().generator.to(side.device)
    camera = config.generator.prior.camera_at(torch.ones(1), torch.ones(1), (size, size)).to(side.device)
    options = RenderOptions(max_bytes=WHOLE if side.plain else MAX_BYTES)

    @torch.no_grad()
    def work() -> Tensor:
        with side.kernels(), side.mixed():
            scene = generator.bind(torch.zeros(1, 0))
            return generator.render(scene, camera, options).image

    return work


def rays_to_the_origin(count: int) -> RayBatch:
    """Rays from a distance of 4 to the origin, with random colors."""
    random = torch.Generator().manual_seed(0)
    eye = torch.nn.functional.normalize(torch.randn(1, count, 3, generator=random), dim=-1) * 4
    return RayBatch(Rays(eye, -eye / 4), torch.rand(1, count, 3, generator=random))
