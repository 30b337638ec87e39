"""The floors of the house: an import never climbs and never circles; files and functions stay readable."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "genscene"
FLOORS = (
    "errors randomness distributed io io.atomic io.foreign_pickles io.rename kernels layers",
    "geometry",
    "scenes objectives metrics",
    "render",
    "contract",
    "experiment export",
    "systems data",
    "io.generator_file evaluation",
    "training apps",
    "cli __main__ __init__",
)
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms.split()}
FILES = sorted(ROOT.rglob("*.py"))


def module_of(path):
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def room_of(module):
    """The longest name in the list of floors that a module is, or lies in."""
    inner = module.removeprefix("genscene.") if "." in module else "__init__"
    return inner if inner in FLOOR else inner.split(".")[0]


def imports(path):
    """The genscene modules a file imports, whether at the top or inside a function."""
    found = set()
    known = {module_of(file) for file in FILES}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("genscene"):
            inner = {f"{node.module}.{name.name}" for name in node.names} & known
            found |= inner or {node.module}
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
        assert not (isinstance(node, ast.ImportFrom) and any(n.name == "*" for n in node.names)), (
            f"{path}: import *"
        )
    return found


GRAPH = {module_of(path): imports(path) for path in FILES}


def test_every_room_has_a_floor():
    assert {room_of(module) for module in GRAPH} <= set(FLOOR)


@pytest.mark.parametrize("module", GRAPH)
def test_no_import_climbs(module):
    if module == "genscene":
        return  # the face names what lies anywhere, and imports it late
    here = FLOOR[room_of(module)]
    for other in GRAPH[module]:
        assert other == "genscene" or FLOOR[room_of(other)] <= here, f"{module} climbs to {other}"


def test_no_circle():
    done, open_ = set(), []

    def visit(module):
        assert module not in open_, f"circle: {' -> '.join([*open_, module])}"
        if module not in done and module in GRAPH and module != "genscene":
            open_.append(module)
            for other in GRAPH[module]:
                visit(other)
            open_.pop()
            done.add(module)

    for module in GRAPH:
        visit(module)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_file_is_readable(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert text.count("\n") <= 300
    assert ast.get_docstring(tree), "its first line says what it is for"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 40, f"{node.name} is longer than a screen"
            if not node.name.startswith("_") and not nested(tree, node):
                assert ast.get_docstring(node), f"{node.name} has no docstring"


def nested(tree, node):
    """Whether a function stands inside another, or is a stub of a protocol."""
    outer = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n is not node]
    return any(node in ast.walk(n) for n in outer)


def test_the_median_file_is_short():
    lengths = sorted(path.read_text().count("\n") for path in FILES if path.read_text().count("\n") > 3)
    assert lengths[len(lengths) // 2] <= 150


def test_nothing_is_left_lying_about():
    words = re.compile(r"\b(TODO|FIXME|XXX)\b|(?<![.\w])(eval|exec)\(|pickle\.loads?\(")
    for path in FILES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not words.search(line), f"{path}:{number}: {line.strip()}"
