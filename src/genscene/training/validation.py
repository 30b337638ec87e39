"""How good a generator is while it trains: one number now and then, and the best of its states kept."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genscene.contract import Generator
from genscene.data.images import load_images
from genscene.data.sources import DataSource
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput, nearest
from genscene.evaluation.measures import METRICS, Number, extractor_for
from genscene.evaluation.photographs import compared
from genscene.evaluation.protocol import Protocol, Side, untreated
from genscene.evaluation.sides import Generated, Stored
from genscene.evaluation.statistics import Statistics
from genscene.evaluation.stream import Streaming, Task, measure
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
    task: Task | None
    real: Statistics | None  # in the first process

    def ask(self, generator: Generator, source: DataSource, group: ProcessGroup) -> Number | None:
        """The number of a generator as it stands; None in processes that are not the first."""
        if self.task is None or self.extractor is None:
            assert source.held_out is not None
            if not group.first:
                return None
            found = [each.psnr for each in compared(generator, source.held_out)]
            return Number(
                PSNR, f"PSNR of {len(found)} photographs", sum(found) / len(found), "high", unit="dB"
            )
        lot = Generated(generator, self.task.protocol.fakes, self.task.size)
        quiet = Streaming(cache=False, group=group, quiet=True)
        fakes = measure(lot, "generated pictures", self.task, quiet)
        if self.real is None:
            return None
        number = METRICS[self.by].compute(fakes[0], self.real, self.extractor)[0]
        return replace(
            number, title=f"{number.title}, {fakes[0].tally.count} against {self.real.tally.count}"
        )


def appointed(judging: Judging, game: TrainState, source: DataSource) -> Judge | None:
    """The judge of a run, its real side measured; None where none was asked for."""
    if judging.every < 0:
        raise BadInput(f"--evaluate-every {judging.every}: wanted steps, or 0 for none")
    if not judging.every:
        return None
    posed = source.train is not None
    by = judging.by or (PSNR if posed else "frechet")
    if posed != (by == PSNR):
        known = [PSNR] if posed else METRICS
        raise BadInput(f"--best-by {by}: not for what is trained here; {nearest(by, known)}")
    if by == PSNR:
        if source.held_out is None:
            raise BadInput("--evaluate-every: no photographs are held out to be judged by")
        return Judge(by, None, None, None)
    if by not in METRICS:
        raise BadInput(f"--best-by: no metric {by!r}; {nearest(by, METRICS)}")
    if judging.count < 2:
        raise BadInput(f"--evaluate-count {judging.count}: wanted at least 2")
    return of_pictures(by, judging, game)


def of_pictures(by: str, judging: Judging, game: TrainState) -> Judge:
    """A judge by pictures, at the largest size that is trained on."""
    experiment = game.experiment
    size, wanted = experiment.largest(), METRICS[by].extractor or "random"
    looks = extractor_for(wanted, size, judging.weights).on(next(game.system.parameters()).device)
    pictures = untreated(experiment.images)
    protocol = Protocol("genscene, while it trains", (by,), fakes=Side(judging.count))
    task = Task(protocol, size, pictures, (looks,))
    found = game.group.first_then_others(
        lambda: load_images(experiment.data, pictures, size, quiet=not game.group.first)
    )
    stored = Stored(found, protocol.reals, experiment.data)
    real = measure(stored, "real pictures", task, Streaming(group=game.group))
    for one in real:  # what cannot be measured is told now, not after hours
        few = Statistics(one.protocol, one.notes, one.tally, one.features[: judging.count])
        METRICS[by].compute(few, one, looks)
    return Judge(by, looks, task, real[0] if real else None)


def judge(game: TrainState, folder: Path, source: DataSource, by: Judge, done: int) -> str:
    """Ask for the number after so many steps, note it, keep the generator where it is the best -> what to say.

    In processes that are not the first: nothing.
    """
    game.average.settle()
    number = by.ask(game.average, source, game.group)
    if number is None:
        return ""
    path = folder / EVALUATIONS
    looks = by.extractor.weights if by.extractor is not None else ""
    under = {"metric": number.name, "title": number.title, "weights": looks}  # title: of how many pictures
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
