"""Comparisons: the best generator is marked, equal ones are not, and real images serve as a reference."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genscene.errors import BadInput
from genscene.evaluation import comparison
from genscene.evaluation.comparison import (
    generator_scores,
    reference_row,
    split_statistics,
    statistics_scores,
    warnings,
    without_interval,
)
from genscene.evaluation.extract_features import Measurements
from genscene.evaluation.intervals.bootstrap import RESAMPLE, Resampling
from genscene.evaluation.protocol import Protocol
from genscene.evaluation.registry import STATISTICS_METRICS
from genscene.evaluation.report import Report, Row, Score
from genscene.evaluation.session import EvaluatedModel, EvaluationSession
from genscene.evaluation.statistics import FeatureStatistics
from genscene.experiment.schema import ImageConfig
from genscene.metrics.frechet import RunningMoments
from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.spectrum import power_features

WIDTH = 4
NETWORK = Extractor("a network", "none", "last", WIDTH, "not resized", lambda images: images)
EXTRACTORS = {"random": NETWORK, "spectrum": power_features(16)}
METRICS = ["frechet", "kernel", "precision_recall", "spectrum"]
SESSION = EvaluationSession(Protocol("a test", ()), (16, 16), ImageConfig(), EXTRACTORS, metrics=METRICS)
RESAMPLING = Resampling(40)


def statistics(features):
    return FeatureStatistics({"size": "16x16"}, {}, RunningMoments.of(features), features)


def side(seed, shift=0.0, spread=1.0, count=300):
    """Features, and spectra that are too high by as many dB as the features are shifted."""
    stream = torch.Generator().manual_seed(seed)
    features = spread * torch.randn(count, WIDTH, generator=stream) + shift
    spectra = (1 + 0.1 * torch.rand(count, 9, generator=stream)) * 10 ** (shift / 10)
    return {"random": statistics(features), "spectrum": statistics(spectra)}


REAL = side(0, count=320)


def scored(fakes, names=METRICS, resampling=RESAMPLING, real=REAL):
    return statistics_scores(replace(SESSION, metrics=names), fakes, real, resampling)


def report(fakes, names=METRICS):
    return Report("", "", [Row(str(i), row) for i, row in enumerate(scored(fakes, names))])


def measurements(fakes=(), real=REAL, metrics=METRICS, count=300, **changed):
    session = replace(SESSION, metrics=metrics, **changed)
    return Measurements(
        session, [EvaluatedModel("a", Path("a"))] * len(fakes), [range(count)], list(fakes), None, real, []
    )


def test_a_clearly_better_generator_is_the_best():
    found = report([side(1, 3.0), side(2, 0.0), side(3, 1.5)])
    for key in found.columns:
        assert found.marks(key) == ["", "best", ""], key
        for row in found.rows:
            score = row.scores[key]
            assert not score.level
            assert score.interval is None or score.interval.contains(score.value)


def test_equal_generators_are_level_and_unmarked():
    twins = report([side(1), side(1)])
    for key, score in twins.columns.items():
        one, other = (row.scores[key] for row in twins.rows)
        assert one.value == other.value
        assert twins.marks(key) == ["", ""]
        if score.interval is not None:
            assert sorted((one.level, other.level)) == [False, True], key
    for key in ("frechet", "kernel_x100"):
        assert any(row[key].level for row in scored([side(1), side(7)], ["frechet", "kernel"]))
    three = report([side(1), side(2, 3.0), side(1)])
    assert all(three.marks(key) == ["best", "", "best"] for key in three.columns)


def test_scores_are_those_of_the_metrics():
    fakes = [side(1), side(2, 0.5)]
    rows = scored(fakes, [*METRICS, "pose_accuracy"])
    for fake, row in zip(fakes, rows, strict=True):
        wanted = [
            score
            for name in METRICS
            for key in [STATISTICS_METRICS[name].extractor or "random"]
            for score in STATISTICS_METRICS[name].scores(fake[key], REAL[key], EXTRACTORS[key])
        ]
        assert list(row) == [score.key for score in wanted]
        assert [score.value for score in row.values()] == [score.value for score in wanted]
    assert {key for key, score in rows[0].items() if score.interval is None} == {"density", "coverage"}
    (note,) = without_interval([Row("a", rows[0])])
    assert note.endswith("by chance: density by a network, coverage by a network.")
    assert without_interval([Row("a", {"frechet": rows[0]["frechet"]})]) == []


def test_resamples_are_of_the_first_scores_of_their_metric():
    """Estimates of the whole sets that differ from the scores would be attached to the wrong ones."""
    network = replace(NETWORK, head=torch.ones(3, WIDTH))
    one, real = side(1)["random"], REAL["random"]
    for name, metric in STATISTICS_METRICS.items():
        if metric.definition in RESAMPLE and name != "spectrum":
            resampled = RESAMPLE[metric.definition]([one.features], real.features, RESAMPLING)
            for each, score in zip(resampled, metric.scores(one, real, network), strict=False):
                assert float(each[0, 0]) == pytest.approx(score.value, rel=0.02)
    assert "frechet" in RESAMPLE


def test_intervals_are_the_same_for_the_same_seed():
    fakes = [side(1), side(2)]
    one, same, other = (
        [score.interval for score in scored(fakes, resampling=how)[0].values()]
        for how in (RESAMPLING, RESAMPLING, Resampling(40, seed=1))
    )
    assert one == same
    assert one != other


def test_real_images_score_better_than_shifted_ones():
    (row,) = reference_row(measurements([side(1)]))
    far = scored([side(1, 3.0)])[0]
    assert list(row.scores) == list(far)
    assert row.reference
    for key, score in row.scores.items():
        if key != "density":
            assert (score.value < far[key].value) == (score.better == "low"), key


@pytest.mark.parametrize(
    ("stored", "count", "wanted"), [(300, 40, 40), (300, 150, 150), (301, 300, 150), (2, 5, 1)]
)
def test_real_images_are_split_into_as_many_as_of_a_generator_and_the_rest(stored, count, wanted):
    whole = side(0, count=stored)["random"]
    one, others = split_statistics(whole, count)
    assert (one.count, others.count) == (wanted, stored - wanted)
    both = torch.cat([one.features, others.features])
    assert torch.equal(both.sort(dim=0).values, whole.features.sort(dim=0).values)
    assert one.features[0].equal(whole.features[0])


def test_a_perfect_generator_scores_like_as_many_real_images():
    """Over many sets both have the same mean where there are many reals; halves have a larger one."""
    perfect, reference, halves = [], [], []
    for seed in range(12):
        fake, real = side(seed, count=100), side(100 + seed, count=1000)
        perfect.append(scored([fake], ["frechet"], None, real)[0]["frechet"].value)
        for found, sides in ((reference, real), (halves, side(200 + seed, count=100))):
            (row,) = reference_row(measurements([fake], sides, ["frechet"], 100))
            found.append(row.scores["frechet"].value)
    mean = sum(perfect) / 12
    assert sum(reference) / 12 == pytest.approx(mean, rel=0.35)
    assert sum(halves) / 12 > 2 * mean


def test_the_reference_leaves_out_what_needs_more_images():
    (row,) = reference_row(measurements([side(1)], side(0, count=150), ["memorization", "frechet"], 150))
    assert set(row.scores) == {"frechet"}
    assert reference_row(measurements([side(1)], {}, ["pose_accuracy"])) == []


def test_generators_without_a_score_are_noted_or_refused(monkeypatch):
    def compute(session, model):
        if model.name.endswith("odd"):
            raise BadInput("it is odd")
        return [Score("pose_accuracy", "pose accuracy", 0.5, "high")]

    monkeypatch.setitem(comparison.GENERATOR_METRICS, "pose_accuracy", compute)
    even, odd = EvaluatedModel("even", Path("even")), EvaluatedModel("odd", Path("odd"))
    measured = measurements(metrics=["pose_accuracy", "frechet"])
    rows, notes = generator_scores(replace(measured, models=[even, odd, even]))
    assert [list(row) for row in rows] == [["pose_accuracy"], [], ["pose_accuracy"]]
    assert notes == ["no pose_accuracy of odd: it is odd"]
    explicit = replace(measured, session=replace(measured.session, explicit=True))
    assert generator_scores(replace(explicit, models=[even, odd]))[1] == notes
    assert generator_scores(replace(measured, models=[odd, odd]))[0] == [{}, {}]
    with pytest.raises(BadInput, match="it is odd"):
        generator_scores(replace(explicit, models=[odd, odd]))


def test_frechet_distances_of_few_images_are_noted_as_biased():
    def notes(fake, real, *metrics):
        found = warnings(measurements([{"random": fake}], {"random": real}, metrics, extractors={}))
        return [note for note in found if "biased" in note]

    few, many = side(3, count=3)["random"], side(2, count=150)["random"]
    (line,) = notes(few, many, "frechet")
    assert "3 against 150" in line
    assert "width 4" in line
    assert all(notes(many, few, name) for name in ("fid", "fid_clean", "fd_dinov2", "frechet"))
    assert not notes(few, many, "kernel", "precision_recall")
    assert not notes(many, many, "frechet")
    assert not notes(side(3, count=4)["random"], many, "frechet")
