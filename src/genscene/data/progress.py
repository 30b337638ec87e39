"""Log lines and progress bars, on stderr."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, track

from genscene.errors import escape

T = TypeVar("T")

LINES_EVERY = 10.0  # seconds between two lines where there is no terminal


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
    """A progress bar that the yielded function advances by its argument (1); a log line without terminal."""
    terminal = sys.stderr.isatty()
    if not terminal:
        log_line(f"{label}: {total}")
    with Progress(console=Console(stderr=True), transient=True, disable=not terminal) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count=1: bar.advance(task, count)


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
