"""pi-GAN: its field, a rendering, a whole step of both players; paper size."""

from dataclasses import replace

import torch
from genscene.systems.pigan.field import StyledField
from torch import Tensor

from benchmarks.side import Side, Work
from genscene.contract import MAX_BYTES, ImageBatch
from genscene.distributed import ProcessGroup
from genscene.experiment.schema import Stage
from genscene.randomness import RandomStreams
from genscene.systems import PRESETS
from genscene.systems.pigan.generator import PiGANGenerator
from genscene.systems.pigan.system import PiGANConfig
from genscene.training.loop import train_step
from genscene.training.run import init_state

WHOLE = 1 << 50  # a budget that nothing exceeds: pictures at once, as the official code renders in training


def forward(side: Side) -> Work:
    """The network at the points of one pass over four pictures of 32 x 32, without a gradient."""
    generator, points = faces(side), places(side)

    @torch.no_grad()
    def work() -> Tensor:
        with side.kernels(), side.mixed():
            colors, density = bound(generator, 4)(points, points)
        return torch.cat([colors, density[..., None]], dim=-1)

    return work


def backward(side: Side) -> Work:
    """The same and its gradient."""
    generator, points = faces(side), places(side)

    def work() -> Tensor:
        with side.kernels(), side.mixed():
            colors, density = bound(generator, 4)(points, points)
        (colors.mean() + density.mean()).backward()
        gradient = generator.field.linear(0).weight.grad
        assert gradient is not None
        found = gradient.clone()
        generator.zero_grad()
        return found

    return work


def render(side: Side) -> Work:
    """One picture without a gradient: ours in chunks that stay in the cache."""
    size = 256 if side.large else 64
    generator = faces(side)
    camera = generator.config.orbit.sample(RandomStreams([0], side.device), (size, size))

    @torch.no_grad()
    def work() -> Tensor:
        with side.kernels(), side.mixed():
            return generator.render(bound(generator, 1), camera, WHOLE if side.plain else MAX_BYTES).image

    return work


def step(side: Side, shared: bool = False) -> Work:
    """A whole step: discriminator with R1, generator, both optimisers, the running mean -> the losses."""
    batch, size = (32, 64) if side.large else (4, 32)
    preset = PRESETS["pigan-celeba"]
    assert isinstance(preset.system, PiGANConfig)
    system = replace(preset.system, share_fakes=shared and not side.plain)
    experiment = replace(preset, system=system, stages=(Stage(0, (size, size), batch),))
    game = init_state(experiment, side.device, ProcessGroup(), side.precision)
    photos = ImageBatch(
        torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(side.device)
    )

    def work() -> Tensor:
        with side.kernels():
            stats = train_step(game, photos, 1)
        return torch.stack([stats[name].double() for name in sorted(stats)])

    return work


def faces(side: Side) -> PiGANGenerator:
    """The paper's generator of faces with build_seeded weights."""
    config = PRESETS["pigan-celeba"].system
    assert isinstance(config, PiGANConfig)
    return PiGANGenerator(config.generator).to(side.device)


def places(side: Side) -> Tensor:
    """Points [4, N, 3] where a camera would look."""
    count = 32 * 32 * 12 * (16 if side.large else 1)
    return ((torch.rand(4, count, 3, generator=torch.Generator().manual_seed(0)) - 0.5) / 4).to(side.device)


def bound(generator: PiGANGenerator, count: int) -> StyledField:
    """Scenes of the first seeds."""
    return generator.bind(
        generator.style(generator.latents(RandomStreams(range(count), generator.average.device)))
    )
