"""What is kept of a run: one safetensors file, the generator's weights with the experiment in its header."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.experiment.schema import Experiment, dumps, loads
from genscene.io.atomic import atomic
from genscene.systems import KINDS


def save_generator(path: str | Path, generator: Generator, experiment: Experiment) -> None:
    """Write a generator and all that is needed to build it again."""
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in generator.state_dict().items()}
    with atomic(path) as partial:
        save_file(tensors, partial, metadata={"experiment": dumps(experiment)})


def load(path: str | Path) -> Generator:
    """The generator in a file that `genscene train` or `genscene convert` wrote, on the CPU, ready to render.

    Raises BadInput, naming the file, where it is missing, cut short, or none of ours. Nothing in it is executed.
    """
    experiment, tensors = opened(path)
    generator = experiment.system.build().generator
    wanted = generator.state_dict()
    wrong = misfit(tensors, wanted)
    if wrong:
        raise BadInput(f"{path}: the weights do not fit the experiment in the header: {wrong}")
    generator.load_state_dict(tensors)
    return generator.eval().requires_grad_(False)


def misfit(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """The first tensor by which what was found is not what is wanted, in words; "" where all of it is."""
    for name in sorted({*found, *wanted}):
        if name not in found or name not in wanted:
            return f"{name} is {'missing' if name in wanted else 'none of its tensors'}"
        shapes = tuple(found[name].shape), tuple(wanted[name].shape)
        if shapes[0] != shapes[1]:
            return f"{name} has shape {shapes[0]}, wanted {shapes[1]}"
        if not found[name].isfinite().all():
            return f"{name} holds numbers that are not finite"
    return ""


def opened(path: str | Path) -> tuple[Experiment, dict[str, Tensor]]:
    """The experiment and the tensors of a published file."""
    path = Path(path)
    if path.is_dir() and (path / "generator.safetensors").exists():
        path = path / "generator.safetensors"  # the folder of a run
    if not path.is_file():
        raise BadInput(
            f"no generator at {path}: wanted a .safetensors file of genscene, or the folder of a run"
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BadInput(
            f"{path} is not a whole safetensors file ({error}); official checkpoints: genscene convert"
        ) from None
    if "experiment" not in header:
        raise BadInput(
            f"{path} is a safetensors file without genscene's header; official checkpoints: genscene convert"
        )
    return loads(header["experiment"], KINDS, str(path)), tensors
