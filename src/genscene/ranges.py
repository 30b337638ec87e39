"""The ranges of configuration fields, written where the fields are defined: `width: Count = 256`."""

import math
from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, without low where it is open."""

    low: float
    high: float = math.inf
    open: bool = False

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.open else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        if self.open:
            return f"a number above {self.low:g}" + (
                f", up to {self.high:g}" if math.isfinite(self.high) else ""
            )
        return (
            f"a number from {self.low:g} to {self.high:g}"
            if math.isfinite(self.high)
            else f"{self.low:g} or more"
        )


Count = Annotated[int, Range(1)]
Natural = Annotated[int, Range(0)]
Positive = Annotated[float, Range(0, open=True)]
NonNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
PositiveShare = Annotated[float, Range(0, 1, open=True)]
Box = tuple[Positive, Positive, Positive]  # half sides of a box around the origin
