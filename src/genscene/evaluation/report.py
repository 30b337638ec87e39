"""What is told of several generators: a table of numbers, pictures, charts, and how all of it was got."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from genscene.errors import BadInput
from genscene.evaluation.bootstrap import Interval

Mark = Literal["", "best", "level"]


@dataclass(frozen=True)
class Column:
    """A metric."""

    name: str  # with the number of pictures where it depends on it, e.g. Frechet distance, 10k
    low: bool = True  # whether low is better
    digits: int = 2  # after the point
    unit: str = ""
    note: str = ""  # what it measures, in a few words
    key: str = ""  # as JSON has it; nothing: its name


@dataclass(frozen=True)
class Cell:
    """A number of one generator."""

    value: float
    interval: Interval | None = None
    level: bool = False  # whether its paired difference from the best leaves open which of both is better

    def numbers(self) -> tuple[float, ...]:
        """The value, and the ends of the interval where it has one."""
        return (self.value, self.interval.low, self.interval.high) if self.interval else (self.value,)


@dataclass(frozen=True)
class Row:
    """A generator."""

    name: str
    cells: tuple[Cell | None, ...]  # one for each column; None: this number was not made
    note: str = ""  # e.g. the system, steps, parameters
    reference: bool = False  # shown for comparison, e.g. photographs against photographs; never the best


@dataclass(frozen=True)
class Strip:
    """Pictures in a row."""

    name: str
    images: Tensor  # [n, 3, H, W] in [0, 1]


@dataclass(frozen=True)
class Gallery:
    """Rows of pictures below each other; what stands in one column belongs together."""

    title: str
    strips: tuple[Strip, ...]
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart as a picture."""

    title: str  # what it shows, for those who cannot see it too
    png: bytes
    width: int  # pixels it is to be shown at
    note: str = ""


@dataclass(frozen=True)
class Report:
    """All of it."""

    title: str
    lead: str  # one or two sentences: what is compared, on what
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    galleries: tuple[Gallery, ...] = ()
    charts: tuple[Chart, ...] = ()
    protocol: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()  # below the table, e.g. what its intervals are of

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise BadInput(
                    f"{row.name!r} has {len(row.cells)} numbers, wanted one for each of {len(self.columns)}"
                )
            for column, cell in zip(self.columns, row.cells, strict=True):
                if cell is not None and not all(map(math.isfinite, cell.numbers())):
                    said = ", ".join(f"{number:g}" for number in cell.numbers())
                    raise BadInput(
                        f"{column.name} of {row.name!r} is {said}: wanted finite numbers to compare"
                    )

    def marks(self, column: int) -> tuple[Mark, ...]:
        """What each row's number of a column is: one of the best, level with them, or neither.

        All are unmarked where there is nothing to choose: one number, or the same of all.
        """
        cells = [row.cells[column] for row in self.rows if not row.reference]
        values = {cell.value for cell in cells if cell is not None}
        if len(values) < 2:
            return tuple("" for _ in self.rows)
        best = min(values) if self.columns[column].low else max(values)
        return tuple(mark(None if row.reference else row.cells[column], best) for row in self.rows)


def mark(cell: Cell | None, best: float) -> Mark:
    """What a number is beside the best of its column."""
    if cell is None:
        return ""
    return "best" if cell.value == best else "level" if cell.level else ""
