"""What files of cameras say, checked where it comes in: numbers, names of files, and how both are shown in a line."""

import math
import reprlib

from genscene.errors import BadInput

LONGEST = 80  # characters of a value in a message
REPR = reprlib.Repr()
REPR.maxstring = REPR.maxlong = REPR.maxother = LONGEST


def shown(value: object) -> str:
    """A value as code, cut in the middle where it is long."""
    return REPR.repr(value)


def short(name: str) -> str:
    """A name as it is, cut in the middle where it is long; as code where it cannot be printed."""
    if not name.isprintable():
        return shown(name)
    return name if len(name) <= LONGEST else f"{name[:40]}...{name[-37:]}"


def number(value: object, what: str) -> float:
    """A finite number of a file; BadInput, saying what it is, for all else."""
    try:
        found = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise BadInput(f"{what} is {shown(value)}, wanted a number")
    return found


def filename(value: object, what: str) -> str:
    """A name a file can have; BadInput, saying what it is, for all else."""
    if isinstance(value, str) and value and "\0" not in value:
        try:
            parts = value.encode().split(b"/")
        except UnicodeEncodeError:
            parts = []  # half of a surrogate pair
        if parts and max(map(len, parts)) <= 250 and len(value) <= 1000:  # room for an ending and the folder
            return value
    raise BadInput(f"{what} is {shown(value)}, wanted the name of a file")
