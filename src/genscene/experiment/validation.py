"""Validation: every value has the type of its field and is in its range, typed or read from a file.

One function checks both: dataclasses of options, presets and Python, and the JSON of files, which becomes
dataclasses without any conversion but that of whole numbers to floats.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from genscene.contract import SystemConfig
from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.ranges import Above, Divides, Length, Range, Rising, When

FORMAT = 1  # of experiments; other formats are refused by name
MOST_ITEMS = 4096  # of a tuple or mapping
MOST_BYTES = 1 << 20  # of an experiment's JSON
LARGEST = 1e30  # of numbers: their squares are finite
NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", NoneType: "null"}


@dataclass(frozen=True)
class Place:
    """Where a value is: a field of a file, or, where `file` is empty, an option of the command line."""

    file: str
    path: str = ""

    def inside(self, name: object) -> "Place":
        """The place of a part."""
        return Place(self.file, f"{self.path}.{name}".strip("."))

    def refuse(self, value: object, wanted: str) -> BadInput:
        """The error that names the place, what was got, and what was wanted."""
        text = self.describe(value)
        if self.file:
            return BadInput(f"{self.file}: {self.path or 'the whole'}: {text}, wanted {wanted}")
        return BadInput(f"--{self.path.replace('_', '-')} {text}: wanted {wanted}")

    def describe(self, value: object) -> str:
        """A value in at most 60 characters, as JSON has it in a file."""
        try:
            text = json.dumps(value, default=str) if self.file else repr(value)
        except (
            ValueError,
            RecursionError,
        ):  # Python does not print the longest numbers, and the deepest lists
            text = f"a {type(value).__name__}"
        return text if len(text) <= 60 else f"{text[:57]}..."


def validate(part: Any, option: str = "") -> None:
    """Raise BadInput, naming the option, for the first value outside the type or range of its field.

    Numbers must be finite and whole ones fit 64 bits, unless they are the default of their field. Dataclasses
    with conditions that no range describes have a method `check`, whose lines begin with the name of a field;
    what a system refuses depends on the size of the images: `SystemConfig.check`.
    """
    checked_fields(
        type(part), {each.name: getattr(part, each.name) for each in fields(part)}, Place("", option)
    )
    check_whole(part, Place("", option))


def loads(text: str, kinds: Mapping[str, type[SystemConfig]], where: str) -> Experiment:
    """The experiment of JSON by `serialise.dumps`; kinds: class name -> class of system.

    Raises BadInput, naming `where` and the field, for another format, unknown names, and values that the
    command line would refuse.
    """
    if len(text) > MOST_BYTES:
        raise BadInput(f"{where} holds an experiment of {len(text)} bytes, wanted at most {MOST_BYTES}")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} holds no experiment that this version can read: {error}") from None
    system = document.get("system") if isinstance(document, dict) else None
    if not isinstance(document, dict):
        raise BadInput(f"{where} holds no experiment that this version can read: wanted fields and values")
    found = document.pop("format", 0)
    if found != FORMAT or isinstance(found, bool):
        raise BadInput(f"{where} is an experiment of format {found!r}, this version reads format {FORMAT}")
    place = Place(where)
    built = build_system(system, kinds, place.inside("system"))
    return cast(Experiment, build(document | {"system": built}, Experiment, place))


def build_system(document: Any, kinds: Mapping[str, type[SystemConfig]], place: Place) -> SystemConfig:
    """The configuration of a system that JSON holds, and of those in its fields, by the kind it names."""
    if not isinstance(document, dict):
        raise place.refuse(document, "the fields of a system")
    kind = document.pop("kind", None)
    if not isinstance(kind, str) or kind not in kinds:
        raise place.inside("kind").refuse(kind, f"one of {', '.join(kinds)}")
    inner = [name for name, hint in type_hints(kinds[kind]).items() if hint is SystemConfig]
    others = {name: each for name, each in kinds.items() if name != kind}  # none holds its own kind
    parts = {name: build_system(document.get(name), others, place.inside(name)) for name in inner}
    return cast(SystemConfig, build(document | parts, kinds[kind], place))


def build(document: Mapping[str, Any], kind: Any, place: Place) -> Any:
    """The dataclass of a mapping that JSON holds; fields that are missing have their defaults."""
    known = {each.name: each for each in fields(kind)}
    if not document:  # one that lacks a field or two was written before these were
        raise place.refuse(document, f"the fields of {kind.__name__}")
    for name in document:
        if name not in known:
            raise place.inside(name).refuse(document[name], f"no such field, but {', '.join(known)}")
    for name, each in known.items():
        if name not in document and each.default is MISSING and each.default_factory is MISSING:
            raise place.inside(name).refuse(None, "this field")
    whole = kind(**checked_fields(kind, document, place))
    check_whole(whole, place)
    return whole


def checked_fields(kind: Any, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """The values of a dataclass's fields, each checked by the type and range that the class declares."""
    hints, found = type_hints(kind), {}
    defaults = {each.name: each.default for each in fields(kind)}
    for name, value in given.items():
        unchanged = value is defaults[name]
        found[name] = value if unchanged else checked(value, hints[name], place.inside(name))
    siblings = defaults | found
    for name in given:
        if get_origin(hints[name]) is Annotated:
            for condition in get_args(hints[name])[1:]:
                wanted = unmet(condition, found[name], siblings)
                if wanted:
                    raise place.inside(name).refuse(found[name], wanted)
    return found


def check_whole(part: Any, place: Place) -> None:
    """Raise BadInput, naming the place, for what a dataclass's own `check` refuses."""
    check = getattr(part, "check", None)
    if check is not None and not isinstance(part, SystemConfig):
        try:
            check()
        except BadInput as error:
            if place.file:
                raise BadInput(f"{place.file}: {place.path}.{error}".replace(": .", ": ")) from None
            raise BadInput(f"--{place.path}.{error}".replace("--.", "--")) from None


@cache
def type_hints(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields, with their ranges."""
    return get_type_hints(kind, include_extras=True)


def checked(value: Any, hint: Any, place: Place) -> Any:
    """A value of this type, lists of JSON as tuples and objects as dataclasses; BadInput for any other."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        found = checked(value, inner[0], place)
        for limit in inner[1:]:
            if isinstance(limit, Range) and not within(found, limit):
                raise place.refuse(found, str(limit))
        return found
    if origin in (Union, UnionType):
        if value is None and NoneType in inner:
            return None
        kinds = [kind for kind in inner if kind is not NoneType]
        if kinds[1:] and type(value) not in kinds:  # several types are those of single values
            raise place.refuse(value, " or ".join(NAMES[kind] for kind in kinds))
        return checked(value, kinds[0] if not kinds[1:] else type(value), place)
    if origin is Literal:
        if not any(type(value) is type(each) and value == each for each in inner):
            raise place.refuse(value, f"one of {', '.join(map(str, inner))}")
        return value
    if origin is tuple:
        return checked_tuple(value, inner, place)
    if origin is dict:
        if not isinstance(value, dict) or len(value) > MOST_ITEMS:
            raise place.refuse(value, "names and values")
        names = {checked(name, inner[0], place): each for name, each in value.items()}
        return {name: checked(each, inner[1], place.inside(name)) for name, each in names.items()}
    if is_dataclass(hint):
        return checked_part(value, hint, place)
    return checked_leaf(value, hint, place)


def checked_part(value: Any, hint: Any, place: Place) -> Any:
    """A dataclass, or one built of the object that JSON holds."""
    if isinstance(value, hint):
        if place.file:  # built before, as a system is, whose class is known by its kind
            return value
        checked_fields(type(value), {each.name: getattr(value, each.name) for each in fields(value)}, place)
        check_whole(value, place)
        return value
    if not isinstance(value, dict) or not place.file:
        raise place.refuse(value, f"the fields of {hint.__name__}")
    return build(value, hint, place)


def checked_tuple(value: Any, inner: tuple[Any, ...], place: Place) -> tuple[Any, ...]:
    """A tuple with elements of these types, or of one type where the second is an ellipsis."""
    several = inner[1:] == (...,)
    if not isinstance(value, list if place.file else tuple) or len(value) > MOST_ITEMS:
        raise place.refuse(value, "several values" if several else f"{len(inner)} values")
    if not several and len(value) != len(inner):
        raise place.refuse(value, f"{len(inner)} values")
    kinds = [inner[0]] * len(value) if several else inner
    parts = enumerate(zip(value, kinds, strict=True))
    return tuple(checked(x, kind, place.inside(i) if is_dataclass(kind) else place) for i, (x, kind) in parts)


def checked_leaf(value: Any, hint: Any, place: Place) -> Any:
    """A single value of a type; whole numbers are floats, too, truth values are no numbers."""
    if hint is float and type(value) is int and abs(value) < 2**63:
        value = float(value) if place.file else value
    elif not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        limits = isinstance(value, int) and hint is float
        raise place.refuse(value, "a finite number" if limits else NAMES.get(hint, f"a {hint.__name__}"))
    if hint is str and not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value):
        raise place.refuse(value, "a text of UTF-8, which files hold")
    if hint is float and not abs(value) <= LARGEST:
        most = f", at most {LARGEST:g}" if math.isfinite(value) else ""
        raise place.refuse(value, f"a finite number{most}")
    if hint is int and abs(value) >= 2**63:
        raise place.refuse(value, "a number of at most 64 bits")
    return value


def within(value: float, limit: Range) -> bool:
    """Whether a number is in a range; infinite defaults are not asked."""
    return (limit.low < value if limit.open else limit.low <= value) and value <= limit.high


def unmet(condition: Any, value: Any, siblings: Mapping[str, Any]) -> str:
    """What a condition on several values wants, where it does not hold; else ""."""
    match condition:
        case Length(allowed) if len(value) not in allowed:
            return str(condition)
        case Rising(field, first):
            numbers = [getattr(each, field) if field else each for each in value]
            if numbers != sorted({*numbers}) or (first is not None and numbers[:1] != [first]):
                return str(condition)
        case Above(field) if not value > siblings[field]:
            return f"more than {field} ({siblings[field]})"
        case Divides(field) if siblings[field] % value:
            return f"a divisor of {field} ({siblings[field]})"
        case When(field, limit, why) if siblings[field] and not within(value, limit):
            return f"{limit}, {why}"
    return ""
