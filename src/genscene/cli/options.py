"""Words of the command line into values."""

import contextlib
import io
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import tyro

from genscene.errors import BadInput

T = TypeVar("T")


def parse(kind: type[T], words: list[str], prog: str, default: T | None = None, description: str = "") -> T:
    """Options -> a dataclass, by tyro; BadInput with one line for what does not fit. --help prints and exits."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            if default is None:
                return tyro.cli(kind, args=words, prog=prog, description=description)
            return tyro.cli(kind, args=words, prog=prog, description=description, default=default)
    except SystemExit as error:
        if error.code in (0, None):
            raise
        raise BadInput(one_line(said.getvalue(), prog)) from None


def one_line(said: str, prog: str) -> str:
    """tyro's box as a line: what was wrong, the nearest option, where to read on."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    parts: list[list[str]] = [[]]
    for line in (line.strip("│| ") for line in plain.splitlines()):
        if re.fullmatch(r"[─-]{3,}", line):
            parts.append([])
        elif line and not re.search(r"[─-]{3,}\W*$", line):  # not the top or bottom of the box
            parts[-1].append(line)
    if "╭" not in plain:  # the plain box has its title in a part of its own
        parts = parts[1:] or parts
    wrong = " ".join(parts[0])
    guess = next(
        (part[1].split()[0] for part in parts[1:] if part and part[0].startswith("Perhaps") and part[1:]), ""
    )
    return f"{wrong}{f'; did you mean {guess}?' if guess else ''} (see {prog} --help)"


def seeds_of(text: str) -> list[int]:
    """0-7, or 0,5,9, or 3 -> whole numbers."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)
        if match is None:
            raise BadInput(f"--seeds {text!r}: wanted numbers like 0-7 or 0,5,9")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if not first <= last < 2**62 or last - first > 100_000:
            raise BadInput(f"--seeds {text!r}: {part} is no range from low to high")
        found += range(first, last + 1)
    return found


def size_of(text: str) -> tuple[int, int]:
    """128, or 96x128 (height x width) -> (height, width)."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= min(height, width) <= max(height, width) <= 16384:
        raise BadInput(f"--size {text!r}: wanted a side like 128, or height x width like 96x128, in pixels")
    return height, width


def bounded(name: str, value: float, least: float, most: float) -> None:
    """Raise BadInput, naming the option, where its value is not within two limits; nan never is."""
    if not least <= value <= most:
        raise BadInput(f"{name} {value}: wanted a number from {least:.10g} to {most:.10g}")


def ending(name: str, path: Path, endings: Iterable[str]) -> None:
    """Raise BadInput, naming the option, where a file's name ends with none of these."""
    if path.suffix not in endings:
        raise BadInput(f"{name} {path}: wanted a file ending with {', '.join(endings)}")


def tell(line: str) -> None:
    """A line of output."""
    print(line, file=sys.stdout, flush=True)
