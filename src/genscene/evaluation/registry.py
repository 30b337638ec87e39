"""All metrics by name: what each is computed from, its scores, and how they are resampled for intervals."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.contract import Generator
from genscene.errors import BadInput, nearest
from genscene.evaluation.bootstrap import (
    Resampled,
    Resampling,
    bootstrap,
    precision_recall_indicators,
    resample_frechet,
    resample_kernel,
    resample_means,
)
from genscene.evaluation.generator_metrics import EvaluatedGenerator
from genscene.evaluation.generator_metrics.identity import identity
from genscene.evaluation.generator_metrics.pose_accuracy import frechet_pose, is_posed_set, pose_accuracy
from genscene.evaluation.generator_metrics.view_consistency import view_consistency
from genscene.evaluation.neighbours import memorised
from genscene.evaluation.report import Score
from genscene.evaluation.statistics import FeatureStatistics
from genscene.geometry.cameras import Size
from genscene.metrics.cmmd import cmmd
from genscene.metrics.extractor import Extractor
from genscene.metrics.extractors import extractor
from genscene.metrics.frechet import frechet
from genscene.metrics.inception_score import inception_score
from genscene.metrics.kid import kid
from genscene.metrics.manifold import manifold
from genscene.metrics.power_features import decibels_of, power_features
from genscene.metrics.spectrum import spectral_gap

CHOSEN, SPECTRUM = "", "spectrum"  # in place of an extractor's name: that of --extractor; power spectra
SHARES = ("precision", "recall", "density", "coverage")
Compute = Callable[[FeatureStatistics, FeatureStatistics, Extractor], list[Score]]
Resample = Callable[[Sequence[Tensor], Tensor, Resampling], dict[str, Resampled]]


def frechet_score(key: str, title: str) -> tuple[Compute, Resample]:
    """The Frechet distance of generated and real features, and its resamples."""

    def compute(fake: FeatureStatistics, real: FeatureStatistics, by: Extractor) -> list[Score]:
        network = by.name if key == "frechet" else ""
        return [Score(key, title, frechet(fake.moments, real.moments), "low", extractor=network)]

    def resample(fakes: Sequence[Tensor], real: Tensor, how: Resampling) -> dict[str, Resampled]:
        return {key: resample_frechet(fakes, real, how.count, how.seed)}

    return compute, resample


def kernel_score(key: str, title: str) -> tuple[Compute, Resample]:
    """The kernel distance times 100, and its resamples."""

    def compute(fake: FeatureStatistics, real: FeatureStatistics, by: Extractor) -> list[Score]:
        found, network = kid(fake.features, real.features), by.name if key == "kernel" else ""
        deviation = None if found.deviation is None else 100 * found.deviation
        score = Score(f"{key}_x100", f"{title} x 100", 100 * found.mean, "low", "", network, deviation)
        return [score]

    def resample(fakes: Sequence[Tensor], real: Tensor, how: Resampling) -> dict[str, Resampled]:
        found = resample_kernel(fakes, real, 4 * how.count, how.seed)
        return {f"{key}_x100": Resampled(100 * found.estimate, 100 * found.resamples)}

    return compute, resample


def precision_recall_scores(prefix: str) -> tuple[Compute, Resample]:
    """Precision, recall, density and coverage, and the resamples of the first two."""

    def compute(fake: FeatureStatistics, real: FeatureStatistics, by: Extractor) -> list[Score]:
        found = vars(manifold(fake.features, real.features))
        return [Score(prefix + name, name, found[name], "high", extractor=by.name) for name in SHARES]

    def resample(fakes: Sequence[Tensor], real: Tensor, how: Resampling) -> dict[str, Resampled]:
        indicators = zip(*(precision_recall_indicators(fake, real) for fake in fakes), strict=True)
        named = zip(SHARES, indicators, strict=False)
        return {prefix + name: resample_means(each, 20 * how.count, how.seed) for name, each in named}

    return compute, resample


def inception_scores(fake: FeatureStatistics, real: FeatureStatistics, by: Extractor) -> list[Score]:
    """The inception score of the generated images."""
    if by.head is None:
        raise BadInput(f"{by.name} has no class logits: the inception score needs Inception")
    logits = torch.cat([part.to(by.head) @ by.head.mT for part in fake.features.split(4096)])
    found = inception_score(logits)
    return [Score("is", "inception score", found.mean, "high", deviation=found.deviation)]


def cmmd_score(fake: FeatureStatistics, real: FeatureStatistics, by: Extractor) -> list[Score]:
    """CMMD."""
    return [Score("cmmd", "CMMD", cmmd(fake.features, real.features), "low")]


def memorization_score(fake: FeatureStatistics, real: FeatureStatistics, by: Extractor) -> list[Score]:
    """Fraction of generated images as close to a real one as only one in a hundred real images is to another."""
    value = memorised(fake.features, real.features)
    return [Score("memorization", "memorization (0.01: chance)", value, "low", extractor=by.name)]


def spectrum_score(fake: FeatureStatistics, real: FeatureStatistics, by: Extractor) -> list[Score]:
    """Mean absolute difference of the mean power spectra, without the constant."""
    gap = spectral_gap(*(decibels_of(side.running.mean) for side in (fake, real)))
    return [Score("spectrum", "spectral gap", gap, "low", unit="dB")]


def resample_spectrum(fakes: Sequence[Tensor], real: Tensor, how: Resampling) -> dict[str, Resampled]:
    """Resampled spectral gaps; the real spectrum is fixed."""
    target = decibels_of(real.double().mean(dim=0))

    def gap(fake: Tensor) -> Callable[[Tensor], float]:
        rows = fake.double()
        return lambda counts: spectral_gap(decibels_of(counts.double() @ rows / counts.sum()), target)

    estimate = [gap(fake)(torch.ones(len(fake))) for fake in fakes]
    resamples = [bootstrap(gap(fake), len(fake), 4 * how.count, how.seed) for fake in fakes]
    return {"spectrum": Resampled(torch.tensor(estimate, dtype=torch.float64), torch.stack(resamples))}


@dataclass(frozen=True)
class StatisticsMetric:
    """A metric of the feature statistics of generated and real images."""

    extractor: str
    compute: Compute
    resample: Resample | None = None  # None: its scores have no intervals
    least_real: int = 2  # images
    least_generated: int = 2


@dataclass(frozen=True)
class GeneratorMetric:
    """A metric of the generator itself."""

    compute: Callable[[EvaluatedGenerator], list[Score]]
    by_default: Callable[
        [Generator, str], bool
    ]  # of generator and data: whether it is computed without being named


METRICS: dict[str, StatisticsMetric | GeneratorMetric] = {
    "fid": StatisticsMetric("inception", *frechet_score("fid", "FID")),
    "kid": StatisticsMetric("inception", *kernel_score("kid", "KID")),
    "fid_clean": StatisticsMetric("inception-clean", *frechet_score("fid_clean", "FID-clean")),
    "is": StatisticsMetric("inception", inception_scores, least_generated=10),
    "pr": StatisticsMetric("vgg16", *precision_recall_scores("pr_"), 4, 4),
    "fd_dinov2": StatisticsMetric("dinov2", *frechet_score("fd_dinov2", "FD-DINOv2")),
    "cmmd": StatisticsMetric("clip", cmmd_score),
    "frechet": StatisticsMetric(CHOSEN, *frechet_score("frechet", "Frechet distance")),
    "kernel": StatisticsMetric(CHOSEN, *kernel_score("kernel", "kernel distance")),
    "precision_recall": StatisticsMetric(CHOSEN, *precision_recall_scores(""), 4, 4),
    "memorization": StatisticsMetric(CHOSEN, memorization_score, least_real=100),
    "spectrum": StatisticsMetric(SPECTRUM, spectrum_score, resample_spectrum),
    "pose_accuracy": GeneratorMetric(pose_accuracy, is_posed_set),
    "frechet_pose": GeneratorMetric(frechet_pose, is_posed_set),
    "view_consistency": GeneratorMetric(
        view_consistency, lambda generator, data: generator.march is not None
    ),
    "identity": GeneratorMetric(identity, lambda generator, data: False),
}
FRECHET = {"fid", "fid_clean", "fd_dinov2", "frechet"}  # biased for few images


def statistics_metrics(names: Iterable[str]) -> dict[str, StatisticsMetric]:
    """Those of the named metrics that are computed from statistics; BadInput for an unknown name."""
    for name in names:
        if name not in METRICS:
            raise BadInput(f"no metric {name!r}; {nearest(name, METRICS)}")
    return {name: metric for name in names if isinstance(metric := METRICS[name], StatisticsMetric)}


def generator_metrics(names: Iterable[str]) -> dict[str, GeneratorMetric]:
    """Those of the named metrics that are computed from the generator."""
    return {name: metric for name in names if isinstance(metric := METRICS[name], GeneratorMetric)}


def extractor_names(metrics: Iterable[str], chosen: str) -> list[str]:
    """The extractors that metrics need, each once; BadInput for an unknown metric."""
    found = (metric.extractor or chosen for metric in statistics_metrics(list(metrics)).values())
    return list(dict.fromkeys(found))


def load_extractor(name: str, size: Size, weights: str) -> Extractor:
    """The extractor of a name in this table, for images of a size in pixels."""
    if name != SPECTRUM:
        return extractor(name, weights)
    if size[0] != size[1]:
        raise BadInput(f"spectra need square images, these are {size[0]}x{size[1]}: name other metrics")
    return power_features(size[0])


def too_few_images(metrics: Iterable[str], generated: int, real: int) -> dict[str, str]:
    """The metrics that need more images than there are, each with a line that says so."""
    found = {}
    for name, metric in statistics_metrics(list(metrics)).items():
        if generated < metric.least_generated or real < metric.least_real:
            least = f"wanted at least {metric.least_generated} against {metric.least_real}"
            found[name] = f"{name} of {generated} images against {real} real ones: {least}"
    return found
