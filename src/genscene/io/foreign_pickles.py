"""Tensors out of foreign checkpoints, without executing them.

A pickle is a program. It is read here by an unpickler that replaces every class and function by a
placeholder, which only stores its arguments and state. Tensors are rebuilt from their storages; nothing else
is imported or called.
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


class Placeholder:
    """Stands for an object of a class that is never imported: stores its name, arguments and state."""

    module = name = ""
    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *arguments: Any, **_: Any):
        self.arguments = arguments

    def __call__(self, *arguments: Any, **_: Any) -> "Placeholder":
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Items of a dict subclass are dropped."""

    def append(self, value: Any) -> None:
        """Items of a list subclass are dropped."""

    def extend(self, values: Any) -> None:
        """Items of a list subclass are dropped."""

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes it was pickled with."""
        return self.state if isinstance(self.state, dict) else {}


@dataclass(frozen=True)
class Storage:
    """The numbers of one or more tensors of a checkpoint, flat."""

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


def read_checkpoint(path: str | Path) -> Any:
    """The content of a torch checkpoint: dicts, lists, numbers, tensors; else a Placeholder.

    Reads the zip format (torch >= 1.6) and the older one. Raises BadInput, naming the file, for any other
    file and for one that is cut short.
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


def unpickle(file: BinaryIO) -> Any:
    """Unpickle one object without tensors from an open file; every class becomes a Placeholder."""

    def none(identity: Any) -> Storage:
        raise ValueError("a tensor where none was expected")

    return _Unpickler(file, none).load()


def collect_tensors(thing: Any, prefix: str = "") -> dict[str, Tensor]:
    """All named tensors, in order: of state dicts, nested dicts and pickled modules."""
    return dict(_walk(thing, prefix))


def find_placeholders(thing: Any, name: str) -> Iterator[Placeholder]:
    """All placeholders of classes with this name, at any depth."""
    if isinstance(thing, Placeholder):
        if thing.name == name:
            yield thing
        thing = thing.attributes
    if isinstance(thing, Mapping):
        for value in thing.values():
            yield from find_placeholders(value, name)


def _walk(thing: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(thing, Tensor):
        yield prefix, thing
    elif isinstance(thing, Placeholder):
        for part in ("_parameters", "_buffers", "_modules"):
            yield from _walk(thing.attributes.get(part) or {}, prefix)
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            yield from _walk(value, f"{prefix}.{key}" if prefix else str(key))


class _Unpickler(pickle.Unpickler):
    """Unpickles data only; every class and function becomes a Placeholder."""

    def __init__(self, file: Any, storage: Callable[[Any], Storage]):
        super().__init__(file, encoding="utf-8")
        self.storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """The few names that shape data; a new Placeholder class for every other name."""
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("builtins", "set"): set,
            ("__builtin__", "set"): set,
            ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        }
        return known.get((module, name)) or type(name, (Placeholder,), {"module": module, "name": name})

    def persistent_load(self, identity: Any) -> Any:
        """A storage by its identity; the older format also stores classes this way, with their source."""
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
        raise BadInput(f"unknown dtype in the checkpoint: {name or kind}")
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
    """torch < 1.6: magic number, version, machine, object, keys of the storages, their numbers."""
    with path.open("rb") as file:

        def load(storage: Callable[[Any], Storage]) -> Any:
            return _Unpickler(file, storage).load()

        def empty(identity: Any) -> Storage:
            return Storage(_dtype(identity[1]), lambda: b"", 0)

        if load(empty) != LEGACY_MAGIC:
            raise BadInput("no checkpoint of torch")
        load(empty), load(empty)  # version and machine
        start = file.tell()
        dtypes: dict[str, torch.dtype] = {}

        def record_dtype(identity: Any) -> Storage:
            dtypes[str(identity[2])] = _dtype(identity[1])
            return Storage(dtypes[str(identity[2])], lambda: bytes(identity[4] * 8), identity[4])

        load(record_dtype)
        data = {}
        for key in load(empty):
            count = int.from_bytes(file.read(8), "little")
            data[str(key)] = file.read(count * dtypes[str(key)].itemsize)
        file.seek(start)
        return load(
            lambda identity: Storage(_dtype(identity[1]), lambda: data[str(identity[2])], identity[4])
        )
