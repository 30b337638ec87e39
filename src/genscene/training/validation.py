"""Validation while training: one metric now and then, and the best generator so far."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genscene.contract import Generator
from genscene.data.images import load_images
from genscene.data.sources import DataSource
from genscene.errors import BadInput, suggest
from genscene.evaluation.measures import METRICS, Number, extractor_for
from genscene.evaluation.photographs import compared
from genscene.evaluation.protocol import Protocol, Side, untreated
from genscene.evaluation.sides import Generated, Stored
from genscene.evaluation.statistics import Statistics
from genscene.evaluation.stream import Streaming, Task, measure
from genscene.experiment.schedules import largest_size
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile
from genscene.layers.mapping import update_w_avg
from genscene.metrics.networks.extractor import Extractor
from genscene.training.logger import EVALUATIONS
from genscene.training.loop import TrainState

PSNR = "psnr"  # of held-out photographs


@dataclass(frozen=True)
class ValidationConfig:
    """When a run is evaluated, and by what."""

    every: int = 0  # steps between two evaluations; 0: none
    metric: str = ""  # default: frechet, or psnr where photographs are held out
    count: int = 2048  # generated images for each
    weights: str = ""  # of the network of the metric: a file, or download


@dataclass(frozen=True)
class Validator:
    """One metric, with the statistics of the real images it compares with."""

    metric: str
    state: TrainState
    extractor: Extractor | None  # None: of held-out photographs
    task: Task | None
    real: Statistics | None  # in the main process

    def measure(self, generator: Generator, source: DataSource) -> Number | None:
        """The metric of a generator; None in processes that are not the main one."""
        group = self.state.group
        if self.task is None or self.extractor is None:
            assert source.held_out is not None
            if not group.is_main:
                return None
            found = [each.psnr for each in compared(generator, source.held_out)]
            title = f"PSNR of {len(found)} photographs"
            return Number(PSNR, title, sum(found) / len(found), "high", unit="dB")
        images = Generated(generator, self.task.protocol.fakes, self.task.size)
        quiet = Streaming(cache=False, group=group, quiet=True)
        fakes = measure(images, "generated pictures", self.task, quiet)
        if self.real is None:
            return None
        number = METRICS[self.metric].compute(fakes[0], self.real, self.extractor)[0]
        counts = f"{fakes[0].tally.count} against {self.real.tally.count}"
        return replace(number, title=f"{number.title}, {counts}")


def build_validator(config: ValidationConfig, state: TrainState, source: DataSource) -> Validator | None:
    """The validator of a run, its real images measured; None where none is configured."""
    if not config.every:
        return None
    posed = state.experiment.system.batch == "rays"
    metric = config.metric or (PSNR if posed else "frechet")
    if posed != (metric == PSNR):
        known = [PSNR] if posed else METRICS
        raise BadInput(f"--best-by {metric}: not for what is trained here; {suggest(metric, known)}")
    if metric == PSNR:
        if source.held_out is None:
            raise BadInput("--evaluate-every: no photographs are held out to compare with")
        return Validator(metric, state, None, None, None)
    if metric not in METRICS:
        raise BadInput(f"--best-by: no metric {metric!r}; {suggest(metric, METRICS)}")
    return image_validator(metric, config, state)


def image_validator(metric: str, config: ValidationConfig, state: TrainState) -> Validator:
    """A validator by images, at the largest size that is trained on."""
    experiment, group = state.experiment, state.group
    size, wanted = largest_size(experiment), METRICS[metric].extractor or "random"
    extractor = extractor_for(wanted, size, config.weights).on(next(state.system.parameters()).device)
    images = untreated(experiment.images)
    protocol = Protocol("genscene, while it trains", (metric,), fakes=Side(config.count))
    task = Task(protocol, size, images, (extractor,))
    found = group.main_first(lambda: load_images(experiment.data, images, size, quiet=not group.is_main))
    real = measure(
        Stored(found, protocol.reals, experiment.data), "real pictures", task, Streaming(group=group)
    )
    for one in real:  # what cannot be measured fails now, not after hours
        few = Statistics(one.protocol, one.notes, one.tally, one.features[: config.count])
        METRICS[metric].compute(few, one, extractor)
    return Validator(metric, state, extractor, task, real[0] if real else None)


def validate_run(
    validator: Validator, content: GeneratorFile, folder: Path, source: DataSource, done: int
) -> str:
    """Measure the generator, log the number, save the generator if it is the best -> a line.

    In processes that are not the main one: an empty line.
    """
    update_w_avg(content.generator)
    number = validator.measure(content.generator, source)
    if number is None:
        return ""
    path = folder / EVALUATIONS
    weights = validator.extractor.weights if validator.extractor is not None else ""
    protocol = {"metric": number.name, "title": number.title, "weights": weights}  # title: of how many images
    before = [line["value"] for line in logged(path) if protocol.items() <= line.items()]
    best = all(number.value < value if number.better == "low" else number.value > value for value in before)
    with path.open("a") as file:
        file.write(json.dumps({"step": done, "value": number.value, "best": best, **protocol}) + "\n")
    if best:
        measured = {**content.measured, number.name: number.value}
        generator_file.write(folder / "best.safetensors", replace(content, measured=measured))
    unit = f" {number.unit}" if number.unit else ""
    saved = f", the best so far: {folder / 'best.safetensors'}" if best else ""
    return f"step {done}: {number.title}: {number.value:.4g}{unit}{saved}"


def logged(path: Path) -> list[dict[str, Any]]:
    """The evaluations in a log."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
