"""Several generators under one protocol: their numbers, how far these can be trusted, and who is better for sure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.evaluation.asked import ASKED, Question
from genscene.evaluation.bootstrap import (
    Resampled,
    better,
    bootstrap,
    frechet_resamples,
    indicators,
    kernel_resamples,
    mean_resamples,
)
from genscene.evaluation.desk import Desk, Sides
from genscene.evaluation.measures import METRICS, Better, Number
from genscene.evaluation.report import Cell, Column
from genscene.evaluation.statistics import Statistics
from genscene.metrics.frechet import RunningMoments
from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.spectrum import spectral_gap, to_decibels

MOST = 10_000  # features of a side that intervals are found from
REMARK = (
    "An interval is of the mean that sets of as many pictures give: about 95 of 100 such intervals hold it, and about "
    "84 of 100 the number of one other set. Found by drawing the pictures again from themselves (at most 10,000 of a "
    "side); it says nothing of a generator trained again from another seed. All are compared on the same resampled "
    "real pictures: those that are not told apart from the best may owe their difference to chance."
)
Table = list[tuple[Column, list[Cell | None]]]


@dataclass(frozen=True)
class Draw:
    """How sets are drawn again."""

    resamples: int = 100  # for Frechet distances; what costs less gets several times as many
    seed: int = 0


@dataclass(frozen=True)
class Bout:
    """The features of one extractor, of all generators and of the real pictures."""

    fakes: list[Tensor]  # [N, D] each
    real: Tensor  # [M, D]
    by: Extractor


def judged(
    desk: Desk, names: Sequence[str], chosen: str, fakes: list[Sides], real: Sides, draw: Draw
) -> Table:
    """A column for each number of the metrics of statistics, one cell for each generator."""
    found: Table = []
    for name in names:
        if name in METRICS:
            metric = METRICS[name]
            key = metric.extractor or chosen
            every = [metric.compute(fake[key], real[key], desk.extractors[key]) for fake in fakes]
            bout = Bout(
                [fake[key].features[:MOST] for fake in fakes], real[key].features[:MOST], desk.extractors[key]
            )
            again = RESAMPLED[name](bout, draw) if name in RESAMPLED else {}
            for numbers in zip(*every, strict=True):
                found.append((column(numbers[0]), cells(numbers, again.get(numbers[0].name))))
    return found


def unbounded(table: Table) -> list[str]:
    """What to say of numbers that have no interval."""
    bare = [head for head, line in table if all(cell is None or cell.interval is None for cell in line)]
    names = [
        f"{head.name.strip()} {head.note}".strip() for head in bare
    ]  # two networks' numbers may share a name
    return [f"No interval, the best of them is only the first: {', '.join(names)}."] if names else []


def column(number: Number) -> Column:
    """The head of a number's column."""
    digits = 2 if abs(number.value) >= 1 or number.unit else 3
    by = f"by {number.by}" if number.by else ""
    return Column(number.title, number.better == "low", digits, number.unit, by, number.name)


def cells(numbers: Sequence[Number], again: Resampled | None) -> list[Cell | None]:
    """A number of every generator, with its interval, and whether the best is better for sure."""
    if again is None:
        return [Cell(number.value) for number in numbers]
    return cells_of(again, numbers[0].better, [number.value for number in numbers])


def cells_of(again: Resampled, way: Better, values: list[float] | None = None) -> list[Cell | None]:
    """Resampled numbers of every generator as cells; values: what is told, where it is another estimate of the same."""
    told = again.estimate.tolist() if values is None else values
    best = told.index(min(told) if way == "low" else max(told))
    found: list[Cell | None] = []
    for i, value in enumerate(told):
        shift, interval = value - float(again.estimate[i]), again.interval(i)
        moved = type(interval)(interval.low + shift, interval.high + shift)
        level = i != best and not better(again.difference(i, best))
        found.append(Cell(value, moved, level))
    return found


def distances(name: str) -> Callable[[Bout, Draw], dict[str, Resampled]]:
    """Resampled Frechet distances, by the name their number has."""
    return lambda bout, draw: {name: frechet_resamples(bout.fakes, bout.real, draw.resamples, draw.seed)}


def kernels(name: str) -> Callable[[Bout, Draw], dict[str, Resampled]]:
    """Resampled kernel distances times 100, by the name their number has."""

    def again(bout: Bout, draw: Draw) -> dict[str, Resampled]:
        found = kernel_resamples(bout.fakes, bout.real, 4 * draw.resamples, draw.seed)
        return {name: Resampled(100 * found.estimate, 100 * found.each)}

    return again


def shares(name: str) -> Callable[[Bout, Draw], dict[str, Resampled]]:
    """Resampled precision and recall, by names that begin with the metric's."""

    def again(bout: Bout, draw: Draw) -> dict[str, Resampled]:
        inside, reached = zip(*(indicators(fake, bout.real) for fake in bout.fakes), strict=True)
        found = {"precision": inside, "recall": reached}
        return {f"{name}_{n}": mean_resamples(x, 20 * draw.resamples, draw.seed) for n, x in found.items()}

    return again


def gaps(bout: Bout, draw: Draw) -> dict[str, Resampled]:
    """Resampled spectral gaps; the real pictures' spectrum stands."""
    real = to_decibels(bout.real.double().mean(dim=0))

    def gap(fake: Tensor) -> Callable[[Tensor], float]:
        wide = fake.double()
        return lambda often: spectral_gap(to_decibels(often.double() @ wide / often.sum()), real)

    whole = [gap(fake)(torch.ones(len(fake))) for fake in bout.fakes]
    again = [bootstrap(gap(fake), len(fake), 4 * draw.resamples, draw.seed) for fake in bout.fakes]
    return {"spectrum": Resampled(torch.tensor(whole, dtype=torch.float64), torch.stack(again))}


RESAMPLED: dict[str, Callable[[Bout, Draw], dict[str, Resampled]]] = {
    "fid": distances("fid"),
    "fid-clean": distances("fid-clean"),
    "fd-dinov2": distances("fd-dinov2"),
    "frechet": distances("frechet"),
    "kid": kernels("kid_x100"),
    "kernel": kernels("kernel_x100"),
    "pr": shares("pr"),
    "manifold": shares("manifold"),
    "spectrum": gaps,
}


def answered(names: Sequence[str], questions: Sequence[Question], named: bool = False) -> Table:
    """A column for each thing the generators are asked; None where one has no answer.

    named: somebody asked for these by name, and is told where none has an answer.
    """
    found: Table = []
    for name in names:
        if name in ASKED:
            numbers = [first_answer(name, question) for question in questions]
            heads = [number for number in numbers if number is not None]
            if named and not heads:
                raise BadInput(f"{name}: none of what is compared can answer")
            if heads:
                found.append((column(heads[0]), [None if n is None else Cell(n.value) for n in numbers]))
    return found


def first_answer(name: str, question: Question) -> Number | None:
    """What a generator answers; None where it cannot."""
    try:
        return ASKED[name](question)[0]
    except BadInput:
        return None


def among_reals(desk: Desk, names: Sequence[str], chosen: str, real: Sides, count: int) -> list[float | None]:
    """What the metrics make of real pictures against other real ones; count: pictures of each generator.

    None where there are pictures enough for the number, but not when they are parted.
    """
    parts = {key: parted(statistics, count) for key, statistics in real.items()}
    found: list[float | None] = []
    for name in names:
        if name in METRICS:
            compute, key = METRICS[name].compute, METRICS[name].extractor or chosen
            try:
                found += [number.value for number in compute(*parts[key], desk.extractors[key])]
            except BadInput:
                found += [None] * len(compute(real[key], real[key], desk.extractors[key]))
    return found


def part_of(kept: int, count: int) -> int:
    """How many of so many real pictures are set against the others: as many as of a generator, at most half."""
    return max(1, min(count, kept // 2))


def parted(whole: Statistics, count: int) -> tuple[Statistics, Statistics]:
    """Statistics of so many pictures evenly chosen, at most half of those whose features were kept, and of the others.

    As many as of a generator make the number comparable with its own; fewer make a Frechet distance larger.
    """
    kept = len(whole.features)
    count = part_of(kept, count)
    chosen = torch.zeros(kept, dtype=torch.bool)
    chosen[torch.arange(count) * kept // count] = True
    one, other = (
        Statistics(whole.protocol, whole.notes, RunningMoments.of(part), part)
        for part in (whole.features[chosen], whole.features[~chosen])
    )
    return one, other
