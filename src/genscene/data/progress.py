"""Log lines and progress, on stderr: a bar on a terminal, without one a line now and then."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, track

from genscene.errors import escape

T = TypeVar("T")

LINES_EVERY = 10.0  # seconds between two lines where there is no terminal
ESTIMATE_AFTER = 3.0  # seconds until the time that all of it takes is estimated
LONG = 20.0  # seconds above which this time is said


def log_line(line: str) -> None:
    """Print one line on stderr, whatever its length."""
    Console(stderr=True).print(escape(line), highlight=False, soft_wrap=True, markup=False)


def track_progress(
    items: Iterable[T], label: str, total: int | None = None, quiet: bool = False
) -> Iterable[T]:
    """The same items, counted by a progress bar; no bar where quiet or where stderr is not a terminal."""
    hidden = quiet or not sys.stderr.isatty()
    return track(items, label, total, console=Console(stderr=True), disable=hidden, transient=True)


@contextmanager
def progress_bar(label: str, total: int) -> Iterator[Callable[..., None]]:
    """As `timed_progress`, begun by a log line where there is no terminal."""
    if not sys.stderr.isatty():
        log_line(f"{label}: {total}")
    with timed_progress(label, total) as advance:
        yield advance


@contextmanager
def timed_progress(label: str, total: int, advice: str = "") -> Iterator[Callable[..., None]]:
    """Progress that the yielded function advances by its argument (1).

    On a terminal a bar, without one a line every 10 seconds. What takes more than 20 seconds is said as soon
    as that can be estimated, with the advice of how to make it shorter.
    """
    terminal = sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=not terminal) as bar:
        task, lines = bar.add_task(label, total=total), ProgressLines(label, total, advice, not terminal)

        def advance(count: int = 1) -> None:
            bar.advance(task, count)
            line = lines.advance(count)
            if line:
                bar.console.print(line, highlight=False, soft_wrap=True, markup=False)

        yield advance


@dataclass
class ProgressLines:
    """When a line of progress is due, and what it says."""

    label: str
    total: int
    advice: str = ""
    repeat: bool = True  # lines after the first, too
    now: Callable[[], float] = time.monotonic  # seconds
    done: int = 0
    began: float = field(init=False)
    printed: float | None = None  # when the last line was printed; None: no estimate yet

    def __post_init__(self) -> None:
        self.began = self.now()

    def advance(self, count: int) -> str:
        """The line that is due after so many more, or nothing."""
        self.done += count
        now = self.now()
        whole = (now - self.began) * self.total / max(1, self.done)
        if self.printed is None and now - self.began >= ESTIMATE_AFTER:
            self.printed = now
            advice = f" ({self.advice})" if self.advice else ""
            return f"{self.label}: takes about {clock(whole)}{advice}" if whole > LONG else ""
        if not self.repeat or self.printed is None or now - self.printed < LINES_EVERY:
            return ""
        self.printed, share = now, 100 * self.done // max(1, self.total)
        return f"{self.label}: {share} %, {clock(max(0.0, self.began + whole - now))} left"


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
