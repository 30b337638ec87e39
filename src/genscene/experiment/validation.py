"""Validation of experiments, runs and their parts: every number in the range of its field."""

import math
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from genscene.contract import SystemConfig
from genscene.errors import BadInput
from genscene.ranges import Range


def validate(part: Any, option: str = "") -> None:
    """Raise BadInput, naming the option, for the first value outside the type or range of its field.

    Numbers must be finite and whole ones fit 64 bits, unless they are the default of their field. Dataclasses
    with conditions on several fields have a method `check`, whose lines begin with the name of a field; what
    a system refuses depends on the size of the images: `SystemConfig.check`.
    """
    hints = type_hints(part.__class__)
    for each in fields(part):
        value = getattr(part, each.name)
        if is_dataclass(value) or value != each.default:
            require(value, hints[each.name], f"{option}.{each.name.replace('_', '-')}".strip("."))
    check = getattr(part, "check", None)
    if check is not None and not isinstance(part, SystemConfig):
        try:
            check()
        except BadInput as error:
            raise BadInput(f"--{option}.{error}".replace("--.", "--")) from None


@cache
def type_hints(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields, with their ranges."""
    return get_type_hints(kind, include_extras=True)


def require(value: Any, hint: Any, option: str) -> None:
    """Raise BadInput, naming the option, for a value that its type or range excludes."""
    origin, inner = get_origin(hint), get_args(hint)
    if is_dataclass(value):
        validate(value, option)
    elif origin is Annotated:
        require(value, inner[0], option)
        for limit in inner[1:]:
            if isinstance(limit, Range) and value not in limit:
                raise BadInput(f"--{option} {value}: wanted {limit}")
    elif origin in (Union, UnionType):
        if value is not None or NoneType not in inner:
            require(value, next(kind for kind in inner if kind is not NoneType), option)
    elif origin is Literal:
        if value not in inner:
            raise BadInput(f"--{option} {value!r}: wanted one of {', '.join(map(str, inner))}")
    elif origin is tuple:
        kinds = [inner[0]] * len(value) if inner[1:] == (...,) else inner
        for i, (each, kind) in enumerate(zip(value, kinds, strict=True)):
            require(each, kind, f"{option}.{i}" if is_dataclass(each) else option)
    elif origin is dict:
        for name, each in value.items():
            require(each, inner[1], f"{option}.{name}")
    elif hint is float and not math.isfinite(value):
        raise BadInput(f"--{option} {value}: wanted a finite number")
    elif hint is int and abs(value) >= 2**63:
        raise BadInput(f"--{option} {str(value)[:40]}: wanted a number of at most 64 bits")
