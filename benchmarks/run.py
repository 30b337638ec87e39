"""make bench: speed and memory against the plain formulation.

Both sides of a case run in processes of their own, in turn, several times; the result is the median of the
ratios. The plain side is the oracle: the formulas as the papers write them, whole pictures at once, float32,
the system's allocator. CUDA is used where it is available.
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

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import memory
from benchmarks.cases import CASES

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Result:
    """One line of the table."""

    name: str
    plain_ms: float | None  # None: there is no plain side
    ours_ms: float
    ratio: float | None  # median of plain / ours over the repeats: above 1 is faster
    difference: float  # largest difference of the outputs, over the largest absolute output
    a_second: float | None = None  # what ours makes


class Worker:
    """A process that computes one side of a case on request."""

    def __init__(self, case: str, side: str, folder: Path):
        self.result = folder / f"{side}.npy"
        words = [sys.executable, "-m", "benchmarks.worker", case, side, str(self.result)]
        words += ["tuned"] * CASES[case].systems
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.answer() != "ready":
            raise SystemExit(f"benchmarks: {case!r}, side {side}, did not start")

    def answer(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def once(self) -> float:
        """Compute once -> seconds."""
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)
        return float(self.answer())

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def compare(name: str, repeats: int) -> Result:
    """Time both sides of a case, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        plain, ours = (Worker(name, side, Path(folder)) for side in ("plain", "ours"))
        pairs = [(plain.once(), ours.once()) for _ in range(repeats)]
        plain.close()
        ours.close()
        a, b = np.load(plain.result), np.load(ours.result)
    difference = float(np.abs(a - b).max() / np.abs(a).max())
    first, second = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    return Result(name, 1e3 * first, 1e3 * second, ratio, difference)


def time_alone(name: str, repeats: int) -> Result:
    """Time ours, where there is no plain side."""
    with tempfile.TemporaryDirectory() as folder:
        ours = Worker(name, "ours", Path(folder))
        seconds = statistics.median(ours.once() for _ in range(repeats))
        ours.close()
    return Result(name, None, 1e3 * seconds, None, 0.0, CASES[name].makes / seconds)


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
    table = Table("what", "plain ms", "ours ms", "times as fast", "differs by", title=str(machine()))
    for r in results:
        if r.plain_ms is None:
            table.add_row(r.name, "", f"{r.ours_ms:.1f}", f"{r.a_second:,.0f} a second", "")
            continue
        table.add_row(
            r.name, f"{r.plain_ms:.1f}", f"{r.ours_ms:.1f}", f"{r.ratio:.2f}", f"{r.difference:.0e}"
        )
    for name, mebibytes in peaks.items():
        table.add_row(f"peak memory: {name}", "", f"{mebibytes:.0f} MiB", "", "")
    Console(width=130).print(table)


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
    results = [
        (time_alone if CASES[name].makes else compare)(name, chosen.repeats)
        for name in track(names, "timing")
    ]
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
