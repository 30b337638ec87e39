"""All metrics by name: what each is computed from, its scores, and how they are resampled for intervals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from genscene.contract import Generator
from genscene.errors import BadInput, suggest
from genscene.evaluation.generator_metrics.object_control import is_set_of_rooms, object_control
from genscene.evaluation.generator_metrics.pose_accuracy import frechet_pose, is_posed_set, pose_accuracy
from genscene.evaluation.generator_metrics.two_views import identity, view_consistency
from genscene.evaluation.intervals.bootstrap import KERNEL_SCALE
from genscene.evaluation.report import Better, Score
from genscene.evaluation.session import EvaluatedModel, EvaluationSession
from genscene.evaluation.statistics import FeatureStatistics
from genscene.geometry.cameras import Size
from genscene.metrics.frechet import frechet_distance
from genscene.metrics.inception_score import inception_score
from genscene.metrics.kernel import cmmd, kernel_distance
from genscene.metrics.networks import build_extractor
from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.precision_recall import memorization, precision_recall
from genscene.metrics.spectrum import power_features, spectral_gap, to_decibels
from genscene.metrics.subsets import SubsetEstimate

CHOSEN, SPECTRUM = "", "spectrum"  # in place of an extractor's name: that of --extractor; power spectra
Compute = Callable[[FeatureStatistics, FeatureStatistics, Extractor], Sequence[float | SubsetEstimate]]


def compute_inception_score(
    fake: FeatureStatistics, _: FeatureStatistics, by: Extractor
) -> list[SubsetEstimate]:
    """The inception score of the generated images."""
    if by.head is None:
        raise BadInput(f"{by.name} has no class logits: the inception score needs Inception")
    return [inception_score(torch.cat([part.to(by.head) @ by.head.mT for part in fake.features.split(4096)]))]


# the scores of each definition, of generated and real images
COMPUTE: dict[str, Compute] = {
    "frechet": lambda fake, real, _: [frechet_distance(fake.moments, real.moments)],
    "kernel": lambda fake, real, _: [kernel_distance(fake.features, real.features)],
    "cmmd": lambda fake, real, _: [cmmd(fake.features, real.features)],
    "inception_score": compute_inception_score,
    "precision_recall": lambda fake, real, _: [
        *vars(precision_recall(fake.features, real.features)).values()
    ],
    "memorization": lambda fake, real, _: [memorization(fake.features, real.features)],
    "spectrum": lambda fake, real, _: [spectral_gap(*(to_decibels(x.running.mean) for x in (fake, real)))],
}
# generated and real images that each needs, where it is more than two
LEAST = {"inception_score": (10, 2), "precision_recall": (4, 4), "memorization": (2, 100)}
HIGH_IS_BETTER = ("inception_score", "precision_recall")


@dataclass(frozen=True)
class StatisticsMetric:
    """A metric of the feature statistics of generated and real images."""

    definition: str  # in the tables above
    extractor: str
    titles: Mapping[str, str]  # of its scores, by their keys
    scale: float = 1.0  # of the scores, as tables have them
    unit: str = ""

    def scores(self, fake: FeatureStatistics, real: FeatureStatistics, extractor: Extractor) -> list[Score]:
        """The scores of generated images against real ones."""
        better: Better = "high" if self.definition in HIGH_IS_BETTER else "low"
        values, scores = COMPUTE[self.definition](fake, real, extractor), []
        for (key, title), found in zip(self.titles.items(), values, strict=True):
            value, spread = (found, None) if isinstance(found, float) else (found.mean, found.deviation)
            deviation = None if spread is None else self.scale * spread
            scores.append(Score(key, title, self.scale * value, better, self.unit, extractor.name, deviation))
        return scores


SHARES = ("precision", "recall", "density", "coverage")
STATISTICS_METRICS = {
    "fid": StatisticsMetric("frechet", "inception", {"fid": "FID"}),
    "kid": StatisticsMetric("kernel", "inception", {"kid_x100": "KID x 100"}, KERNEL_SCALE),
    "fid_clean": StatisticsMetric("frechet", "inception_clean", {"fid_clean": "FID-clean"}),
    "is": StatisticsMetric("inception_score", "inception", {"is": "inception score"}),
    "pr": StatisticsMetric("precision_recall", "vgg16", {f"pr_{name}": name for name in SHARES}),
    "fd_dinov2": StatisticsMetric("frechet", "dinov2", {"fd_dinov2": "FD-DINOv2"}),
    "cmmd": StatisticsMetric("cmmd", "clip", {"cmmd": "CMMD"}),
    "frechet": StatisticsMetric("frechet", CHOSEN, {"frechet": "Frechet distance"}),
    "kernel": StatisticsMetric("kernel", CHOSEN, {"kernel_x100": "kernel distance x 100"}, KERNEL_SCALE),
    "precision_recall": StatisticsMetric("precision_recall", CHOSEN, {name: name for name in SHARES}),
    "memorization": StatisticsMetric("memorization", CHOSEN, {"memorization": "memorization (0.01: chance)"}),
    "spectrum": StatisticsMetric("spectrum", SPECTRUM, {"spectrum": "spectral gap"}, unit="dB"),
}
GENERATOR_METRICS: dict[str, Callable[[EvaluationSession, EvaluatedModel], list[Score]]] = {
    "pose_accuracy": pose_accuracy,
    "frechet_pose": frechet_pose,
    "object_control": object_control,
    "view_consistency": view_consistency,
    "identity": identity,
}
METRICS = [*STATISTICS_METRICS, *GENERATOR_METRICS]


def default_metrics(generator: Generator, data: str) -> list[str]:
    """The metrics of a generator itself that are computed without being named."""
    posed = ["pose_accuracy", "frechet_pose"] if is_posed_set(generator, data) else []
    posed += ["object_control"] if is_set_of_rooms(generator, data) else []
    return [*posed, "view_consistency"] if generator.bounds is not None else posed


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
    for name in metrics:
        definition = STATISTICS_METRICS[name].definition if name in STATISTICS_METRICS else ""
        least = LEAST.get(definition, (2, 2))
        if definition and (generated < least[0] or real < least[1]):
            wanted = f"wanted at least {least[0]} against {least[1]}"
            found[name] = f"{name} of {generated} images against {real} real ones: {wanted}"
    return found
