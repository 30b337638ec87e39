"""Several generators judged together: the better one is told, equal ones are not told apart."""

from itertools import starmap

import pytest
import torch

from genscene.errors import BadInput
from genscene.evaluation import contest
from genscene.evaluation.bootstrap import Resampled
from genscene.evaluation.contest import (
    RESAMPLED,
    Draw,
    among_reals,
    answered,
    cells_of,
    judged,
    part_of,
    parted,
    unbounded,
)
from genscene.evaluation.desk import Desk
from genscene.evaluation.measures import METRICS, Number
from genscene.evaluation.protocol import Protocol
from genscene.evaluation.report import Report, Row
from genscene.evaluation.statistics import Statistics
from genscene.evaluation.stream import Streaming, Task
from genscene.experiment.schema import ImageConfig
from genscene.metrics.frechet import RunningMoments
from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.spectrum import power_features

WIDTH = 4
LOOKS = Extractor("a network", "none", "last", WIDTH, "not resized", lambda images: images)
EXTRACTORS = {"random": LOOKS, "spectrum": power_features(16)}
TASK = Task(Protocol("a test", ()), (16, 16), ImageConfig(), tuple(EXTRACTORS.values()))
DESK = Desk(TASK, EXTRACTORS, Streaming(), torch.device("cpu"))
NAMES = ["frechet", "kernel", "manifold", "spectrum"]
DRAW = Draw(40)


def side(seed, shift=0.0, spread=1.0, count=300):
    """Features, and spectra as many dB too high as the features are shifted."""
    stream = torch.Generator().manual_seed(seed)
    features = spread * torch.randn(count, WIDTH, generator=stream) + shift
    spectra = (1 + 0.1 * torch.rand(count, 9, generator=stream)) * 10 ** (shift / 10)
    return {
        "random": Statistics({}, {}, RunningMoments.of(features), features),
        "spectrum": Statistics({}, {}, RunningMoments.of(spectra), spectra),
    }


REAL = side(0, count=320)


def reported(names, table):
    lines = zip(*(cells for _, cells in table), strict=True)
    return Report(
        "", "", tuple(head for head, _ in table), tuple(starmap(Row, zip(names, lines, strict=True)))
    )


def test_a_clearly_better_generator_is_the_best_and_no_other_is_level():
    fakes = [side(1, 3.0), side(2, 0.0), side(3, 1.5)]
    table = judged(DESK, NAMES, "random", fakes, REAL, DRAW)
    report = reported(("far", "close", "between"), table)
    for i, (column, cells) in enumerate(table):
        assert report.marks(i) == ("", "best", ""), column.name
        if cells[0].interval is not None:
            assert [cell.level for cell in cells] == [False] * 3, column.name
            assert all(cell.interval.low <= cell.value <= cell.interval.high for cell in cells), column.name


def test_equal_generators_are_level():
    twins = judged(DESK, NAMES, "random", [side(1), side(1)], REAL, DRAW)
    for column, (one, other) in twins:
        assert one.value == other.value
        if one.interval is not None:
            assert sorted((one.level, other.level)) == [False, True], column.name
    alike = judged(DESK, ["frechet", "kernel"], "random", [side(1), side(7)], REAL, DRAW)
    assert all(any(cell.level for cell in cells) for _, cells in alike)


def test_the_same_twice_is_unmarked_and_the_best_twice_is_the_best_twice():
    twins = reported("ab", judged(DESK, NAMES, "random", [side(1), side(1)], REAL, DRAW))
    assert {twins.marks(i) for i in range(len(twins.columns))} == {("", "")}
    three = reported("abc", judged(DESK, NAMES, "random", [side(1), side(2, 3.0), side(1)], REAL, DRAW))
    assert {three.marks(i) for i in range(len(three.columns))} == {("best", "", "best")}


def test_who_is_told_to_be_the_best_is_whom_others_are_compared_with():
    """Where the number that is told and the one that is resampled disagree, as kernel distances of subsets may."""
    again = Resampled(torch.tensor([1.0, 1.01]), torch.tensor([[1.0], [1.01]]) + torch.randn(1, 400))
    one, other = cells_of(again, "low", [1.02, 1.0])
    assert not other.level
    assert not one.level  # paired differences leave no doubt: they do not spread
    assert cells_of(again, "high", [1.02, 1.0])[0].level is False


def test_columns_are_the_numbers_of_the_metrics_and_cells_the_generators():
    fakes = [side(1), side(2, 0.5)]
    table = judged(DESK, [*NAMES, "steadiness"], "random", fakes, REAL, DRAW)
    told = [
        METRICS[n].compute(fake[key], REAL[key], EXTRACTORS[key])
        for fake in fakes
        for n in NAMES
        for key in [METRICS[n].extractor or "random"]
    ]
    numbers = [number for each in told for number in each]
    assert [head.name for head, _ in table] == [number.title for number in numbers[: len(table)]]
    assert [head.low for head, _ in table] == [number.better == "low" for number in numbers[: len(table)]]
    values = [cells[i].value for i in range(2) for _, cells in table]
    assert values == [number.value for number in numbers]
    assert len(table) == 7
    with_intervals = {head.name for head, cells in table if cells[0].interval is not None}
    assert with_intervals == {head.name for head, _ in table} - {"density", "coverage"}
    said = "No interval, the best of them is only the first: density by a network, coverage by a network."
    assert unbounded(table) == [said]
    assert unbounded(table[:2]) == []


def test_every_resampled_number_is_one_of_the_metric():
    """A misspelt name would leave a column without its interval, and nobody would know."""
    looks = Extractor(
        "a network", "none", "last", WIDTH, "not resized", lambda images: images, torch.ones(3, WIDTH)
    )
    bout = contest.Bout([side(1)["random"].features], REAL["random"].features, looks)
    for name, again in RESAMPLED.items():
        if name != "spectrum":
            found = again(bout, DRAW)
            known = {n.name for n in METRICS[name].compute(side(1)["random"], REAL["random"], looks)}
            assert set(found) <= known
            assert found
    assert {n for n, m in METRICS.items() if m.compute.__qualname__.startswith("frechet_by")} <= set(
        RESAMPLED
    )


def test_more_resamples_of_the_same_seed_are_the_same_and_another_seed_is_not():
    def intervals(draw):
        return [
            cells[0].interval for _, cells in judged(DESK, NAMES, "random", [side(1), side(2)], REAL, draw)
        ]

    assert intervals(Draw(40)) == intervals(Draw(40))
    assert intervals(Draw(40)) != intervals(Draw(40, seed=1))


def test_an_interval_is_moved_to_the_value_that_is_told():
    again = Resampled(torch.tensor([1.0, 2.0]), torch.tensor([[1.0], [2.0]]) + torch.linspace(-0.1, 0.1, 41))
    plain, moved = cells_of(again, "low"), cells_of(again, "low", [3.0, 4.0])
    for one, other in zip(plain, moved, strict=True):
        assert other.value - one.value == pytest.approx(2)
        assert other.interval.low - one.interval.low == pytest.approx(2)
        assert other.interval.high - one.interval.high == pytest.approx(2)


def test_real_pictures_are_nearer_to_real_ones_than_others_are():
    found = among_reals(DESK, NAMES, "random", REAL, 300)
    table = judged(DESK, NAMES, "random", [side(1, 3.0)], REAL, DRAW)
    assert len(found) == len(table)
    for value, (head, cells) in zip(found, table, strict=True):
        if head.name not in ("density",):
            assert (value < cells[0].value) == head.low, head.name


@pytest.mark.parametrize(
    ("kept", "count", "wanted"), [(300, 40, 40), (300, 150, 150), (301, 300, 150), (2, 5, 1)]
)
def test_as_many_real_pictures_as_of_a_generator_are_set_against_the_others(kept, count, wanted):
    whole = side(0, count=kept)["random"]
    one, others = parted(whole, count)
    assert (one.tally.count, others.tally.count) == (wanted, kept - wanted)
    assert part_of(kept, count) == wanted
    both = torch.cat([one.features, others.features])
    assert torch.equal(both.sort(dim=0).values, whole.features.sort(dim=0).values)
    assert one.features[0].equal(whole.features[0])


def test_a_perfect_generator_gets_what_as_many_real_pictures_get():
    """Over many sets of one law both have the same mean, where there are many real pictures; halves have a larger."""
    perfect, reference, halves = [], [], []
    for seed in range(12):
        real = side(100 + seed, count=1000)
        perfect.append(
            judged(DESK, ["frechet"], "random", [side(seed, count=100)], real, DRAW)[0][1][0].value
        )
        reference += among_reals(DESK, ["frechet"], "random", real, 100)
        halves += among_reals(DESK, ["frechet"], "random", side(200 + seed, count=100), 100)
    mean = sum(perfect) / 12
    assert sum(reference) / 12 == pytest.approx(mean, rel=0.35)
    assert sum(halves) / 12 > 2 * mean


def test_real_pictures_have_no_number_where_their_parts_are_too_few():
    few = side(0, count=150)
    table = judged(DESK, ["copies", "frechet"], "random", [side(1)], few, DRAW)
    copies, distance = among_reals(DESK, ["copies", "frechet"], "random", few, 150)
    assert copies is None
    assert distance > 0
    assert len(table) == 2


def test_what_has_no_answer_leaves_its_cell_open(monkeypatch):
    def even(question):
        if question % 2:
            raise BadInput("odd")
        return [Number("steadiness", "steadiness", float(question), "high")]

    monkeypatch.setitem(contest.ASKED, "steadiness", even)
    ((head, cells),) = answered(["steadiness", "frechet"], [4, 3, 6])
    assert head.name == "steadiness"
    assert [cell and cell.value for cell in cells] == [4, None, 6]
    assert answered(["steadiness", "frechet"], [3, 5]) == []
    with pytest.raises(BadInput, match="steadiness: none of what is compared can answer"):
        answered(["steadiness"], [3, 5], named=True)
