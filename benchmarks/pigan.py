"""pi-GAN: its field, a rendering, a whole step of both players; paper size."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch

from genscene import kernels
from genscene.draws import Draws
from genscene.experiment import Experiment, Stage
from genscene.system import BUDGET, Photos
from genscene.systems import PRESETS
from genscene.systems.pigan.field import StyledField
from genscene.systems.pigan.generator import PiGANGenerator
from genscene.systems.pigan.system import PiGANConfig
from genscene.training.loop import Game, Precision, play
from genscene.training.processes import Processes
from genscene.training.run import begin

WHOLE = 1 << 50  # a budget that nothing exceeds: pictures at once, as the official code renders in training


@dataclass(frozen=True)
class Case:
    """Two ways to do one thing."""

    name: str
    reference: Callable[[], object]
    ours: Callable[[], object]
    note: str


def cases(device: torch.device) -> Iterator[Case]:
    """Everything that is timed."""
    yield from field_cases(device)
    yield from render_cases(device)
    yield from step_cases(device)


def faces(device: torch.device) -> PiGANGenerator:
    """The paper's generator of faces with fresh weights."""
    config = PRESETS["pigan-celeba"].system
    assert isinstance(config, PiGANConfig)
    return PiGANGenerator(config.generator).to(device)


def bound(generator: PiGANGenerator, seeds: list[int]) -> StyledField:
    """Scenes of seeds."""
    device = generator.average.device
    return generator.bind(generator.style(generator.latents(Draws(seeds, device))))


def field_cases(device: torch.device) -> Iterator[Case]:
    """The network at points: inference in float32, and training in float32 and bf16."""
    count = 8192 if device.type == "cpu" else 1 << 18
    generator = faces(device)
    points = (torch.rand(2, count, 3, device=device) - 0.5) / 4

    def forward(oracle: bool) -> None:
        with torch.no_grad(), kernels.oracle() if oracle else nullcontext():
            bound(generator, [0, 1])(points, points)

    def learn(oracle: bool, low: bool = False) -> None:
        precision = torch.autocast(device.type, torch.bfloat16, enabled=low)
        with kernels.oracle() if oracle else nullcontext(), precision:
            colors, density = bound(generator, [0, 1])(points, points)
        (colors.sum() + density.sum()).backward()
        generator.zero_grad()

    size = f"2 x {count} points"
    yield Case("pi-GAN field, forward", lambda: forward(True), lambda: forward(False), size)
    yield Case("pi-GAN field, forward and backward", lambda: learn(True), lambda: learn(False), size)
    yield Case("the same, ours in bf16", lambda: learn(True), lambda: learn(False, True), "first layer in float32")


def render_cases(device: torch.device) -> Iterator[Case]:
    """Rendering without a gradient, in chunks."""
    side = 64 if device.type == "cpu" else 256
    generator = faces(device)
    camera = generator.config.orbit.sample(Draws([0], device), (side, side))

    @torch.no_grad()
    def render(oracle: bool) -> None:
        with kernels.oracle() if oracle else nullcontext():
            generator.render(bound(generator, [0]), camera, WHOLE if oracle else BUDGET)

    yield Case(f"pi-GAN render {side} x {side}", lambda: render(True), lambda: render(False), "12 + 12 samples")


def game_of(experiment: Experiment, device: torch.device, precision: Precision = "fp32") -> Game:
    """Both players with fresh weights."""
    return begin(experiment, device, Processes(), precision)


def step_cases(device: torch.device) -> Iterator[Case]:
    """A whole step: discriminator with R1, generator, both optimisers, the running mean."""
    batch, side = (4, 32) if device.type == "cpu" else (32, 64)
    experiment = replace(PRESETS["pigan-celeba"], stages=(Stage(0, (side, side), batch),))
    photos = Photos(torch.rand(batch, 3, side, side, device=device))
    plain, ours, low = (game_of(experiment, device, p) for p in ("fp32", "fp32", "bf16"))

    def reference() -> None:
        with kernels.oracle():
            play(plain, photos, 1)

    note = f"batch {batch}, 12 + 12 samples"
    yield Case(f"pi-GAN step {side} x {side}", reference, lambda: play(ours, photos, 1), note)
    yield Case("the same, ours in bf16", reference, lambda: play(low, photos, 1), note)
    system = experiment.system
    assert isinstance(system, PiGANConfig)
    shared = game_of(replace(experiment, system=replace(system, share_fakes=True)), device, "bf16")
    yield Case("the same, and one rendering for both players", reference, lambda: play(shared, photos, 1), note)
