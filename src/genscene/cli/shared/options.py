"""Options of the command line: words to values, and their limits."""

import contextlib
import io
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import tyro

from genscene.errors import BadInput, escape

T = TypeVar("T")


def parse(kind: type[T], words: list[str], prog: str, default: T | None = None, description: str = "") -> T:
    """Words -> a dataclass of options, by tyro; one line of BadInput for what does not fit."""
    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(captured):
            if default is None:
                return tyro.cli(kind, args=words, prog=prog, description=description)
            return tyro.cli(kind, args=words, prog=prog, description=description, default=default)
    except SystemExit as error:
        if error.code in (0, None):
            raise
        raise BadInput(error_line(captured.getvalue(), prog)) from None


def error_line(message: str, prog: str) -> str:
    """tyro's box of an error as one line: what was wrong, the closest option, where to read on."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", message)
    parts: list[list[str]] = [[]]
    for line in (line.strip("│| ") for line in plain.splitlines()):
        if re.fullmatch(r"[─-]{3,}", line):
            parts.append([])
        elif line and not re.search(r"[─-]{3,}\W*$", line):  # not the top or bottom of the box
            parts[-1].append(line)
    if "╭" not in plain:  # the plain box has its title in a part of its own
        parts = parts[1:] or parts
    wrong = " ".join(parts[0])
    guesses = (
        part[1].split()[0] for part in parts[1:] if part and part[0].startswith("Perhaps") and part[1:]
    )
    guess = next(guesses, "")
    return f"{wrong}{f'; did you mean {guess}?' if guess else ''} (see {prog} --help)"


def parse_seeds(text: str, option: str = "--seeds") -> list[int]:
    """0-7, or 0,5,9, or 3 -> whole numbers; BadInput names the option."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)
        if match is None:
            raise BadInput(f"{option} {text!r}: wanted numbers like 0-7 or 0,5,9")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if not first <= last < 2**62 or last - first > 100_000:
            raise BadInput(f"{option} {text!r}: {part} is no range from low to high")
        found += range(first, last + 1)
    return found


def parse_size(text: str) -> tuple[int, int]:
    """128, or 96x128 (height x width) -> (height, width)."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= min(height, width) <= max(height, width) <= 16384:
        raise BadInput(f"--size {text!r}: wanted a side like 128, or height x width like 96x128, in pixels")
    return height, width


def require_range(name: str, value: float, least: float, most: float) -> None:
    """Raise BadInput, naming the option, where its value is outside two limits or not a number."""
    if not least <= value <= most:
        raise BadInput(f"{name} {value}: wanted a number from {least:.10g} to {most:.10g}")


def require_suffix(name: str, path: Path, suffixes: Iterable[str]) -> None:
    """Raise BadInput, naming the option, where a file's name has none of these suffixes."""
    if path.suffix not in suffixes:
        raise BadInput(f"{name} {path}: wanted a file ending with {', '.join(suffixes)}")


def print_line(line: str) -> None:
    """Print a line of output, or several, safe for any terminal."""
    print(line if line.isprintable() else escape(line), file=sys.stdout, flush=True)
