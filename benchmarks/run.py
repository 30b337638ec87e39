"""make bench: what is faster than the plain formulation, and by how much.

Ours and the reference run in one process, in turn, several times; what counts is the median of the ratios. The
reference is the oracle: the formulas as the papers write them, whole pictures at once. CUDA is used where it is there.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genscene.cli import prepare

prepare()

import torch  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks import memory, pigan  # noqa: E402

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Result:
    """One line of the table."""

    name: str
    reference_ms: float
    ours_ms: float
    ratio: float  # median of reference / ours over the repeats: above 1 is faster
    note: str


def compare(case: pigan.Case, repeats: int) -> Result:
    """Run both in turn, after one warm-up of each."""
    for run in (case.reference, case.ours):
        run()
    pairs = [(timed(case.reference), timed(case.ours)) for _ in range(repeats)]
    ratio = statistics.median(a / b for a, b in pairs)
    first, second = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Result(case.name, 1e3 * first, 1e3 * second, ratio, case.note)


def timed(run: Callable[[], object]) -> float:
    """Seconds of one run."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak(case: str) -> float:
    """Peak memory of a case, in MiB above what torch takes by itself, in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.memory", case], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def machine() -> dict[str, str]:
    """What it was measured on."""
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    threads = str(torch.get_num_threads())
    return {"torch": torch.__version__, "card": card, "cpu": platform.machine(), "threads": threads}


def main() -> None:
    """Measure, print one table, write results.json."""
    options = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    options.add_argument("--repeats", type=int, default=7)
    options.add_argument("--out", type=Path, default=HERE / "results.json")
    chosen = options.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    results = [compare(case, chosen.repeats) for case in pigan.cases(device)]
    peaks = {name: peak(name) for name in memory.CASES}
    table = Table("what", "reference ms", "ours ms", "times as fast", "", title=str(machine()))
    for r in results:
        table.add_row(r.name, f"{r.reference_ms:.1f}", f"{r.ours_ms:.1f}", f"{r.ratio:.2f}", r.note)
    least = next(iter(peaks.values()))
    for name, mebibytes in peaks.items():
        table.add_row(f"peak memory: {name}", "", f"{mebibytes:.0f} MiB", f"{mebibytes / least:.2f} x the first", "")
    Console(width=150).print(table)
    written = {"machine": machine(), "times": [vars(r) for r in results], "peak_mebibytes": peaks}
    chosen.out.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
