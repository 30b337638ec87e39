"""Lines of progress: when they are due, and the times they say."""

from genscene.cli.shared.progress import ProgressLines, timed_progress
from genscene.data.progress import clock


class Clock:
    """Seconds that pass when they are told to."""

    seconds = 0.0

    def __call__(self):
        return self.seconds


def advance(lines, passed, seconds, count):
    """Let some seconds pass, and so many be done."""
    passed.seconds += seconds
    return lines.advance(count)


def test_a_long_time_is_said_first_and_then_what_is_left_every_ten_seconds():
    passed = Clock()
    lines = ProgressLines("rendering", 100, "shorter: --size", now=passed)
    assert advance(lines, passed, 1, 1) == ""  # too early to know
    assert advance(lines, passed, 3, 3) == "rendering: takes about 0:01:40 (shorter: --size)"
    assert advance(lines, passed, 9, 9) == ""
    assert advance(lines, passed, 1, 1) == "rendering: 14 %, 0:01:26 left"
    assert advance(lines, passed, 9.9, 1) == ""
    assert advance(lines, passed, 300, 85) == "rendering: 100 %, 0:00:00 left"


def test_a_short_time_is_not_said_and_a_terminal_gets_no_further_lines():
    passed = Clock()
    lines = ProgressLines("rendering", 100, now=passed)
    assert [advance(lines, passed, 4, 50), advance(lines, passed, 4, 50)] == ["", ""]
    lines = ProgressLines("rendering", 100, now=passed, repeat=False)
    assert advance(lines, passed, 4, 2) == "rendering: takes about 0:03:20"
    assert advance(lines, passed, 100, 50) == ""


def test_nothing_is_printed_where_it_is_quick(capsys):
    with timed_progress("rendering", 2) as advance:
        advance()
        advance(1)
    assert capsys.readouterr() == ("", "")


def test_seconds_as_a_clock():
    assert clock(3725.9) == "1:02:05"
