"""Validation while training: one metric now and then, and the best generator so far."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from genscene.contract import Generator
from genscene.data.sources import DataSource
from genscene.errors import BadInput, suggest
from genscene.evaluation.extract_features import extract_features
from genscene.evaluation.held_out_views import render_held_out
from genscene.evaluation.image_sources import GeneratedImages
from genscene.evaluation.protocol import Preparation, Protocol, without_augmentation
from genscene.evaluation.registry import STATISTICS_METRICS, load_extractor
from genscene.evaluation.report import Score
from genscene.evaluation.session import EvaluationSession
from genscene.evaluation.statistics import FeatureStatistics
from genscene.experiment.schedules import largest_size
from genscene.io import generator_file
from genscene.io.atomic import append
from genscene.io.generator_file import GeneratorFile
from genscene.layers.mapping import update_w_avg
from genscene.metrics.networks.extractor import Extractor
from genscene.training.logger import EVALUATIONS, read_log
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
    session: EvaluationSession | None
    real: FeatureStatistics | None  # in the main process

    def measure(self, generator: Generator, source: DataSource) -> Score | None:
        """The metric of a generator; None in processes that are not the main one."""
        if self.session is None or self.extractor is None:
            assert source.held_out is not None
            if not self.state.group.is_main:
                return None
            found = [each.scores["psnr"] for each in render_held_out(generator, source.held_out)]
            title = f"PSNR of {len(found)} photographs"
            return Score(PSNR, title, sum(found) / len(found), "high", unit="dB")
        images = GeneratedImages(generator, self.session.protocol.generated, self.session.size)
        quiet = replace(self.session, cache=False, quiet=True)
        features = extract_features(quiet, images, "generated images")
        if self.real is None:
            return None
        (fake,) = features.values()
        score = STATISTICS_METRICS[self.metric].scores(fake, self.real, self.extractor)[0]
        return replace(score, title=f"{score.title}, {fake.count} against {self.real.count}")


def build_validator(config: ValidationConfig, state: TrainState, source: DataSource) -> Validator | None:
    """The validator of a run, its real images measured; None where none is configured."""
    if not config.every:
        return None
    batch = state.experiment.system.batch
    if batch in ("pixels", "surface"):
        raise BadInput(f"--evaluate-every: {batch} are fitted, of which nothing is held out; wanted 0")
    posed = state.experiment.system.fits_photographs
    metric = config.metric or (PSNR if posed else "frechet")
    if posed != (metric == PSNR):
        known = [PSNR] if posed else STATISTICS_METRICS
        raise BadInput(f"--best-by {metric}: not for what is trained here; {suggest(metric, known)}")
    if metric == PSNR:
        if source.held_out is None:
            raise BadInput("--evaluate-every: no photographs are held out to compare with")
        return Validator(metric, state, None, None, None)
    if metric not in STATISTICS_METRICS:
        raise BadInput(f"--best-by: no metric {metric!r}; {suggest(metric, STATISTICS_METRICS)}")
    if config.count < 2:
        raise BadInput(f"--evaluate-count {config.count}: wanted at least 2")
    return image_validator(metric, config, state)


def image_validator(metric: str, config: ValidationConfig, state: TrainState) -> Validator:
    """A validator by images, at the largest size that is trained on."""
    experiment, chosen = state.experiment, STATISTICS_METRICS[metric]
    size, name = largest_size(experiment), chosen.extractor or "random"
    device = next(state.system.parameters()).device
    extractor = load_extractor(name, size, config.weights).on(device)
    protocol = Protocol("genscene, while it trains", (metric,), generated=Preparation(config.count))
    images, data = without_augmentation(experiment.images), experiment.data
    session = EvaluationSession(
        protocol, size, images, {name: extractor}, data, device=device, group=state.group
    )
    found = session.real()
    real = found if isinstance(found, dict) else extract_features(session, found, "real images")
    for one in real.values():  # what cannot be measured fails now, not after hours
        chosen.scores(replace(one, features=one.features[: config.count]), one, extractor)
    return Validator(metric, state, extractor, session, next(iter(real.values()), None))


def validate_run(
    validator: Validator, content: GeneratorFile, folder: Path, source: DataSource, done: int
) -> tuple[str, dict[str, float]]:
    """Measure the generator, log the number, save the generator if it is the best -> a line, the number.

    In processes that are not the main one: an empty line, and none.
    """
    update_w_avg(content.generator)
    number = validator.measure(content.generator, source)
    if number is None:
        return "", {}
    path = folder / EVALUATIONS
    weights = validator.extractor.weights if validator.extractor is not None else ""
    protocol = {"metric": number.key, "title": number.title, "weights": weights}  # title: of how many images
    logged = [each.get("value") for each in read_log(path) if protocol.items() <= each.items()]
    before = [value for value in logged if isinstance(value, float)]
    best = all(number.value < value if number.better == "low" else number.value > value for value in before)
    with append(path) as file:
        file.write(json.dumps({"step": done, "value": number.value, "best": best, **protocol}) + "\n")
    if best:
        measured = {**content.measured, number.key: number.value}
        generator_file.write(folder / "best.safetensors", replace(content, measured=measured))
    unit = f" {number.unit}" if number.unit else ""
    saved = f", the best so far: {folder / 'best.safetensors'}" if best else ""
    return f"step {done}: {number.title}: {number.value:.4g}{unit}{saved}", {number.key: number.value}
