"""Metrics by name: each gives what its pure function gives, under a name of its own."""

import pytest
import torch

from genscene.errors import BadInput
from genscene.evaluation.measures import CHOSEN, METRICS, SPECTRUM, cautions, wanted
from genscene.evaluation.statistics import Statistics
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
LOOKS = Extractor("a network", "none", "last", WIDTH, "not resized", lambda images: images, HEAD)


def side(seed, count=150, shift=0.0):
    features = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed)) + shift
    return Statistics({"size": "16x16"}, {}, RunningMoments.of(features), features)


FRECHET = [name for name, metric in METRICS.items() if metric.compute.__qualname__.startswith("frechet_by")]
FAKE, REAL = side(1, 120, 0.3), side(2)


def values(name, by=LOOKS, fake=FAKE, real=REAL):
    return {number.name: number for number in METRICS[name].compute(fake, real, by)}


def exactly(number, value, better, deviation=None):
    assert number.value == pytest.approx(value, rel=1e-12)
    assert number.better == better
    assert number.deviation == (None if deviation is None else pytest.approx(deviation, rel=1e-12))


@pytest.mark.parametrize("name", FRECHET)
def test_frechet_distances(name):
    (number,) = values(name).values()
    assert number.name == name
    exactly(number, frechet_distance(Moments.of(FAKE.features), Moments.of(REAL.features)), "low")
    assert ("a network" in (number.by, number.title)) == (name == "frechet")


@pytest.mark.parametrize(("name", "called"), [("kid", "kid_x100"), ("kernel", "kernel_x100")])
def test_kernel_distances(name, called):
    found = kernel_distance(FAKE.features, REAL.features)
    assert found.deviation is None, "all subsets are the whole set"
    exactly(values(name)[called], 100 * found.mean, "low")
    many = [side(seed, 1010) for seed in (3, 4)]
    spread = kernel_distance(*(each.features for each in many))
    exactly(values(name, LOOKS, *many)[called], 100 * spread.mean, "low", 100 * spread.deviation)
    assert "x 100" in values(name)[called].title


@pytest.mark.parametrize("name", ["pr", "manifold"])
def test_shares(name):
    found = vars(precision_recall(FAKE.features, REAL.features))
    numbers = values(name)
    assert list(numbers) == [f"{name}_{share}" for share in ("precision", "recall", "density", "coverage")]
    for key, number in numbers.items():
        exactly(number, found[key.removeprefix(f"{name}_")], "high")


def test_the_inception_score_is_of_the_generated_alone_and_wants_a_head():
    found = inception_score(FAKE.features @ HEAD.mT)
    exactly(values("is")["is"], found.mean, "high", found.deviation)
    assert values("is", real=side(9))["is"] == values("is")["is"]
    with pytest.raises(BadInput, match="a network names no classes: the inception score wants Inception"):
        values("is", Extractor("a network", "none", "last", WIDTH, "not resized", lambda images: images))


def test_the_distance_of_clip_and_the_share_of_copies():
    exactly(values("cmmd")["cmmd"], cmmd(FAKE.features, REAL.features), "low")
    exactly(values("copies")["copies"], memorization(FAKE.features, REAL.features), "low")
    copied = Statistics({}, {}, REAL.tally, REAL.features)
    exactly(values("copies", fake=copied)["copies"], 1.0, "low")


def test_the_spectral_gap_is_that_of_the_pictures():
    looks = power_features(16)
    pictures = [torch.randint(0, high, (9, 3, 16, 16), dtype=torch.uint8) for high in (256, 100)]
    fake, real = (Statistics({}, {}, RunningMoments.of(looks(x)), looks(x)) for x in pictures)
    one, other = (
        to_decibels(radial_profile(power_spectrum(x.double() / 255)).mean(dim=0) / 16**4) for x in pictures
    )
    number = values(SPECTRUM, looks, fake, real)["spectrum"]
    assert number.value == pytest.approx(spectral_gap(one, other), abs=1e-5)
    assert (number.unit, number.better) == ("dB", "low")
    assert number.value > 1
    with pytest.raises(BadInput, match="wanted 16x16"):
        looks(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_a_white_picture_has_no_power_but_its_brightness():
    seen = power_features(8)(torch.full((1, 3, 8, 8), 255, dtype=torch.uint8))
    assert torch.allclose(seen, torch.tensor([[1.0, 0, 0, 0, 0]]), atol=1e-6)
    assert to_decibels(seen)[0, 0] == pytest.approx(0, abs=1e-5)
    assert torch.isfinite(to_decibels(seen)).all()


def test_no_two_numbers_that_one_protocol_can_ask_for_have_one_name():
    """pr and manifold are the same numbers through different networks: their titles tell which."""
    every = [
        number
        for name in METRICS
        if name not in ("pr", SPECTRUM)
        for number in METRICS[name].compute(FAKE, REAL, LOOKS)
    ]
    for what in ("name", "title"):
        told = [getattr(number, what) for number in every]
        assert len(set(told)) == len(told)
    assert len(every) == len(METRICS) - 2 + 3, "manifold has four, all others one"
    assert all(number.by == "a network" for number in values("manifold").values())


def test_which_extractors_are_wanted():
    assert wanted(["fid", "kid", "is"], "random") == ["inception"]
    assert wanted(["frechet", "manifold", "spectrum", "pr"], "squeezenet") == [
        "squeezenet",
        "spectrum",
        "vgg16",
    ]
    assert wanted(["steady"], "random", ["steady"]) == []
    assert wanted([], "random") == []
    assert {m.extractor for m in METRICS.values()} <= {*EXTRACTORS, CHOSEN, SPECTRUM}
    for names, guess in (
        (["frechett"], "frechet"),
        (["fid", "kidd"], "kid"),
        (["stedy"], "steady"),
        ([""], None),
    ):
        with pytest.raises(
            BadInput, match=f"no metric {names[-1]!r}; {f'did you mean {guess!r}' if guess else 'known'}"
        ):
            wanted(names, "random", ["steady"])


def test_few_pictures_are_told_of_where_a_frechet_distance_stands():
    few = side(3, 5)
    (line,) = cautions(few, REAL, ["frechet"])
    assert "5 against 150" in line
    assert "6 wide" in line
    assert len(FRECHET) >= 3
    assert all(cautions(REAL, few, [name]) for name in FRECHET)
    assert not cautions(few, REAL, ["kernel", "manifold"])
    assert not cautions(FAKE, REAL, ["frechet"])
    assert not cautions(side(3, 6), REAL, ["frechet"])
