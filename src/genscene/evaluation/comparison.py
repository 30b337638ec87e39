"""Evaluation of one or several generators under one protocol: from images to a report."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.evaluation.extract_features import Measurements
from genscene.evaluation.intervals.bootstrap import RESAMPLE, Resampling, with_intervals
from genscene.evaluation.page import charts, image_strips
from genscene.evaluation.registry import GENERATOR_METRICS, STATISTICS_METRICS, too_few_images
from genscene.evaluation.report import Report, Row, Score
from genscene.evaluation.session import EvaluationSession, Features
from genscene.evaluation.statistics import FeatureStatistics
from genscene.metrics.frechet import RunningMoments
from genscene.randomness import RandomStreams
from genscene.version import __version__

RESAMPLED_FEATURES = 10_000  # of either side
ALIKE = 0.05  # variance of features, relative to real images, below which images count as all alike
FLAT = 2 / 255  # deviation within an image, or between scenes, below which these are the same
CODES = 8  # latent codes whose scenes are compared
OWN_FIELDS = ("extractor", "weights", "layer", "resize")  # fields of a protocol that each extractor has
INTERVALS = (
    "Brackets: 95 % bootstrap intervals of the expected score of sets of this size, of at most 10,000 images."
    " About 95 of 100 such intervals contain the expectation, about 84 of 100 the score of one other set."
    " Training again from another seed is not covered. All generators are compared on the same resampled real"
    " images; a score that is not distinguishable from the best may differ from it by chance."
)
Scores = list[dict[str, Score]]  # of each model, by key


def compare(measured: Measurements, resampling: Resampling | None = None) -> Report:
    """The report on one or several models; with resampling it has intervals and a row of real images."""
    session, models, real = measured.session, measured.models, measured.real
    own_scores, skipped = generator_scores(measured)
    strips = image_strips(measured)
    alike = find_alike(measured, dict(strips))
    found = statistics_scores(session, measured.features, real, resampling, [not each for each in alike])
    scores = zip(models, found, own_scores, alike, strict=True)
    rows = [Row(model.name, one | own, model.description, alike=bool(why)) for model, one, own, why in scores]
    intervals = [] if resampling is None else [INTERVALS, *without_interval(rows)]
    counts = f"{len(measured.sources[0])} generated images{' of each' if len(models) > 1 else ''}"
    if real:
        counts += f" against {next(iter(real.values())).count} real ones ({session.data})"
    return Report(
        ", ".join(model.name for model in models),
        f"{counts}, {session.size[1]}x{session.size[0]} pixels. Protocol: {session.protocol.source}.",
        [*rows, *([] if resampling is None else reference_row(measured))],
        protocol_table(measured),
        [*filter(None, alike), *measured.notes, *intervals, *skipped, *warnings(measured)],
        strips,
        charts(measured),
    )


def find_alike(measured: Measurements, shown: Mapping[str, Tensor]) -> list[str]:
    """For each model a note where its images, or its scenes, are all alike, or each image is of one color.

    shown: its first images [N, 3, H, W] in [0, 1], by name. An empty note where they are not.
    """
    notes, key, session = [], measured.image_extractor, measured.session
    for model, features in zip(measured.models, measured.features, strict=True):
        contrast, why = float(shown[model.name].flatten(2).std(dim=2).mean()), ""
        share = variance(features[key]) / variance(measured.real[key]) if key is not None else 1.0
        if contrast < FLAT:
            why = f"images of {model.name} are of one color (deviation {255 * contrast:.1f} of 255 in each)"
        elif share < ALIKE:
            much = f"variance of features: {100 * share:.2g} % of real images'"
            why = f"images of {model.name} are all alike ({much})"
        elif model.generator is not None and (apart := scene_deviation(session, model.generator)) < FLAT:
            why = f"scenes of {model.name} are all alike (deviation {255 * apart:.1f} of 255 between them)"
        so = "precision, view consistency and the like mean nothing; none of its scores is marked as best"
        notes.append(f"the {why}: {so}" if why else "")
    return notes


@torch.no_grad()
def scene_deviation(session: EvaluationSession, generator: Generator) -> float:
    """Deviation of pixels between scenes of `CODES` latent codes, seen from one view, in [0, 1]."""
    streams = RandomStreams(range(CODES), session.device)
    scene = generator.scene(generator.latents(streams), session.protocol.psi)
    view = generator.prior.sweep(1, session.size)[torch.zeros(CODES, dtype=torch.long)]
    return float(generator.render(scene, view.to(session.device)).image.std(dim=0).mean())


def variance(statistics: FeatureStatistics) -> float:
    """The total variance of features, at least 1e-12."""
    running = statistics.running
    return max(1e-12, float(running.scatter.trace()) / max(1, running.count - 1))


def statistics_scores(
    session: EvaluationSession,
    fakes: Sequence[Features],
    real: Features,
    resampling: Resampling | None,
    comparable: Sequence[bool] = (),
) -> Scores:
    """The scores that are computed from statistics, with intervals where they are resampled."""
    columns: list[Sequence[Score]] = []
    for metric in (STATISTICS_METRICS[name] for name in session.metrics if name in STATISTICS_METRICS):
        key = metric.extractor or session.extractor
        sides, extractor = [side[key] for side in (*fakes, real)], session.extractors[key]
        found = list(zip(*(metric.scores(fake, sides[-1], extractor) for fake in sides[:-1]), strict=True))
        if session.training_noise:
            how = {"how": "with the noise of training", "noise": "training"}
            found = [tuple(score.of_images(**how) for score in each) for each in found]
        if session.own_camera:
            how = {"how": "conditioned on each camera", "camera": "own"}
            found = [tuple(score.of_images(**how) for score in each) for each in found]
        if session.data_cameras:
            how = {"how": "cameras of the data", "cameras": "data"}
            found = [tuple(score.of_images(**how) for score in each) for each in found]
        resampled = []
        if resampling is not None and metric.definition in RESAMPLE:
            *features, real_features = (side.features[:RESAMPLED_FEATURES] for side in sides)
            resampled = RESAMPLE[metric.definition](features, real_features, resampling)
        columns += (with_intervals(*each, comparable) for each in zip(found, resampled, strict=False))
        columns += found[len(resampled) :]
    return [{column[i].key: column[i] for column in columns} for i in range(len(fakes))]


def generator_scores(measured: Measurements) -> tuple[Scores, list[str]]:
    """The scores of the generators themselves, and notes on those that cannot be computed.

    Raises BadInput where a metric that was named can be computed for none.
    """
    session, models = measured.session, measured.models
    rows, notes = [dict[str, Score]() for _ in models], []
    for name in (name for name in session.metrics if name in GENERATOR_METRICS):
        failed = 0
        for row, model in zip(rows, models, strict=True):
            try:
                row |= {score.key: score for score in GENERATOR_METRICS[name](session, model)}
            except BadInput as error:
                failed += 1
                if session.explicit and failed == len(models):
                    raise
                notes.append(f"no {name} of {model.name}: {error}")
    return rows, notes


def reference_row(measured: Measurements) -> list[Row]:
    """The scores of some real images against the others; scores that need more images are left out."""
    if not measured.real:
        return []
    parts = {key: split_statistics(each, len(measured.sources[0])) for key, each in measured.real.items()}
    one, others = ({key: part[side] for key, part in parts.items()} for side in (0, 1))
    count, rest = (next(iter(side.values())).count for side in (one, others))
    few = too_few_images(measured.session.metrics, count, rest)
    metrics = [name for name in measured.session.metrics if name not in few]
    (scores,) = statistics_scores(replace(measured.session, metrics=metrics), [one], others, None)
    generated, real = (next(iter(side.values())).count for side in (measured.features[0], measured.real))
    note = f"the generators: {generated} against {real}"
    if count < generated:
        note += "; fewer images make distances larger, so a generator may score lower"
    row = Row(f"real images, {count} against {rest} others", scores, note, reference=True)
    return [row] if scores else []


def split_statistics(whole: FeatureStatistics, count: int) -> list[FeatureStatistics]:
    """Statistics of `count` evenly spaced images, at most half of those with features, and of the others.

    As many as of each generator make the scores comparable with theirs.
    """
    stored = len(whole.features)
    count = max(1, min(count, stored // 2))
    chosen = torch.zeros(stored, dtype=torch.bool)
    chosen[torch.arange(count) * stored // count] = True
    parts = whole.features[chosen], whole.features[~chosen]
    return [replace(whole, running=RunningMoments.of(part), features=part) for part in parts]


def without_interval(rows: Sequence[Row]) -> list[str]:
    """A note on the scores that have no interval; networks are named, since titles may be the same."""
    every = {key: score for row in rows for key, score in row.scores.items() if not score.detail}
    bare = [score for score in every.values() if score.interval is None]
    names = [f"{each.title} by {each.extractor}" if each.extractor else each.title for each in bare]
    return [f"Without intervals, so that the best may be so by chance: {', '.join(names)}."] if names else []


def warnings(measured: Measurements) -> list[str]:
    """Notes on biased distances, on counts that are not the protocol's, on enlarged images, of extractors."""
    session, notes = measured.session, []
    named = [STATISTICS_METRICS[name] for name in session.metrics if name in STATISTICS_METRICS]
    frechet = any(metric.definition == "frechet" for metric in named)
    for fake, real in [
        (fake[key], real) for key, real in measured.real.items() for fake in measured.features
    ]:
        width = len(fake.running.mean)
        if frechet and min(fake.count, real.count) < width:
            why = f"biased upwards where features have width {width}; the kernel distance is not"
            notes.append(f"Frechet distances of {fake.count} against {real.count} images are {why}")
            frechet = False  # noted once
        available = int(real.provenance.get("available", real.count))
        notes += session.protocol.count_notes(fake.count, real.count, available)
        for kind, side in (("generated", fake), ("real", real)):
            if enlarged := side.provenance.get("enlarged", 0):
                size = side.protocol["size"]
                notes.append(f"{enlarged} {kind} images are smaller than {size} and were enlarged")
    notes += [f"{each.name}: {each.remark}" for each in session.extractors.values() if each.remark]
    return list(dict.fromkeys(notes))


def protocol_table(measured: Measurements) -> dict[str, object]:
    """Everything that must be the same for other scores to be comparable with these."""
    session, protocol = measured.session, measured.session.protocol
    generated, real = (count or "all" for count in protocol.wanted)
    table: dict[str, object] = {"genscene": __version__, "protocol": protocol.source, "psi": protocol.psi}
    table["noise"] = "of training" if session.training_noise else "none"
    table |= {"seed": session.seed, "generated_images": generated, "real_images": real}
    for key, statistics in measured.real.items():
        for name, value in statistics.protocol.items():
            table[f"{name} ({key})" if name in OWN_FIELDS else name] = value
    for key in list(measured.real)[:1]:
        for i, features in enumerate([measured.real, *measured.features]):
            side = f"generator {i}" if i else "real"
            table |= {f"{side}: {name}": value for name, value in features[key].provenance.items()}
    return table
