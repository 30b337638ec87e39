"""Tensors out of foreign checkpoints, without running them.

A pickle is a program; this reads it with an unpickler for which every name it mentions is an inert stand-in that only
remembers what it was given. Tensors are rebuilt from their storages, nothing else is ever imported or called.
"""

import collections
import io
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from genscene.errors import BadInput

DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class Inert:
    """Stands for an object of a class that is never imported: remembers its name, arguments and state."""

    module = name = ""
    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *arguments: Any, **_: Any):
        self.arguments = arguments

    def __call__(self, *arguments: Any, **_: Any) -> "Inert":
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """What a dict or list of a foreign class is filled with is dropped."""

    def append(self, value: Any) -> None:
        """Likewise."""

    def extend(self, values: Any) -> None:
        """Likewise."""

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes it was pickled with."""
        return self.state if isinstance(self.state, dict) else {}


@dataclass(frozen=True)
class Storage:
    """A flat run of numbers in a checkpoint, before it is shaped."""

    dtype: torch.dtype
    read: Callable[[], bytes]
    count: int

    def tensor(self) -> Tensor:
        """All numbers [count]."""
        data = self.read()
        if len(data) < self.count * self.dtype.itemsize:
            raise ValueError(f"a storage of {self.count} numbers holds {len(data)} bytes")
        return (
            torch.frombuffer(bytearray(data), dtype=self.dtype, count=self.count)
            if self.count
            else torch.empty(0)
        )


def contents(path: str | Path) -> Any:
    """What a checkpoint of torch holds: dicts, lists, numbers, tensors, and Inert where a class of its own stood.

    Reads the zip format (torch >= 1.6) and the older one. Raises BadInput, naming the file, for what is neither, or
    is cut short.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"no checkpoint at {path}")
    try:
        return _zipped(path) if zipfile.is_zipfile(path) else _legacy(path)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    except Exception:  # a damaged pickle can raise anything, in words about itself
        raise BadInput(f"{path} is damaged or no checkpoint of torch") from None


def unpickled(file: BinaryIO) -> Any:
    """The object at the place of an open file, without tensors in it: every class is inert."""

    def none(identity: Any) -> Storage:
        raise ValueError("a tensor where none was expected")

    return _Unpickler(file, none).load()


def tensors(thing: Any, prefix: str = "") -> dict[str, Tensor]:
    """All named tensors in what `contents` gave: state dicts, nested dicts, and pickled modules, in their order."""
    return dict(_walk(thing, prefix))


def inert(thing: Any, name: str) -> Iterator[Inert]:
    """All stand-ins of classes with this name anywhere inside."""
    if isinstance(thing, Inert):
        if thing.name == name:
            yield thing
        thing = thing.attributes
    if isinstance(thing, Mapping):
        for value in thing.values():
            yield from inert(value, name)


def _walk(thing: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(thing, Tensor):
        yield prefix, thing
    elif isinstance(thing, Inert):
        for part in ("_parameters", "_buffers", "_modules"):
            yield from _walk(thing.attributes.get(part) or {}, prefix)
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            yield from _walk(value, f"{prefix}.{key}" if prefix else str(key))


class _Unpickler(pickle.Unpickler):
    """Unpickles data only; every class and function is inert."""

    def __init__(self, file: Any, storage: Callable[[Any], Storage]):
        super().__init__(file, encoding="utf-8")
        self.storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """The few names that shape data; for all others a build_seeded stand-in."""
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("builtins", "set"): set,
            ("__builtin__", "set"): set,
            ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        }
        return known.get((module, name)) or type(name, (Inert,), {"module": module, "name": name})

    def persistent_load(self, identity: Any) -> Any:
        """A storage by its identity; the older format also keeps classes this way, with their source."""
        if not isinstance(identity, tuple):
            raise ValueError(f"a storage called {identity!r}")
        return identity[1] if identity[0] == "module" else self.storage(identity)


def _rebuild_tensor(
    storage: Storage, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any
) -> Tensor:
    return torch.as_strided(storage.tensor(), tuple(size), tuple(stride), offset).clone()


def _rebuild_parameter(data: Tensor, *_: Any) -> Tensor:
    return data


def _dtype(kind: Any) -> torch.dtype:
    name = getattr(kind, "name", "")
    if name not in DTYPES:
        raise BadInput(f"unknown kind of numbers in the checkpoint: {name or kind}")
    return DTYPES[name]


def _zipped(path: Path) -> Any:
    """torch >= 1.6: a zip with data.pkl and one file for each storage."""
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if not pickles:
            raise BadInput("a zip, but no checkpoint of torch (it holds no data.pkl)")
        root = pickles[0].removesuffix("data.pkl")

        def storage(identity: Any) -> Storage:
            _, kind, key, _, count = identity
            return Storage(_dtype(kind), lambda: archive.read(f"{root}data/{key}"), count)

        return _Unpickler(io.BytesIO(archive.read(pickles[0])), storage).load()


def _legacy(path: Path) -> Any:
    """torch < 1.6: magic number, version, machine, the object, the keys of the storages, then their numbers."""
    with path.open("rb") as file:

        def load(storage: Callable[[Any], Storage]) -> Any:
            return _Unpickler(file, storage).load()

        def hollow(identity: Any) -> Storage:
            return Storage(_dtype(identity[1]), lambda: b"", 0)

        if load(hollow) != LEGACY_MAGIC:
            raise BadInput("no checkpoint of torch")
        load(hollow), load(hollow)  # version and machine
        start = file.tell()
        kinds: dict[str, torch.dtype] = {}

        def noted(identity: Any) -> Storage:
            kinds[str(identity[2])] = _dtype(identity[1])
            return Storage(kinds[str(identity[2])], lambda: bytes(identity[4] * 8), identity[4])

        load(noted)
        data = {}
        for key in load(hollow):
            count = int.from_bytes(file.read(8), "little")
            data[str(key)] = file.read(count * kinds[str(key)].itemsize)
        file.seek(start)
        return load(
            lambda identity: Storage(_dtype(identity[1]), lambda: data[str(identity[2])], identity[4])
        )
