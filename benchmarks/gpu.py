"""The whole table of a GPU: python -m benchmarks.gpu

First every kernel is checked against the reference on the card, then the forms of each case are timed in
turn, in one process: as the official code of pi-GAN computes (its formulas in float32, whole pictures),
folded in torch, and by Triton's kernels. --tiny runs all of it in seconds on a CPU, by Triton's interpreter:
it shows that this file works, its times mean nothing.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.gpu_cases import CASES, LARGE, TINY, Sizes
from benchmarks.side import Side
from genscene import kernels
from genscene.io.atomic import atomic
from genscene.kernels.choice import forced
from genscene.training.loop import Precision

HERE = Path(__file__).parent
PICTURES_A_SECOND, TIMES_AS_FAST = 60.0, 10.0  # goals on an H200


@dataclass(frozen=True)
class Form:
    """How a case is computed."""

    kernels: str  # official: the formulas as the paper writes them; torch: folded; triton
    precision: Precision

    @property
    def name(self) -> str:
        """Kernels and precision."""
        return f"{self.kernels} {self.precision}"

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Compute in this form."""
        torch.set_float32_matmul_precision("high" if self.precision == "tf32" else "highest")
        official = self.kernels == "official"
        with kernels.oracle() if official else forced("triton" if self.kernels == "triton" else "torch"):
            yield


OFFICIAL = Form("official", "fp32")
FORMS = (
    OFFICIAL,
    *(Form(name, p) for p in ("fp32", "tf32", "bf16") for name in ("torch", "triton")),
)


@dataclass(frozen=True)
class Result:
    """One form of one case."""

    case: str
    form: str
    milliseconds: float  # median
    times_as_fast: float  # as the official form: median of the ratios
    differs: float  # from the official form's numbers, over the largest of them
    peak_mebibytes: float | None  # of the card's memory; None: not of a card


def main(words: list[str] | None = None) -> None:
    """Check, measure, print the table and the goals, write the results."""
    options = argparse.ArgumentParser(prog="benchmarks.gpu", description=__doc__)
    options.add_argument("--repeats", type=int, default=9)
    options.add_argument("--only", default="", help="only cases whose name contains this")
    options.add_argument("--out", type=Path, default=HERE / "gpu.json")
    options.add_argument("--tiny", action="store_true", help="small sizes, on a CPU where there is no GPU")
    options.add_argument("--no-conformance", action="store_true", help="leave the recorded cases out")
    chosen = options.parse_args(words)
    device = pick_device(chosen.tiny)
    errors = check(device)
    recorded = "left out" if chosen.tiny or chosen.no_conformance else conformance(device)
    sizes, names = TINY if chosen.tiny else LARGE, [name for name in CASES if chosen.only in name]
    if not names:
        raise SystemExit(f"benchmarks.gpu: no case has {chosen.only!r} in its name")
    results = [result for name in names for result in measure(name, sizes, device, chosen.repeats)]
    show(results)
    goals = [] if chosen.tiny else list(judge(results))
    for line in (f"conformance on {device}: {recorded}", *goals):
        print(line)
    document = {"machine": machine(device), "tiny": chosen.tiny, "errors": errors, "conformance": recorded}
    with atomic(chosen.out) as partial:
        times = [asdict(result) for result in results]
        partial.write_text(json.dumps(document | {"times": times, "goals": goals}, indent=2) + "\n")


def pick_device(tiny: bool) -> torch.device:
    """The card; for tiny sizes the CPU where there is none; else the program ends."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if not tiny:
        raise SystemExit(
            "benchmarks.gpu: torch finds no CUDA device here: wanted one, or --tiny, which shows on a CPU"
            " that everything runs"
        )
    os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported
    return torch.device("cpu")


def has_triton() -> bool:
    """Whether Triton's forms can be computed."""
    return find_spec("triton") is not None


def check(device: torch.device) -> dict[str, float]:
    """Errors of every kernel on the device; ends the program where one is too large."""
    if not has_triton():
        print("triton is not installed (pip install 'genscene[triton]'): only torch is measured")
        return {}
    from genscene.kernels.triton.check import largest_errors

    found = largest_errors(device)
    for name, (error, limit) in found.items():
        print(f"{name}: {error:.1e}, allowed {limit:.0e}")
    wrong = [name for name, (error, limit) in found.items() if not error <= limit]
    if wrong:
        raise SystemExit(f"benchmarks.gpu: Triton's kernels are wrong on this card: {', '.join(wrong)}")
    return {name: error for name, (error, _) in found.items()}


def conformance(device: torch.device) -> str:
    """The recorded cases of the official programs, computed on the device -> the last line of the tests."""
    environment = {**os.environ, "GENSCENE_CONFORMANCE_DEVICE": device.type}
    words = [sys.executable, "-m", "pytest", "-o", "addopts=--import-mode=importlib"]
    tests = HERE.parent / "tests" / "test_conformance.py"
    done = subprocess.run(
        [*words, str(tests), "-k", "pigan or nerf or graf"], env=environment, capture_output=True, text=True
    )
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    print("\n".join(failed), end="\n" * bool(failed))
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[-1].strip("= ") if lines else f"the tests ended with code {done.returncode}"


def measure(name: str, sizes: Sizes, device: torch.device, repeats: int) -> Iterator[Result]:
    """Every form of a case, timed in turn."""
    forms = [form for form in FORMS if form.kernels != "triton" or has_triton()]
    if device.type == "cpu":  # which has no TF32
        forms = [form for form in forms if form.precision != "tf32"]
    works, outputs, peaks = {}, {}, {}
    for form in forms:
        with form.applied():
            torch.manual_seed(0)
            side = Side(form == OFFICIAL, device, form.precision)
            works[form] = CASES[name](side, sizes)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            outputs[form] = works[form]().double().cpu()
            peaks[form] = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else None
            if device.type == "cuda":
                works[form]()  # the first call timed blocks of kernels and made workspaces
    times: dict[Form, list[float]] = {form: [] for form in forms}
    for _ in range(repeats):
        for form in forms:
            with form.applied():
                times[form].append(seconds(works[form], device))
    wanted = outputs[OFFICIAL]
    for form in forms:
        ratio = statistics.median(a / b for a, b in zip(times[OFFICIAL], times[form], strict=True))
        differs = float((outputs[form] - wanted).abs().max() / wanted.abs().max())
        yield Result(name, form.name, 1e3 * statistics.median(times[form]), ratio, differs, peaks[form])


def seconds(work: Callable[[], Tensor], device: torch.device) -> float:
    """How long it takes once."""
    wait = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def show(results: list[Result]) -> None:
    """Print the results as one table."""
    table = Table("what", "form", "ms", "times as fast", "differs by", "peak MiB")
    for r in results:
        peak = "" if r.peak_mebibytes is None else f"{r.peak_mebibytes:.0f}"
        numbers = (f"{r.milliseconds:.3g}", f"{r.times_as_fast:.2f}", f"{r.differs:.0e}", peak)
        table.add_row(r.case, r.form, *numbers)
    Console(width=130).print(table)


def judge(results: list[Result]) -> Iterator[str]:
    """Each goal, what was reached, and by which form."""
    for case, what, goal in (("picture", "a second", PICTURES_A_SECOND), ("step", "times", TIMES_AS_FAST)):
        mine = [r for r in results if r.case.startswith(f"{case},") and not r.form.startswith("official")]
        reached = {r.form: 1e3 / r.milliseconds if case == "picture" else r.times_as_fast for r in mine}
        if reached:
            form = max(reached, key=lambda name: reached[name])
            state = "reached" if reached[form] >= goal else "missed"
            yield f"goal of the {case}, {goal:g} {what}: {reached[form]:.1f} by {form}, {state}"


def machine(device: torch.device) -> dict[str, str]:
    """Versions and hardware."""
    found = {"torch": torch.__version__, "cuda": str(torch.version.cuda), "cpu": platform.machine()}
    if has_triton():
        import triton

        found["triton"] = triton.__version__
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        found["card"] = (
            f"{about.name}, {about.total_memory / 2**30:.0f} GiB, {about.multi_processor_count} SMs"
        )
    return found


if __name__ == "__main__":
    main()
