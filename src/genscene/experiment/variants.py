"""Variants of an experiment: fields set by their names, and all combinations of several fields' values."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from genscene.contract import SystemConfig
from genscene.errors import BadInput, suggest
from genscene.experiment.schema import Experiment
from genscene.experiment.serialise import dumps, loads

OUTSIDE_BRACKETS = re.compile(r",(?![^\[{]*[\]}])")  # commas between values
MOST = 64  # variants of one ablation


@dataclass(frozen=True)
class Factor:
    """Fields that change together: each has one value for every level of the factor, or one for all."""

    text: str  # as it was typed, for error lines
    values: Mapping[str, Sequence[Any]]  # by the path of a field, as long as there are levels

    @property
    def levels(self) -> int:
        """How many levels it has."""
        return max(map(len, self.values.values()))

    def level(self, index: int) -> dict[str, Any]:
        """The value of every field at a level."""
        return {path: each[index if len(each) > 1 else 0] for path, each in self.values.items()}

    @property
    def varied(self) -> list[str]:
        """The fields that have several values."""
        return [path for path, each in self.values.items() if len(each) > 1]


def parse_factor(text: str, option: str = "--vary") -> Factor:
    """`FIELD=VALUE,VALUE` or several such, joined by semicolons -> a factor; BadInput names the option.

    Values are JSON, as experiment.json has them ([1, 1], true, 0.5), or a word.
    """
    values: dict[str, list[Any]] = {}
    for part in text.split(";"):
        path, equals, given = (word.strip() for word in part.partition("="))
        path = path.replace("-", "_")
        if not path or not equals or not given or path in values:
            wanted = "FIELD=VALUE,VALUE, several of them joined by ;"
            raise BadInput(f"{option} {text!r}: wanted {wanted}")
        values[path] = [parse_value(word.strip()) for word in OUTSIDE_BRACKETS.split(given)]
    counts = {len(each) for each in values.values()} - {1}
    if len(counts) > 1:
        raise BadInput(
            f"{option} {text!r}: fields of {sorted(counts)} values, wanted as many of each, or one"
        )
    return Factor(text, values)


def parse_value(word: str) -> Any:
    """A word -> the value that it is in JSON, else the word itself."""
    try:
        return json.loads(word)
    except (ValueError, RecursionError):
        return word


def combinations(
    experiment: Experiment, factors: Sequence[Factor], kinds: Mapping[str, type[SystemConfig]]
) -> dict[str, Experiment]:
    """All combinations of the levels of factors by their names, such as `activation=relu, octaves=6`.

    kinds: class name -> class of system. Raises BadInput, naming factor and field, for unknown fields and
    values out of range, and where there are more than 64 combinations.
    """
    count = 1
    for factor in factors:
        count *= factor.levels
    if count > MOST:
        raise BadInput(f"--vary: {count} combinations, wanted at most {MOST}")
    names = short_names([path for factor in factors for path in factor.varied])
    found: dict[str, Experiment] = {}
    for indices in product(*(range(factor.levels) for factor in factors)):
        variant, labels = experiment, []
        for factor, index in zip(factors, indices, strict=True):
            level = factor.level(index)
            variant = with_fields(variant, level, kinds, f"--vary {factor.text}")
            labels += [f"{names[path]}={describe_value(level[path])}" for path in factor.varied]
        name = ", ".join(labels)
        if name in found:
            raise BadInput(f"--vary: {name} twice, wanted every value once")
        found[name] = variant
    return found


def with_fields(
    experiment: Experiment, values: Mapping[str, Any], kinds: Mapping[str, type[SystemConfig]], where: str
) -> Experiment:
    """The same experiment with other values of fields, by paths such as system.generator.march.samples.

    kinds: class name -> class of system. Raises BadInput, beginning with `where`, for fields that it does not
    have and values out of their range.
    """
    document = json.loads(dumps(experiment))
    for path, value in values.items():
        *parents, name = path.split(".")
        holder: Any = document
        for part in parents:
            holder = holder[member(holder, part, path, where)]
        holder[member(holder, name, path, where)] = value
    return loads(json.dumps(document), kinds, where)


def member(holder: Any, part: str, path: str, where: str) -> Any:
    """The key, or place in a list, that a part of a path names; BadInput where there is none."""
    known = [str(i) for i in range(len(holder))] if isinstance(holder, list) else holder
    if not isinstance(known, list | dict) or part not in known:
        nearest = (
            suggest(part, known) if known and isinstance(known, list | dict) else "wanted a shorter path"
        )
        raise BadInput(f"{where}: no field {path}: {part!r} is not there; {nearest}")
    return int(part) if isinstance(holder, list) else part


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Each path with as many of its last parts as make it unique among all."""
    found = {}
    for path in paths:
        parts = path.split(".")
        endings = (".".join(parts[-count:]) for count in range(1, len(parts) + 1))
        others = [other for other in paths if other != path]
        found[path] = next(
            (each for each in endings if not any(f".{other}".endswith(f".{each}") for other in others)), path
        )
    return found


def describe_value(value: Any) -> str:
    """A value as it is typed."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
