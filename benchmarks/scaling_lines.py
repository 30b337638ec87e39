"""The lines of `benchmarks.scaling`: one kind of work each, made for a number that grows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from benchmarks import cips, nerf, pigan, splats
from benchmarks.side import Side, training_step
from genscene.contract import RenderOptions
from genscene.distributed import ProcessGroup
from genscene.experiment.schema import Stage
from genscene.geometry.cameras import Grid
from genscene.randomness import RandomStreams
from genscene.systems import PRESETS
from genscene.systems.cips.generator import CIPSGenerator
from genscene.training.loop import train_step
from genscene.training.run import init_state

CPU = Side(plain=False, device=torch.device("cpu"))
Work = Callable[[], object]


@dataclass(frozen=True)
class Line:
    """A line of a plot: the work that is made for each of some numbers."""

    against: str  # what grows: pixels, samples, batch, rays, Gaussians
    numbers: tuple[int, ...]
    make: Callable[[int], Work]
    warm: Callable[[], Work]  # the same for less than all numbers, computed before anything is measured
    repeat: int = 3  # measurements of which the median is taken


def pigan_rendering(side: int = 32, samples: int = 0, count: int = 1) -> Work:
    """Pictures of the paper's network, without a gradient; samples: on each of the two passes."""
    generator = pigan.build_generator(CPU)
    camera = generator.config.prior.sample(RandomStreams(range(count)), (side, side))
    options = RenderOptions(samples=samples)

    @torch.no_grad()
    def work() -> object:
        return generator.render(pigan.bind_seeds(generator, count), camera, options).image

    return work


def pigan_step(side: int = 16, batch: int = 2) -> Work:
    """A step of both players with R1."""
    experiment = replace(PRESETS["pigan-celeba"], stages=(Stage(0, (side, side), batch),))
    return training_step(CPU, init_state(experiment, CPU.device, ProcessGroup(), "fp32"), batch, side)


def nerf_step(rays: int) -> Work:
    """A step of both networks, 64 + 128 samples, in parts of 32 rays."""
    stage = Stage(0, (800, 800), rays, accumulation=max(1, rays // 32))
    state = init_state(replace(PRESETS["nerf-blender"], stages=(stage,)), CPU.device, ProcessGroup(), "fp32")
    batch = nerf.rays_to_the_origin(rays)
    return lambda: train_step(state, batch, 1)


def cips_picture(side: int) -> Work:
    """A picture of a network of 128 channels, in parts of the pixels; the same network for all sides."""
    config = cips.config_of(256, cips.NARROW)
    generator = CIPSGenerator(config).eval()
    scene = generator.bind(generator.style(generator.latents(RandomStreams([0]))))
    view = Grid.whole(1, (side, side))

    @torch.no_grad()
    def work() -> object:
        return generator.render(scene, view, RenderOptions()).image

    return work


def over_sides(make: Callable[..., Work], *sides: int) -> Line:
    """A line over the pixels of square pictures."""
    numbers = tuple(side * side for side in sides)
    return Line("pixels", numbers, lambda n: make(side=round(n**0.5)), partial(make, side=sides[0] // 2))


def splat(gradients: bool, count: int = 8192, pixels: int = 256) -> Work:
    """A picture of Gaussians on a head-like shell, the fewer the larger, perhaps with gradients."""
    return splats.picture(CPU, count, pixels, gradients)


def splat_lines(name: str, gradients: bool) -> dict[str, Line]:
    """Against the Gaussians of a picture of 256 x 256, and against the pixels of 8192 Gaussians."""
    make = partial(splat, gradients)
    numbers, warm = (2048, 8192, 32768, 131072, 524288), partial(make, 64, 16)
    pixels = tuple(side * side for side in (64, 128, 256, 512, 1024))
    return {
        f"{name}, Gaussians": Line("Gaussians", numbers, lambda n: make(count=n), warm, 5),
        f"{name}, pixels": Line("pixels", pixels, lambda n: make(pixels=round(n**0.5)), warm, 5),
    }


picture, step = partial(pigan_rendering, side=4), partial(pigan_step, side=4, batch=1)
LINES: dict[str, Line] = {
    "pi-GAN picture, pixels": over_sides(pigan_rendering, 16, 32, 64, 128),
    "pi-GAN picture, samples": Line("samples", (6, 12, 24, 48), lambda n: pigan_rendering(16, n), picture),
    "pi-GAN picture, batch": Line("batch", (1, 2, 4, 8), lambda n: pigan_rendering(16, count=n), picture),
    "pi-GAN step, pixels": over_sides(pigan_step, 4, 8, 16, 32),
    "pi-GAN step, batch": Line("batch", (2, 4, 8, 16), lambda n: pigan_step(8, n), step),
    "NeRF step, rays": Line("rays", (32, 64, 128, 256), nerf_step, partial(nerf_step, 8)),
    "CIPS picture, pixels": over_sides(cips_picture, 64, 128, 256, 512),
    **splat_lines("splats", False),
    **splat_lines("splats + gradient", True),
}
