"""GIRAFFE at the paper's size: samples in boxes alone against all samples; its pictures against GRAF's."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.side import Side, Work, training_step
from genscene.contract import Generator, RenderOptions
from genscene.distributed import ProcessGroup
from genscene.experiment.schema import Stage
from genscene.objectives.dcgan import DCGANConfig
from genscene.randomness import RandomStreams
from genscene.render.composition import Composition, Placed
from genscene.systems import PRESETS
from genscene.systems.giraffe.generator import GIRAFFEGenerator
from genscene.systems.giraffe.system import GIRAFFEConfig
from genscene.training.run import init_state

BATCH = 4


@dataclass(frozen=True)
class DecodedEverywhere(Placed):
    """Every sample is decoded for every box; what lies outside is set to 0 afterwards (released code)."""

    def __call__(
        self, points: Tensor, directions: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """points, directions [B, N, 3], noise [B, N, O] -> places, features and densities of all N."""
        boxes = self.present.shape[1]
        inside = (self.boxes.points(points).abs() <= self.margin).all(dim=-1)
        at, along = (x[:, None].expand(-1, boxes, -1, -1) for x in (points, directions))
        features, density = self.evaluate(at, along, None if noise is None else noise.mT)
        index = torch.arange(points.shape[1], device=points.device).expand(len(points), boxes, -1)
        return index, features, torch.where(inside, density, 0) * self.present[..., None]


class PlainGenerator(GIRAFFEGenerator):
    """The same generator with scenes that are decoded everywhere."""

    def bind(self, w: Any) -> Composition:
        """Codes and boxes -> B compositions."""
        scene = super().bind(w)
        return replace(scene, objects=tuple(DecodedEverywhere(**vars(placed)) for placed in scene.objects))


def config_of(name: str) -> GIRAFFEConfig:
    """A preset's system for pictures of 64 pixels."""
    config = PRESETS[name].system
    assert isinstance(config, GIRAFFEConfig)
    generator = replace(config.generator, renderer=replace(config.generator.renderer, levels=2))
    return replace(config, generator=generator, discriminator=DCGANConfig())


def forward(side: Side, name: str) -> Work:
    """Four pictures without a gradient."""
    kind = PlainGenerator if side.plain else GIRAFFEGenerator
    return rendering(kind(config_of(name).generator), side, 64, BATCH)


def step(side: Side, name: str) -> Work:
    """A whole step of both players -> the losses."""
    experiment = replace(PRESETS[name], system=config_of(name), stages=(Stage(0, (64, 64), BATCH),))
    state = init_state(experiment, side.device, ProcessGroup(), side.precision)
    if side.plain:
        state.system.generator.__class__ = PlainGenerator
    return training_step(side, state, BATCH, 64)


def graf_and_giraffe(side: Side, pixels: int) -> Work:
    """A picture by GRAF (plain) and by GIRAFFE (ours), whose contents have nothing in common."""
    if side.plain:
        generator = PRESETS[f"graf-celeba-{min(pixels, 128)}"].system.build_generator()
        return rendering(generator, replace(side, plain=False), pixels)
    return giraffe(side, pixels)


def large_and_small(side: Side, levels: int | None = None) -> Work:
    """A picture of GIRAFFE at 256 pixels (plain) and at 64 (ours): the ratio is what the larger one costs.

    Of the two presets; with levels that of the larger one with so many levels of its renderer.
    """
    tuned = replace(side, plain=False)
    if side.plain or levels is None:
        return giraffe(tuned, 256 if side.plain else 64)
    system = PRESETS["giraffe-cars-256"].system
    assert isinstance(system, GIRAFFEConfig)
    config = replace(system.generator, renderer=replace(system.generator.renderer, levels=levels))
    return rendering(GIRAFFEGenerator(config), tuned, 64)


def giraffe(side: Side, pixels: int) -> Work:
    """A picture of the paper's cars at 64 or 256 pixels."""
    name = "giraffe-cars" if pixels == 64 else "giraffe-cars-256"
    return rendering(PRESETS[name].system.build_generator(), side, pixels)


def rendering(generator: Generator, side: Side, pixels: int, count: int = 1) -> Work:
    """Pictures of the first seeds without a gradient; of a single one its mean color."""
    generator = generator.to(side.device).eval()
    streams = RandomStreams(range(count), side.device)
    view = generator.prior.sample(streams, (pixels, pixels))
    w = generator.style(generator.latents(streams))

    @torch.no_grad()
    def work() -> Tensor:
        with side.kernels(), side.mixed():
            image = generator.render(generator.bind(w), view, RenderOptions()).image
        return image.mean(dim=(0, 2, 3)) if count == 1 else image

    return work
