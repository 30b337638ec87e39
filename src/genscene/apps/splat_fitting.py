"""Any scene with a depth as Gaussians: fitted to renderings of it from all sides."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from genscene.apps.scene_views import render_views, surrounding_cameras, view_size
from genscene.contract import DEFAULT_OPTIONS, Generator, PosedImageBatch, Rendering
from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.geometry.cameras import Size
from genscene.geometry.priors import CameraPrior
from genscene.io.generator_file import GeneratorFile
from genscene.metrics.image import psnr
from genscene.objectives.reconstruction import OPAQUE, ReconstructionSystem, shape_loss
from genscene.randomness import undisturbed
from genscene.scenes import Gaussians, RenderedViews, SparsePoints
from genscene.systems.splats.generator import SplatsGenerator, SplatsGeneratorConfig
from genscene.systems.splats.presets import FAST, OFTEN, fitted
from genscene.systems.splats.system import SplatsConfig, SplatsSystem, camera_extent, place_at_points
from genscene.training.loop import Batch, TrainState, train_step
from genscene.training.optimizers import build_optimizers

UNSEEN = 12  # views that a scene is not fitted to
FIRST = 0.5  # share of the Gaussians that there are at first; the others are added where they are needed
EMPTY = 0.05  # a scene without rays of more opacity
DIRECTIONAL = 0.02  # mean difference of colors by direction above which they depend on it
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]  # label, total -> advance


@dataclass(frozen=True)
class FitOptions:
    """How a scene becomes Gaussians."""

    splats: int = 4000  # Gaussians, at most
    steps: int = 800  # of the optimiser, of one view each
    views: int = 64  # renderings that the Gaussians are fitted to
    side: int = 128  # pixels of their shorter side
    samples: int = 0  # along each of their rays; 0: the generator's own number, at least 32
    # of the spherical harmonics of color; None: 1 where colors depend on the direction, else 0
    degree: int | None = None


@dataclass(frozen=True)
class FittedSplats:
    """Gaussians that stand for a scene, and how well."""

    gaussians: Gaussians  # of 1 cloud
    psnr: float  # in dB, mean over views that they were not fitted to
    size: Size  # of these views
    seconds: float


class SceneSplats(SplatsSystem):
    """Gaussians fitted to renderings, whose opacities and depths count too."""

    def shape_loss(self, rendering: Rendering, batch: PosedImageBatch) -> Tensor:
        """That of the renderings."""
        assert isinstance(batch, RenderedViews)
        return shape_loss(rendering, batch, self.config.generator.extent)


@contextmanager
def silent(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Progress that nobody is told of."""
    yield lambda count: None


@undisturbed()
def fit_scene(
    content: GeneratorFile, w: Any, options: FitOptions, progress: Progress = silent
) -> FittedSplats:
    """The scene of one style of a generator -> Gaussians in its world.

    Raises BadInput for scenes without cameras or depth, and where no ray ends anywhere.
    """
    began, generator, scene = time.monotonic(), content.generator, content.generator.bind(w)
    size = view_size(content, options.side)
    cameras = surrounding_cameras(content, options.views, UNSEEN, size)
    with progress("rendering views", sum(map(len, cameras)) * math.prod(size)) as advance:
        views, unseen = (render_views(generator, scene, each, options.samples, advance) for each in cameras)
    degree = int(depends_on_direction(generator, scene, views)) if options.degree is None else options.degree
    experiment = experiment_of(generator, views, options, degree)
    assert isinstance(experiment.system, SplatsConfig)
    system = SceneSplats(experiment.system)
    place_first(system.generator, views)
    take_steps(system, experiment, shuffled(views), partial(progress, "fitting Gaussians"))
    with torch.no_grad():
        gaussians, found = system.generator.gaussians(), agreement(system.generator, unseen)
    return FittedSplats(gaussians, found, size, time.monotonic() - began)


@torch.no_grad()
def depends_on_direction(generator: Generator, scene: Any, views: RenderedViews) -> bool:
    """Whether a view has other colors as seen along the direction of the camera that faces it most."""
    forward, pictures = views.cameras.pose[:, :3, 2], []
    for number in (0, int((forward @ forward[0]).argmin())):
        x, y, z = forward[number].tolist()
        options = replace(DEFAULT_OPTIONS, background="white", fixed_direction=(x, y, z))
        pictures.append(generator.render(scene, views.cameras[:1], options).image)
    apart = (pictures[0] - pictures[1]).abs().mean(dim=1, keepdim=True).cpu()
    return float((apart * views.alpha[:1]).sum() / views.alpha[:1].sum().clamp_min(1)) > DIRECTIONAL


def experiment_of(generator: Generator, views: RenderedViews, options: FitOptions, degree: int) -> Experiment:
    """The numbers of the fit: those of `splat-demo`."""
    assert isinstance(generator.prior, CameraPrior)
    config = SplatsGeneratorConfig(
        capacity=options.splats,
        initial=max(1, round(FIRST * options.splats)),
        degree=degree,
        antialiased=True,
        box=generator.bounds,
        extent=camera_extent(views.cameras),
        prior=generator.prior,
    )
    return fitted(config, OFTEN, FAST, options.steps, min(views.cameras.size), 0)


@torch.no_grad()
def place_first(generator: SplatsGenerator, views: RenderedViews) -> None:
    """The first Gaussians, half opaque, where random rays of the views end; BadInput where none does."""
    most = float(views.alpha.max())
    if not most > EMPTY:
        raise BadInput(f"no ray ends in the scene: opacities are at most {most:.2g}, wanted above {EMPTY}")
    visible = (views.alpha.flatten() > min(OPAQUE, most / 2)).nonzero()[:, 0]
    chosen = visible[torch.randperm(len(visible), generator=torch.Generator().manual_seed(0))]
    chosen = chosen[: generator.config.initial]
    colors = views.images.flatten(2).mT.reshape(-1, 3)[chosen]
    place_at_points(generator, SparsePoints(views.points.reshape(-1, 3)[chosen], colors))
    generator.opacity_logits.zero_()


def take_steps(
    system: ReconstructionSystem,
    experiment: Experiment,
    batches: Iterator[Batch],
    progress: Callable[[int], AbstractContextManager[Callable[[int], None]]],
) -> None:
    """Take the steps of an experiment; progress: given the number of steps, what reports them.

    The first step is not reported: loops may be compiled in it, so it tells nothing of the others' time.
    """
    state = TrainState(experiment, system, system.generator, build_optimizers(system, experiment))
    train_step(state, next(batches), 0)
    with progress(experiment.steps - 1) as advance:
        for step in range(1, experiment.steps):
            train_step(state, next(batches), step)
            advance(1)


def shuffled(views: RenderedViews) -> Iterator[RenderedViews]:
    """One view after the other, in a random order, then in another, without end."""
    order = torch.Generator().manual_seed(0)
    while True:
        for number in reversed(torch.randperm(len(views), generator=order).tolist()):
            yield views[number : number + 1]


@torch.no_grad()
def agreement(generator: SplatsGenerator, views: RenderedViews) -> float:
    """PSNR of the Gaussians' pictures of views, in dB, mean over views."""
    images = generator.render(generator.gaussians(), views.cameras).image.clamp(0, 1)
    return float(psnr((images - views.images).square().mean(dim=(1, 2, 3))).mean())
