"""make bench: speed and memory against the plain formulation.

The sides of a case run in processes of their own, in turn, several times; ratios are medians of the repeats.
The plain side is the oracle: the formulas as the papers write them, whole pictures at once, float32; once
with the system's allocator, once with glibc's thresholds, as the command line sets them for ours. Ratios and
the share of the machine's peak are of processor time (on a card, of the clock). CUDA is used where it is
available.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import memory
from benchmarks.cases import CASES

COLUMNS = (
    *("what", "plain, system's allocator, ms", "plain ms", "ours ms", "plain CPU s", "ours CPU s"),
    *("times the system's", "times plain", "share of peak", "differs by"),
)
HERE = Path(__file__).parent
UNIT = 0 if torch.cuda.is_available() else 1  # of a timing: the clock, or the processor


@dataclass(frozen=True)
class Result:
    """One line of the table."""

    name: str
    ours_ms: float
    ours_cpu: float  # seconds of the processor, of all threads
    plain_ms: float | None = None  # None: there is no plain side
    plain_cpu: float | None = None
    system_ms: float | None = None  # plain with the system's allocator
    system_cpu: float | None = None
    ratio: float | None = None  # median of plain / ours over the repeats: above 1 is faster
    system_ratio: float | None = None  # the same of plain with the system's allocator
    difference: float = 0.0  # largest difference of the outputs, over the largest absolute output
    operations: int = 0  # floating-point operations of products and convolutions, counted on the plain side
    share: float | None = None  # of the operations that the machine's fastest product of matrices reaches
    a_second: float | None = None  # what ours makes


Timing = tuple[float, float]  # seconds by the clock, and of the processor


class Worker:
    """A process that computes one side of a case on request."""

    def __init__(self, case: str, side: str, folder: Path):
        self.result = folder / f"{side}.npy"
        words = [sys.executable, "-m", "benchmarks.worker", case, side, str(self.result)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        answer = self.answer()
        if len(answer) != 2:
            raise SystemExit(f"benchmarks: {case!r}, side {side}, did not start")
        self.operations, self.peak = int(answer[0]), answer[1]

    def answer(self) -> list[float]:
        """The numbers on the next line that it prints."""
        assert self.process.stdout is not None
        return [float(word) for word in self.process.stdout.readline().split()]

    def once(self) -> Timing:
        """Compute once -> seconds."""
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)
        clock, processor = self.answer()
        return clock, processor

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def measure(name: str, repeats: int) -> Result:
    """Time the sides of a case, in turn; ours alone where there is no plain side."""
    case = CASES[name]
    sides = ["ours"] if case.makes else ["ours", "plain"] + ["system"] * (not case.systems)
    with tempfile.TemporaryDirectory() as folder:
        workers = {side: Worker(name, side, Path(folder)) for side in sides}
        times = [{side: worker.once() for side, worker in workers.items()} for _ in range(repeats)]
        for worker in workers.values():
            worker.close()
        outputs = {side: np.load(worker.result) for side, worker in workers.items()}
    found: dict[str, Any] = {}
    for side in sides:
        clock, processor = (statistics.median(turn[side][i] for turn in times) for i in (0, 1))
        found |= {f"{side}_ms": 1e3 * clock, f"{side}_cpu": processor}
    found["operations"] = operations = workers[sides[-1]].operations
    if operations and not case.systems:
        found["share"] = operations / seconds_of(times, "ours") / workers["ours"].peak
    if case.makes:
        return Result(name, **found, a_second=case.makes / (found["ours_ms"] / 1e3))
    plain = outputs["plain"]
    found["difference"] = float(np.abs(plain - outputs["ours"]).max() / np.abs(plain).max())
    found["ratio"] = statistics.median(turn["plain"][UNIT] / turn["ours"][UNIT] for turn in times)
    if "system" in sides:
        found["system_ratio"] = statistics.median(turn["system"][UNIT] / turn["ours"][UNIT] for turn in times)
    return Result(name, **found)


def seconds_of(times: list[dict[str, Timing]], side: str) -> float:
    """Median seconds of one side: of the processor, or by the clock on a card."""
    return statistics.median(turn[side][UNIT] for turn in times)


def peak(case: str) -> float:
    """Peak memory of a case in MiB, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", case], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def machine() -> dict[str, str]:
    """Versions and hardware of this machine."""
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    threads = str(torch.get_num_threads())
    return {"torch": torch.__version__, "card": card, "cpu": platform.machine(), "threads": threads}


def show(results: list[Result], peaks: dict[str, float]) -> None:
    """Print the results as one table."""
    table = Table(*COLUMNS, title=str(machine()))
    for r in results:
        before = [number(r.system_ms, ".1f"), number(r.plain_ms, ".1f"), f"{r.ours_ms:.1f}"]
        before += [number(r.plain_cpu, ".2f"), f"{r.ours_cpu:.2f}"]
        ratios = [number(r.system_ratio, ".2f"), number(r.ratio, ".2f")]
        if r.a_second is not None:
            ratios = ["", f"{r.a_second:,.0f} a second"]
        last = "" if r.plain_ms is None else f"{r.difference:.0e}"
        table.add_row(r.name, *before, *ratios, number(r.share, ".0%"), last)
    for name, mebibytes in peaks.items():
        table.add_row(f"peak memory: {name}", "", "", f"{mebibytes:.0f} MiB")
    Console(width=170).print(table)


def number(value: float | None, form: str) -> str:
    """A number, or nothing."""
    return "" if value is None else format(value, form)


def main() -> None:
    """Measure, print the table, write results.json."""
    options = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    options.add_argument("--repeats", type=int, default=9)
    options.add_argument("--only", default="", help="only cases whose name contains this, large ones too")
    options.add_argument("--large", action="store_true", help="all cases, with those of minutes")
    options.add_argument("--out", type=Path, default=HERE / "results.json")
    chosen = options.parse_args()
    large = {name for name, case in CASES.items() if case.large} | memory.LARGE
    left_out = set() if chosen.large or chosen.only else large
    names = [name for name in CASES if chosen.only in name and name not in left_out]
    measured = [name for name in memory.NAMES if chosen.only in name and name not in left_out]
    results = [measure(name, chosen.repeats) for name in track(names, "timing")]
    peaks = {name: peak(name) for name in track(measured, "memory")}
    show(results, peaks)
    written = {"machine": machine(), "times": [vars(r) for r in results], "peak_mebibytes": peaks}
    chosen.out.write_text(json.dumps(written, indent=2) + "\n")
    wrong = [
        f"{r.name} by {r.difference:.0e}" for r in results if CASES[r.name].exact and r.difference > 1e-5
    ]
    if wrong:
        raise SystemExit(f"benchmarks: two sides that should agree differ: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
