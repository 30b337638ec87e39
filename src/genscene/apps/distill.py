"""A generator of fields as one whose scenes are Gaussians: a decoder trained on its renderings."""

import math
import time
from dataclasses import dataclass, replace
from functools import partial

import torch

from genscene.apps.scene_views import UNSEEN_SEED, render_views, view_size
from genscene.apps.splat_fitting import Progress, silent, take_steps
from genscene.contract import Generator
from genscene.devices import require_memory
from genscene.errors import BadInput
from genscene.experiment.schema import EMA, Experiment, Optim, Stage
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import Size
from genscene.geometry.priors import CameraPrior, widened
from genscene.io.generator_file import GeneratorFile
from genscene.metrics.image import psnr
from genscene.randomness import RandomStreams, derive_seed, undisturbed
from genscene.render.splatting import render_views as render_splats
from genscene.scenes import Gaussians, SceneViews
from genscene.systems.distilled.cells import BYTES, cell_counts
from genscene.systems.distilled.system import DistilledConfig, DistilledSystem

SCENES, VIEWS = 8, 4  # that a decoder is not trained on, and of each
ADAM = Optim(2e-3, betas=(0.9, 0.99), final_lr_ratio=0.1)


@dataclass(frozen=True)
class DistillOptions:
    """How a decoder is trained."""

    splats: int = 4000  # Gaussians of a scene
    cells: int = 48  # of the lattice whose cells they are near to, along the longest side of the box
    steps: int = 400  # of the optimiser, of one scene each
    views: int = 2  # renderings of a scene that a step compares
    side: int = 64  # pixels of their shorter side
    samples: int = 0  # along each of their rays; 0: the generator's own number, at least 32


@dataclass(frozen=True)
class Distilled:
    """A generator of Gaussians, and how well they agree with the fields."""

    content: GeneratorFile
    psnr: float  # in dB, mean over views of scenes that it was not trained on
    milliseconds: float  # from a style to Gaussians, the median
    size: Size  # of these views
    seconds: float


@undisturbed()
def distill(content: GeneratorFile, options: DistillOptions, progress: Progress = silent) -> Distilled:
    """Train a decoder for the scenes of a generator of fields.

    Raises BadInput for generators of one scene, or whose scenes are no fields of colors in a box.
    """
    began, teacher = time.monotonic(), content.generator
    if not teacher.latent_dim:
        raise BadInput("this generator has one scene: wanted one of many (export splats fits a single one)")
    require_cells(teacher, options.cells)
    size = view_size(content, options.side)
    config = DistilledConfig(content.experiment.system, options.splats, options.cells)
    stages = (Stage(0, size, 1),)
    experiment = Experiment(
        config, content.experiment.data, content.experiment.images, stages, options.steps, {"generator": ADAM}
    )
    experiment = replace(experiment, ema=EMA(decay=0.0))
    system = build_seeded(experiment)
    assert isinstance(system, DistilledSystem)
    system.generator.teacher.load_state_dict(teacher.state_dict())
    seeds = (derive_seed(experiment.seed, step) for step in range(options.steps))
    scenes = (sample_scene(teacher, seed, options.views, size, options.samples) for seed in seeds)
    take_steps(system, experiment, scenes, partial(progress, "distilling"))
    generator = system.generator.eval().requires_grad_(False)
    found, milliseconds = agreement(generator, teacher, options, size)
    made = replace(content, generator=generator, experiment=experiment, measured={})
    return Distilled(made, found, milliseconds, size, time.monotonic() - began)


def require_cells(teacher: Generator, cells: int) -> None:
    """Raise BadInput where a lattice takes more memory than there is."""
    if teacher.bounds is not None:
        count = math.prod(cell_counts(teacher.bounds, cells))
        require_memory(BYTES * count, f"a lattice of {count} cells", "lower --cells")


@torch.no_grad()
def sample_scene(teacher: Generator, seed: int, views: int, size: Size, samples: int) -> SceneViews:
    """A random scene from random cameras of the prior."""
    assert isinstance(teacher.prior, CameraPrior)
    z = teacher.latents(RandomStreams([seed]))
    seeds = [derive_seed(seed, view) for view in range(views)]
    cameras = widened(teacher.prior).sample(RandomStreams(seeds), size)
    return SceneViews(z, render_views(teacher, teacher.scene(z), cameras, samples))


@torch.no_grad()
def agreement(
    generator: Generator, teacher: Generator, options: DistillOptions, size: Size
) -> tuple[float, float]:
    """PSNR of views of unseen scenes, in dB, their mean; milliseconds from a style to Gaussians."""
    found, times = [], []
    for seed in range(UNSEEN_SEED, UNSEEN_SEED + SCENES):
        batch = sample_scene(teacher, seed, VIEWS, size, options.samples)
        w = generator.style(batch.z)
        began = time.perf_counter()
        scene = generator.bind(w)
        times.append(1000 * (time.perf_counter() - began))
        assert isinstance(scene, Gaussians)
        images = render_splats(scene, batch.views.cameras, (1.0, 1.0, 1.0)).image.clamp(0, 1)
        found.append(psnr((images - batch.views.images).square().mean(dim=(1, 2, 3))))
    return float(torch.cat(found).mean()), sorted(times)[len(times) // 2]
