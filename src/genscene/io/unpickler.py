"""An unpickler that imports and executes nothing, with budgets that no pickle of weights reaches.

A pickle is a program. Here every class and function it names becomes a placeholder, which only stores its
arguments and state. It is Python's own unpickler in Python: unlike the one in C, its memo grows with what is
stored, not with the numbers that a pickle invents, and each step can be counted.
"""

import collections
import pickle
from collections.abc import Callable
from typing import Any, BinaryIO

from genscene.errors import BadInput

MAX_STEPS = 500_000  # opcodes: those of a checkpoint of 1,000 tensors are 50,000
MAX_CLASSES = 1000
MAX_LEAVES = 1_000_000  # of a tuple, each counted as often as it appears: its hash visits all of them
MAX_DEPTH = 100  # of tuples inside one another


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


class DataUnpickler(pickle._Unpickler):
    """Unpickles data only, within the budgets; `known` gives the few names that shape data a meaning.

    load_storage: what a persistent identity, a tuple, stands for.
    """

    def __init__(
        self,
        file: BinaryIO,
        load_storage: Callable[[Any], Any],
        known: dict[tuple[str, str], Callable[..., Any]] | None = None,
    ):
        super().__init__(file, encoding="utf-8")
        self.load_storage = load_storage
        self.classes: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("builtins", "set"): set,
            ("__builtin__", "set"): set,
            **(known or {}),
        }
        self.steps = 0
        self.tuples: dict[int, tuple[Any, int, int]] = {}  # id -> itself, kept alive; leaves; depth

    def find_class(self, module: str, name: str) -> Any:
        """What is known by this name; a Placeholder class for every other."""
        key = (module, name)
        if key not in self.classes:
            if len(self.classes) >= MAX_CLASSES:
                raise BadInput(f"its pickle names more than {MAX_CLASSES} classes")
            self.classes[key] = type(name, (Placeholder,), {"module": module, "name": name})
        return self.classes[key]

    def persistent_load(self, pid: Any) -> Any:
        """A storage by its identity; the older format also stores classes this way, with their source."""
        if not isinstance(pid, tuple) or not pid:
            raise ValueError("a storage without an identity")
        return pid[1] if pid[0] == "module" else self.load_storage(pid)

    def count(self) -> None:
        """Raise BadInput where a budget is exceeded by what the last step made."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise BadInput(f"its pickle has more than {MAX_STEPS} operations, wanted fewer")
        top = self.stack[-1] if self.stack else None  # type: ignore[attr-defined]
        if isinstance(top, tuple | frozenset) and id(top) not in self.tuples:
            inner = [self.tuples.get(id(part), (part, 1, 0)) for part in top]
            leaves, depth = 1 + sum(p[1] for p in inner), 1 + max((p[2] for p in inner), default=0)
            if leaves > MAX_LEAVES or depth > MAX_DEPTH:
                raise BadInput(f"its pickle holds tuples of {leaves} parts, {depth} deep, wanted tensors")
            self.tuples[id(top)] = (top, leaves, depth)

    def build(self) -> None:
        """Give its state to a placeholder; of all else only the versions of a state dict are kept."""
        state = self.stack.pop()  # type: ignore[attr-defined]
        target = self.stack[-1]  # type: ignore[attr-defined]
        if isinstance(target, Placeholder):
            target.state = state
        elif isinstance(target, collections.OrderedDict) and isinstance(state, dict):
            target._metadata = state.get("_metadata")  # type: ignore[attr-defined]


def _counted(step: Callable[[Any], None]) -> Callable[[Any], None]:
    def counted(unpickler: Any) -> None:
        step(unpickler)
        unpickler.count()

    return counted


_BUFFERS = (pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER)
_REFUSED = (*_BUFFERS, pickle.EXT1, pickle.EXT2, pickle.EXT4)
DataUnpickler.dispatch = {
    code: _counted(DataUnpickler.build if code == pickle.BUILD[0] else step)
    for code, step in pickle._Unpickler.dispatch.items()
    if bytes([code]) not in _REFUSED
}
