"""A run: data, weights, loop, checkpoints, pictures, and how it ends early."""

import copy
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import nn

from genscene.compilation import (
    Compile,
    check_compile,
    compile_networks,
    require_compiler,
    start_step,
)
from genscene.contract import Generator
from genscene.data.images import SYNTHETIC
from genscene.data.pictures import Picture
from genscene.data.progress import log_line
from genscene.data.sources import DataSource, data_source
from genscene.devices import Device, pick_device, require_memory
from genscene.distributed import ProcessGroup, joined
from genscene.errors import BadInput, Diverged
from genscene.evaluation.fitted_pictures import picture_psnr, render_at
from genscene.evaluation.held_out_views import estimate_psnr
from genscene.experiment.memory import training_bytes
from genscene.experiment.schedules import stage_at
from genscene.experiment.schema import Experiment
from genscene.experiment.serialise import build_seeded, dumps
from genscene.experiment.validation import validate
from genscene.export.pictures import save_png, tile
from genscene.io.atomic import atomic, locked
from genscene.io.generator_file import GeneratorFile
from genscene.layers.mapping import update_w_avg
from genscene.ranges import Natural, Range
from genscene.training.checkpoint import Retention, restore, save
from genscene.training.image_grids import save_grid, save_held_out
from genscene.training.initial_weights import initial_weights
from genscene.training.interrupts import Interrupted, stop_flag
from genscene.training.logger import UNITS, Logger, open_logger
from genscene.training.loop import Precision, TrainState, set_matmul_precision, train_step
from genscene.training.optimizers import build_optimizers
from genscene.training.resume import can_resume, how_to_resume, joint_state, require_agreement
from genscene.training.trackers import open_trackers, require_wandb
from genscene.training.validation import ValidationConfig, Validator, build_validator, validate_run

# what must be the same in all processes, beside the experiment
SAME = ("precision", "compile", "save_every", "evaluate_every", "best_by", "evaluate_count", "data_cache")


@dataclass(frozen=True)
class Run:
    """Where and how a run is done; nothing here changes what is computed, except precision and compile."""

    out: Path = Path("runs/latest")  # folder of the run
    device: Device = "auto"  # auto: cuda where there is one, else mps, else cpu
    # tf32: faster products on CUDA; medium: torch's precision of that name, on a CPU with AMX sums of
    # products in bfloat16, else float32 by oneDNN; bf16: coordinates stay in fp32
    precision: Precision = "fp32"
    # torch.compile of networks; reduce-overhead: CUDA graphs
    compile: Compile = "off"
    resume: bool = False  # resume the run in the folder; start where there is none
    save_every: Natural = 500  # steps between two checkpoints; 0: only the last
    keep_last: Natural = 2  # so many of the newest checkpoints are not removed
    # those at multiples of it are not removed, either; 0: none
    keep_every: Natural = 0
    grid_every: Natural = 500  # steps between two grids of pictures; 0: none
    evaluate_every: Natural = 0  # steps between two evaluations, which save best.safetensors; 0: none
    # the metric that determines the best; default: frechet, or psnr of held-out photographs
    best_by: str = ""
    evaluate_count: Annotated[int, Range(2)] = 2048  # images generated for each evaluation
    evaluate_weights: str = ""  # of the network of that metric: a file, or download (Inception, VGG16)
    # decoded images are cached on each machine (node), or each process has a share of them (share)
    data_cache: Literal["node", "share"] = "node"
    # [TEAM/]PROJECT of Weights & Biases, which gets losses, scores and grids, too (WANDB_MODE=offline saves
    # them in the folder); TensorBoard's files are written wherever that is installed
    wandb: str = ""
    view: bool = False  # look at the scenes while they are trained, in a browser
    view_port: Annotated[int, Range(0, 65_535)] = 8080  # of this machine for --view; 0: any that is free
    # of the time that training is left while somebody looks; the rest is for pictures
    view_share: Annotated[float, Range(0, 0.99)] = 0.9

    def validation(self) -> ValidationConfig:
        """When the run is evaluated, and by what."""
        return ValidationConfig(self.evaluate_every, self.best_by, self.evaluate_count, self.evaluate_weights)


def train(experiment: Experiment, run: Run | str | Path) -> Generator:
    """Train, writing into the run's folder -> the moving average of the generator.

    The folder gets experiment.json, generator.safetensors, state.pt, metrics.jsonl, checkpoints/ and grids/.
    Raises BadInput for what cannot be trained, Diverged where a loss is not finite, Interrupted when stopped
    by a signal.
    """
    run = replace(run, out=Path(run.out)) if isinstance(run, Run) else Run(Path(run))
    device = pick_device(run.device)
    set_matmul_precision(run.precision)
    with joined(device) as group:
        check(experiment, run, group)
        group.from_main(lambda: check_main(run))
        require_compiler(run.compile, device)
        with locked(run.out / ".lock") if group.is_main else nullcontext("") as own:
            holder = group.from_main(own.encode).decode()
            if holder:
                raise BadInput(f"{run.out}: {holder} trains there: wait for its end, or choose another --out")
            return train_locked(experiment, run, device, group)


def check_main(run: Run) -> bytes:
    """What rank 0 alone checks: its folder and programs -> b"1" if there is a run to resume, else b""."""
    if run.view:
        from genscene.viewer.page.server import require_free, require_viser

        require_viser()
        require_free(run.view_port)
    if run.wandb:
        require_wandb(run.wandb)
    return b"1" if can_resume(run.out, run.resume) else b""


def train_locked(experiment: Experiment, run: Run, device: torch.device, group: ProcessGroup) -> Generator:
    """Train in a folder that no other process writes to; rank 0 has it, the others need none."""
    resumed = bool(group.from_main(lambda: check_main(run)))  # the lock may have been another's meanwhile
    given = None if resumed or not group.is_main else initial_weights(experiment)
    source = group.node_first(lambda: data_source(experiment, quiet=not group.is_main))
    experiment = source.experiment
    check(experiment, run, group)  # with what the data determined
    size = source.train.camera.size if source.train is not None else None
    needed, less = training_bytes(experiment, group.world, size), experiment.system.less_memory
    require_memory(needed, "training", less, device)
    require_agreement(experiment, {name: getattr(run, name) for name in SAME}, group)
    document = None
    if resumed:
        experiment, document = joint_state(experiment, run.out, group)
    state = init_state(experiment, device, group, run.precision)
    compile_networks(state.system, run.compile)
    if given is not None:
        given.load_into(state)
    elif document is None and source.train is not None:
        state.system.initialize(source.train)
    start = restore(run.out, state, document) if document is not None else 0
    for line in source.notes if group.is_main else ():
        log_line(line)
    group.broadcast(state.system)
    group.broadcast(state.ema)
    return train_loop(state, run, source, start)


def train_loop(state: TrainState, run: Run, source: DataSource, start: int) -> Generator:
    """The steps from `start` to the end."""
    experiment, group, retention = state.experiment, state.group, Retention(run.keep_last, run.keep_every)
    device = next(state.system.parameters()).device
    content = GeneratorFile(state.ema, experiment, source.cameras, source.to_files)
    validator = build_validator(run.validation(), state, source)
    images = source.images(group, run.data_cache == "share")
    batches = source.batches(start, group.rank, group.world, images)
    saved, logging = start, start_logging(experiment, run, start) if group.is_main else nullcontext()
    with logging as logger, stop_flag() as stopped, viewing(run, content, group) as show:
        for step, batch in enumerate(batches, start):
            start_step(run.compile)
            try:
                stats = train_step(state, batch.to(device), step)
            except Diverged as error:
                good = run.out / "state.pt" if saved else "none"
                raise Diverged(f"{error}; last good checkpoint: {good} (step {saved})") from None
            done, halt = step + 1, group.any(stopped())
            group.advise(how_to_resume(run.out, done, saved))  # rank 0 has written that checkpoint by now
            last = done == experiment.steps
            if logger is not None:
                logger.record(step, stats, stage_at(experiment, step).batch)
                log_images(state, run, source, logger, done)
            show(done, stats, stopped)
            if validator is not None and (due(run.evaluate_every, done) or last):
                log_validation(validator, content, run, source, logger, done)
            if due(run.save_every, done) or last or halt:
                if group.is_main:
                    save(run.out, state, content, done, retention)
                    group.advise(how_to_resume(run.out, done, done))
                saved = done
            if halt and not last:
                raise Interrupted(
                    f"stopped after step {done} of {experiment.steps}; resume with --resume --out {run.out}"
                )
    update_w_avg(state.ema)
    return state.ema.eval().requires_grad_(False)


def start_logging(experiment: Experiment, run: Run, start: int) -> AbstractContextManager[Logger]:
    """The log of a run, and its trackers; experiment.json is written."""
    document = dumps(experiment)
    trackers = open_trackers(run.out, run.wandb, document)
    with atomic(run.out / "experiment.json") as partial:
        partial.write_text(document + "\n")
    return open_logger(run.out, start, experiment.steps, UNITS[experiment.system.batch], trackers)


def viewing(run: Run, content: GeneratorFile, group: ProcessGroup) -> AbstractContextManager[Any]:
    """The viewer beside the loop -> a function to call after each step; without --view it does nothing."""
    if not (run.view and group.is_main):
        return nullcontext(lambda *_: None)
    from genscene.viewer.training_view import view_training

    return view_training(content, run.out.name, run.view_port, run.view_share)


def due(every: int, done: int) -> bool:
    """Whether a period of `every` steps ends after so many; 0: never."""
    return every > 0 and done % every == 0


def log_images(state: TrainState, run: Run, source: DataSource, logger: Logger, done: int) -> None:
    """Save pictures when they are due: a grid of the prior, or renderings beside held-out photographs."""
    experiment = state.experiment
    if run.grid_every and (due(run.grid_every, done) or done == experiment.steps):
        path = run.out / "grids" / f"{done:08d}.png"
        if isinstance(source.points, Picture):
            image = render_at(state.ema, source.points.pixels)
            save_png(path, tile(torch.stack([source.points.pixels, image])[None]))
            logger.print(f"step {done}: {path}, {picture_psnr(image, source.points.pixels):.2f} dB")
        elif source.held_out is None:
            save_grid(path, state.ema, stage_at(experiment, done - 1).size)
            logger.print(f"step {done}: {path}")
        else:
            save_held_out(path, state.ema, source.held_out)
            found = estimate_psnr(state.ema, source.held_out, experiment.system)
            mean = sum(found) / len(found)
            logger.print(f"step {done}: {path}, {mean:.2f} dB, mean of {len(found)} held-out views")
            logger.track(done, {"held_out_psnr": mean})
        logger.track_picture(done, "grid", path)


def log_validation(
    validator: Validator,
    content: GeneratorFile,
    run: Run,
    source: DataSource,
    logger: Logger | None,
    done: int,
) -> None:
    """Evaluate the generator, and print the result in the main process."""
    line, numbers = validate_run(validator, content, run.out, source, done)
    if logger is not None:
        logger.print(line)
        logger.track(done, numbers)


def init_state(
    experiment: Experiment, device: torch.device, group: ProcessGroup, precision: Precision
) -> TrainState:
    """New weights, their moving average, optimisers."""
    system = build_seeded(experiment).to(device)
    for module in system.modules():
        if isinstance(module, nn.Conv2d):  # faster on CPU and CUDA
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    ema = system.generator
    if experiment.ema.active:
        ema = copy.deepcopy(system.generator).requires_grad_(False).eval()
    return TrainState(experiment, system, ema, build_optimizers(system, experiment), group, precision)


def check(experiment: Experiment, run: Run, group: ProcessGroup) -> None:
    """Raise BadInput for all that would fail later; nothing is read or written."""
    validate(experiment)
    validate(run)
    check_compile(experiment.system, run.compile)
    if experiment.system.moves_weights and (group.world > 1 or experiment.ema.active):
        got = f"{group.world} processes" if group.world > 1 else "a moving average (--ema.decay)"
        wanted = "Gaussians are moved between their slots: wanted one process, and --ema.decay 0"
        raise BadInput(f"{got}: {wanted}")
    for stage in experiment.stages:
        parts = f"{group.world} processes x accumulation {stage.accumulation}"
        what = f"the batch of {stage.batch} at step {stage.start}"
        if stage.batch % (group.world * stage.accumulation):
            raise BadInput(f"{what} does not split evenly into {parts}")
        shared = gcd(experiment.system.mbstd_group, stage.batch)
        part = stage.batch // (group.world * stage.accumulation)
        if part % shared:
            raise BadInput(
                f"{what} in {parts} gives parts of {part} images, wanted multiples of the {shared}"
                " whose minibatch standard deviation is taken together (mbstd-group)"
            )
        experiment.system.check(stage.size)
    if experiment.images.fit == "inside":
        check_mixed_aspects(experiment)


def check_mixed_aspects(experiment: Experiment) -> None:
    """Raise BadInput where pictures of any aspect cannot be trained on."""
    if experiment.images.background == "random":
        raise BadInput("--images.background random with --images.fit inside: wanted one color")
    if experiment.data.startswith(SYNTHETIC):
        raise BadInput(f"--images.fit inside: the pictures of {experiment.data} have one shape, wanted files")
    if not getattr(experiment.system, "mixed_aspects", False):
        wanted = "CIPS's system on the plane with patches (--system.patches.size)"
        raise BadInput(f"--images.fit inside: wanted {wanted}")
