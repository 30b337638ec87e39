"""A number that was estimated several times."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Spread:
    """Estimates on parts of the data: their mean is the number."""

    each: Tensor  # [parts]
    whole: bool = False  # each part holds all of a set: how far they lie apart says nothing of other sets

    @property
    def mean(self) -> float:
        """The number."""
        return float(self.each.mean())

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the parts, divided by their number; None where the parts are no parts."""
        return None if self.whole else float(self.each.std(correction=0))
