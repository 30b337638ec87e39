"""PSNR over seconds of training: python -m benchmarks.curves SCENE [--seconds N] [--out FILE.json]

Trains NeRF's networks and voxel grids on one scene at two sizes for so many seconds each, and prints PSNR on
held-out photographs against the seconds of training, without those of evaluation.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

from genscene.cli import configure_process

configure_process()

import torch  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from genscene.contract import StepContext  # noqa: E402
from genscene.data.batches import ray_batches  # noqa: E402
from genscene.data.posed import PosedImages  # noqa: E402
from genscene.data.sources import data_source  # noqa: E402
from genscene.distributed import ProcessGroup  # noqa: E402
from genscene.experiment.schema import Experiment, Stage  # noqa: E402
from genscene.systems import PRESETS  # noqa: E402
from genscene.training.loop import TrainState, train_step  # noqa: E402
from genscene.training.run import init_state  # noqa: E402

RUNS = {
    "nerf": "nerf-blender",
    "nerf-grid, harmonics": "nerf-grid-harmonics",
    "nerf-grid": "nerf-grid-demo",
    "nerf-grid, 144^3": "nerf-grid",
}
SIDES = (100, 400)
POINTS, PROBE = 5, 4  # points of a curve, steps that the duration of one is measured by
RAYS, PART = 4096, 512  # pixels that are evaluated for each point, at once


def curve(experiment: Experiment, seconds: float) -> list[tuple[float, float]]:
    """Seconds of training, and PSNR after them in decibels."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    source = data_source(experiment, quiet=True)
    assert source.held_out is not None
    pace = (
        timed(init_state(source.experiment, device, ProcessGroup(), "fp32"), source.batches(0, 0, 1), PROBE)
        / PROBE
    )
    steps = max(POINTS, round(seconds / pace))
    state = init_state(replace(source.experiment, steps=steps), device, ProcessGroup(), "fp32")
    batches, found, spent = source.batches(0, 0, 1), [], 0.0
    for point in range(POINTS):
        first, last = point * steps // POINTS, (point + 1) * steps // POINTS
        spent += timed(state, batches, last - first, first)
        found.append((round(spent, 1), round(decibels(state, source.held_out), 2)))
    return found


def timed(state: TrainState, batches: object, count: int, first: int = 0) -> float:
    """Seconds that so many steps take."""
    start = time.perf_counter()
    device = next(state.system.parameters()).device
    for step in range(first, first + count):
        train_step(state, next(batches).to(device), step)  # type: ignore[call-overload]
    return time.perf_counter() - start


@torch.no_grad()
def decibels(state: TrainState, photographs: PosedImages) -> float:
    """PSNR on some thousand pixels of held-out photographs."""
    experiment = replace(state.experiment, stages=(Stage(0, (1, 1), RAYS),))
    batch = next(ray_batches(experiment, photographs, 0))
    (turn,) = state.system.turns()
    parts = [batch[i : i + PART] for i in range(0, RAYS, PART)]
    device = next(state.system.parameters()).device
    scores = [turn.loss(part.to(device), StepContext(0))[1]["psnr"] for part in parts]
    return float(-10 * torch.log10((10 ** (-torch.stack(scores) / 10)).mean()))


def main() -> None:
    """Train, print, write."""
    options = argparse.ArgumentParser(prog="benchmarks.curves", description=__doc__)
    options.add_argument("scene", help="a folder of photographs with cameras, with a white background")
    options.add_argument("--seconds", type=float, default=60.0, help="of training, for each curve")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "curves.json")
    chosen = options.parse_args()
    table = Table("system", "pixels", *(f"point {i + 1}" for i in range(POINTS)), title="seconds: dB")
    written = []
    for name, preset in RUNS.items():
        for side in SIDES:
            experiment = replace(PRESETS[preset], data=chosen.scene, stages=(stage_of(PRESETS[preset]),))
            points = curve(replace(experiment, posed=replace(experiment.posed, side=side)), chosen.seconds)
            table.add_row(name, str(side), *(f"{s:.0f}: {db:.1f}" for s, db in points))
            written.append({"system": name, "side": side, "seconds_decibels": points})
    Console(width=120).print(table)
    chosen.out.write_text(json.dumps(written, indent=1) + "\n")


def stage_of(preset: Experiment) -> Stage:
    """The preset's stage; of NeRF's networks with as many rays as a CPU computes in a few seconds."""
    stage = preset.stages[0]
    return stage if stage.accumulation == 1 else replace(stage, batch=1024, accumulation=4)


if __name__ == "__main__":
    main()
