"""Evaluation of one or several generators under one protocol: from images to a report."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from genscene import __version__
from genscene.errors import BadInput
from genscene.evaluation.bootstrap import Resampling
from genscene.evaluation.figures import charts, galleries
from genscene.evaluation.image_sources import GeneratedImages, StoredImages
from genscene.evaluation.registry import FRECHET, generator_metrics, statistics_metrics, too_few_images
from genscene.evaluation.report import Report, Row, Score
from genscene.evaluation.session import EvaluationSession, Features, RealImages, Subject
from genscene.evaluation.statistics import FeatureStatistics
from genscene.metrics.frechet import Tally

RESAMPLED_FEATURES = 10_000  # of either side
OWN_FIELDS = ("extractor", "weights", "layer", "resize")  # fields of a protocol that each extractor has
INTERVALS = (
    "Brackets hold 95 % bootstrap intervals of the expected score of a set of this size, from at most 10,000 images of "
    "either side: about 95 of 100 such intervals contain the expectation, about 84 of 100 the score of one other set. "
    "Training again from another seed is not covered. All generators are compared on the same resampled real images; a "
    "score that is not distinguishable from the best may differ from it by chance."
)
Scores = list[dict[str, Score]]  # of each subject, by key


@dataclass(frozen=True)
class Measurements:
    """The features of all subjects and of the real images; empty in processes that are not the main one."""

    sources: list[GeneratedImages | StoredImages]  # one for each subject
    features: list[Features]
    real_images: RealImages
    real: Features
    metrics: list[str]  # for which there are enough images
    notes: list[str]


def measure(session: EvaluationSession, subjects: Sequence[Subject]) -> Measurements:
    """Extract the features of equal numbers of images of every subject, and of the real images."""
    sources = [session.generated(subject) for subject in subjects]
    counts, notes = [len(source) for source in sources], []
    if min(counts) < max(counts):
        sources = [
            replace(each, preparation=replace(each.preparation, count=min(counts))) for each in sources
        ]
        found = ", ".join(
            f"{count} of {subject.name}" for count, subject in zip(counts, subjects, strict=True)
        )
        notes.append(f"Only the first {min(counts)} images of each are compared: there are {found}.")
    real_images = session.real()
    few = too_few_images(session.metrics, min(counts), real_images.count)
    if few and session.explicit:
        raise BadInput(next(iter(few.values())))
    real = session.real_features(real_images)
    features = [
        session.features(source, f"generated images of {subject.name}")
        for source, subject in zip(sources, subjects, strict=True)
    ]
    metrics = [name for name in session.metrics if name not in few]
    return Measurements(sources, features, real_images, real, metrics, [*notes, *few.values()])


def compare(
    session: EvaluationSession,
    subjects: Sequence[Subject],
    measured: Measurements,
    resampling: Resampling | None = None,
) -> Report:
    """The report on one or several subjects; with resampling it has intervals and a row of real images."""
    names, fakes, real = [subject.name for subject in subjects], measured.features, measured.real
    scores = statistics_scores(session, measured.metrics, fakes, real, resampling)
    own_scores, skipped = generator_scores(session, subjects)
    described = zip(subjects, scores, own_scores, strict=True)
    rows = [Row(subject.name, one | own, subject.description) for subject, one, own in described]
    notes = [*measured.notes, *skipped, *warnings(session, measured)]
    if resampling is not None:
        notes = [*measured.notes, INTERVALS, *without_interval(rows), *notes[len(measured.notes) :]]
        rows += reference_row(session, measured)
    counts = (
        f"{len(measured.sources[0])} generated images of each against {measured.real_images.count} real ones"
    )
    size = f"{session.size[1]}x{session.size[0]} pixels"
    return Report(
        " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))),
        f"{counts} ({session.data}), {size}. Protocol: {session.protocol.source}.",
        rows,
        protocol_table(session, measured),
        notes,
        galleries(names, measured.sources, fakes, real, measured.real_images.images),
        charts(names, fakes, real),
    )


def statistics_scores(
    session: EvaluationSession,
    metrics: Sequence[str],
    fakes: Sequence[Features],
    real: Features,
    resampling: Resampling | None = None,
) -> Scores:
    """The scores that are computed from statistics, with intervals where they are resampled."""
    rows: Scores = [{} for _ in fakes]
    for metric in statistics_metrics(metrics).values():
        key = metric.extractor or session.extractor
        computed = [metric.compute(fake[key], real[key], session.extractors[key]) for fake in fakes]
        resampled = {}
        if resampling is not None and metric.resample is not None:
            *sides, real_side = (side[key].features[:RESAMPLED_FEATURES] for side in (*fakes, real))
            resampled = metric.resample(sides, real_side, resampling)
        for scores in zip(*computed, strict=True):
            name = scores[0].key
            attached = resampled[name].attach(scores) if name in resampled else scores
            for row, score in zip(rows, attached, strict=True):
                row[name] = score
    return rows


def generator_scores(session: EvaluationSession, subjects: Sequence[Subject]) -> tuple[Scores, list[str]]:
    """The scores of the generators themselves, and notes on those that cannot be computed.

    Raises BadInput where a metric that was named can be computed for none.
    """
    rows: Scores = [{} for _ in subjects]
    notes: list[str] = []
    for name, metric in generator_metrics(session.metrics).items():
        failed = 0
        for row, subject in zip(rows, subjects, strict=True):
            try:
                row |= {score.key: score for score in metric.compute(session.evaluated(subject))}
            except BadInput as error:
                failed += 1
                if session.explicit and failed == len(subjects):
                    raise
                notes.append(f"no {name} of {subject.name}: {error}")
    return rows, notes


def reference_row(session: EvaluationSession, measured: Measurements) -> list[Row]:
    """The scores of some real images against the others; scores that need more images are left out."""
    parts = {key: split_statistics(each, len(measured.sources[0])) for key, each in measured.real.items()}
    one, others = ({key: part[side] for key, part in parts.items()} for side in (0, 1))
    scores: dict[str, Score] = {}
    for name in statistics_metrics(measured.metrics):
        try:
            scores |= statistics_scores(session, [name], [one], others)[0]
        except BadInput:
            continue
    if not scores:
        return []
    key = next(iter(parts))
    count, rest, generated = one[key].count, others[key].count, measured.features[0][key].count
    note = f"the generators: {generated} against {measured.real[key].count}"
    if count < generated:
        note += "; fewer images make distances larger, so a generator may score lower"
    return [Row(f"real images, {count} against {rest} others", scores, note, reference=True)]


def split_statistics(whole: FeatureStatistics, count: int) -> tuple[FeatureStatistics, FeatureStatistics]:
    """Statistics of `count` evenly spaced images, at most half of those with stored features, and of the others.

    As many as of each generator make the scores comparable with theirs.
    """
    stored = len(whole.features)
    count = max(1, min(count, stored // 2))
    chosen = torch.zeros(stored, dtype=torch.bool)
    chosen[torch.arange(count) * stored // count] = True
    one, other = (
        replace(whole, running=Tally.of(part), features=part)
        for part in (whole.features[chosen], whole.features[~chosen])
    )
    return one, other


def without_interval(rows: Sequence[Row]) -> list[str]:
    """A note on the scores that have no interval; networks are named, since two may give scores of one title."""
    scores = {key: score for row in rows for key, score in row.scores.items() if score.interval is None}
    names = [
        f"{score.title} by {score.extractor}" if score.extractor else score.title for score in scores.values()
    ]
    return [f"Without intervals, so that the best may be so by chance: {', '.join(names)}."] if names else []


def warnings(session: EvaluationSession, measured: Measurements) -> list[str]:
    """Notes on biased distances, on counts that are not the protocol's, on enlarged images, and of extractors."""
    biased, notes, protocol = [], [], session.protocol
    for fake, key in ((fake[key], key) for fake in measured.features for key in measured.real):
        real, width = measured.real[key], len(fake.running.mean)
        if FRECHET & {*measured.metrics} and min(fake.count, real.count) < width:
            counts = f"{fake.count} against {real.count} images"
            reason = f"biased upwards where features have width {width}; the kernel distance is not"
            biased.append(f"Frechet distances of {counts} are {reason}")
        used = real.count // protocol.real.copies
        available = int(real.provenance.get("available", used))
        notes += protocol.count_notes(fake.count // protocol.generated.copies, used, available)
        for kind, side in (("generated", fake), ("real", real)):
            if enlarged := side.provenance.get("enlarged", 0):
                notes.append(
                    f"{enlarged} {kind} images are smaller than {side.protocol['size']} and were enlarged"
                )
    remarks = [f"{each.name}: {each.remark}" for each in session.extractors.values() if each.remark]
    return list(dict.fromkeys([*biased[:1], *notes, *remarks]))


def protocol_table(session: EvaluationSession, measured: Measurements) -> dict[str, object]:
    """Everything that must be the same for other scores to be comparable with these."""
    protocol, counts = session.protocol, session.protocol.wanted
    table: dict[str, object] = {"genscene": __version__, "protocol": protocol.source, "psi": protocol.psi}
    table |= {"seed": session.seed, "generated_images": counts[0] or "all", "real_images": counts[1] or "all"}
    for key, statistics in measured.real.items():
        for name, value in statistics.protocol.items():
            table[f"{name} ({key})" if name in OWN_FIELDS else name] = value
    for key, statistics in list(measured.real.items())[:1]:
        table |= {f"real: {name}": value for name, value in statistics.provenance.items()}
        for i, fake in enumerate(measured.features, 1):
            table |= {f"generator {i}: {name}": value for name, value in fake[key].provenance.items()}
    return table
