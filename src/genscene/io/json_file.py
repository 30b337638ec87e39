"""JSON from outside: limited in size, depth and digits; errors that name the place, in our own words."""

import json
import re
from pathlib import Path
from typing import Any

from genscene.errors import BadInput
from genscene.io.files import MIB, format_size, read_bytes

MAX_BYTES = 32 * MIB
MAX_DEPTH = 64  # of arrays and objects inside one another
MAX_DIGITS = 4000  # of an integer: Python reads 4300; the largest double has 309
MAX_MEMORY = 256 * MIB  # of the values, estimated before they are made
OBJECT_BYTES, ARRAY_BYTES, VALUE_BYTES = 232, 72, 56  # at most, of each in memory
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def read_json(path: str | Path, what: str, limit: int = MAX_BYTES) -> Any:
    """The value in a JSON file of at most `limit` bytes; BadInput, naming the file, for all else."""
    return parse_json(read_bytes(path, what, limit), str(path), limit)


def parse_json(content: str | bytes, where: str, limit: int = MAX_BYTES) -> Any:
    """The value that a JSON text holds; BadInput, beginning with `where`, for all else.

    NaN and Infinity, which Python writes, are numbers here: the field that holds one is named where it is
    checked.
    """
    data = content.encode(errors="surrogatepass") if isinstance(content, str) else content
    if len(data) > limit:
        raise BadInput(f"{where} has {format_size(len(data))} of JSON, wanted at most {format_size(limit)}")
    _check_memory(data, where)
    _check_depth(data, where)
    try:
        return json.loads(data.decode("utf-8-sig", "strict"), parse_int=_integer)
    except BadInput as error:
        raise BadInput(f"{where} holds {error}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{where} is no JSON: its byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        place = f"{error.msg}, line {error.lineno}, column {error.colno}"
        raise BadInput(f"{where} is not JSON, or cut short ({place})") from None


def _check_memory(data: bytes, where: str) -> None:
    """Raise BadInput where the values would take too much memory: empty arrays take 20 times their text."""
    objects, arrays, commas = data.count(b"{"), data.count(b"["), data.count(b",")
    needed = OBJECT_BYTES * objects + ARRAY_BYTES * arrays + VALUE_BYTES * commas
    if needed > MAX_MEMORY:
        found = f"{objects + arrays + commas} values or more, {format_size(needed)} of memory"
        raise BadInput(f"{where} holds {found}, wanted at most {format_size(MAX_MEMORY)}")


def _check_depth(data: bytes, where: str) -> None:
    """Raise BadInput where brackets nest too deep, which the parser would follow by recursion."""
    if _is_flat(data.translate(None, _NO_BRACKETS)):
        return
    depth = deepest = 0
    for bracket in _STRING.sub(b"", data).translate(None, _NO_BRACKETS):  # brackets in strings do not count
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise BadInput(f"{where} nests arrays or objects {deepest} deep, wanted at most {MAX_DEPTH}")


def _is_flat(brackets: bytes) -> bool:
    """Whether removing all innermost pairs MAX_DEPTH times leaves nothing."""
    for _ in range(MAX_DEPTH):
        if not brackets:
            break
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return not brackets


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise BadInput(f"a number of {len(digits)} digits, wanted at most {MAX_DIGITS}")
    return int(digits)
