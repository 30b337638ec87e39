"""Generator files: weights in safetensors, the experiment and its data in the header.

format 1: tensors `generator.*`, and of scenes fitted to photographs `cameras.*` and `to_files`; the header's
entries are JSON: format, genscene (the version that wrote it), experiment, data, licence, measured.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from genscene.contract import Generator
from genscene.devices import require_memory, tensor_bytes, without_memory
from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.experiment.serialise import dumps, loads
from genscene.geometry.camera_files import check_cameras
from genscene.geometry.cameras import Camera
from genscene.hub import local_path
from genscene.io.atomic import atomic
from genscene.randomness import undisturbed
from genscene.systems import KINDS
from genscene.version import __version__

MOST_PIXELS = 65_536  # along a side of a photograph
FORMAT = 1  # of generator files; other formats are refused by name
PREFIX = "generator."  # of the names of weights
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
    tensors |= camera_tensors(content.cameras)
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
    write_with_header(path, tensors, header)


def camera_tensors(cameras: Camera | None) -> dict[str, Tensor]:
    """The tensors that cameras are stored as, which `stored_cameras` reads; none of None."""
    if cameras is None:
        return {}
    found = {"cameras.pose": cameras.pose, "cameras.intrinsics": cameras.intrinsics}
    return found | {"cameras.size": torch.tensor(cameras.size)}


def write_with_header(path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write a safetensors file with a header, atomically; the same bytes every time."""
    stored = save({name: t.detach().contiguous().cpu() for name, t in tensors.items()})
    with atomic(path) as partial:
        partial.write_bytes(with_header(stored, header))


def weights_sha256(generator: Generator) -> str:
    """SHA-256 of the names, shapes and numbers of a generator's weights, in hexadecimal."""
    content = hashlib.sha256()
    for name, tensor in generator.state_dict().items():
        content.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        content.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return content.hexdigest()


def with_header(content: bytes, header: Mapping[str, str]) -> bytes:
    """The bytes of a safetensors file with a header, in the order given: the library's own is random."""
    start = 8 + int.from_bytes(content[:8], "little")
    document = {"__metadata__": dict(header)} | json.loads(content[8:start])
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors are aligned to 8 bytes
    return len(text).to_bytes(8, "little") + text + content[start:]


def load(path: str | Path) -> Generator:
    """The generator in a file of `genscene train` or `genscene convert`, on the CPU, ready to render.

    path: a file, the folder of a run, or hf://owner/name[/file][@revision] on the Hugging Face hub. Raises
    BadInput, naming the file, where it is missing, cut short, or of another kind. Nothing in it is executed;
    torch's random state, default dtype and default device stay as they are.
    """
    return read(path).generator


@undisturbed()
def read(path: str | Path) -> GeneratorFile:
    """All that a generator file, or the folder of a run, or one on the hub, holds; BadInput like `load`."""
    path = local_path(path)
    if path.is_dir() and (path / "generator.safetensors").exists():
        path = path / "generator.safetensors"  # the folder of a run
    if not path.is_file():
        if (path / "experiment.json").exists():
            wanted = "wanted one with a checkpoint (genscene train --save-every)"
            raise BadInput(f"no generator at {path}: the run has not saved one yet; {wanted}")
        raise BadInput(
            f"no generator at {path}: wanted a .safetensors file of genscene, or the folder of a run"
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            experiment = _experiment(header, path)
            generator = _build(experiment, file, path)
            others = [name for name in file.keys() if not name.startswith(PREFIX)]  # noqa: SIM118
            tensors = {name: file.get_tensor(name) for name in others}
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path} is not a whole safetensors file ({error}); {CONVERT}") from None
    cameras, to_files = stored_cameras(tensors, path)
    return GeneratorFile(
        generator.eval().requires_grad_(False),
        experiment,
        cameras,
        to_files,
        header.get("licence", ""),
        _measured(header, path),
        header.get("genscene", ""),
    )


def _experiment(header: Mapping[str, str], path: Path) -> Experiment:
    """The experiment in the header of a file of this format."""
    if "experiment" not in header:
        raise BadInput(f"{path} is a safetensors file without genscene's header; {CONVERT}")
    if header.get("format", "0") != str(FORMAT):
        found = header.get("format", "0")
        raise BadInput(f"{path} is a generator file of format {found}, this version reads format {FORMAT}")
    return loads(header["experiment"], KINDS, str(path))


def _build(experiment: Experiment, file: Any, path: Path) -> Generator:
    """The generator of an experiment with the weights of an open file.

    Names and shapes are compared before anything is read, and weights are not initialised: a header may
    describe a generator that no machine can hold.
    """
    with without_memory():
        generator = experiment.system.build_generator()
    wanted = generator.state_dict()
    names = [name for name in file.keys() if name.startswith(PREFIX)]  # noqa: SIM118
    shapes = {name.removeprefix(PREFIX): tuple(file.get_slice(name).get_shape()) for name in names}
    wrong = mismatched_shape(shapes, wanted)
    if not wrong:
        require_memory(tensor_bytes(wanted.values()), f"{path}: the generator", "wanted a larger machine")
        weights = {name: file.get_tensor(PREFIX + name) for name in wanted}
        wrong = mismatch(weights, wanted)
    if wrong:
        raise BadInput(f"{path}: the weights do not fit the experiment in the header: {wrong}")
    if any(t.is_meta for name, t in generator.named_buffers() if name not in wanted):
        generator = experiment.system.build_generator()  # with buffers that are computed, not stored
    copies = {
        name: t.to(wanted[name].dtype, copy=True) for name, t in weights.items()
    }  # not mapped from the file
    try:
        generator.load_state_dict(copies, assign=True)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    return generator


def _measured(header: Mapping[str, str], path: Path) -> Mapping[str, Any]:
    """The metrics in the header."""
    try:
        return dict(json.loads(header.get("measured") or "{}"))
    except (ValueError, TypeError, RecursionError):
        raise BadInput(f"{path}: its header holds no readable numbers under 'measured'") from None


def mismatch(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """The first difference in name, shape or kind, or tensor not finite, in words; "" where all fit."""
    wrong = mismatched_shape({name: tuple(t.shape) for name, t in found.items()}, wanted)
    if wrong:
        return wrong
    for name in sorted(found):
        kinds = [
            (t.is_floating_point(), t.is_complex(), t.dtype == torch.bool)
            for t in (found[name], wanted[name])
        ]
        if kinds[0] != kinds[1]:
            return f"{name} holds {found[name].dtype}, wanted {wanted[name].dtype}"
        if not found[name].isfinite().all():
            return f"{name} holds numbers that are not finite"
    return ""


def mismatched_shape(found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, Tensor]) -> str:
    """The first difference in name or shape, in words; "" where all fit."""
    for name in sorted({*found, *wanted}):
        if name not in found or name not in wanted:
            return f"{name} is {'missing' if name in wanted else 'none of its tensors'}"
        if found[name] != tuple(wanted[name].shape):
            return f"{name} has shape {found[name]}, wanted {tuple(wanted[name].shape)}"
    return ""


def stored_cameras(tensors: Mapping[str, Tensor], path: Path) -> tuple[Camera | None, Tensor | None]:
    """The cameras stored beside weights, and the transform to their files; None where there are none.

    Raises BadInput, naming the file, for any other tensors, and for cameras that are none.
    """
    found = {name: t for name, t in tensors.items() if not name.startswith("generator.")}
    poses = found.get("cameras.pose", found.get("cameras.intrinsics", torch.empty(0)))
    count = poses.shape[:1].numel()
    wanted = {"to_files": torch.empty(4, 4)} if "to_files" in found else {}
    if any(name.startswith("cameras.") for name in found):
        wanted |= {"cameras.pose": torch.empty(count, 4, 4), "cameras.intrinsics": torch.empty(count, 3, 3)}
        wanted |= {"cameras.size": torch.empty(2, dtype=torch.long)}
    wrong = mismatch(found, wanted)
    if wrong:
        raise BadInput(f"{path}: the cameras in the file cannot be used: {wrong}")
    to_files = found.get("to_files")
    if to_files is not None and not float(torch.linalg.det(to_files[:3, :3].double())) > 0:
        raise BadInput(f"{path}: to_files is no transform, wanted one that can be inverted")
    if "cameras.pose" not in found:
        return None, to_files
    height, width = found["cameras.size"].tolist()
    if not count or not 1 <= min(height, width) <= max(height, width) <= MOST_PIXELS:
        raise BadInput(
            f"{path}: its cameras are {count}, of photographs of {height} x {width} pixels: wanted 1 or more,"
            f" of 1 to {MOST_PIXELS} pixels a side"
        )
    cameras = Camera(found["cameras.pose"].float(), found["cameras.intrinsics"].float(), (height, width))
    return check_cameras(cameras, path), to_files
