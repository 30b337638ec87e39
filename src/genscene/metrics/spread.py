"""A number that was estimated several times."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Spread:
    """Estimates on parts of the data: their mean is the number."""

    each: Tensor  # [parts]

    @property
    def mean(self) -> float:
        """The number."""
        return float(self.each.mean())

    @property
    def deviation(self) -> float:
        """Standard deviation over the parts, divided by their number."""
        return float(self.each.std(correction=0))
