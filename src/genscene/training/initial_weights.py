"""Weights that a run starts from in place of new ones: a generator file, or the players of another run."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.hub import local_path
from genscene.io.foreign_pickles import read_checkpoint
from genscene.io.generator_file import mismatch, read
from genscene.training.loop import TrainState

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class InitialWeights:
    """Tensors by the names of the system, of all players or of the generator alone, and of its average."""

    path: Path
    system: Tensors
    ema: Tensors

    def load_into(self, state: TrainState) -> None:
        """Replace the new weights of these players, and the average of the generator.

        Raises BadInput, naming the tensor, where names or shapes are not those of the system.
        """
        system, ema = grown(self.system, state.system), grown(self.ema, state.ema)
        players = {name.split(".")[0] for name in system}
        own = state.system.state_dict()
        wanted = {name: tensor for name, tensor in own.items() if name.split(".")[0] in players}
        wrong = differs(system, wanted) or differs(ema, state.ema.state_dict())
        if wrong:
            box = "; perhaps it is another box (--bounds)" if state.experiment.system.has_box else ""
            raise BadInput(f"--init {self.path}: the weights do not fit this experiment: {wrong}{box}")
        state.system.load_state_dict(system, strict=False)
        state.ema.load_state_dict(ema, strict=False)


def grown(given: Tensors, system: nn.Module, prefix: str = "") -> Tensors:
    """The same tensors, those of a smaller network in one that grows out of it.

    Networks with a method `grow` are discriminators of larger images, and generators of more levels.
    """
    found, inside = dict(given), {n: x for n, x in given.items() if n.startswith(prefix)}
    grow = getattr(system, "grow", None)
    if grow is not None and inside:
        larger = grow({name.removeprefix(prefix): x for name, x in inside.items()})
        return found | {f"{prefix}{name}": x for name, x in larger.items()}
    for name, player in system.named_children() if not prefix else ():
        found = grown(found, player, f"{name}.")
    return found


def differs(given: Tensors, wanted: Tensors) -> str:
    """What does not fit; "" where all does. Priors that were not learned before start as given."""
    learned = {name for name in wanted if name.split(".")[-2:-1] == ["orbit"]}
    return mismatch(given, {name: t for name, t in wanted.items() if name in given or name not in learned})


def initial_weights(experiment: Experiment) -> InitialWeights | None:
    """What experiment.init holds, None where it names nothing."""
    if not experiment.init:
        return None
    path = local_path(experiment.init)
    return read_run(path) if (path / "state.pt").is_file() else read_generator(path)


def read_generator(path: Path) -> InitialWeights:
    """The generator in a file; the other players start anew."""
    weights = read(path).generator.state_dict()
    return InitialWeights(path, {f"generator.{name}": t for name, t in weights.items()}, weights)


def read_run(folder: Path) -> InitialWeights:
    """All players of a run as it is, without the state of their optimisers."""
    path = folder / "state.pt"
    document = read_checkpoint(path)
    parts = [document.get(name) for name in ("system", "ema")] if isinstance(document, dict) else []
    system, ema = (part if is_tensors(part) else None for part in parts or (None, None))
    if system is None or ema is None:
        raise BadInput(f"--init {folder}: {path} holds no state of a run")
    return InitialWeights(folder, dict(system), dict(ema))


def is_tensors(part: object) -> bool:
    """Whether this is a dictionary of names and tensors."""
    return isinstance(part, dict) and all(
        isinstance(name, str) and isinstance(each, Tensor) for name, each in part.items()
    )
