"""Weights that a run starts from in place of new ones: a generator file, or the players of another run."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.experiment.serialise import build_seeded
from genscene.io.foreign_pickles import read_checkpoint
from genscene.io.generator_file import mismatch, read
from genscene.training.loop import TrainState

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class InitialWeights:
    """Tensors by the names of the system, of all players or of the generator alone, and of its average."""

    system: Tensors
    ema: Tensors

    def load_into(self, state: TrainState) -> None:
        """Replace the new weights of these players, and the average of the generator."""
        state.system.load_state_dict(self.system, strict=False)
        state.ema.load_state_dict(self.ema)


def initial_weights(experiment: Experiment) -> InitialWeights | None:
    """What experiment.init holds, None where it names nothing.

    Raises BadInput, naming the tensor, where names or shapes are not those of the experiment's system.
    """
    if not experiment.init:
        return None
    path = Path(experiment.init)
    found = read_run(path) if (path / "state.pt").is_file() else read_generator(path)
    wanted = build_seeded(experiment).state_dict()
    players = {name.split(".")[0] for name in found.system}
    wanted = {name: tensor for name, tensor in wanted.items() if name.split(".")[0] in players}
    average = {n.removeprefix("generator."): t for n, t in wanted.items() if n.startswith("generator.")}
    wrong = mismatch(found.system, wanted) or mismatch(found.ema, average)
    if wrong:
        raise BadInput(f"--init {path}: the weights do not fit this experiment: {wrong}")
    return found


def read_generator(path: Path) -> InitialWeights:
    """The generator in a file; the other players start anew."""
    weights = read(path).generator.state_dict()
    return InitialWeights({f"generator.{name}": t for name, t in weights.items()}, weights)


def read_run(folder: Path) -> InitialWeights:
    """All players of a run as it is, without the state of their optimisers."""
    path = folder / "state.pt"
    document = read_checkpoint(path)
    parts = [document.get(name) for name in ("system", "ema")] if isinstance(document, dict) else []
    system, ema = (part if is_tensors(part) else None for part in parts or (None, None))
    if system is None or ema is None:
        raise BadInput(f"--init {folder}: {path} holds no state of a run")
    return InitialWeights(dict(system), dict(ema))


def is_tensors(part: object) -> bool:
    """Whether this is a dictionary of names and tensors."""
    return isinstance(part, dict) and all(
        isinstance(name, str) and isinstance(each, Tensor) for name, each in part.items()
    )
