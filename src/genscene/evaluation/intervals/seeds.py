"""Scores of several runs of each variant -> one report: means, and intervals over the runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev

from scipy.special import stdtrit
from torch import Tensor, equal

from genscene.evaluation.intervals.bootstrap import LEVEL
from genscene.evaluation.report import Interval, Report, Row, Score

INTERVALS = (
    "Brackets: 95 % intervals of the mean over runs from other seeds, by Student's t; two or three runs give"
    " wide ones. Where the interval of the paired difference from the best contains 0, a variant is not"
    " distinguishable from it. Data of another kind, other sizes and longer training are not covered."
)
Values = Mapping[int, float]  # of one score of one variant, by seed


def over_seeds(reports: Mapping[int, Report], names: Sequence[str], failures: Sequence[str] = ()) -> Report:
    """The report on each seed, whose rows are the variants that did not fail -> means of all variants.

    names: all variants, in order. failures: notes on runs that failed.
    """
    rows = {seed: {row.name: row for row in report.rows} for seed, report in reports.items()}
    first = next(iter(reports.values()))
    means = {name: mean_row(name, [each[name] for each in rows.values() if name in each]) for name in names}
    values = {
        key: {name: {s: each[name].scores[key].value for s, each in rows.items() if has(each, name, key)}
              for name in names}
        for key in dict.fromkeys(key for row in means.values() for key in row.scores)
    }  # fmt: skip
    found = [replace(row, scores=with_levels(row, values, means)) for row in means.values()]
    protocol = {key: value for key, value in first.protocol.items() if not key.startswith("generator ")}
    several = len(reports) > 1
    return Report(
        first.title,
        f"{first.summary}{' Means over runs from several seeds.' if several else ''}",
        found,
        protocol | {"training_seeds": ", ".join(map(str, reports))},
        [*failures, *([INTERVALS] if several else []), *joined_notes(reports)],
        joined_strips(reports),
        {} if several else first.charts,
        {label(name, s, several): v for s, report in reports.items() for name, v in report.views.items()},
    )


def has(rows: Mapping[str, Row], name: str, key: str) -> bool:
    """Whether a variant is among the rows of a seed, and has a score."""
    return name in rows and key in rows[name].scores


def mean_row(name: str, rows: Sequence[Row]) -> Row:
    """The mean scores of the runs of a variant, each over the runs that have it; none without runs."""
    scores = {}
    for key in dict.fromkeys(key for row in rows for key in row.scores):
        own = [row.scores[key] for row in rows if key in row.scores]
        values = [score.value for score in own]
        scores[key] = replace(
            own[0], value=fmean(values), deviation=None, interval=student_interval(values), level=False
        )
    note = rows[0].note if rows else "every run failed"
    return Row(name, scores, note, alike=any(row.alike for row in rows))


def with_levels(
    row: Row, values: Mapping[str, Mapping[str, Values]], rows: Mapping[str, Row]
) -> dict[str, Score]:
    """The scores of a row, each with whether it is not distinguishable from the best of all rows."""
    found = {}
    for key, score in row.scores.items():
        others = {
            n: each.scores[key].value for n, each in rows.items() if key in each.scores and not each.alike
        }
        best = (min if score.better == "low" else max)(others, key=others.__getitem__, default=row.name)
        own, reference = values[key][row.name], values[key][best]
        between = student_interval([own[s] - reference[s] for s in own if s in reference])
        level = row.name != best and between is not None and between.contains(0)
        found[key] = replace(score, level=level)
    return found


def student_interval(values: Sequence[float]) -> Interval | None:
    """The interval of the mean of normal numbers, at the level of the bootstrap's; None of less than 2."""
    if len(values) < 2:
        return None
    half = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * stdev(values) / math.sqrt(len(values))
    return Interval(fmean(values) - half, fmean(values) + half)


def label(name: str, seed: int, several: bool) -> str:
    """The name of a run."""
    return f"{name}, seed {seed}" if several else name


def joined_notes(reports: Mapping[int, Report]) -> list[str]:
    """The notes of all reports; of which seed it is before those that not all of them have."""
    every = {seed: list(report.notes) for seed, report in reports.items()}
    common = [note for note in next(iter(every.values())) if all(note in each for each in every.values())]
    own = [f"seed {s}: {note}" for s, notes in every.items() for note in notes if note not in common]
    return [*common, *own]


def joined_strips(reports: Mapping[int, Report]) -> list[tuple[str, Tensor]]:
    """The pictures of all seeds, below the real ones, which are repeated only where they are others."""
    strips: list[tuple[str, Tensor]] = []
    real: Tensor | None = None
    for seed, report in reports.items():
        names = {row.name for row in report.rows}
        for i, (name, images) in enumerate(report.strips):
            if name in names:
                strips.append((label(name, seed, len(reports) > 1), images))
            elif i == 0 and (real is None or real.shape != images.shape or not equal(real, images)):
                strips.append((name, images))
                real = images
    return strips
