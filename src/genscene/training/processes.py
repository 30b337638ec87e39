"""A run in several processes, perhaps on several machines: one state, and the same options in all of them."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.experiment.serialise import dumps
from genscene.training.checkpoint import State, read_state
from genscene.training.resume import first_difference, require_same


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
