"""Means over runs from several seeds: their intervals, which are level, pictures, what failed."""

import pytest
import torch

from genscene.evaluation.intervals.seeds import over_seeds, student_interval
from genscene.evaluation.report import Report, Row, Score


def report(**values):
    """A report on one score of each variant."""
    rows = [Row(name, {"psnr": Score("psnr", "PSNR", value, "high", "dB")}) for name, value in values.items()]
    real = torch.ones(2, 3, 4, 4)
    strips = [("real", real), *((name, value / 100 * real) for name, value in values.items())]
    return Report("t", "summary.", rows, {"data": "x", "generator 1: file": "y"}, ["common"], strips)


def test_the_interval_is_students():
    found = student_interval([1.0, 2.0, 3.0])
    half = 4.302653 / 3**0.5  # the quantile of 2 degrees of freedom, and a deviation of 1
    assert found.low == pytest.approx(2 - half, abs=1e-5)
    assert found.high == pytest.approx(2 + half, abs=1e-5)
    assert student_interval([1.0]) is None


def test_about_95_of_100_intervals_contain_the_mean():
    samples = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    share = sum(student_interval(row.tolist()).contains(0.0) for row in samples) / len(samples)
    assert share == pytest.approx(0.95, abs=0.015)


def test_means_and_the_best_are_over_seeds():
    """b is far below a in every run; c is sometimes above it."""
    reports = {
        0: report(a=20.0, b=10.0, c=19.0),
        1: report(a=30.0, b=20.1, c=30.5),
        2: report(a=25.0, b=14.9, c=25.2),
    }
    found = over_seeds(reports, ["a", "b", "c", "d"], ["d, seed 0 failed: Diverged"])
    assert [row.name for row in found.rows] == ["a", "b", "c", "d"]
    assert found.rows[0].scores["psnr"].value == 25.0
    assert found.rows[0].scores["psnr"].interval == student_interval([20.0, 30.0, 25.0])
    assert found.marks("psnr") == ["best", "", "level", ""]
    assert found.rows[3].note == "every run failed"
    assert found.notes[0] == "d, seed 0 failed: Diverged"
    assert found.notes[2:] == ["common"]
    assert found.protocol == {"data": "x", "training_seeds": "0, 1, 2"}
    assert [name for name, _ in found.strips][:5] == [
        "real",
        "a, seed 0",
        "b, seed 0",
        "c, seed 0",
        "a, seed 1",
    ]


def test_a_run_that_failed_is_left_out_of_the_mean():
    found = over_seeds({0: report(a=20.0, b=10.0), 1: report(a=30.0)}, ["a", "b"])
    assert found.rows[1].scores["psnr"].value == 10.0
    assert found.rows[1].scores["psnr"].interval is None


def test_one_seed_has_no_intervals():
    found = over_seeds({0: report(a=20.0, b=10.0)}, ["a", "b"])
    assert found.rows[0].scores["psnr"].interval is None
    assert found.notes == ["common"]
    assert [name for name, _ in found.strips] == ["real", "a", "b"]
