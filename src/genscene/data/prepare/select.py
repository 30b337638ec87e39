"""Index lists: pictures that meet conditions on scores, repeated so that their histograms are even."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genscene.data.images.files import list_images
from genscene.data.images.names import read_index
from genscene.data.prepare.balance import Bins, equalise, steps, table
from genscene.data.prepare.scores import parse_condition, read_scores
from genscene.errors import BadInput
from genscene.export.charts import Axes, save_chart
from genscene.io.atomic import atomic
from genscene.io.files import user_path


@dataclass(frozen=True)
class Selection:
    """What is selected, and how often."""

    scores: tuple[Path, ...] = ()  # CSV files
    keep: tuple[str, ...] = ()  # conditions that all must hold
    balance: tuple[str, ...] = ()  # columns whose (joint) histogram is made even
    bins: int = 10  # of each column
    most: int = 16  # repeats of a picture
    index: str = ""  # a list of which pictures are taken before
    seed: int = 0  # of which pictures of a bin are repeated once more


def select_pictures(source: str, out: Path, how: Selection) -> list[str]:
    """Write a JSON list of names, and a histogram PNG beside it for each column -> lines of a report.

    Raises BadInput, and writes nothing, where no picture is left.
    """
    if out.suffix != ".json":
        raise BadInput(f"--out {out}: wanted a file ending with .json")
    if not how.keep and not how.balance:
        raise BadInput("wanted --keep CONDITION, --balance COLUMN, or both")
    conditions, files = [parse_condition(text) for text in how.keep], list_images(source)
    columns = [*(condition.column for condition in conditions), *how.balance]
    scores = read_scores(files, how.scores, columns)
    given = np.array(read_index(files, how.index) if how.index else range(len(files.names)))
    lines, kept = [f"{files.root}: {len(given)} pictures"], given
    for condition, text in zip(conditions, how.keep, strict=True):
        kept = kept[condition.holds(scores)[kept]]
        lines.append(f"  {text}: {len(kept)} left")
    if not len(kept):
        raise BadInput(f"{files.root}: no picture of {len(given)} is left by --keep {' '.join(how.keep)}")
    chosen = np.repeat(kept, _repeats(scores, kept, how)) if how.balance else kept
    lines.append(f"  {len(chosen)} entries of {len(set(chosen.tolist()))} pictures in {out}")
    target = user_path(out)
    for column in dict.fromkeys(columns):
        before, after = scores[column][given], scores[column][chosen]
        bins = Bins.of(column, scores[column][kept] if column in how.balance else before, how.bins)
        lines += table(bins, before, after)
        axes = Axes(f"{column}: {len(given)} pictures, {len(chosen)} entries", column, "pictures")
        chart = target.with_name(f"{target.stem}-{_plain(column)}.png")
        save_chart(chart, steps(bins, {"before": before, "after": after}), axes)
    with atomic(target) as partial:
        partial.write_text(json.dumps(sorted(files.names[i] for i in chosen)))
    return lines


def _repeats(scores: dict[str, np.ndarray], kept: np.ndarray, how: Selection) -> np.ndarray:
    """Repeats of the kept pictures [N], by the bins of all columns to be balanced."""
    cells = np.zeros(len(kept), np.int64)
    for column in how.balance:
        values = scores[column][kept]
        cells = cells * how.bins + Bins.of(column, values, how.bins).place(values)
    return equalise(cells, how.most, how.seed)


def _plain(words: str) -> str:
    """A text as part of a file's name."""
    return "".join(c if c.isalnum() else "_" for c in words)
