"""Runs to resume: of the same experiment, with one state and the same options in all processes."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.experiment.serialise import dumps, loads
from genscene.io.files import read_bytes
from genscene.systems import KINDS
from genscene.training.checkpoint import State, checkpoints, read_state, remaining


def can_resume(out: Path, resume: bool) -> bool:
    """Whether the folder holds a run to resume; BadInput where it cannot be, or would be overwritten."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out {out} is a file, wanted the name of a folder")
    if (out / "state.pt").exists():
        if not resume:
            raise BadInput(f"{out} already holds a run: add --resume to resume it, or choose another --out")
        return True
    if checkpoints(out):
        raise BadInput(f"{out} holds a run that has lost its state.pt; {remaining(out)}")
    begun = resume and (out / "experiment.json").exists()  # and killed before its first state
    if (out / "generator.safetensors").exists() and not begun:
        what = f"{out} holds a generator.safetensors that would be replaced"
        raise BadInput(f"{what}: choose another --out")
    return False


def require_same(experiment: Experiment, folder: Path, document: State) -> Experiment:
    """The experiment, with the initial weights that the run in a folder has started from.

    Raises BadInput where its state.pt or experiment.json is of another; the number of steps may differ.
    """
    path, beside = folder / "state.pt", folder / "experiment.json"
    stored = {path: document["experiment"]} if "experiment" in document else {}
    if beside.exists():
        stored[beside] = read_bytes(beside, "experiment").decode(errors="replace")
    if not stored:
        raise BadInput(f"{folder} does not say of which experiment it is: its experiment.json is lost")
    for file, text in stored.items():
        before = loads(text, KINDS, str(file))
        experiment = replace(experiment, init=experiment.init or before.init)
        before = replace(before, steps=experiment.steps)
        if before != experiment:
            found = difference(before, experiment)
            raise BadInput(f"{folder} holds a run of another experiment ({file.name}: {found})")
    return experiment


def difference(a: Experiment, b: Experiment) -> str:
    """The first lines of JSON in which two experiments differ."""
    return first_difference(dumps(a), dumps(b))


def first_difference(a: str, b: str) -> str:
    """The first lines in which two texts differ."""
    pairs = zip(a.splitlines(), b.splitlines(), strict=False)
    return next(
        (f"there {x.strip().rstrip(',')}, here {y.strip().rstrip(',')}" for x, y in pairs if x != y), "?"
    )


def joint_state(experiment: Experiment, folder: Path, group: ProcessGroup) -> tuple[Experiment, State]:
    """The experiment and state of the run in rank 0's folder, in every process: others need no such folder.

    Raises BadInput, in every process, where the state cannot be used.
    """
    found: list[tuple[Experiment, State]] = []

    def load() -> bytes:
        document = read_state(folder)
        found.append((require_same(experiment, folder, document), document))
        content = io.BytesIO()
        if group.world > 1:
            torch.save(document, content)
        return content.getvalue()

    content = group.from_main(load)
    return found[0] if found else (experiment, torch.load(io.BytesIO(content), weights_only=True))


def require_agreement(experiment: Experiment, options: dict[str, Any], group: ProcessGroup) -> None:
    """Raise BadInput, in every process, where one was started with other options than rank 0.

    options: by name, what must be the same beside the experiment. Paths of data and of initial weights may
    differ between machines.
    """
    lines = [f"--{name.replace('_', '-')} {value}" for name, value in options.items()]
    own = "\n".join([*lines, dumps(replace(experiment, data="", init=""))])
    texts = [part.decode() for part in group.all_gather_bytes(own.encode())]
    for rank, text in enumerate(texts):
        if text != texts[0]:
            there = f"process {rank} of the {group.world} was started with other options than process 0"
            raise BadInput(f"{there} ({first_difference(text, texts[0])}): wanted the same on every machine")


def how_to_resume(folder: Path, done: int, saved: int) -> str:
    """The end of the line about a lost process: `done` steps were done, `saved` are in the checkpoint."""
    again = f"start all again with --resume --out {folder}"
    if not saved:
        return f"{again}; there was no checkpoint yet (step {done} was done)"
    return f"{again}, which goes on from the checkpoint of step {saved} (step {done} was done)"
