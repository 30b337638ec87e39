"""How good a generator is while it trains: one number now and then, and the best of its states kept."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genscene.contract import Generator
from genscene.data.source import PictureSource, Source
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput, nearest
from genscene.evaluation.extract_features import extract_features
from genscene.evaluation.held_out_views import render_held_out
from genscene.evaluation.image_sources import GeneratedImages
from genscene.evaluation.protocol import Preparation, Protocol, without_augmentation
from genscene.evaluation.registry import STATISTICS_METRICS, load_extractor
from genscene.evaluation.report import Score
from genscene.evaluation.session import EvaluationSession
from genscene.evaluation.statistics import FeatureStatistics
from genscene.io.generator_file import save_generator
from genscene.metrics.extractor import Extractor
from genscene.training.logger import EVALUATIONS
from genscene.training.loop import TrainState

PSNR = "psnr"  # of photographs that are not learnt


@dataclass(frozen=True)
class Judging:
    """When a run is judged, and by what."""

    every: int = 0  # steps between two evaluations; 0: none
    by: str = ""  # the metric that tells the best; default: frechet, or psnr where photographs are held out
    count: int = 2048  # generated pictures for each
    weights: str = ""  # of the network the metric looks through: a file, or download


@dataclass(frozen=True)
class Judge:
    """One metric, ready to be asked again and again."""

    by: str
    extractor: Extractor | None  # None: of photographs
    session: EvaluationSession | None
    real: FeatureStatistics | None  # in the first process

    def ask(self, generator: Generator, source: Source, group: ProcessGroup) -> Score | None:
        """The number of a generator as it stands; None in processes that are not the first."""
        if self.session is None or self.extractor is None:
            assert source.held_out is not None
            if not group.first:
                return None
            found = [each.psnr for each in render_held_out(generator, source.held_out)]
            return Score(
                PSNR, f"PSNR of {len(found)} photographs", sum(found) / len(found), "high", unit="dB"
            )
        images = GeneratedImages(generator, self.session.protocol.generated, self.session.size)
        quiet = replace(self.session, cache=False, quiet=True)
        features = extract_features(quiet, images, "generated images")
        if self.real is None:
            return None
        (fake,) = features.values()
        score = STATISTICS_METRICS[self.by].scores(fake, self.real, self.extractor)[0]
        return replace(score, title=f"{score.title}, {fake.count} against {self.real.count}")


def appointed(judging: Judging, game: TrainState, source: Source) -> Judge | None:
    """The judge of a run, its real side measured; None where none was asked for."""
    if judging.every < 0:
        raise BadInput(f"--evaluate-every {judging.every}: wanted steps, or 0 for none")
    if not judging.every:
        return None
    posed = not isinstance(source, PictureSource)
    by = judging.by or (PSNR if posed else "frechet")
    if posed != (by == PSNR):
        known = [PSNR] if posed else STATISTICS_METRICS
        raise BadInput(f"--best-by {by}: not for what is trained here; {nearest(by, known)}")
    if by == PSNR:
        if source.held_out is None:
            raise BadInput("--evaluate-every: no photographs are held out to be judged by")
        return Judge(by, None, None, None)
    if by not in STATISTICS_METRICS:
        raise BadInput(f"--best-by: no metric {by!r}; {nearest(by, STATISTICS_METRICS)}")
    if judging.count < 2:
        raise BadInput(f"--evaluate-count {judging.count}: wanted at least 2")
    return of_pictures(by, judging, game)


def of_pictures(by: str, judging: Judging, game: TrainState) -> Judge:
    """A judge by pictures, at the largest size that is trained on."""
    experiment = game.experiment
    size, metric = experiment.largest(), STATISTICS_METRICS[by]
    name = metric.extractor or "random"
    extractor = load_extractor(name, size, judging.weights).on(next(game.system.parameters()).device)
    images, data = without_augmentation(experiment.pictures), experiment.data
    protocol = Protocol("genscene, while it trains", (by,), generated=Preparation(judging.count))
    session = EvaluationSession(protocol, size, images, {name: extractor}, data, data, group=game.group)
    found = session.real()
    real = found if isinstance(found, dict) else extract_features(session, found, "real images")
    for one in real.values():  # what cannot be measured is told now, not after hours
        metric.scores(replace(one, features=one.features[: judging.count]), one, extractor)
    return Judge(by, extractor, session, next(iter(real.values()), None))


def judge(game: TrainState, folder: Path, source: Source, by: Judge, done: int) -> str:
    """Ask for the number after so many steps, note it, keep the generator where it is the best -> what to say.

    In processes that are not the first: nothing.
    """
    game.average.settle()
    number = by.ask(game.average, source, game.group)
    if number is None:
        return ""
    path = folder / EVALUATIONS
    looks = by.extractor.weights if by.extractor is not None else ""
    under = {"metric": number.key, "title": number.title, "weights": looks}  # title: of how many pictures
    before = [line["value"] for line in earlier(path) if under.items() <= line.items()]
    best = all(number.value < value if number.better == "low" else number.value > value for value in before)
    with path.open("a") as file:
        line = {"step": done, "value": number.value, "best": best, **under}
        file.write(json.dumps(line) + "\n")
    if best:
        save_generator(folder / "best.safetensors", game.average, game.experiment)
    unit = f" {number.unit}" if number.unit else ""
    kept = f", the best so far: {folder / 'best.safetensors'}" if best else ""
    return f"step {done}: {number.title}: {number.value:.4g}{unit}{kept}"


def earlier(path: Path) -> list[dict[str, Any]]:
    """What was noted before."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]
