"""What is told of several generators: a table of numbers, pictures, charts, and how all of it was got."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from genscene.errors import BadInput
from genscene.evaluation.bootstrap import Interval


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
                raise BadInput(f"{row.name!r} has {len(row.cells)} numbers, wanted one for each of {len(self.columns)}")

    def best(self, column: int) -> int | None:
        """Which row has the best number of a column; None where there is nothing to choose."""
        cells = ((place, row.cells[column]) for place, row in enumerate(self.rows) if not row.reference)
        held = {place: cell.value for place, cell in cells if cell is not None and math.isfinite(cell.value)}
        ranked = sorted(held, key=held.__getitem__, reverse=not self.columns[column].low)
        if len(ranked) < 2 or held[ranked[0]] == held[ranked[1]]:
            return None
        return ranked[0]
