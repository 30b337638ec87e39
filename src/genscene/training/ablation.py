"""Ablations: variants of an experiment are trained under one budget, several times each, and resumed."""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from genscene.data.progress import clock, log_line
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput, describe_error
from genscene.experiment.schema import Experiment
from genscene.experiment.serialise import dumps, loads
from genscene.io.atomic import atomic
from genscene.io.files import read_bytes
from genscene.io.json_file import read_json
from genscene.systems import KINDS
from genscene.training.logger import read_log
from genscene.training.resume import difference
from genscene.training.run import Run, check, train

TRIAL_STEPS = 33  # by which the speed is measured; two of the lazy penalties of every 16 steps are among them
DONE = "trained.json"  # in the folder of a run that is finished
MOST_BYTES = 1 << 20  # of that file


@dataclass(frozen=True)
class Budget:
    """How long every run is trained."""

    minutes: float = 0.0  # so many steps as take about this long; 0: those of the experiment


@dataclass(frozen=True)
class Trained:
    """A run of a variant: how long it took, or why it failed."""

    variant: str
    seed: int  # of the run: 0, 1, ...
    folder: Path
    steps: int = 0
    seconds: float = 0.0
    error: str = ""  # why it failed; empty: it did not


def train_variants(
    variants: Mapping[str, Experiment], seeds: int, run: Run, budget: Budget
) -> Iterator[Trained]:
    """Train every variant from `seeds` seeds, into folders of run.out, first all from the first seed.

    Finished runs are not trained again, others resumed. Whatever ends a run but a signal is its `error`.
    Raises BadInput where a folder holds a run of another experiment.
    """
    folders = folder_names(variants)
    for seed in range(seeds):
        for name, variant in variants.items():
            folder = run.out / f"seed-{seed}" / folders[name]
            experiment = replace(variant, seed=variant.seed + seed)
            found = finished(name, seed, folder, experiment)
            if found is None:
                log_line(f"{name}, seed {seed} ({seed + 1} of {seeds}): {folder}")
                earlier = run.out / "seed-0" / folders[name]
                found = train_one(name, seed, experiment, replace(run, out=folder), earlier, budget)
            yield found


def train_one(
    name: str, seed: int, experiment: Experiment, run: Run, earlier: Path, budget: Budget
) -> Trained:
    """One run, from its start or its last checkpoint. earlier: the same variant's run from the first seed."""
    try:
        check(experiment, run, ProcessGroup())
        if budget.minutes:
            steps = steps_before(run.out) or steps_before(earlier) or steps_within(experiment, run, budget)
            experiment = replace(experiment, steps=steps)
        train(experiment, replace(run, resume=True))
    except Exception as error:  # whatever ends one run does not end the others
        text = str(error) if isinstance(error, BadInput) else describe_error(error)
        log_line(f"{name}, seed {seed} failed: {text}")
        return Trained(name, seed, run.out, error=text)
    found = Trained(name, seed, run.out, experiment.steps, trained_seconds(run.out))
    document = {"experiment": dumps(experiment), "steps": found.steps, "seconds": round(found.seconds, 3)}
    with atomic(run.out / DONE) as partial:
        partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return found


def finished(name: str, seed: int, folder: Path, experiment: Experiment) -> Trained | None:
    """The run in a folder, where it is finished; BadInput where it is one of another experiment."""
    path = folder / DONE
    if not path.exists():
        return None
    document = read_json(path, "finished run", MOST_BYTES)
    wanted = {"experiment": str, "steps": int, "seconds": float | int}
    if not isinstance(document, dict) or not all(
        isinstance(document.get(key), kind) for key, kind in wanted.items()
    ):
        raise BadInput(f"{path}: wanted experiment, steps and seconds of a finished run; remove the folder")
    before = loads(document["experiment"], KINDS, str(path))
    if replace(before, steps=experiment.steps) != experiment:
        found = difference(before, experiment)
        raise BadInput(f"{folder} holds a run of another experiment ({found}): choose another --out")
    return Trained(name, seed, folder, document["steps"], document["seconds"])


def steps_before(folder: Path) -> int:
    """The steps of the run that was begun in a folder; 0 where there is none."""
    path = folder / "experiment.json"
    if not path.exists():
        return 0
    return loads(read_bytes(path, "experiment").decode(errors="replace"), KINDS, str(path)).steps


def steps_within(experiment: Experiment, run: Run, budget: Budget) -> int:
    """So many steps as take about the minutes of the budget, by the speed of some that are not saved."""
    if len(experiment.stages) > 1:
        raise BadInput("--minutes: wanted one stage, whose speed is measured (--size), or --steps")
    with tempfile.TemporaryDirectory() as name:
        trial = Run(Path(name) / "trial", run.device, run.precision, save_every=0, grid_every=0)
        train(replace(experiment, steps=TRIAL_STEPS), trial)
        times = [float(each.get("seconds", 0)) for each in read_log(trial.out / "metrics.jsonl")]
    each = max(1e-6, (times[-1] - times[0]) / (len(times) - 1))  # the first one compiles, and reads data
    steps = max(1, int(60 * budget.minutes / each))
    log_line(f"{steps} steps take about {clock(steps * each)}")
    return steps


def trained_seconds(folder: Path) -> float:
    """Seconds of training in all parts of a run, by its log."""
    total = last = 0.0
    for entry in read_log(folder / "metrics.jsonl"):
        now = float(entry.get("seconds", 0))
        total, last = total + (now - last if now >= last else now), now
    return total


def folder_names(names: Sequence[str] | Mapping[str, object]) -> dict[str, str]:
    """Names -> names of folders, of letters that are safe everywhere, all different."""
    found: dict[str, str] = {}
    for name in names:
        safe = re.sub(r"[^A-Za-z0-9=_.-]+", "-", name).strip("-.")[:80] or "variant"
        choices = [safe, *(f"{safe}-{i}" for i in range(2, len(names) + 2))]
        found[name] = next(each for each in choices if each not in found.values())
    return found
