"""What a run says while it goes on: a line a step on disk, a bar or a line now and then on the terminal."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from genscene.contract import Stats
from genscene.io.atomic import atomic

EVALUATIONS = "evaluations.jsonl"  # what the run was judged by, beside metrics.jsonl
LINES_EVERY = 10.0  # seconds between two lines where there is no terminal


@dataclass
class Journal:
    """An open journal."""

    file: TextIO
    bar: Progress | None
    task: TaskID | None
    steps: int
    writer: Any  # tensorboard's, or None
    what: str = "pictures"  # a batch is made of
    began: float = field(default_factory=time.monotonic)
    done: int = 0  # steps since the journal was opened
    things: int = 0  # seen since then
    spoken: float = 0.0

    def record(self, step: int, stats: Stats, batch: int) -> None:
        """Write down what a step gave."""
        numbers = {name: float(value) for name, value in stats.items()}
        seconds = time.monotonic() - self.began
        self.done, self.things = self.done + 1, self.things + batch
        self.file.write(json.dumps({"step": step, "seconds": round(seconds, 3)} | numbers) + "\n")
        self.file.flush()
        if self.writer is not None:
            for name, value in numbers.items():
                self.writer.add_scalar(name, value, step)
        self._speak(step, seconds, numbers)

    def say(self, line: str) -> None:
        """A line for the person who watches."""
        (self.bar.console if self.bar else Console(stderr=True)).print(line, highlight=False, soft_wrap=True)

    def _speak(self, step: int, seconds: float, numbers: dict[str, float]) -> None:
        rate, things = self.done / max(seconds, 1e-9), self.things / max(seconds, 1e-9)
        words = "  ".join(f"{name} {value:.3f}" for name, value in numbers.items())
        text = f"{rate:.2f} steps/s  {things:.0f} {self.what}/s  {words}"
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=step + 1, numbers=text)
        elif seconds - self.spoken >= LINES_EVERY or step + 1 == self.steps or self.done == 1:
            self.spoken = seconds
            left = (self.steps - step - 1) / max(rate, 1e-9)
            self.say(f"step {step + 1}/{self.steps}  {text}  {clock(left)} left")


@contextmanager
def journal(folder: Path, start: int, steps: int, what: str = "pictures") -> Iterator[Journal]:
    """Open the journal of a run at a step; what an earlier process wrote of this step and later is dropped.

    what: of which batches are made.
    """
    path = folder / "metrics.jsonl"
    trim(path, start)
    trim(folder / EVALUATIONS, start + 1)  # they name the steps that were done
    bar = _bar() if sys.stderr.isatty() else None
    writer = _tensorboard(folder)
    with path.open("a") as file:
        task = bar.add_task("training", total=steps, completed=start, numbers="") if bar else None
        try:
            if bar:
                bar.start()
            yield Journal(file, bar, task, steps, writer, what)
        finally:
            if bar:
                bar.stop()
            if writer is not None:
                writer.close()


def trim(path: Path, start: int) -> None:
    """Keep the lines of a journal that belong to steps before `start`."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] < start:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue  # a line cut short when the process was killed
    with atomic(path) as partial:
        partial.write_text("".join(kept))


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _bar() -> Progress:
    columns = (
        TextColumn("{task.completed}/{task.total}"),
        BarColumn(bar_width=20),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
    )
    return Progress(*columns, console=Console(stderr=True), refresh_per_second=4)


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))
