"""The log of a run: one JSON line a step on disk, a progress bar or a line now and then on the terminal."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from genscene.contract import Stats
from genscene.data.progress import LINES_EVERY, clock
from genscene.errors import escape
from genscene.io.atomic import append, atomic
from genscene.training.trackers import Tracker

EVALUATIONS = "evaluations.jsonl"  # metrics measured while training, beside metrics.jsonl

# what a batch holds, for lines of progress
UNITS = {
    "images": "images",
    "posed_images": "images",
    "rays": "rays",
    "photographs": "photographs",
    "pixels": "pixels",
    "surface": "points",
}


@dataclass
class Logger:
    """An open log."""

    file: IO[str]
    bar: Progress | None
    task: TaskID | None
    steps: int
    trackers: Sequence[Tracker] = ()
    unit: str = "images"  # what a batch consists of
    began: float = field(default_factory=time.monotonic)
    steps_done: int = 0  # since the log was opened
    units_done: int = 0
    printed: float = 0.0  # seconds after the start of the last line

    def record(self, step: int, stats: Stats, batch: int) -> None:
        """Log the numbers of a step."""
        numbers = {name: float(value) for name, value in stats.items()}
        seconds = time.monotonic() - self.began
        self.steps_done, self.units_done = self.steps_done + 1, self.units_done + batch
        self.file.write(json.dumps({"step": step, "seconds": round(seconds, 3)} | numbers) + "\n")
        self.file.flush()
        self.track(step, numbers)
        self._show(step, seconds, numbers)

    def track(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers at a step, for the trackers alone."""
        for tracker in self.trackers:
            tracker.log_numbers(step, numbers)

    def track_picture(self, step: int, name: str, path: Path) -> None:
        """A saved picture at a step, for the trackers alone."""
        for tracker in self.trackers:
            tracker.log_picture(step, name, path)

    def print(self, line: str) -> None:
        """Print a line on the terminal."""
        console = self.bar.console if self.bar else Console(stderr=True)
        console.print(escape(line), highlight=False, soft_wrap=True, markup=False)

    def _show(self, step: int, seconds: float, numbers: dict[str, float]) -> None:
        rate, units = self.steps_done / max(seconds, 1e-9), self.units_done / max(seconds, 1e-9)
        values = "  ".join(f"{name} {value:.3f}" for name, value in numbers.items())
        text = f"{rate:.2f} steps/s  {units:.0f} {self.unit}/s  {values}"
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=step + 1, numbers=text)
        elif seconds - self.printed >= LINES_EVERY or step + 1 == self.steps or self.steps_done == 1:
            self.printed = seconds
            left = (self.steps - step - 1) / max(rate, 1e-9)
            self.print(f"step {step + 1}/{self.steps}  {text}  {clock(left)} left")


@contextmanager
def open_logger(
    folder: Path, start: int, steps: int, unit: str = "images", trackers: Sequence[Tracker] = ()
) -> Iterator[Logger]:
    """Open the log of a run at a step; lines of this step and later ones are removed.

    The trackers are closed at its end.
    """
    path = folder / "metrics.jsonl"
    truncate(path, start)
    truncate(folder / EVALUATIONS, start + 1)  # these count the steps done
    bar = _bar() if sys.stderr.isatty() else None
    failed = True
    with append(path) as file:
        task = bar.add_task("training", total=steps, completed=start, numbers="") if bar else None
        try:
            if bar:
                bar.start()
            yield Logger(file, bar, task, steps, trackers, unit)
            failed = False
        finally:
            if bar:
                bar.stop()
            for tracker in trackers:
                tracker.close(failed)


def truncate(path: Path, start: int) -> None:
    """Remove the lines of a log that belong to step `start` and later ones."""
    if not path.exists():
        return
    lines = [json.dumps(entry) + "\n" for entry in read_log(path) if entry["step"] < start]
    with atomic(path) as partial:
        partial.write_text("".join(lines))


def read_log(path: Path) -> list[dict[str, Any]]:
    """The entries of a log, without lines that are damaged, as by a process killed while it wrote."""
    entries = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry["step"], int):
                entries.append(entry)
    return entries


def _bar() -> Progress:
    columns = (
        TextColumn("{task.completed}/{task.total}"),
        BarColumn(bar_width=20),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
    )
    return Progress(*columns, console=Console(stderr=True), refresh_per_second=4)
