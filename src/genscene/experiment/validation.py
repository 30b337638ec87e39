"""Validation of experiments and runs before anything is read or written."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Protocol, runtime_checkable

from genscene.contract import SystemConfig
from genscene.errors import BadInput


@runtime_checkable
class Checked(Protocol):
    """A part of an experiment or a run that can check its numbers."""

    def check(self) -> None:
        """Raise BadInput with a line that begins with the name of a field."""
        ...


def validate(part: Any, option: str = "") -> None:
    """Raise BadInput, naming the option, for numbers that cannot be used, and for what the check of any part
    refuses.

    Numbers must be finite and whole ones fit 64 bits, unless they are the default of their field. What a
    system refuses depends on the size of the images: `SystemConfig.check`.
    """
    if isinstance(part, float) and not math.isfinite(part):
        raise BadInput(f"--{option} {part}: wanted a finite number")
    if isinstance(part, int) and abs(part) >= 2**63:
        raise BadInput(f"--{option} {str(part)[:40]}: wanted a number of at most 64 bits")
    for name, inner in children(part, option):
        validate(inner, name)
    if isinstance(part, Checked) and not isinstance(part, SystemConfig):
        try:
            part.check()
        except BadInput as error:
            raise BadInput(f"--{option}.{error}".replace("--.", "--")) from None


def children(part: Any, option: str) -> Iterator[tuple[str, Any]]:
    """The members of a dataclass, mapping or tuple, and the names of their options; without plain
    defaults.
    """
    if isinstance(part, Mapping):
        yield from ((f"{option}.{name}", inner) for name, inner in part.items())
    elif isinstance(part, tuple):
        yield from (
            (f"{option}.{i}" if is_dataclass(inner) else option, inner) for i, inner in enumerate(part)
        )
    elif is_dataclass(part):
        for each in fields(part):
            inner = getattr(part, each.name)
            if is_dataclass(inner) or inner != each.default:
                yield f"{option}.{each.name.replace('_', '-')}".strip("."), inner
