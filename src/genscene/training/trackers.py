"""Where the numbers and pictures of a run go besides its folder: TensorBoard, and Weights & Biases."""

import importlib
import json
import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from genscene.errors import BadInput, describe_error, printable
from genscene.io.atomic import atomic
from genscene.io.json_file import read_json

PROJECT = re.compile(r"(?:(?P<team>[\w.-]{1,64})/)?(?P<project>[^/\\#?%:\s]{1,128})")
IDENTITY = "wandb.json"  # in the folder of a run: its identity at Weights & Biases


class Tracker(Protocol):
    """What is given the numbers and pictures of a run, its steps in order."""

    def log_numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers at a step, by name."""

    def log_picture(self, step: int, name: str, path: Path) -> None:
        """A picture, saved as a PNG, at a step."""

    def close(self, failed: bool) -> None:
        """The end of the run; failed: it ended by an error."""


@dataclass(frozen=True)
class TensorBoard:
    """The event files of TensorBoard in the folder of a run."""

    writer: Any

    def log_numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers as scalars."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def log_picture(self, step: int, name: str, path: Path) -> None:
        """A picture as it is saved."""
        with Image.open(path) as image:
            self.writer.add_image(name, np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def close(self, failed: bool) -> None:
        """Write what is still in memory."""
        self.writer.close()


@dataclass(frozen=True)
class WeightsAndBiases:
    """A run at Weights & Biases."""

    library: Any
    run: Any

    def log_numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers under their names."""
        self.run.log(dict(numbers), step=step)

    def log_picture(self, step: int, name: str, path: Path) -> None:
        """A picture as it is saved."""
        self.run.log({name: self.library.Image(str(path))}, step=step)

    def close(self, failed: bool) -> None:
        """Wait until everything is sent, or saved where the mode is offline."""
        self.run.finish(exit_code=int(failed))


def open_trackers(folder: Path, project: str, experiment: str) -> list[Tracker]:
    """The trackers of a run: TensorBoard where it is installed, Weights & Biases where a project is named.

    project: PROJECT or TEAM/PROJECT; experiment: JSON. Raises BadInput where the project cannot be opened.
    """
    online = [open_wandb(folder, project, experiment)] if project else []  # fails before anything is open
    return [*open_tensorboard(folder), *online]


def open_tensorboard(folder: Path) -> list[Tracker]:
    """TensorBoard's event files, where it is installed."""
    try:
        writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter
    except ImportError:
        return []
    return [TensorBoard(writer(str(folder / "tensorboard")))]


def require_wandb(project: str) -> Any:
    """The library of Weights & Biases; BadInput where it is not installed, or for the name of no project."""
    if not PROJECT.fullmatch(project):
        wanted = "wanted PROJECT or TEAM/PROJECT, without / \\ # ? % : and blanks"
        raise BadInput(f"--wandb {printable(project, 80)!r}: {wanted}")
    try:
        return importlib.import_module("wandb")
    except ImportError as error:
        advice = f"pip install 'genscene[wandb]' ({describe_error(error)})"
        raise BadInput(f"--wandb {project} needs wandb: {advice}") from None


def open_wandb(folder: Path, project: str, experiment: str) -> Tracker:
    """The run of a folder in a project, resumed where the folder has one there; its files are in wandb/."""
    library, named = require_wandb(project), PROJECT.fullmatch(project)
    assert named is not None
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run = library.init(
            entity=named["team"],
            project=named["project"],
            dir=str(folder),
            id=identity(folder, project),
            resume="allow",
            name=folder.resolve().name,
            config=json.loads(experiment),
            settings=library.Settings(console="off"),  # the terminal is not recorded
        )
    except Exception as error:  # the library has several families of errors
        wanted = "wanted wandb login, or WANDB_MODE=offline"
        raise BadInput(f"--wandb {project}: {describe_error(error)}; {wanted}") from None
    return WeightsAndBiases(library, run)


def identity(folder: Path, project: str) -> str:
    """The identity of a run in a project: random, and saved in its folder for --resume."""
    path = folder / IDENTITY
    with suppress(BadInput, KeyError, TypeError):  # there is none yet, or it is damaged
        found = read_json(path, "identity of a run")
        if found["project"] == project and re.fullmatch("[0-9a-f]{16}", found["id"]):
            return str(found["id"])
    made = uuid.uuid4().hex[:16]
    with atomic(path) as partial:
        partial.write_text(json.dumps({"project": project, "id": made}) + "\n")
    return made
