"""pi-GAN at the paper's size: its field, a picture, a training step of both players."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import torch
from torch import Tensor

from benchmarks.side import SECOND, WHOLE, Side, Work, training_step
from genscene.contract import MAX_BYTES, RenderOptions
from genscene.distributed import ProcessGroup
from genscene.experiment.schema import Experiment, Stage
from genscene.randomness import RandomStreams
from genscene.systems import PRESETS
from genscene.systems.pigan.generator import PiGANGenerator, StyledField
from genscene.systems.pigan.system import PiGANConfig
from genscene.training.run import init_state


def forward(side: Side) -> Work:
    """The field at the points of one pass over four pictures of 32 x 32, without a gradient."""
    generator, points = build_generator(side), random_points(side)

    @torch.no_grad()
    def work() -> Tensor:
        with side.kernels(), side.mixed():
            colors, density = bind_seeds(generator, 4)(points, points)
        return torch.cat([colors, density[..., None]], dim=-1)

    return work


def backward(side: Side) -> Work:
    """The same with its gradient."""
    generator, points = build_generator(side), random_points(side)

    def work() -> Tensor:
        with side.kernels(), side.mixed():
            colors, density = bind_seeds(generator, 4)(points, points)
        (colors.mean() + density.mean()).backward()
        gradient = generator.field.layers[0].weight.grad
        assert isinstance(gradient, Tensor)
        found = gradient.clone()
        generator.zero_grad()
        return found

    return work


def render(side: Side) -> Work:
    """One picture without a gradient: ours in chunks that fit the cache."""
    size = 256 if side.large else 64
    generator = build_generator(side)
    camera = generator.config.prior.sample(RandomStreams([0], side.device), (size, size))
    options = RenderOptions(max_bytes=WHOLE if side.plain else MAX_BYTES)

    @torch.no_grad()
    def work() -> Tensor:
        with side.kernels(), side.mixed():
            return generator.render(bind_seeds(generator, 1), camera, options).image

    return work


def step(side: Side, shared: bool = False) -> Work:
    """A whole step: discriminator with R1, generator, both optimisers, moving average -> the losses."""
    batch, size = (32, 64) if side.large else (4, 32)
    preset = PRESETS["pigan-celeba"]
    assert isinstance(preset.system, PiGANConfig)
    system = replace(preset.system, share_fakes=shared and not side.plain)
    return step_of(side, replace(preset, system=system), size, batch)


def demo_steps(side: Side) -> Work:
    """Two steps of `make demo` in one process, with windows, one of them with R1 -> the losses of the second.

    As in training, each has windows, and so numbers of points, of its own.
    """
    preset = PRESETS["pigan-demo"]
    assert isinstance(preset.system, PiGANConfig)
    start = preset.system.patches.start
    step = step_of(side, preset, preset.stages[0].size[0], preset.stages[0].batch, count(start))

    def work() -> Tensor:
        step()
        return step()

    return work


def step_of(side: Side, experiment: Experiment, size: int, batch: int, steps: Iterator[int] = SECOND) -> Work:
    """A whole step of an experiment on random images -> the losses; steps: the numbers of steps."""
    experiment = replace(experiment, stages=(Stage(0, (size, size), batch),))
    state = init_state(experiment, side.device, ProcessGroup(), side.precision)
    step = training_step(side, state, batch, size, steps)

    def work() -> Tensor:
        with side.kernels():
            return step()

    return work


def build_generator(side: Side) -> PiGANGenerator:
    """The paper's generator of faces with random weights."""
    config = PRESETS["pigan-celeba"].system
    assert isinstance(config, PiGANConfig)
    return PiGANGenerator(config.generator).to(side.device)


def random_points(side: Side) -> Tensor:
    """Points [4, N, 3] around the origin."""
    count = 32 * 32 * 12 * (16 if side.large else 1)
    return ((torch.rand(4, count, 3, generator=torch.Generator().manual_seed(0)) - 0.5) / 4).to(side.device)


def bind_seeds(generator: PiGANGenerator, scenes: int) -> StyledField:
    """Scenes of the first seeds."""
    device = next(generator.parameters()).device
    return generator.bind(generator.style(generator.latents(RandomStreams(range(scenes), device))))
