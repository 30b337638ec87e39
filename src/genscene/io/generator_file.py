"""Generator files: weights in safetensors, the experiment and its data in the header.

format 1: tensors `generator.*`, and of scenes fitted to photographs `cameras.*` and `to_files`; the header's
entries are JSON: format, genscene (the version that wrote it), experiment, data, licence, measured.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from genscene import __version__
from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.experiment.serialise import dumps, loads
from genscene.geometry.cameras import Camera
from genscene.io.atomic import atomic
from genscene.randomness import undisturbed
from genscene.systems import KINDS

FORMAT = 1  # of generator files; other formats are refused by name
CONVERT = "official checkpoints: genscene convert"


@dataclass(frozen=True)
class GeneratorFile:
    """A generator and what is known of it."""

    generator: Generator
    experiment: Experiment
    cameras: Camera | None = None  # of the photographs that a scene was fitted to
    # [4, 4], transform from the scene's world to that of the photographs' files
    to_files: Tensor | None = None
    licence: str = ""  # of the weights
    measured: Mapping[str, Any] = field(default_factory=dict)  # metric -> value
    version: str = __version__  # of genscene that wrote it


def write(path: str | Path, content: GeneratorFile) -> None:
    """Write a generator, and all that is needed to build it again, atomically."""
    tensors = {f"generator.{name}": tensor for name, tensor in content.generator.state_dict().items()}
    if content.cameras is not None:
        tensors |= {"cameras.pose": content.cameras.pose, "cameras.intrinsics": content.cameras.intrinsics}
        tensors |= {"cameras.size": torch.tensor(content.cameras.size)}
    if content.to_files is not None:
        tensors["to_files"] = content.to_files
    header = {
        "format": str(FORMAT),
        "genscene": content.version,
        "experiment": dumps(content.experiment),
        "data": content.experiment.data,
        "licence": content.licence,
        "measured": json.dumps(dict(content.measured)),
    }
    stored = save({name: t.detach().contiguous().cpu() for name, t in tensors.items()})
    with atomic(path) as partial:
        partial.write_bytes(with_header(stored, header))


def with_header(content: bytes, header: Mapping[str, str]) -> bytes:
    """The bytes of a safetensors file with a header, in the order given: the library's own is random."""
    start = 8 + int.from_bytes(content[:8], "little")
    document = {"__metadata__": dict(header)} | json.loads(content[8:start])
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors are aligned to 8 bytes
    return len(text).to_bytes(8, "little") + text + content[start:]


def load(path: str | Path) -> Generator:
    """The generator in a file of `genscene train` or `genscene convert`, on the CPU, ready to render.

    Raises BadInput, naming the file, where it is missing, cut short, or of another kind. Nothing in it is
    executed; torch's random state, default dtype and default device stay as they are.
    """
    return read(path).generator


@undisturbed()
def read(path: str | Path) -> GeneratorFile:
    """All that a generator file, or the folder of a run, holds; raises BadInput like `load`."""
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
        raise BadInput(f"{path} is not a whole safetensors file ({error}); {CONVERT}") from None
    if "experiment" not in header:
        raise BadInput(f"{path} is a safetensors file without genscene's header; {CONVERT}")
    if header.get("format", "0") != str(FORMAT):
        found = header.get("format", "0")
        raise BadInput(f"{path} is a generator file of format {found}, this version reads format {FORMAT}")
    experiment = loads(header["experiment"], KINDS, str(path))
    generator = experiment.system.build_generator()
    prefix = "generator."
    weights = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    wrong = mismatch(weights, generator.state_dict())
    if wrong:
        raise BadInput(f"{path}: the weights do not fit the experiment in the header: {wrong}")
    generator.load_state_dict(weights)
    try:
        measured = dict(json.loads(header.get("measured") or "{}"))
    except (ValueError, TypeError):
        raise BadInput(f"{path}: its header holds no readable numbers under 'measured'") from None
    return GeneratorFile(
        generator.eval().requires_grad_(False),
        experiment,
        *_cameras(tensors, path),
        header.get("licence", ""),
        measured,
        header.get("genscene", ""),
    )


def mismatch(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """The first difference in name or shape, or tensor not finite, in words; "" where all fit."""
    for name in sorted({*found, *wanted}):
        if name not in found or name not in wanted:
            return f"{name} is {'missing' if name in wanted else 'none of its tensors'}"
        shapes = tuple(found[name].shape), tuple(wanted[name].shape)
        if shapes[0] != shapes[1]:
            return f"{name} has shape {shapes[0]}, wanted {shapes[1]}"
        if not found[name].isfinite().all():
            return f"{name} holds numbers that are not finite"
    return ""


def _cameras(tensors: Mapping[str, Tensor], path: Path) -> tuple[Camera | None, Tensor | None]:
    """The cameras stored beside the weights and the transform to their files; None where there are none."""
    found = {name: t for name, t in tensors.items() if not name.startswith("generator.")}
    count = len(found.get("cameras.pose", found.get("cameras.intrinsics", ())))
    wanted = {"to_files": torch.empty(4, 4)} if "to_files" in found else {}
    if any(name.startswith("cameras.") for name in found):
        wanted |= {"cameras.pose": torch.empty(count, 4, 4), "cameras.intrinsics": torch.empty(count, 3, 3)}
        wanted |= {"cameras.size": torch.empty(2)}
    wrong = mismatch(found, wanted)
    if wrong:
        raise BadInput(f"{path}: the cameras in the file cannot be used: {wrong}")
    if "cameras.pose" not in found:
        return None, found.get("to_files")
    height, width = found["cameras.size"].tolist()
    cameras = Camera(found["cameras.pose"], found["cameras.intrinsics"], (int(height), int(width)))
    return cameras, found.get("to_files")
