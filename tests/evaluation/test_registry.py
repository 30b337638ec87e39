"""Metrics by name: each gives what its function in genscene.metrics gives, under keys of its own."""

import pytest
import torch

from genscene.errors import BadInput
from genscene.evaluation.registry import (
    CHOSEN,
    METRICS,
    SPECTRUM,
    STATISTICS_METRICS,
    extractor_names,
    too_few_images,
)
from genscene.evaluation.statistics import FeatureStatistics
from genscene.metrics.frechet import Moments, RunningMoments, frechet_distance
from genscene.metrics.inception_score import inception_score
from genscene.metrics.kernel import cmmd, kernel_distance
from genscene.metrics.networks import EXTRACTORS
from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.precision_recall import memorization, precision_recall
from genscene.metrics.spectrum import (
    power_features,
    power_spectrum,
    radial_profile,
    spectral_gap,
    to_decibels,
)

WIDTH, HEAD = 6, torch.linspace(-1, 1, 24).view(4, 6)
NETWORK = Extractor("a network", "none", "last", WIDTH, "not resized", lambda images: images, HEAD)
FRECHET = [name for name, metric in STATISTICS_METRICS.items() if metric.definition == "frechet"]


def side(seed, count=150, shift=0.0):
    features = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed)) + shift
    return FeatureStatistics({"size": "16x16"}, {}, RunningMoments.of(features), features)


FAKE, REAL = side(1, 120, 0.3), side(2)


def scores(name, extractor=NETWORK, fake=FAKE, real=REAL):
    return {score.key: score for score in STATISTICS_METRICS[name].scores(fake, real, extractor)}


def assert_score(score, value, better, deviation=None):
    assert score.value == pytest.approx(value, rel=1e-12)
    assert score.better == better
    assert score.deviation == (None if deviation is None else pytest.approx(deviation, rel=1e-12))


@pytest.mark.parametrize("name", FRECHET)
def test_frechet_distances(name):
    (score,) = scores(name).values()
    assert score.key == name
    assert_score(score, frechet_distance(Moments.of(FAKE.features), Moments.of(REAL.features)), "low")
    assert score.extractor == "a network"


@pytest.mark.parametrize(("name", "key"), [("kid", "kid_x100"), ("kernel", "kernel_x100")])
def test_kernel_distances(name, key):
    found = kernel_distance(FAKE.features, REAL.features)
    assert found.deviation is None, "all subsets are the whole set"
    assert_score(scores(name)[key], 100 * found.mean, "low")
    many = [side(seed, 1010) for seed in (3, 4)]
    found = kernel_distance(*(each.features for each in many))
    assert_score(scores(name, NETWORK, *many)[key], 100 * found.mean, "low", 100 * found.deviation)
    assert "x 100" in scores(name)[key].title


@pytest.mark.parametrize(("name", "prefix"), [("pr", "pr_"), ("precision_recall", "")])
def test_precision_and_recall(name, prefix):
    wanted, found = vars(precision_recall(FAKE.features, REAL.features)), scores(name)
    assert list(found) == [prefix + each for each in ("precision", "recall", "density", "coverage")]
    for key, score in found.items():
        assert_score(score, wanted[key.removeprefix(prefix)], "high")


def test_the_inception_score_is_of_generated_images_and_needs_class_logits():
    found = inception_score(FAKE.features @ HEAD.mT)
    assert_score(scores("is")["is"], found.mean, "high", found.deviation)
    assert scores("is", real=side(9))["is"] == scores("is")["is"]
    without = Extractor("a network", "none", "last", WIDTH, "not resized", lambda images: images)
    with pytest.raises(BadInput, match="a network has no class logits: the inception score needs Inception"):
        scores("is", without)


def test_cmmd_and_memorization():
    assert_score(scores("cmmd")["cmmd"], cmmd(FAKE.features, REAL.features), "low")
    assert_score(scores("memorization")["memorization"], memorization(FAKE.features, REAL.features), "low")
    assert_score(scores("memorization", fake=REAL)["memorization"], 1.0, "low")


def test_the_spectral_gap_is_that_of_the_images():
    extractor = power_features(16)
    images = [torch.randint(0, high, (9, 3, 16, 16), dtype=torch.uint8) for high in (256, 100)]
    fake, real = (FeatureStatistics({}, {}, RunningMoments.of(extractor(x)), extractor(x)) for x in images)
    one, other = (
        to_decibels(radial_profile(power_spectrum(x.double() / 255)).mean(dim=0) / 16**4) for x in images
    )
    score = scores(SPECTRUM, extractor, fake, real)["spectrum"]
    assert score.value == pytest.approx(spectral_gap(one, other), abs=1e-5)
    assert (score.unit, score.better) == ("dB", "low")
    assert score.value > 1


def test_keys_are_unique_and_titles_with_their_extractor_too():
    every = [score for name in STATISTICS_METRICS if name != SPECTRUM for score in scores(name).values()]
    assert len({score.key for score in every}) == len(every) == len(STATISTICS_METRICS) - 1 + 6
    titles = [score.title for score in every if not score.key.startswith("pr_")]
    assert len(set(titles)) == len(titles)


def test_the_extractors_of_metrics():
    assert extractor_names(["fid", "kid", "is"], "random") == ["inception"]
    names = ["frechet", "precision_recall", "spectrum", "pr"]
    assert extractor_names(names, "squeezenet") == ["squeezenet", "spectrum", "vgg16"]
    assert extractor_names(["pose_accuracy"], "random") == []
    assert extractor_names([], "random") == []
    assert {m.extractor for m in STATISTICS_METRICS.values()} <= {*EXTRACTORS, CHOSEN, SPECTRUM}
    known = f"known: {sorted(METRICS)[0]}"
    for names, guess in (
        (["frechett"], "did you mean 'frechet'"),
        (["fid", "kidd"], "did you mean 'kid'"),
        (["pose_acuracy"], "did you mean 'pose_accuracy'"),
        ([""], known),
    ):
        with pytest.raises(BadInput, match=f"no metric {names[-1]!r}; {guess}"):
            extractor_names(names, "random")


def test_metrics_that_need_more_images_are_named():
    assert not too_few_images(METRICS, 10, 100)
    found = too_few_images(["frechet", "is", "memorization"], 9, 99)
    assert list(found) == ["is", "memorization"]
    assert (
        found["memorization"]
        == "memorization of 9 images against 99 real ones: wanted at least 2 against 100"
    )
