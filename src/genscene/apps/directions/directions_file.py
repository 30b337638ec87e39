"""Files of directions.

format 1: safetensors with tensors `direction.NAME`, as many of each as there are directions, of length 1; the
header's entries are directions (the format), genscene (the version that wrote it), generator (the SHA-256
of its weights), and known (JSON: of each its name, deviation, share of variance, correlation with labels).
"""

import json
import math
from dataclasses import asdict
from pathlib import Path

from genscene.apps.directions.principal import Direction, Directions
from genscene.apps.inversion.styles_file import StylesKind, read_styles_file, style_tensors
from genscene.contract import Generator
from genscene.errors import BadInput, suggest
from genscene.io.generator_file import weights_sha256, write_with_header
from genscene.io.json_file import parse_json
from genscene.layers.mapping import style_count
from genscene.version import __version__

KIND = StylesKind("directions", 1, "direction.", "wanted a file of genscene analyse directions")


def write_directions(path: str | Path, directions: Directions, generator: Generator) -> None:
    """Write directions of a generator, atomically."""
    known = json.dumps([asdict(each) for each in directions.known], allow_nan=False)
    header = {
        "directions": str(KIND.format),
        "genscene": __version__,
        "generator": weights_sha256(generator),
        "known": known,
    }
    write_with_header(path, style_tensors(directions.w, KIND, generator), header)


def read_directions(
    path: str | Path, generator: Generator, source: str | Path = "this generator"
) -> Directions:
    """The directions in a file; BadInput, naming the file, for any other, and for those of other weights."""
    path = Path(path)
    header, w, others = read_styles_file(path, KIND, generator, source)
    if others:
        raise BadInput(f"{path}: {min(others)} is no direction, {KIND.wanted}")
    entries = parse_json(header.get("known", "[]"), f"{path}: its header")
    count = style_count(w)
    if not isinstance(entries, list) or len(entries) != count or not count:
        raise BadInput(f"{path}: its header does not name {count} directions, {KIND.wanted}")
    return Directions(w, [_direction(path, each) for each in entries])


def find_direction(directions: Directions, name: str, where: str) -> int:
    """The place of the direction of a name, or number from 1; BadInput, beginning with `where`, else."""
    names = [each.name for each in directions.known]
    if name in names:
        return names.index(name)
    if name.isdecimal() and len(name) < 6 and 0 < int(name) <= len(names):
        return int(name) - 1
    raise BadInput(f"{where}: no direction {name!r}; {suggest(name, names)}")


def _direction(path: Path, entry: object) -> Direction:
    """What an entry of the header says of a direction."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise BadInput(f"{path}: an entry of its header has no name, {KIND.wanted}")
    numbers = [entry.get("deviation"), entry.get("share"), entry.get("correlation") or 0.0]
    if not all(isinstance(x, float | int) and math.isfinite(x) for x in numbers):
        raise BadInput(f"{path}: the numbers of direction {entry['name']!r} are not finite, {KIND.wanted}")
    deviation, share, correlation = (float(x) for x in numbers if isinstance(x, float | int))
    labelled = entry.get("correlation") is not None
    return Direction(entry["name"], deviation, share, correlation if labelled else None)
