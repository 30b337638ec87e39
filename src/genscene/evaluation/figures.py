"""Numbers as pictures: what real and generated pictures look like, precision against recall, spectra."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.evaluation.measures import profiles
from genscene.evaluation.sides import Lot, Stored
from genscene.evaluation.statistics import Statistics
from genscene.export.charts import Axes, Series
from genscene.metrics.precision_recall import nearest_neighbors, precision_recall

SHOWN = 8  # pictures in a row
NEIGHBOURS = (1, 2, 3, 4, 5, 7, 10)  # of the precision and recall curve
USUAL = NEIGHBOURS.index(3)
MOST = 3000  # features of a side that the curve is drawn from


@dataclass(frozen=True)
class Beside:
    """Pictures [n, 3, H, W] in [0, 1]: generated ones, and the real ones whose features are the closest."""

    fake: Tensor
    nearest: Tensor


def some(lot: Lot, count: int = SHOWN) -> Tensor:
    """Pictures evenly chosen from a lot -> [n, 3, H, W] in [0, 1]."""
    places = np.linspace(0, len(lot) - 1, min(count, len(lot))).astype(int)
    return torch.cat([lot.take(range(place, place + 1)) for place in places.tolist()]).float().cpu() / 255


def beside(lot: Lot, fake: Statistics, real: Statistics, reals: Stored, count: int = SHOWN) -> Beside:
    """The first generated pictures, and each one's nearest neighbour among the real ones whose features were kept."""
    count = min(count, len(lot))
    rows, _ = nearest_neighbors(fake.features[:count], real.features)
    closest = torch.cat([reals.take(range(place, place + 1)) for place in rows[:, 0].tolist()])
    return Beside(lot.take(range(count)).float().cpu() / 255, closest.float() / 255)


def plenty(fake: Statistics, real: Statistics) -> bool:
    """Whether both sides have pictures enough for the curve of precision and recall."""
    return min(len(fake.features), len(real.features)) > max(NEIGHBOURS)


def precision_curve(fake: Statistics, real: Statistics) -> list[tuple[float, float]]:
    """Recall and precision as the balls grow from one neighbour to ten."""
    one, other = fake.features[:MOST], real.features[:MOST]
    if not plenty(fake, real):
        few = min(len(one), len(other))
        raise BadInput(
            f"precision and recall up to {max(NEIGHBOURS)} neighbours want more than {few} pictures"
        )
    found = [precision_recall(one, other, k) for k in NEIGHBOURS]
    return [(each.recall, each.precision) for each in found]


WORDS = "precision and recall, 1 to 10 neighbours"
PRECISION_AXES = Axes(WORDS, "recall", "precision", (0, 1), (0, 1), marked="3 neighbours", dots=True)
SPECTRUM_AXES = Axes("mean power spectrum", "frequency, share of the highest", "power, dB", against="real")


def spectra(fakes: Mapping[str, Statistics], real: Statistics) -> Series:
    """Mean power in dB over frequency, of every generator and of the real pictures."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for name, fake in fakes.items():
        generated, photographed = profiles(fake, real)
        curves.setdefault("real", points(photographed))
        curves[name if name != "real" else "real (generated)"] = points(generated)
    return curves


def points(profile: Tensor) -> list[tuple[float, float]]:
    """Power in dB [N // 2 + 1] -> (share of the highest frequency, power), without the constant."""
    last = len(profile) - 1
    return [(i / last, float(value)) for i, value in enumerate(profile) if i]


def titled(axes: Axes, words: str) -> Axes:
    """The same axes, with what the chart is made of in its title."""
    return replace(axes, title=f"{axes.title} ({words})")
