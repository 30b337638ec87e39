"""Hostile command lines of every kind end as they should; `make fuzz` tries many more."""

import pytest

from border import command_lines, verbs

GOOD = ("done", "refused")
SEEDS = 3  # command lines of each kind


@pytest.mark.parametrize("verb", [*command_lines.VERBS, "doctor", "presets"])
def test_good_command_lines_of_every_verb_are_done(verb, tmp_path):
    ended, left = verbs.run(command_lines.good(verb), tmp_path / "case")
    assert (ended.code, ended.outside, left) == (0, [], []), ended.err


@pytest.mark.parametrize("kind", command_lines.KINDS)
def test_hostile_command_lines_end_in_one_line_or_are_done(kind):
    found = {seed: verbs.outcome(kind, seed) for seed in range(SEEDS)}
    assert not {seed: result for seed, result in found.items() if result[0] not in GOOD}
