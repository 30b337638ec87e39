"""How cost grows with the work: python -m benchmarks.scaling [--only TEXT] [--plots FOLDER] [--out FILE.json]

CPU-seconds of one thread and peak memory of pictures and training steps against pixels, samples, batch, rays
and Gaussians, each in a process of its own; a step of one and of two processes of torchrun. Prints the slope
of each line: the exponent of the power law that fits it best, 1.0 where cost grows as the work does.
With --only the other lines of the file remain.
"""

import argparse
import json
import math
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from genscene.cli import configure_process

configure_process()

import torch  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.scaling_lines import LINES  # noqa: E402
from genscene.export.charts import Axes, save_chart  # noqa: E402
from genscene.io.atomic import atomic  # noqa: E402

RANKS = (1, 2)
DEMO = "pigan-demo --data synthetic:cars --images.limit 64 --size 32 --batch 32 --steps 40 --device cpu"
RANKS_LINE, SKIPPED = "pi-GAN demo, ranks", 4  # a line, and its steps that are not counted
PLOTS = {  # file -> title, label, what grows of the lines in it
    "scaling_pixels": ("Cost against pixels", "pixels", "pixels"),
    "scaling_count": (
        "Cost against samples, batch and rays",
        "times the smallest number",
        "samples batch rays",
    ),
    "scaling_gaussians": ("Cost of splats against Gaussians", "Gaussians", "Gaussians"),
}


@dataclass(frozen=True)
class Measured:
    """A line: numbers of what grows, CPU-seconds (of ranks: seconds), and MiB above those of the program."""

    against: str
    numbers: tuple[int, ...]
    seconds: tuple[float, ...]
    mebibytes: tuple[float, ...]

    @property
    def slopes(self) -> dict[str, float]:
        """Exponents of the seconds and of the memory, of all points and of the last two."""
        both = {"seconds": self.seconds, "memory": self.mebibytes}
        return {
            name + ending: round(slope(self.numbers[first:], values[first:]), 3)
            for name, values in both.items()
            for ending, first in (("", 0), (", last two", -2))
        }


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The exponent of the power law through points that fits their logarithms best (least squares)."""
    if min(y) <= 0:
        return 0.0
    return statistics.linear_regression([math.log(v) for v in x], [math.log(v) for v in y]).slope


def measure(name: str) -> Measured:
    """A line, each of its points in a process of its own."""
    line, found = LINES[name], []
    context = multiprocessing.get_context("fork")  # what is imported is there, and memory starts anew
    for number in line.numbers:
        with context.Pool(1) as pool:
            found.append(pool.apply(measure_point, (name, number)))
    seconds, memory = zip(*found, strict=True)
    return Measured(line.against, line.numbers, seconds, memory)


def measure_point(name: str, number: int) -> tuple[float, float]:
    """Median CPU-seconds of the work, and by how many MiB its peak exceeds what its making has left."""
    torch.set_num_threads(1)
    line, spent = LINES[name], []
    line.warm()()
    work = line.make(number)
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is in use now
    for _ in range(line.repeat):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return statistics.median(spent), status("VmHWM") - before


def status(field: str) -> float:
    """A size of this process in MiB, as Linux counts it."""
    found = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def measure_ranks() -> dict[str, Measured]:
    """A step of pi-GAN's demo, the same joint batch in one and in two processes: clock, and CPU of one."""
    found = [measure_processes(ranks) for ranks in RANKS]
    clock, spent, memory = zip(*found, strict=True)
    return {
        f"{RANKS_LINE}, clock": Measured("ranks", RANKS, clock, memory),
        f"{RANKS_LINE}, CPU-seconds of one": Measured("ranks", RANKS, spent, memory),
    }


def measure_processes(ranks: int) -> tuple[float, float, float]:
    """Median seconds of a step by the clock, CPU-seconds a step of one process, and its largest MiB."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
        words += ["--nproc-per-node", str(ranks), "-m", "genscene", "train", *DEMO.split()]
        words += ["--system.discriminator.mbstd-group", "4", "--grid-every", "0", "--out", f"{folder}/run"]
        process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
        log, marks = Path(folder) / "run" / "metrics.jsonl", dict[int, float]()
        peak = 0.0
        while process.poll() is None:
            for child in children(process.pid)[:1]:
                peak = max(peak, resident(child))
                marks[len(log.read_text().splitlines()) if log.exists() else 0] = cpu_seconds(child)
            time.sleep(0.02)
        if process.returncode:
            raise SystemExit(f"training in {ranks} processes has ended with code {process.returncode}")
        clock = [json.loads(line)["seconds"] for line in log.read_text().splitlines()]
    steps = sorted(step for step in marks if SKIPPED <= step < len(clock))  # the last one saves, too
    spent = (marks[steps[-1]] - marks[steps[0]]) / (steps[-1] - steps[0])
    return statistics.median(b - a for a, b in pairwise(clock[SKIPPED:])), spent, peak


def cpu_seconds(pid: int) -> float:
    """CPU-seconds of a process, all its threads together; 0 if it has ended."""
    try:
        columns = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(columns[11]) + int(columns[12])) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def resident(pid: int) -> float:
    """Resident MiB of a process; 0 if it has ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def plot(folder: Path, found: Mapping[str, Measured]) -> None:
    """Write the charts of seconds and of memory, both axes logarithmic, with a line of slope 1."""
    quantities: dict[str, tuple[str, Callable[[Measured], tuple[float, ...]]]] = {
        "seconds": ("CPU-seconds of one thread", lambda line: line.seconds),
        "memory": ("peak memory above the program's, MiB", lambda line: line.mebibytes),
    }
    for file, (title, label, against) in PLOTS.items():
        chosen = {name: line for name, line in found.items() if line.against in against.split()}
        several = len(against.split()) > 1  # then what grows is part of the names
        for quantity, (y_label, values) in quantities.items():
            series = {
                name if several else name.split(", ")[0]: [
                    (n / (line.numbers[0] if several else 1), y)
                    for n, y in zip(line.numbers, values(line), strict=True)
                    if y > 0
                ]
                for name, line in chosen.items()
            }
            points = [point for line in series.values() for point in line]
            if points:
                series["slope 1"] = slope_one(points)
                axes = Axes(title, label, y_label, reference="slope 1", log=True)
                save_chart(folder / f"{file}_{quantity}.png", series, axes)


def slope_one(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A line of slope 1 from the lower left corner of what points take up, to its border."""
    x, y = zip(*points, strict=True)
    factor = min(max(x) / min(x), max(y) / min(y))
    return [(min(x), min(y)), (factor * min(x), factor * min(y))]


def main() -> None:
    """Measure, print, and write the numbers and the plots."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="lines whose name has this text")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/scaling.json"))
    parser.add_argument("--plots", type=Path, default=Path("docs"), help="folder of the plots")
    options = parser.parse_args()
    found = read(options.out) if options.only else {}
    for name in [name for name in [*LINES, RANKS_LINE] if options.only in name]:
        found |= {name: measure(name)} if name in LINES else measure_ranks()
        write(options.out, found)
    Console(width=160).print(table(found))
    plot(options.plots, found)


def read(path: Path) -> dict[str, Measured]:
    """The lines of an earlier call."""
    stored = json.loads(path.read_text()) if path.exists() else {}
    names = [field.name for field in fields(Measured)]
    return {name: Measured(**{key: line[key] for key in names}) for name, line in stored.items()}


def write(path: Path, found: Mapping[str, Measured]) -> None:
    """The lines and their slopes as JSON."""
    document = {name: asdict(line) | {"slopes": line.slopes} for name, line in found.items()}
    with atomic(path) as partial:
        partial.write_text(json.dumps(document, indent=1) + "\n")


def table(found: Mapping[str, Measured]) -> Table:
    """The lines as a table."""
    titles = ("line", "numbers", "seconds", "slope", "last two", "MiB", "slope", "last two")
    rows = Table(*titles, box=None)
    for name, line in found.items():
        columns = (line.numbers, line.seconds, line.mebibytes)
        numbers, seconds, memory = (" ".join(f"{value:.3g}" for value in column) for column in columns)
        of_all, last, memory_of_all, memory_last = (f"{value:.2f}" for value in line.slopes.values())
        rows.add_row(name, numbers, seconds, of_all, last, memory, memory_of_all, memory_last)
    return rows


if __name__ == "__main__":
    main()
