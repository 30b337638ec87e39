"""Histograms of scores, and repeats of pictures that make them even."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from genscene.randomness import derive_seed

BAR = 30  # characters of the longest bar


@dataclass(frozen=True)
class Bins:
    """Intervals of one width from the least to the greatest of a column's values."""

    column: str
    edges: np.ndarray  # [K + 1]

    @staticmethod
    def of(column: str, values: np.ndarray, count: int) -> "Bins":
        """So many bins of N values; one where all are equal."""
        low, high = float(values.min()), float(values.max())
        return Bins(column, np.linspace(low, high, count + 1) if high > low else np.array([low, low]))

    def place(self, values: np.ndarray) -> np.ndarray:
        """The bin of each of N values -> [N]."""
        inner = self.edges[1:-1]
        return np.searchsorted(inner, values, side="right")

    def count(self, values: np.ndarray) -> np.ndarray:
        """How many values each bin has -> [K]; others are not counted."""
        within = values[(values >= self.edges[0]) & (values <= self.edges[-1])]
        return np.bincount(self.place(within), minlength=len(self.edges) - 1)


def equalise(cells: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Cells [N] of pictures -> repeats [N], 1 to most, so that all cells have as many as the fullest.

    Where `most` repeats of each are fewer, they are taken. Those repeated once more are chosen by the seed.
    """
    numbers, places, counts = np.unique(cells, return_inverse=True, return_counts=True)
    repeats = np.ones(len(cells), np.int64)
    rng = np.random.default_rng(derive_seed(seed, len(numbers)))
    for cell, count in enumerate(counts):
        rows = np.flatnonzero(places == cell)
        target = min(int(counts.max()), most * int(count))
        repeats[rows] = target // count
        repeats[rng.permutation(rows)[: target % count]] += 1
    return repeats


def table(bins: Bins, before: np.ndarray, after: np.ndarray) -> list[str]:
    """Lines of a histogram: the range of each bin, its counts before and after, a bar of the latter."""
    counts = bins.count(before), bins.count(after)
    longest = max(1, counts[1].max())
    lines = [f"  {bins.column:>22}  {'before':>8}  {'after':>8}"]
    for i, (old, new) in enumerate(zip(*counts, strict=True)):
        span = f"{bins.edges[i]:.4g} to {bins.edges[i + 1]:.4g}"
        lines.append(f"  {span:>22}  {old:>8}  {new:>8}  {'#' * round(BAR * new / longest)}")
    return lines


def steps(bins: Bins, values: Mapping[str, np.ndarray]) -> dict[str, list[tuple[float, float]]]:
    """Histograms by name as curves of steps, for charts."""
    curves = {}
    for name, each in values.items():
        counts = bins.count(each)
        curve = [(float(bins.edges[0]), 0.0)]
        for i, count in enumerate(counts):
            curve += [(float(bins.edges[i]), float(count)), (float(bins.edges[i + 1]), float(count))]
        curves[name] = [*curve, (float(bins.edges[-1]), 0.0)]
    return curves
