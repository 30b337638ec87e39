"""A run from the first step to the last: data, weights, loop, checkpoints, pictures; and how it ends early."""

import copy
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import torch
from torch import nn

from genscene.contract import Generator, PosedConfig, at_least
from genscene.data.sources import DataSource, data_source
from genscene.distributed import ProcessGroup, join
from genscene.errors import BadInput, Diverged
from genscene.experiment.schema import Experiment, build_seeded, dumps, loads, validate
from genscene.io.atomic import atomic
from genscene.systems import KINDS
from genscene.training.checkpoint import Keep, left, restore, save
from genscene.training.devices import Device, pick_device
from genscene.training.image_grids import paint_grid, paint_held_out
from genscene.training.interrupts import Interrupted, stop_flag
from genscene.training.logger import Journal, journal
from genscene.training.loop import Precision, TrainState, play
from genscene.training.optimizers import optimizers
from genscene.training.validation import Judging, appointed, judge


@dataclass(frozen=True)
class Run:
    """Where and how a run is done; none of it changes what is computed, but for the precision."""

    out: Path = Path("runs/latest")  # folder of the run
    device: Device = "auto"  # auto: cuda where there is one, else mps, else cpu
    precision: Precision = (
        "fp32"  # tf32: faster products on CUDA; bf16: faster still, coordinates stay in fp32
    )
    resume: bool = False  # go on where the run in the folder stopped; from the start where there is none
    save_every: int = 500  # steps between two checkpoints; 0: none but the last
    keep_last: int = 2  # checkpoints that stay
    keep_every: int = 0  # every checkpoint whose step is a multiple of this stays as well; 0: none
    grid_every: int = 500  # steps between two grids of pictures; 0: none
    evaluate_every: int = 0  # steps between two evaluations, which keep best.safetensors; 0: none
    best_by: str = (
        ""  # the metric that tells which is best; default: frechet, or psnr of held-out photographs
    )
    evaluate_count: int = 2048  # pictures generated for each evaluation
    evaluate_weights: str = (
        ""  # of the network that metric looks through: a file, or download (Inception, VGG16)
    )

    def check(self) -> None:
        """Raise BadInput for fewer than no steps."""
        at_least(self, 0, "save_every", "keep_last", "keep_every", "grid_every", "evaluate_every")

    def judging(self) -> Judging:
        """When the run is judged, and by what."""
        return Judging(self.evaluate_every, self.best_by, self.evaluate_count, self.evaluate_weights)


def train(experiment: Experiment, run: Run | str | Path) -> Generator:
    """Train, writing into the run's folder -> the running mean of the generator.

    The folder gets experiment.json, generator.safetensors, state.pt, metrics.jsonl, checkpoints/ and grids/.
    Raises BadInput for what cannot be trained, Diverged where a loss is no number, Interrupted when stopped.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    device = pick_device(run.device)
    torch.set_float32_matmul_precision("high" if run.precision == "tf32" else "highest")
    group = join(device)
    try:
        check(experiment, run, group)
        again = occupied(run)
        source = data_source(experiment, quiet=not group.first)
        experiment = source.experiment
        check(experiment, run, group)  # with what the data told
        if again:
            same(experiment, run.out)
        game = begin(experiment, device, group, run.precision)
        if source.train is not None and game.system.generator.photographed is not None:
            game.system.generator.photographed.remember(source.train.cameras, source.train.to_files())
        start = restore(run.out, game) if again else 0
        group.agree(game.system)
        group.agree(game.average)
        return go_on(game, run, source, start)
    finally:
        group.leave()


def go_on(game: TrainState, run: Run, source: DataSource, start: int) -> Generator:
    """The steps that are left."""
    experiment, group, keep = game.experiment, game.group, Keep(run.keep_last, run.keep_every)
    device = next(game.system.parameters()).device
    judge_of = appointed(run.judging(), game, source)
    batches = source.batches(start, group.rank, group.world)
    first = group.first_then_others(lambda: next(batches, None))  # the others find pictures in the cache
    if group.first:
        with atomic(run.out / "experiment.json") as partial:
            partial.write_text(dumps(experiment) + "\n")
    saved = start
    what = "rays" if isinstance(experiment.system, PosedConfig) else "pictures"
    book_of = journal(run.out, start, experiment.steps, what) if group.first else nullcontext()
    with book_of as book, stop_flag() as stopped:
        for step, batch in enumerate(chain([first] if first else [], batches), start):
            try:
                stats = play(game, batch.to(device), step)
            except Diverged as error:
                good = run.out / "state.pt" if saved else "none"
                raise Diverged(f"{error}; last good checkpoint: {good} (step {saved})") from None
            done, halt = step + 1, group.any(stopped())
            if book is not None:
                book.record(step, stats, experiment.stage(step).batch)
                watch(game, run, source, book, done)
            if judge_of is not None and (due(run.evaluate_every, done) or done == experiment.steps):
                said = judge(game, run.out, source, judge_of, done)
                if book is not None:
                    book.say(said)
            if due(run.save_every, done) or done == experiment.steps or halt:
                if group.first:
                    save(run.out, game, done, keep)
                saved = done
            if halt and done < experiment.steps:
                raise Interrupted(
                    f"stopped after step {done} of {experiment.steps}; go on with --resume --out {run.out}"
                )
    game.average.settle()
    return game.average.eval().requires_grad_(False)


def due(every: int, done: int) -> bool:
    """Whether so many steps end a round of `every`; 0: there are none."""
    return every > 0 and done % every == 0


def watch(game: TrainState, run: Run, source: DataSource, book: Journal, done: int) -> None:
    """Paint pictures when they are due: of the prior, or beside photographs that are not learnt."""
    experiment = game.experiment
    if run.grid_every and (due(run.grid_every, done) or done == experiment.steps):
        path = run.out / "grids" / f"{done:08d}.png"
        if source.held_out is None:
            paint_grid(path, game.average, experiment.stage(done - 1).size)
            book.say(f"step {done}: {path}")
        else:
            decibels = paint_held_out(path, game.average, source.held_out)
            book.say(f"step {done}: {path}, {decibels:.2f} dB on photographs that are not learnt")


def begin(
    experiment: Experiment, device: torch.device, group: ProcessGroup, precision: Precision
) -> TrainState:
    """Fresh weights, their running mean, optimisers."""
    system = build_seeded(experiment).to(device)
    for module in system.modules():
        if isinstance(module, nn.Conv2d):  # faster that way, on CPU and CUDA
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    average = system.generator  # the running mean over nothing but now
    if experiment.ema:
        average = copy.deepcopy(system.generator).requires_grad_(False).eval()
    return TrainState(experiment, system, average, optimizers(system, experiment), group, precision)


def check(experiment: Experiment, run: Run, group: ProcessGroup) -> None:
    """Raise BadInput for all that would fail later; nothing is read or written."""
    validate(experiment)
    validate(run)
    for stage in experiment.stages:
        if stage.batch % (group.world * stage.slices):
            raise BadInput(
                f"the batch of {stage.batch} at step {stage.start} does not split evenly"
                f" into {group.world} processes x {stage.slices} slices"
            )
        experiment.system.check(stage.size)


def occupied(run: Run) -> bool:
    """Whether the folder holds a run to go on with; BadInput where there is none to go on with or to write over."""
    if run.out.exists() and not run.out.is_dir():
        raise BadInput(f"--out {run.out} is a file, wanted the name of a folder")
    if (run.out / "state.pt").exists():
        if not run.resume:
            raise BadInput(
                f"{run.out} already holds a run: add --resume to go on with it, or choose another --out"
            )
        return True
    if any((run.out / "checkpoints").glob("*.pt")):
        raise BadInput(f"{run.out} holds a run that has lost its state.pt; {left(run.out)}")
    return False


def same(experiment: Experiment, folder: Path) -> None:
    """Raise BadInput where the run in a folder is one of another experiment; it may have been shorter or longer."""
    stored = folder / "experiment.json"
    if stored.exists():
        before = loads(stored.read_text(), KINDS, str(stored))
        if replace(before, steps=experiment.steps) != experiment:
            raise BadInput(f"{folder} holds a run of another experiment ({difference(before, experiment)})")


def difference(a: Experiment, b: Experiment) -> str:
    """The first lines in which two experiments differ."""
    pairs = zip(dumps(a).splitlines(), dumps(b).splitlines(), strict=False)
    return next(
        (f"there {x.strip().rstrip(',')}, here {y.strip().rstrip(',')}" for x, y in pairs if x != y), "?"
    )
