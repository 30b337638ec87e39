"""Progress of what takes long: a bar on a terminal, else lines, and an estimate of the time."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import Progress

from genscene.data.progress import LINES_EVERY, clock

ESTIMATE_AFTER = 3.0  # seconds until the time that all of a rendering takes is estimated
LONG = 20.0  # seconds above which this time is said


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
