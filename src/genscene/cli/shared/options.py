"""Options of the command line: their spelling, words to values, and their limits.

Classes of options are imported with torch, which takes seconds. So their source, the one definition of the
options, is read first, in a hundredth of one: what is no field of theirs, and a value that is no number or
word of its field, is refused before torch is imported; all else is left to the parser.
"""

import builtins
import contextlib
import difflib
import io
import math
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import tyro

import genscene
from genscene import ranges
from genscene.errors import BadInput, escape, printable, suggest

T = TypeVar("T")

ROOT = Path(genscene.__file__).parent
CLASS = re.compile(r"^class (\w+)(?:\(([^)]*)\))?:\n((?:(?: .*)?\n)*)", re.M)  # name, bases, body
FIELD = re.compile(r"^    (\w+): (?!ClassVar)([^#\n]*)", re.M)  # name, annotation
ALIAS = re.compile(r"^(\w+) = (Literal\[.*?\])", re.M | re.S)  # name of a choice of words
PRESET = re.compile(r'^    "([\w-]+)": ', re.M)
NAME = re.compile(r"\w+")
SAME_LEVEL = 'arg(name="")'  # a field whose own fields are options without its name before them
OTHERS = ("help", "help-all")
Fields = dict[str, str]  # name of a field -> its annotation


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
    guess = next(guesses, "").rstrip(",")
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


def check_spelling(verb: str, words: list[str]) -> None:
    """Raise BadInput, with the nearest, for an option or preset of a verb that is defined nowhere."""
    options = [word[2:].split("=")[0] for word in words if word.startswith("--") and len(word) > 2]
    if verb == "train" and words and not words[0].startswith("-"):
        presets = preset_names()
        if presets and words[0] not in presets:
            raise BadInput(f"no preset {words[0]!r}; {suggest(words[0], presets)}")
    roots = option_classes(verb) if options else []
    for option in options:
        nearest = misspelt(roots, option.split(".")) if roots and option not in OTHERS else None
        if nearest is not None:
            guess = f"; did you mean --{nearest}?" if nearest else ""
            more = " ".join([verb, *words[: verb in ("train", "export", "data")]])
            raise BadInput(f"no option --{option}{guess} (see genscene {more} --help)")


def check_values(verb: str, words: list[str]) -> None:
    """Raise BadInput for the value of an option that is no number or word of its field."""
    roots = option_classes(verb)
    for word, value in zip(words, [*words, "--"][1:], strict=True) if roots else ():
        name, equals, given = word.removeprefix("--").partition("=")
        annotation = annotation_of(roots, name.split(".")) if word.startswith("--") else ""
        if annotation and (equals or not value.startswith("--")):
            check_value(name, given if equals else value, annotation)


def option_classes(verb: str) -> list[str]:
    """The classes of options in the files of a verb, and of its kinds; none where there is no such verb."""
    files = (path for path in (ROOT / "cli").rglob("*.py") if path.stem.split("_")[0] == verb)
    return [name for path in files for name, _, _ in CLASS.findall(path.read_text(encoding="utf-8"))]


def check_value(option: str, value: str, annotation: str) -> None:
    """Raise BadInput where a value is no number or word that an annotation of the source allows."""
    try:
        hint = as_type(annotation, names_of_types())
    except (SyntaxError, TypeError):  # of several lines
        return
    kinds = get_args(hint) if get_origin(hint) not in (None, Annotated, Literal) else (hint,)
    wanted = [described for kind in kinds if (described := excludes(kind, value))]
    if kinds and len(wanted) == len(kinds):
        raise BadInput(f"--{option} {printable(value, 80)}: wanted {', or '.join(dict.fromkeys(wanted))}")


def excludes(hint: Any, value: str) -> str:
    """What is wanted where a value is not the number, choice or None of a type, else nothing."""
    kind, *limits = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if get_origin(kind) is Literal:
        return "" if value in get_args(kind) else f"one of {', '.join(map(repr, get_args(kind)))}"
    if kind is NoneType:
        return "" if value == "None" else "None"
    if kind not in (int, float):
        return ""
    try:
        number = kind(value)
    except ValueError:
        return "a whole number" if kind is int else "a number"
    limit = next((each for each in limits if isinstance(each, ranges.Range)), ranges.Range(-math.inf))
    above = limit.low < number if limit.open else limit.low <= number
    return "" if number != number or (above and number <= limit.high) else str(limit)


class Names(dict[str, Any]):
    """What annotations of numbers and choices are made of, by name; all else is a class of any value."""

    def __missing__(self, name: str) -> type:
        return getattr(builtins, name, Names)


def as_type(annotation: str, names: Names) -> Any:
    """An annotation of this package's source -> the type; SyntaxError or TypeError where it is none."""
    holder = type("Holder", (), {"__annotations__": {"field": annotation}})
    return get_type_hints(holder, {}, names, include_extras=True)["field"]


@cache
def names_of_types() -> Names:
    """The names, with those of choices: one that two modules give to a choice of theirs is both."""
    found = Names(vars(ranges) | {"Annotated": Annotated, "Literal": Literal})
    for path in sorted(ROOT.rglob("*.py")):
        for name, text in ALIAS.findall(path.read_text(encoding="utf-8")):
            choice = as_type(text, found)
            found[name] = found[name] | choice if name in found else choice
    return found


def annotation_of(names: Iterable[str], parts: list[str]) -> str:
    """The annotation of an option's field; nothing where it is none, or of a part of one."""
    annotation, rest = fields_of(names).get(parts[0].replace("-", "_"), ""), parts[1:]
    inner, keys = classes_in(annotation), int("dict[" in annotation or "tuple[" in annotation)
    if not inner:
        return "" if rest else annotation
    return annotation_of(inner, rest[keys:]) if len(rest) > keys else ""


def misspelt(names: Iterable[str], parts: list[str], before: tuple[str, ...] = ()) -> str | None:
    """The nearest option, or nothing, where a part of this one is no field of the classes; None: all are.

    before: the parts that led to these classes.
    """
    part, *rest = parts
    fields, known = fields_of(names), part.replace("-", "_")
    if known not in fields and known.removeprefix("no_") not in fields:
        ending = f".{'.'.join(parts)}"
        if deeper := [o for o in all_options(names) if rest and f".{o}".endswith(ending)]:
            return " or --".join(".".join([*before, option]) for option in deeper[:3])
        near = difflib.get_close_matches(known, fields, n=1, cutoff=0.4 if before else 0.6)
        if near:
            return ".".join([*before, near[0].replace("_", "-"), *rest])
        same = (o for o in all_options(names) if not before and o.split(".")[-1] == parts[-1])
        return " or --".join(list(same)[:3])
    annotation = fields.get(known, "")
    inner, keys = classes_in(annotation), int("dict[" in annotation or "tuple[" in annotation)
    if not inner or len(rest) <= keys:
        return None
    return misspelt(inner, rest[keys:], (*before, part, *rest[:keys]))


def all_options(roots: Iterable[str]) -> Iterator[str]:
    """Options by name, those of nearer classes first; of each class once."""
    queue, seen = [("", tuple(roots))], set[tuple[str, ...]]()
    while queue:
        prefix, names = queue.pop(0)
        for field, annotation in fields_of(names).items():
            path = prefix + field.replace("_", "-")
            yield path
            inner = classes_in(annotation)
            if inner and inner not in seen:
                seen.add(inner)
                key = "PLAYER." if "dict[" in annotation else "0." if "tuple[" in annotation else ""
                queue.append((f"{path}.{key}", inner))


def fields_of(names: Iterable[str]) -> Fields:
    """The fields of classes, of those they are made from, and of those made from them."""
    found: Fields = {}
    for name in related(tuple(names)):
        for field, annotation in classes()[name][1].items():
            inner = fields_of(classes_in(annotation)) if SAME_LEVEL in annotation else {field: annotation}
            for each, kind in inner.items():
                found[each] = either(found.get(each, ""), kind)
    return found


def either(*annotations: str) -> str:
    """One annotation for what any of several allows."""
    return " | ".join(dict.fromkeys(filter(None, annotations)))


def classes_in(annotation: str) -> tuple[str, ...]:
    """The classes of the package that an annotation names."""
    return tuple(name for name in NAME.findall(annotation) if name in classes() and not hasattr(ranges, name))


@cache
def related(names: tuple[str, ...]) -> set[str]:
    """Classes, their bases and what derives from them."""
    found = set(names)
    while True:
        bases = {base for name in found for base in classes()[name][0] if base in classes()}
        if bases <= found:
            break
        found |= bases
    derived = set(names)
    while more := {name for name, (bases, _) in classes().items() if bases & derived} - derived:
        derived |= more
    return found | derived


@cache
def classes() -> dict[str, tuple[set[str], Fields]]:
    """Every class of the package by name: its bases, its fields. Classes of the same name are one."""
    found: dict[str, tuple[set[str], Fields]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        for name, bases, body in CLASS.findall(path.read_text(encoding="utf-8")):
            all_bases, fields = found.setdefault(name, (set(), {}))
            all_bases.update(NAME.findall(bases))
            for field, annotation in FIELD.findall(body):
                fields[field] = either(fields.get(field, ""), annotation.split(" = ")[0].strip())
    return found


def preset_names() -> set[str]:
    """The names of all presets."""
    files = (ROOT / "systems").glob("*/presets.py")
    return {name for path in files for name in PRESET.findall(path.read_text(encoding="utf-8"))}
