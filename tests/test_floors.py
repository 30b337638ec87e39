"""The layers of the library: imports go downwards without circles; files and functions stay short."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "genscene"
FLOORS = (  # from the bottom up; modules of one floor may import one another
    "version errors ranges randomness distributed heartbeat devices hub io io.atomic io.foreign_pickles"
    " io.rename kernels",
    "geometry",
    "scenes layers metrics",
    "contract",
    "render",
    "objectives experiment export compilation",
    "systems data",
    "io.generator_file evaluation",
    "training apps viewer",
    "cli __main__ __init__",
)
FLOOR = {package: height for height, packages in enumerate(FLOORS) for package in packages.split()}
FILES = sorted(ROOT.rglob("*.py"))
FOLDERS = sorted({path.parent for path in FILES})
MOST_LINES, MOST_FUNCTION_LINES, MEDIAN_LINES, MOST_FILES = 300, 40, 150, 12


def module_of(path):
    """The dotted name of a file."""
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def package_of(module):
    """The longest name in the list of floors that a module is, or lies in."""
    inner = module.removeprefix("genscene.") if "." in module else "__init__"
    return inner if inner in FLOOR else inner.split(".")[0]


def imports(path):
    """The modules of genscene that a file imports, at its top or inside a function."""
    found = set()
    known = {module_of(file) for file in FILES}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.split(".")[0] == "genscene"}
        if not isinstance(node, ast.ImportFrom):
            continue
        assert not node.level, f"{path}: relative import"
        assert not any(name.name == "*" for name in node.names), f"{path}: import *"
        if (node.module or "").split(".")[0] == "genscene":
            inner = {f"{node.module}.{name.name}" for name in node.names} & known
            found |= inner or {node.module}
    return found


GRAPH = {module_of(path): imports(path) for path in FILES}


def test_every_package_has_a_floor():
    assert {package_of(module) for module in GRAPH} <= set(FLOOR)


@pytest.mark.parametrize("module", GRAPH)
def test_no_module_imports_from_a_higher_floor(module):
    if module == "genscene":
        return  # it lists public names of all floors, and imports them late
    here = FLOOR[package_of(module)]
    for other in GRAPH[module]:
        assert other == "genscene" or FLOOR[package_of(other)] <= here, f"{module} imports {other}"


def test_no_import_is_circular():
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
def test_files_and_functions_are_short_and_documented(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert text.count("\n") <= MOST_LINES
    assert ast.get_docstring(tree), "the file has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < MOST_FUNCTION_LINES, f"{node.name} is too long"
            if not node.name.startswith("_") and not is_nested(tree, node):
                assert ast.get_docstring(node), f"{node.name} has no docstring"


def is_nested(tree, node):
    """Whether a function is defined inside another."""
    outer = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n is not node]
    return any(node in ast.walk(n) for n in outer)


def test_the_median_file_is_short():
    lengths = sorted(path.read_text().count("\n") for path in FILES if path.read_text().count("\n") > 3)
    assert lengths[len(lengths) // 2] <= MEDIAN_LINES


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.relative_to(ROOT.parent).as_posix())
def test_a_folder_has_a_dozen_files_at_most(folder):
    files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(files) <= MOST_FILES, f"{len(files)} files: {', '.join(sorted(files))}"


def test_nothing_is_unfinished_or_executes_text():
    words = re.compile(r"\b(TODO|FIXME|XXX)\b|(?<![.\w])(eval|exec)\(|pickle\.loads?\(")
    for path in FILES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not words.search(line), f"{path}:{number}: {line.strip()}"
