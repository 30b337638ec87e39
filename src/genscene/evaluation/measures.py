"""Metrics by name: which extractor each wants, what it makes of two sides' statistics, and which way is better."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from genscene.errors import BadInput, suggest
from genscene.evaluation.protocol import Protocol
from genscene.evaluation.statistics import Statistics
from genscene.geometry.cameras import Size
from genscene.metrics.frechet import frechet_distance
from genscene.metrics.inception_score import inception_score
from genscene.metrics.kernel import cmmd, kernel_distance
from genscene.metrics.networks import build_extractor
from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.precision_recall import memorization, precision_recall
from genscene.metrics.spectrum import power_features, spectral_gap, to_decibels

Better = Literal["low", "high"]
CHOSEN, SPECTRUM = "", "spectrum"  # instead of an extractor's name: the one that was asked for; power spectra


@dataclass(frozen=True)
class Number:
    """One measured number."""

    name: str  # as JSON has it
    title: str  # as people call it
    value: float
    better: Better
    deviation: float | None = None  # over parts of the data, where it is estimated on several
    unit: str = ""
    by: str = ""  # what it looks through, where its title does not say so
    # what it depends on, where that is not in the statistics of two sides
    asked: Mapping[str, object] | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise BadInput(f"{self.title.strip()} comes out as {self.value}: wanted a finite number")


@dataclass(frozen=True)
class Metric:
    """What is made of the statistics of generated and of real pictures."""

    extractor: str
    compute: Callable[[Statistics, Statistics, Extractor], list[Number]]
    reals: int = 2  # pictures that it wants at least
    fakes: int = 2


def frechet_by(title: str) -> Callable[[Statistics, Statistics, Extractor], list[Number]]:
    """Frechet distance under a name; of any extractor where the name is empty."""

    def compute(fake: Statistics, real: Statistics, by: Extractor) -> list[Number]:
        value = frechet_distance(fake.moments, real.moments)
        return [
            Number(
                title.lower() or "frechet",
                title or "Frechet distance",
                value,
                "low",
                by="" if title else by.name,
            )
        ]

    return compute


def kernel_by(title: str) -> Callable[[Statistics, Statistics, Extractor], list[Number]]:
    """Kernel distance under a name, times 100 as tables print it."""

    def compute(fake: Statistics, real: Statistics, by: Extractor) -> list[Number]:
        found = kernel_distance(fake.features, real.features)
        name, looks = title.lower() or "kernel", "" if title else by.name
        said = f"{title or 'kernel distance'} x 100"
        deviation = None if found.deviation is None else 100 * found.deviation
        return [Number(f"{name}_x100", said, 100 * found.mean, "low", deviation, by=looks)]

    return compute


def shares_by(name: str) -> Callable[[Statistics, Statistics, Extractor], list[Number]]:
    """Precision, recall, density and coverage, under names that begin with the metric's."""

    def compute(fake: Statistics, real: Statistics, by: Extractor) -> list[Number]:
        found = precision_recall(fake.features, real.features)
        return [
            Number(f"{name}_{share}", share, value, "high", by=by.name)
            for share, value in vars(found).items()
        ]

    return compute


def score(fake: Statistics, real: Statistics, by: Extractor) -> list[Number]:
    """Inception score, of the generated pictures alone."""
    if by.head is None:
        raise BadInput(f"{by.name} names no classes: the inception score wants Inception")
    logits = torch.cat([part.to(by.head) @ by.head.mT for part in fake.features.split(4096)])
    found = inception_score(logits)
    return [Number("is", "inception score", found.mean, "high", found.deviation)]


def clip_distance(fake: Statistics, real: Statistics, by: Extractor) -> list[Number]:
    """CMMD."""
    return [Number("cmmd", "CMMD", cmmd(fake.features, real.features), "low")]


def spectral(fake: Statistics, real: Statistics, by: Extractor) -> list[Number]:
    """How far apart the mean power spectra lie, over all but the constant."""
    one, other = profiles(fake, real)
    return [Number("spectrum", "spectral gap", spectral_gap(one, other), "low", unit="dB")]


def copies(fake: Statistics, real: Statistics, by: Extractor) -> list[Number]:
    """Share of generated pictures as close to a real one as only one in a hundred real ones is to another."""
    value = memorization(fake.features, real.features)
    return [Number("copies", "copies of real pictures (0.01: chance)", value, "low", by=by.name)]


def profiles(fake: Statistics, real: Statistics) -> tuple[Tensor, Tensor]:
    """Mean power over rings of frequencies, in dB [N // 2 + 1], of both sides."""
    return to_decibels(fake.tally.mean), to_decibels(real.tally.mean)


METRICS: dict[str, Metric] = {
    "fid": Metric("inception", frechet_by("FID")),
    "kid": Metric("inception", kernel_by("KID")),
    "fid-clean": Metric("inception-clean", frechet_by("FID-clean")),
    "is": Metric("inception", score, fakes=10),
    "pr": Metric("vgg16", shares_by("pr"), 4, 4),
    "fd-dinov2": Metric("dinov2", frechet_by("FD-DINOv2")),
    "cmmd": Metric("clip", clip_distance),
    "frechet": Metric(CHOSEN, frechet_by("")),
    "kernel": Metric(CHOSEN, kernel_by("")),
    "manifold": Metric(CHOSEN, shares_by("manifold"), 4, 4),
    "copies": Metric(CHOSEN, copies, reals=100),
    "spectrum": Metric(SPECTRUM, spectral),
}


def extractor_for(name: str, size: Size, weights: str) -> Extractor:
    """What a metric looks through, by its name here, at pictures of a size in pixels."""
    if name != SPECTRUM:
        return build_extractor(name, weights)
    if size[0] != size[1]:
        raise BadInput(f"spectra want square pictures, these are {size[0]}x{size[1]}: name other metrics")
    return power_features(size[0])


def wanted(metrics: Iterable[str], chosen: str, more: Iterable[str] = ()) -> list[str]:
    """The extractors that metrics want, each once; BadInput for a name that is none of these or of `more`."""
    known = {**METRICS, **dict.fromkeys(more)}
    found = []
    for name in metrics:
        if name not in known:
            raise BadInput(f"no metric {name!r}; {suggest(name, known)}")
        metric = METRICS.get(name)
        if metric is not None:
            found.append(metric.extractor or chosen)
    return list(dict.fromkeys(found))


def enough(names: Iterable[str], fakes: int, reals: int, named: bool) -> tuple[list[str], list[str]]:
    """The metrics that there are pictures enough for, and what to say of the others; BadInput where they were named."""
    kept, said = [], []
    for name in names:
        metric = METRICS.get(name)
        if metric is None or (fakes >= metric.fakes and reals >= metric.reals):
            kept.append(name)
            continue
        least = f"{metric.fakes} against {metric.reals}"
        said.append(f"{name} of {fakes} pictures against {reals} real ones: wanted at least {least}")
        if named:
            raise BadInput(said[-1])
    return kept, said


def cautions(fake: Statistics, real: Statistics, metrics: Iterable[str]) -> list[str]:
    """What a reader of the numbers should be told."""
    counts = (fake.tally.count, real.tally.count)
    said = []
    if {"fid", "fid-clean", "fd-dinov2", "frechet"} & {*metrics} and min(counts) < len(fake.tally.mean):
        wide = len(fake.tally.mean)
        said.append(
            f"Frechet distances of {counts[0]} against {counts[1]} pictures are biased upwards where features are"
            f" {wide} wide; the kernel distance is not"
        )
    return said


def departures(protocol: Protocol, fake: Statistics, real: Statistics) -> list[str]:
    """What a reader should be told of counts that are not the protocol's, and of pictures that were made larger."""
    fakes, reals = fake.tally.count // protocol.fakes.times, real.tally.count // protocol.reals.times
    said = protocol.departure(fakes, reals, int(real.notes.get("of", reals)))
    for called, side in (("generated", fake), ("real", real)):
        small = side.notes.get("enlarged", 0)
        if small:
            said.append(
                f"{small} {called} pictures are smaller than {side.protocol['size']} and were enlarged"
            )
    return said
