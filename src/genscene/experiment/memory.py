"""The memory that a run takes, estimated from its configuration before anything is allocated."""

from dataclasses import replace

from genscene.contract import System
from genscene.devices import tensor_bytes, without_memory
from genscene.experiment.schema import Experiment, Stage
from genscene.geometry.cameras import Size
from genscene.objectives.adversarial import AdversarialConfig
from genscene.render.canvas import CanvasGenerator
from genscene.render.volume import VolumeGenerator

GRAPH = 0.8  # share of the estimated bytes of a graph that a step takes (benchmarks/memory.py)
PIXEL = 12  # bytes of a color in float32


def training_bytes(experiment: Experiment, world: int = 1, size: Size | None = None) -> int:
    """Bytes that one of `world` processes takes at least: weights, what optimisers keep, and one step.

    size: (height, width) of the photographs that are rendered whole; None: of other runs, or not known.
    """
    with without_memory():
        system = experiment.system.build()
        stages = [stage for stage in experiment.stages if stage.start < experiment.steps]
        steps = [
            step_bytes(experiment, replace(each, size=size or each.size), system, world) for each in stages
        ]
    average = tensor_bytes(system.generator.state_dict().values()) if experiment.ema.active else 0
    weights = tensor_bytes(system.state_dict().values())
    kept = 3 * tensor_bytes(system.parameters())  # gradients, and their two moments
    return weights + kept + average + max(steps)


def step_bytes(experiment: Experiment, stage: Stage, system: System, world: int) -> int:
    """Bytes that a step of a stage takes: its batch, and the graph of one of the parts this is cut into."""
    config, generator, batch = experiment.system, system.generator, max(1, stage.batch // world)
    part, (height, width) = max(1, batch // stage.accumulation), stage.size
    if config.batch in ("images", "posed_images", "photographs"):
        images, rays = batch * height * width * PIXEL, part * height * width
    else:
        images, rays = batch * PIXEL * 3, part
    if isinstance(config, AdversarialConfig):
        rays = part * config.patches.size**2 if config.patches.size else rays
        if config.recompute:
            return images + rays * PIXEL
    graph = 0
    if isinstance(generator, VolumeGenerator):
        graph = generator.ray_bytes()
    elif isinstance(generator, CanvasGenerator):
        graph = generator.pixel_bytes()
    graphs = int(GRAPH * rays * graph * config.graph_factor) or system.graph_bytes(part, stage.size)
    return images + graphs
