"""The cases of `benchmarks.gpu`: the parts of pi-GAN alone, a picture, a step of both players."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.side import WHOLE, Side, Work, training_step
from genscene import kernels
from genscene.contract import RenderOptions
from genscene.distributed import ProcessGroup
from genscene.experiment.schema import Experiment, Stage
from genscene.randomness import BatchCounterStreams, RandomStreams
from genscene.systems import PRESETS
from genscene.systems.pigan.system import PiGANConfig
from genscene.training.run import init_state


@dataclass(frozen=True)
class Sizes:
    """How large the cases are."""

    points: int  # of a layer and of a field, of each of 4 pictures
    picture: int  # side of a picture in pixels
    samples: int  # in the first pass of a picture, and as many in the second
    step: int  # side of the pictures of a step
    batch: int  # of a step
    parts: int  # that the official form cuts the batch into, since its graph does not fit otherwise
    rays: int  # that are composited
    whole: bool = True  # the paper's networks


LARGE = Sizes(196_608, 256, 24, 64, 56, 4, 65_536)
TINY = Sizes(40, 6, 4, 8, 2, 2, 20, whole=False)


def experiment(sizes: Sizes, name: str = "pigan-celeba") -> Experiment:
    """A preset, with networks of the paper's size or as small as can be."""
    preset = PRESETS[name]
    return preset if sizes.whole else replace(preset, system=preset.system.shrunk())


def config(sizes: Sizes) -> PiGANConfig:
    """The system of the paper's faces."""
    system = experiment(sizes).system
    assert isinstance(system, PiGANConfig)
    return system


def normal(side: Side, *shape: int) -> Tensor:
    """The same numbers for every form."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(side.device)


def with_gradients(side: Side, given: list[Tensor], compute: Callable[..., Tensor]) -> Work:
    """A function and its gradients by what it is given -> the gradient by the second of these."""
    leaves = [x.requires_grad_() for x in given]

    def work() -> Tensor:
        with side.mixed():
            out = compute(*leaves)
        found = torch.autograd.grad(out.float().square().mean(), leaves)
        return found[1].detach()

    return work


def layer(inputs: int) -> Callable[[Side, Sizes], Work]:
    """A FiLM layer and its gradients; 0 inputs: those of a hidden layer."""

    def make(side: Side, sizes: Sizes) -> Work:
        width = config(sizes).generator.field.width
        columns = inputs or width
        weight = normal(side, width, columns) / columns**0.5
        styles = [normal(side, width), 30 + normal(side, 4, width), normal(side, 4, width)]
        given = [normal(side, 4, sizes.points, columns), weight, *styles]
        return with_gradients(side, given, lambda *x: kernels.film_sine(*x))

    return make


def compositing(side: Side, sizes: Sizes) -> Work:
    """Rays of 48 samples, and gradients by densities and colors."""
    given = [normal(side, 1, sizes.rays, 48).relu(), normal(side, 1, sizes.rays, 48, 3)]
    distances = torch.linspace(0.88, 1.12, 48, device=side.device).expand(1, sizes.rays, -1)

    def compute(optical: Tensor, colors: Tensor) -> Tensor:
        _, color, distance, alpha = kernels.composite(optical, colors, distances)
        return torch.cat([color, distance, alpha], dim=-1)

    return with_gradients(side, given, compute)


def random_numbers(side: Side, sizes: Sizes) -> Work:
    """Jitter of a batch: the official form has a generator of the card for each picture."""
    shape, seeds = (sizes.step**2, 12), range(sizes.batch)

    def generators() -> Tensor:
        made = [torch.Generator(side.device).manual_seed(seed) for seed in seeds]
        found = [torch.rand(shape, generator=each, device=side.device) for each in made]
        return torch.stack(found).mean()[None] * 0 + 0.5  # other numbers: nothing to compare

    def counters() -> Tensor:
        return BatchCounterStreams(seeds, side.device).uniform(*shape).mean()[None] * 0 + 0.5

    return generators if side.plain else counters


def picture(side: Side, sizes: Sizes) -> Work:
    """One picture, without a gradient, in one part."""
    generator = config(sizes).build_generator().to(side.device).eval()
    size = (sizes.picture, sizes.picture)
    camera = generator.config.prior.sample(RandomStreams([0], side.device), size)
    options = RenderOptions(samples=sizes.samples, max_bytes=WHOLE)
    z = generator.latents(RandomStreams([0], side.device))

    @torch.no_grad()
    def work() -> Tensor:
        with side.mixed():
            return generator.render(generator.bind(generator.style(z)), camera, options).image

    return work


def step(name: str, pixels: int = 0) -> Callable[[Side, Sizes], Work]:
    """A step of both players, with R1, optimisers and moving average -> the losses; 0: pixels of sizes."""

    def make(side: Side, sizes: Sizes) -> Work:
        side_pixels, batch = (sizes.step, sizes.batch) if not pixels else (min(pixels, sizes.step), 16)
        batch = batch if sizes.whole else sizes.batch
        parts = sizes.parts if side.plain and not pixels else 1
        stage = Stage(0, (side_pixels, side_pixels), batch, accumulation=parts)
        state = init_state(
            replace(experiment(sizes, name), stages=(stage,)), side.device, ProcessGroup(), side.precision
        )
        return training_step(side, state, batch, side_pixels)

    return make


CASES: dict[str, Callable[[Side, Sizes], Work]] = {
    "layer of 256 inputs, forward and backward": layer(0),
    "layer of coordinates, forward and backward": layer(3),
    "compositing 65,536 rays of 48 samples, forward and backward": compositing,
    "random numbers of 56 pictures of 64 x 64": random_numbers,
    "picture, 256 x 256, 24 + 24 samples": picture,
    "step, 64 x 64, batch of 56": step("pigan-celeba"),
    "demo's step, 32 x 32, batch of 16": step("pigan-demo", 32),
}
