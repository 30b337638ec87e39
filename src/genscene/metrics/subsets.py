"""Metrics estimated on several subsets, and the check of the two feature sets they compare."""

from dataclasses import dataclass

from torch import Tensor

from genscene.errors import BadInput


@dataclass(frozen=True)
class SubsetEstimate:
    """A metric estimated on several subsets of the data; its value is their mean."""

    estimates: Tensor  # [subsets]
    whole: bool = False  # every subset holds all of a set: their spread does not estimate the error

    @property
    def mean(self) -> float:
        """Mean over subsets."""
        return float(self.estimates.mean())

    @property
    def deviation(self) -> float | None:
        """Population standard deviation over subsets; None where every subset holds all of a set."""
        return None if self.whole else float(self.estimates.std(correction=0))


def check_feature_sets(metric: str, fake: Tensor, real: Tensor, least: int = 1) -> None:
    """Raise BadInput unless features are [N, D] and [M, D] with N and M at least `least`."""
    if fake.dim() != 2 or fake.shape[1:] != real.shape[1:] or min(len(fake), len(real)) < least:
        shapes = f"{list(fake.shape)} and {list(real.shape)}"
        raise BadInput(f"{metric} of features {shapes}, wanted [N, D] and [M, D], N and M at least {least}")
