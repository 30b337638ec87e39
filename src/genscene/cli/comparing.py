"""A comparison told: a table on the terminal, a page and a JSON as files."""

import json
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from genscene.cli.options import tell
from genscene.evaluation.page import page
from genscene.evaluation.report import Cell, Column, Report
from genscene.files import atomic


def show(report: Report) -> None:
    """Print the table, one number a line, one generator a column."""
    tell(report.lead)
    table = Table("", *(row.name for row in report.rows), box=None, pad_edge=False)
    for i, column in enumerate(report.columns):
        best = report.best(i)
        cells = [said(column, row.cells[i], place == best) for place, row in enumerate(report.rows)]
        notes = ", ".join(filter(None, (column.unit, "low" if column.low else "high")))
        table.add_row(f"{column.name} ({notes})", *cells)
    Console().print(table)
    tell("*: the best; ~: not told apart from it")
    for note in dict.fromkeys(column.note for column in report.columns if column.note):
        tell(f"{note}: {', '.join(column.name for column in report.columns if column.note == note)}")
    for remark in report.remarks:
        tell(f"note: {remark}")


def said(column: Column, cell: Cell | None, best: bool) -> str:
    """A number with its interval and mark."""
    if cell is None:
        return "-"
    mark = "*" if best else "~" if cell.level else ""
    number = f"{cell.value:.{column.digits}f}{mark}"
    if cell.interval is None:
        return number
    return f"{number} [{cell.interval.low:.{column.digits}f}, {cell.interval.high:.{column.digits}f}]"


def publish(out: Path, report: Report) -> Iterator[Path]:
    """Write the page, and the numbers as JSON beside it -> the names of both."""
    with atomic(out) as partial:
        partial.write_text(page(report), encoding="utf-8")
    yield out
    numbers = out.with_suffix(".json")
    with atomic(numbers) as partial:
        partial.write_text(json.dumps(document(report), indent=2) + "\n")
    yield numbers


def document(report: Report) -> dict[str, object]:
    """The numbers and the protocol, as JSON has them."""
    rows = {}
    for row in report.rows:
        cells = zip(report.columns, row.cells, strict=True)
        rows[row.name] = {column.key or column.name: entry(cell) for column, cell in cells if cell is not None}
    return {"generators": rows, "protocol": dict(report.protocol), "remarks": list(report.remarks)}


def entry(cell: Cell) -> dict[str, object]:
    """A number of one generator."""
    found: dict[str, object] = {"value": cell.value, "not_told_apart_from_best": cell.level}
    if cell.interval is not None:
        found["interval"] = [cell.interval.low, cell.interval.high]
    return found
