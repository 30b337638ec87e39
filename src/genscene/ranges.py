"""The ranges of configuration fields, written where the fields are defined: `width: Channels = 256`.

Conditions are data; `experiment.validation` applies them to what is typed and to what files hold.
"""

import math
from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, without low where it is open."""

    low: float
    high: float = math.inf
    open: bool = False

    def __str__(self) -> str:
        bounded = math.isfinite(self.high)
        if self.open:
            return f"a number above {self.low:g}" + (f", up to {self.high:g}" if bounded else "")
        low, high = (f"{x:g}" if isinstance(x, float) else str(x) for x in (self.low, self.high))
        return f"a number from {low} to {high}" if bounded else f"{low} or more"


@dataclass(frozen=True)
class Length:
    """Tuples of so many elements."""

    allowed: tuple[int, ...] | range

    def __str__(self) -> str:
        counts = self.allowed
        if isinstance(counts, range):
            return f"{counts[0]} to {counts[-1]} values"
        return f"{', '.join(map(str, counts[:-1]))} or {counts[-1]} values"


@dataclass(frozen=True)
class Rising:
    """Tuples whose elements rise, or a field of theirs does; from `first`, where that is given."""

    field: str = ""
    first: int | None = None

    def __str__(self) -> str:
        begin = f" from {self.first}" if self.first is not None else ""
        return f"{self.field or 'numbers'} that rise{'s' * bool(self.field)}{begin}"


@dataclass(frozen=True)
class Above:
    """Numbers above another field of the same dataclass."""

    field: str


@dataclass(frozen=True)
class Divides:
    """Numbers that divide another field of the same dataclass."""

    field: str


@dataclass(frozen=True)
class When:
    """A range that holds where another field of the same dataclass is set."""

    field: str
    limit: Range
    why: str


Count = Annotated[int, Range(1)]
Natural = Annotated[int, Range(0)]
Positive = Annotated[float, Range(0, open=True)]
NonNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
Decay = Annotated[float, Range(0, 0.999999)]  # of a moving average
PositiveShare = Annotated[float, Range(0, 1, open=True)]

# what networks and pictures are made of: far beyond what is in use, far below what overflows
Channels = Annotated[int, Range(1, 65_536)]
Layers = Annotated[int, Range(1, 1024)]
Octaves = Annotated[int, Range(0, 32)]  # frequencies are powers of two in float32
Samples = Annotated[int, Range(1, 4096)]  # along a ray
Side = Annotated[int, Range(1, 16_384)]  # of pictures, in pixels
Cells = Annotated[int, Range(1, 1024)]  # along a side of a grid

# lengths, angles and factors whose products are numbers of float32 other than 0
Distance = Annotated[float, Range(0, 1e9)]  # in world units
Extent = Annotated[float, Range(1e-6, 1e9)]  # in world units
Factor = Annotated[float, Range(1e-6, 1e9)]
Signed = Annotated[float, Range(-1e4, 1e4)]
Angle = Annotated[float, Range(-100, 100)]  # in radians
Spread = Annotated[float, Range(0, 100)]  # of angles, in radians
Box = tuple[Extent, Extent, Extent]  # half sides of a box around the origin
