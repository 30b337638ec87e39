"""Tensors out of foreign checkpoints, without executing them.

Tensors are rebuilt from their storages; nothing else is imported or called. What an archive inflates to, and
what its tensors span, is limited by the size of its file.
"""

import io
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.io.archives import member_bytes, open_zip
from genscene.io.files import MIB, format_size, open_regular
from genscene.io.unpickler import DataUnpickler, Placeholder

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
MAX_PICKLE = 16 * MIB  # of data.pkl, which holds no numbers of tensors
SPARE_BYTES = 64 * MIB  # that an archive may inflate to beyond a multiple of its file
MAX_VISITED, MAX_DEPTH = 1_000_000, 100  # objects in a checkpoint, and of these inside one another
MAX_NAME = 1000  # characters of the name of a tensor
MODULE_PARTS = ("_parameters", "_buffers", "_modules")  # attributes of a pickled module
PERSISTENT = ("torch_utils.persistence", "_reconstruct_persistent_obj")
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


@dataclass(frozen=True)
class Storage:
    """The numbers of one or more tensors of a checkpoint: [count], or None where they are not read yet."""

    numbers: Tensor | None


class Budget:
    """The bytes that the archive of a checkpoint may inflate to, and that its tensors may span in all."""

    def __init__(self, size: int):
        self.inflated = self.spanned = 4 * size + SPARE_BYTES  # several tensors may share their numbers

    def inflate(self, size: int) -> None:
        """Count numbers that are read."""
        self.inflated -= size
        if size < 0 or self.inflated < 0:
            raise BadInput(f"its numbers take {format_size(abs(size))} or more, far more than the file")

    def span(self, size: int) -> None:
        """Count the elements of a tensor, in bytes: an expanded one has more than its storage."""
        self.spanned -= size
        if size < 0 or self.spanned < 0:
            raise BadInput(f"a tensor spans {format_size(abs(size))}, more than its file holds numbers for")


def read_checkpoint(path: str | Path) -> Any:
    """The content of a torch checkpoint: dicts, lists, numbers, tensors; else a Placeholder.

    Reads the zip format (torch >= 1.6), the older one, and plain pickles of tensors and modules, those of
    NVIDIA's persistent classes (StyleGAN) among them, whose source is not read. Raises BadInput, naming the
    file, for any other file and for one that is cut short.
    """
    with open_regular(path, "checkpoint") as file:
        try:
            budget = Budget(os.fstat(file.fileno()).st_size)
            zipped = zipfile.is_zipfile(file)
            file.seek(0)
            found = _zipped(path, budget) if zipped else _unzipped(file, budget)
            for _ in _walk(found, "", None):  # can be walked
                pass
            return found
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from None
        except Exception:  # a damaged pickle can raise anything, in words about itself
            raise BadInput(f"{path} is damaged or no checkpoint of torch") from None


def read_state_dict(path: str | Path, key: str, prefix: str = "") -> dict[str, Tensor]:
    """Tensors under a key of a checkpoint whose names begin with a prefix, without it and DataParallel's."""
    content = read_checkpoint(path)
    part = content.get(key) if isinstance(content, dict) else None
    if not isinstance(part, dict):
        raise BadInput(f"{path} has no state dict {key!r}")
    found = {str(name).removeprefix("module."): tensor for name, tensor in part.items()}
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in found.items()
        if isinstance(tensor, Tensor) and name.startswith(prefix)
    }


def unpickle(file: BinaryIO) -> Any:
    """Unpickle one object without tensors from an open file; every class becomes a Placeholder."""

    def none(identity: Any) -> Storage:
        raise ValueError("a tensor where none was expected")

    return DataUnpickler(file, none).load()


def collect_tensors(thing: Any, prefix: str = "") -> dict[str, Tensor]:
    """All named tensors, in order: of state dicts, nested dicts and pickled modules."""
    found: dict[str, Tensor] = {}
    for name, part in _walk(thing, prefix, MODULE_PARTS):
        if isinstance(part, Tensor):
            found[name] = part
    return found


def find_placeholders(thing: Any, name: str) -> Iterator[Placeholder]:
    """All placeholders of classes with this name, at any depth."""
    for _, part in _walk(thing, "", None):
        if isinstance(part, Placeholder) and part.name == name:
            yield part


def _walk(thing: Any, prefix: str, parts: Sequence[str] | None) -> Iterator[tuple[str, Any]]:
    """Everything inside mappings and placeholders, and its name; of placeholders all attributes, or `parts`.

    Raises BadInput where it is too deep or, counted as often as it appears, too much.
    """
    waiting, visited = [(prefix, thing, 0)], 0
    while waiting:
        prefix, thing, depth = waiting.pop()
        visited += 1
        if visited > MAX_VISITED or depth > MAX_DEPTH or len(prefix) > MAX_NAME:
            raise BadInput("it holds objects that contain themselves, too many, or of names too long")
        yield prefix, thing
        inner: list[tuple[str, Any, int]] = []
        if isinstance(thing, Placeholder) and parts is not None:
            inner = [(prefix, thing.attributes.get(part) or {}, depth + 1) for part in parts]
        elif isinstance(thing, Placeholder | Mapping):
            items = thing.attributes if isinstance(thing, Placeholder) else thing
            inner = [(f"{prefix}.{k}" if prefix else str(k), v, depth + 1) for k, v in items.items()]
        waiting += reversed(inner)


def _unpickler(file: BinaryIO, storage: Callable[[Any], Storage], budget: Budget) -> DataUnpickler:
    """An unpickler that knows how torch stores tensors."""

    def rebuild(storage: Storage, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any) -> Tensor:
        if storage.numbers is None:
            return torch.empty(0)
        if min((*size, offset), default=0) < 0:
            raise ValueError("a tensor of negative size")
        budget.span(math.prod(size) * storage.numbers.itemsize)
        return torch.as_strided(storage.numbers, tuple(size), tuple(stride), offset)

    known = {("torch._utils", name): rebuild for name in ("_rebuild_tensor", "_rebuild_tensor_v2")}
    return DataUnpickler(file, storage, {**known, ("torch._utils", "_rebuild_parameter"): _rebuild_parameter})


def _rebuild_parameter(data: Tensor, *_: Any) -> Tensor:
    return data


def _numbers(data: bytes, dtype: torch.dtype, count: int) -> Tensor:
    """Bytes -> their numbers [count]."""
    if len(data) < count * dtype.itemsize:
        raise ValueError(f"a storage of {count} numbers holds {len(data)} bytes")
    if not count:
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype, count=count)


def _dtype(kind: Any) -> torch.dtype:
    name = getattr(kind, "name", "")
    if name not in DTYPES:
        raise BadInput(f"unknown dtype in the checkpoint: {name or kind}")
    return DTYPES[name]


def _zipped(path: str | Path, budget: Budget) -> Any:
    """torch >= 1.6: a zip with data.pkl and one file for each storage."""
    with open_zip(path, "checkpoint") as archive:
        pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if not pickles:
            raise BadInput("a zip, but no checkpoint of torch (it holds no data.pkl)")
        root = pickles[0].removesuffix("data.pkl")
        read: dict[str, Storage] = {}

        def storage(identity: Any) -> Storage:
            _, kind, key, _, count = identity
            if str(key) not in read:
                dtype = _dtype(kind)
                budget.inflate(count * dtype.itemsize)
                data = member_bytes(archive, f"{root}data/{key}", max(8, count * dtype.itemsize))
                read[str(key)] = Storage(_numbers(data, dtype, count))
            return read[str(key)]

        content = io.BytesIO(member_bytes(archive, pickles[0], MAX_PICKLE))
        return _unpickler(content, storage, budget).load()


def _unread(identity: Any) -> Storage:
    return Storage(None)


def _unzipped(file: BinaryIO, budget: Budget) -> Any:
    """The format of torch < 1.6, which begins with a number, or a plain pickle."""
    read: dict[int, tuple[Any, Storage]] = {}  # id -> bytes, kept alive, and what they hold

    def embedded(data: Any) -> Storage:
        if id(data) not in read:
            inner = io.BytesIO(data)
            if _unpickler(inner, _unread, budget).load() != LEGACY_MAGIC:
                raise ValueError("bytes that are no storage of torch")
            found = _legacy(inner, budget)
            if not isinstance(found, Storage):
                raise ValueError("bytes that hold another object than a storage")
            read[id(data)] = (data, found)
        return read[id(data)][1]

    unpickler = _unpickler(file, _unread, budget)
    unpickler.classes["torch.storage", "_load_from_bytes"] = embedded
    unpickler.classes[PERSISTENT] = _rebuild_persistent
    found = unpickler.load()
    if found == LEGACY_MAGIC:
        return _legacy(file, budget)
    if not read:
        raise BadInput("no checkpoint of torch")
    return found


def _rebuild_persistent(meta: Any, *_: Any) -> Placeholder:
    """An object of one of NVIDIA's persistent classes: the attributes of its instance."""
    found = Placeholder()
    found.name, found.state = str(meta["class_name"]), meta["state"]
    return found


def _legacy(file: BinaryIO, budget: Budget) -> Any:
    """torch < 1.6, behind the first number: version, machine, object, keys of the storages, their numbers."""
    for _ in ("version", "machine"):
        _unpickler(file, _unread, budget).load()
    start = file.tell()
    dtypes: dict[str, torch.dtype] = {}

    def record_dtype(identity: Any) -> Storage:
        dtypes[str(identity[2])] = _dtype(identity[1])
        return Storage(None)

    _unpickler(file, record_dtype, budget).load()
    data: dict[str, Storage] = {}
    for key in _unpickler(file, _unread, budget).load():
        count, dtype = int.from_bytes(file.read(8), "little"), dtypes[str(key)]
        budget.inflate(count * dtype.itemsize)
        data[str(key)] = Storage(_numbers(file.read(count * dtype.itemsize), dtype, count))
    file.seek(start)
    return _unpickler(file, lambda identity: data[str(identity[2])], budget).load()
