"""Hostile files of every kind are read or refused in one line; `make fuzz` tries many more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from border.fuzz import outcome
from border.hostile import KINDS

SEEDS = 200  # inputs of each kind


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_files_are_read_or_refused_in_one_line(kind, capfd):
    found = {seed: outcome(kind, seed) for seed in range(SEEDS)}
    assert not {seed: result for seed, result in found.items() if result[0] not in ("read", "refused")}
    words = [word for word, _ in found.values()]
    assert "refused" in words  # the generator makes hostile files,
    assert "read" in words or kind == "places"  # and some that are not
    assert not capfd.readouterr().err


FOUND = [("scene", 1464), ("scene", 4665), ("images", 1674), ("images", 3820)]  # by `make fuzz`, and mended


@pytest.mark.parametrize(("kind", "seed"), FOUND)
def test_what_the_longer_run_found_stays_mended(kind, seed):
    assert outcome(kind, seed)[0] in ("read", "refused")


def test_the_longer_run_prints_counts_by_outcome():
    script = Path(__file__).with_name("fuzz.py")
    command = [sys.executable, str(script), "--minutes", "0.001", "--kinds", "cameras"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cameras " in done.stdout
