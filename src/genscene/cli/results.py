"""The results of one evaluation: a table, a JSON with the protocol, pictures."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from genscene import __version__
from genscene.cli.shared.options import print_line
from genscene.evaluation.desk import Desk, Sides
from genscene.evaluation.figures import (
    PRECISION_AXES,
    SPECTRUM_AXES,
    USUAL,
    beside,
    plenty,
    precision_curve,
    some,
    spectra,
)
from genscene.evaluation.measures import SPECTRUM, Number, departures
from genscene.evaluation.protocol import Side
from genscene.evaluation.sheet import sheet
from genscene.evaluation.sides import Lot, Stored
from genscene.evaluation.statistics import Statistics
from genscene.export.charts import curves
from genscene.export.pictures import save_png
from genscene.io.atomic import atomic


@dataclass(frozen=True)
class Result:
    """What one evaluation found."""

    name: str
    desk: Desk
    numbers: list[Number]
    cautions: list[str]
    fake: Sides
    real: Sides

    @property
    def sides(self) -> tuple[Statistics, Statistics] | None:
        """Generated and real pictures by one extractor; None where no pictures were looked at."""
        some = next(iter(self.fake), None)
        return (self.fake[some], self.real[some]) if some else None

    @property
    def told(self) -> list[str]:
        """All that a reader of the numbers should know."""
        return self.cautions + (departures(self.desk.task.protocol, *self.sides) if self.sides else [])


def show(result: Result) -> None:
    """Print the numbers, what they are made of, and what is to be known of them."""
    counts = {
        (f.tally.count, r.tally.count)
        for f, r in zip(result.fake.values(), result.real.values(), strict=True)
    }
    for fakes, reals in counts:
        size, protocol = result.desk.task.size, result.desk.task.protocol
        print_line(
            f"{result.name}: {fakes} generated against {reals} real pictures of {size[0]}x{size[1]}, {protocol.source}"
        )
    table = Table("metric", "value", "", "", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for number in result.numbers:
        arrow = {"low": "low is better", "high": "high is better"}[number.better]
        table.add_row(number.title, written(number), arrow, number.by)
    Console().print(table)
    for line in [*result.told, *(looks.remark for looks in result.desk.extractors.values() if looks.remark)]:
        print_line(f"note: {line}")


def written(number: Number) -> str:
    """A value with its deviation and unit."""
    spread = f" +- {number.deviation:.2g}" if number.deviation is not None else ""
    return f"{number.value:.4g}{spread}{f' {number.unit}' if number.unit else ''}"


def write(out: Path, result: Result, lot: Lot, reals: Stored | None) -> Iterator[Path]:
    """Write numbers and protocol, and pictures beside them -> the names of the files."""
    with atomic(out) as partial:
        partial.write_text(json.dumps(document(result), indent=2, allow_nan=False) + "\n")
    yield out
    shared = [name for name in result.fake if name != SPECTRUM]
    if shared and reals is not None:
        found = beside(lot, result.fake[shared[0]], result.real[shared[0]], reals)
        path = out.with_suffix(".png")
        save_png(path, sheet(some(reals, len(found.fake)), found.fake, found.nearest))
        yield path
    if shared and plenty(result.fake[shared[0]], result.real[shared[0]]):
        path = out.with_name(f"{out.stem}-precision.png")
        line = precision_curve(result.fake[shared[0]], result.real[shared[0]])
        curves(path, {result.name: line}, PRECISION_AXES, {result.name: USUAL})
        yield path
    if SPECTRUM in result.fake:
        path = out.with_name(f"{out.stem}-spectrum.png")
        curves(path, spectra({result.name: result.fake[SPECTRUM]}, result.real[SPECTRUM]), SPECTRUM_AXES)
        yield path


def document(result: Result) -> dict[str, object]:
    """All that makes the numbers comparable with others."""
    protocol, task = result.desk.task.protocol, result.desk.task
    fake, real = result.sides or (None, None)
    return {
        "metrics": {number.name: value_of(number) for number in result.numbers},
        "protocol": {
            "source": protocol.source,
            "fields": {name: dict(statistics.protocol) for name, statistics in result.fake.items()},
            "reals": side_of(protocol.reals, protocol.counts[1], real),
            "fakes": side_of(protocol.fakes, protocol.counts[0], fake),
            "size": task.size,
            "asked": [number.asked for number in result.numbers if number.asked],
        },
        "generated": dict(fake.notes) if fake else {},
        "real": dict(real.notes) if real else {},
        "cautions": result.told,
        "genscene": __version__,
    }


def side_of(side: Side, wanted: int, found: Statistics | None) -> dict[str, object]:
    """A side as JSON has it: how many pictures were looked at, and how many the protocol wants."""
    count = found.tally.count // side.times if found else 0
    return asdict(side) | {"count": count, "wanted": wanted or "all"}


def value_of(number: Number) -> dict[str, object]:
    """A number as JSON has it."""
    return {
        name: value
        for name, value in asdict(number).items()
        if name not in ("name", "asked") and value not in (None, "")
    }
