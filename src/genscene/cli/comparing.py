"""A comparison told: a table on the terminal, a page and a JSON as files."""

import json
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from rich.console import Console
from rich.table import Table

from genscene.cli.shared.options import print_line
from genscene.evaluation.page import page
from genscene.evaluation.report import Cell, Column, Mark, Report
from genscene.io.atomic import atomic, make_parent

SIGNS: dict[Mark, str] = {"": "", "best": "*", "level": "~"}


def show(report: Report) -> None:
    """Print the table, one number a line, one generator a column."""
    print_line(report.lead)
    table = Table("", *(row.name for row in report.rows), box=None, pad_edge=False)
    for i, column in enumerate(report.columns):
        cells = [
            said(column, row.cells[i], mark) for row, mark in zip(report.rows, report.marks(i), strict=True)
        ]
        notes = ", ".join(filter(None, (column.unit, "low" if column.low else "high")))
        table.add_row(f"{column.name} ({notes})", *cells)
    Console(markup=False, emoji=False).print(table)  # names of folders are no markup
    print_line("*: the best; ~: not told apart from it")
    for row in report.rows:
        if row.reference:
            print_line(f"{row.name}: {row.note}")
    for note in dict.fromkeys(column.note for column in report.columns if column.note):
        print_line(f"{note}: {', '.join(column.name for column in report.columns if column.note == note)}")
    for remark in report.remarks:
        print_line(f"note: {remark}")


def said(column: Column, cell: Cell | None, mark: Mark) -> str:
    """A number with its interval and mark."""
    if cell is None:
        return "-"
    number = f"{cell.value:.{column.digits}f}{SIGNS[mark]}"
    if cell.interval is None:
        return number
    return f"{number} [{cell.interval.low:.{column.digits}f}, {cell.interval.high:.{column.digits}f}]"


def writable(out: Path) -> None:
    """Raise where a page, and its numbers beside it, cannot be written; nothing of the attempt is left."""
    if os.environ.get("RANK", "0") != "0":
        return  # the first process writes
    new = [folder for folder in out.parents if not folder.exists()]
    try:
        for path in (out, beside(out)):
            make_parent(path)
        with TemporaryFile(dir=out.parent):
            pass
    finally:
        for folder in new:
            with suppress(OSError):
                folder.rmdir()


def save_generator(out: Path, report: Report) -> tuple[Path, Path]:
    """Write the page, and the numbers as JSON beside it, both or none -> the names of both."""
    numbers = beside(out)
    with atomic(out) as partial, atomic(numbers) as partial_numbers:
        partial.write_text(page(report), encoding="utf-8")
        partial_numbers.write_text(json.dumps(document(report), indent=2, allow_nan=False) + "\n")
    return out, numbers


def beside(out: Path) -> Path:
    """Where the numbers of a page lie."""
    return out.with_suffix(".json")


def document(report: Report) -> dict[str, object]:
    """The numbers and the protocol, as JSON has them."""
    told = [(row, entries(report, place)) for place, row in enumerate(report.rows)]
    reference = [
        {"name": row.name, "note": row.note, "numbers": numbers} for row, numbers in told if row.reference
    ]
    return {
        "generators": {row.name: numbers for row, numbers in told if not row.reference},
        "reference": next(iter(reference), None),
        "protocol": dict(report.protocol),
        "remarks": list(report.remarks),
    }


def entries(report: Report, place: int) -> dict[str, object]:
    """The numbers of one row, by the keys of their columns."""
    found: dict[str, object] = {}
    for i, (column, cell) in enumerate(zip(report.columns, report.rows[place].cells, strict=True)):
        if cell is not None:
            mark = report.marks(i)[place]
            interval = {} if cell.interval is None else {"interval": [cell.interval.low, cell.interval.high]}
            said = {"best": mark == "best", "not_told_apart_from_best": mark == "level"}
            found[column.key or column.name] = {"value": cell.value, **said, **interval}
    return found
