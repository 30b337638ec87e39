"""All metrics by name: what each is computed from, its scores, and how they are resampled for intervals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.contract import Generator
from genscene.errors import BadInput, suggest
from genscene.evaluation.bootstrap import (
    KERNEL_SCALE,
    Resampled,
    Resampling,
    resample_frechet,
    resample_kernel,
    resample_precision_recall,
    resample_spectrum,
)
from genscene.evaluation.generator_metrics.identity import identity
from genscene.evaluation.generator_metrics.pose_accuracy import frechet_pose, is_posed_set, pose_accuracy
from genscene.evaluation.generator_metrics.view_consistency import view_consistency
from genscene.evaluation.report import Better, Score
from genscene.evaluation.session import EvaluationSession, Subject
from genscene.evaluation.statistics import FeatureStatistics
from genscene.geometry.cameras import Size
from genscene.metrics.frechet import frechet_distance
from genscene.metrics.inception_score import inception_score
from genscene.metrics.kernel import cmmd, kernel_distance
from genscene.metrics.networks import build_extractor
from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.precision_recall import memorization, precision_recall
from genscene.metrics.spectrum import power_features, spectral_gap, to_decibels

CHOSEN, SPECTRUM = "", "spectrum"  # in place of an extractor's name: that of --extractor; power spectra
Estimate = float | tuple[float, float | None]  # a value, or a value and its deviation over subsets
Resample = Callable[
    [Sequence[Tensor], Tensor, Resampling], list[Resampled]
]  # of the first scores of a metric


@dataclass(frozen=True)
class StatisticsMetric:
    """A metric of the feature statistics of generated and real images."""

    extractor: str
    titles: Mapping[str, str]  # of its scores, by their keys
    better: Better
    compute: Callable[[FeatureStatistics, FeatureStatistics, Extractor], Sequence[Estimate]]
    resample: Resample | None = None
    least: tuple[int, int] = (2, 2)  # generated and real images
    unit: str = ""

    def scores(self, fake: FeatureStatistics, real: FeatureStatistics, extractor: Extractor) -> list[Score]:
        """The scores of generated images against real ones."""
        found = []
        for (key, title), value in zip(self.titles.items(), self.compute(fake, real, extractor), strict=True):
            mean, deviation = value if isinstance(value, tuple) else (value, None)
            found.append(Score(key, title, mean, self.better, self.unit, extractor.name, deviation))
        return found


@dataclass(frozen=True)
class GeneratorMetric:
    """A metric of the generator itself."""

    compute: Callable[[EvaluationSession, Subject], list[Score]]
    by_default: Callable[[Generator, str], bool]  # of generator and data: computed without being named


def compute_frechet(fake: FeatureStatistics, real: FeatureStatistics, _: Extractor) -> list[Estimate]:
    """The Frechet distance."""
    return [frechet_distance(fake.moments, real.moments)]


def compute_kernel(fake: FeatureStatistics, real: FeatureStatistics, _: Extractor) -> list[Estimate]:
    """The kernel distance, scaled."""
    found = kernel_distance(fake.features, real.features)
    return [(KERNEL_SCALE * found.mean, None if found.deviation is None else KERNEL_SCALE * found.deviation)]


def compute_inception_score(fake: FeatureStatistics, _: FeatureStatistics, by: Extractor) -> list[Estimate]:
    """The inception score of the generated images."""
    if by.head is None:
        raise BadInput(f"{by.name} has no class logits: the inception score needs Inception")
    found = inception_score(torch.cat([part.to(by.head) @ by.head.mT for part in fake.features.split(4096)]))
    return [(found.mean, found.deviation)]


def frechet_metric(extractor: str, key: str, title: str) -> StatisticsMetric:
    """A Frechet distance."""
    return StatisticsMetric(extractor, {key: title}, "low", compute_frechet, resample_frechet)


def kernel_metric(extractor: str, key: str, title: str) -> StatisticsMetric:
    """A kernel distance."""
    return StatisticsMetric(extractor, {key: title}, "low", compute_kernel, resample_kernel)


def precision_recall_metric(extractor: str, prefix: str) -> StatisticsMetric:
    """Precision, recall, density and coverage."""
    return StatisticsMetric(
        extractor,
        {prefix + name: name for name in ("precision", "recall", "density", "coverage")},
        "high",
        lambda fake, real, _: list(vars(precision_recall(fake.features, real.features)).values()),
        resample_precision_recall,
        (4, 4),
    )


STATISTICS_METRICS = {
    "fid": frechet_metric("inception", "fid", "FID"),
    "kid": kernel_metric("inception", "kid_x100", "KID x 100"),
    "fid_clean": frechet_metric("inception_clean", "fid_clean", "FID-clean"),
    "is": StatisticsMetric(
        "inception", {"is": "inception score"}, "high", compute_inception_score, least=(10, 2)
    ),
    "pr": precision_recall_metric("vgg16", "pr_"),
    "fd_dinov2": frechet_metric("dinov2", "fd_dinov2", "FD-DINOv2"),
    "cmmd": StatisticsMetric(
        "clip", {"cmmd": "CMMD"}, "low", lambda fake, real, _: [cmmd(fake.features, real.features)]
    ),
    "frechet": frechet_metric(CHOSEN, "frechet", "Frechet distance"),
    "kernel": kernel_metric(CHOSEN, "kernel_x100", "kernel distance x 100"),
    "precision_recall": precision_recall_metric(CHOSEN, ""),
    "memorization": StatisticsMetric(
        CHOSEN,
        {"memorization": "memorization (0.01: chance)"},
        "low",
        lambda fake, real, _: [memorization(fake.features, real.features)],
        least=(2, 100),
    ),
    "spectrum": StatisticsMetric(
        SPECTRUM,
        {"spectrum": "spectral gap"},
        "low",
        lambda fake, real, _: [spectral_gap(*(to_decibels(side.running.mean) for side in (fake, real)))],
        resample_spectrum,
        unit="dB",
    ),
}
GENERATOR_METRICS = {
    "pose_accuracy": GeneratorMetric(pose_accuracy, is_posed_set),
    "frechet_pose": GeneratorMetric(frechet_pose, is_posed_set),
    "view_consistency": GeneratorMetric(view_consistency, lambda generator, _: generator.bounds is not None),
    "identity": GeneratorMetric(identity, lambda *_: False),
}
METRICS = STATISTICS_METRICS | GENERATOR_METRICS


def extractor_names(metrics: Iterable[str], chosen: str) -> list[str]:
    """The extractors that metrics need, each once; BadInput for an unknown metric."""
    found: dict[str, None] = {}
    for name in metrics:
        if name not in METRICS:
            raise BadInput(f"no metric {name!r}; {suggest(name, METRICS)}")
        if name in STATISTICS_METRICS:
            found[STATISTICS_METRICS[name].extractor or chosen] = None
    return list(found)


def load_extractor(name: str, size: Size, weights: str) -> Extractor:
    """The extractor of a name in this table, for images of a size in pixels."""
    if name != SPECTRUM:
        return build_extractor(name, weights)
    if size[0] != size[1]:
        raise BadInput(f"spectra need square images, these are {size[0]}x{size[1]}: name other metrics")
    return power_features(size[0])


def too_few_images(metrics: Iterable[str], generated: int, real: int) -> dict[str, str]:
    """The metrics that need more images than there are, each with a line that says so."""
    found = {}
    for name, metric in STATISTICS_METRICS.items():
        if name in metrics and (generated < metric.least[0] or real < metric.least[1]):
            least = f"wanted at least {metric.least[0]} against {metric.least[1]}"
            found[name] = f"{name} of {generated} images against {real} real ones: {least}"
    return found
