"""Reports as tables on the terminal, JSON, images and pages."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.table import Table

from genscene import __version__
from genscene.cli.options import ending, tell
from genscene.evaluation.figures import contact_sheet
from genscene.evaluation.html import render_page
from genscene.evaluation.report import Mark, Report, Row
from genscene.io.atomic import atomic, made_for

SIGNS: dict[Mark, str] = {"": "", "best": "*", "level": "~"}


def check_output(out: Path | None, suffix: str) -> None:
    """Raise before anything is computed where a report cannot be written; leaves no file or folder behind."""
    if out is None:
        return
    ending("--out", out, [suffix])
    if os.environ.get("RANK", "0") != "0":
        return  # the main process writes
    new = [folder for folder in out.parents if not folder.exists()]
    try:
        for path in {out, out.with_suffix(".json")}:
            made_for(path)
            probe = path.with_name(f".{path.name}.{os.getpid()}.probe")
            probe.touch()
            probe.unlink()
    finally:
        for folder in new:
            with suppress(OSError):
                folder.rmdir()


def output(report: Report, out: Path | None) -> None:
    """Print a report, and write it where that was asked for."""
    print_report(report)
    for path in write_report(report, out) if out is not None else ():
        tell(str(path))


def print_report(report: Report) -> None:
    """Print the table of scores, a metric a line, and the notes."""
    tell(report.summary)
    console = Console(markup=False, emoji=False)  # names of folders are not markup
    if len(report.rows) == 1:
        for scores in report.views.values():
            table = Table("view", *(report.columns[key].title for key in scores[0]), box=None, pad_edge=False)
            for i, view in enumerate(scores):
                table.add_row(str(i), *(report.text(key, value) for key, value in view.items()))
            console.print(table)
    table = Table("", *(row.name for row in report.rows), box=None, pad_edge=False)
    for key, first in report.columns.items():
        sense = ", ".join(filter(None, (first.unit, f"{first.better} is better")))
        cells = (
            _cell(report, row, key, mark) for row, mark in zip(report.rows, report.marks(key), strict=True)
        )
        table.add_row(f"{first.title} ({sense})", *cells)
    console.print(table)
    if len(report.rows) > 1:
        tell("*: best; ~: not distinguishable from the best")
    for row in report.rows:
        if row.reference:
            tell(f"{row.name}: {row.note}")
    for network in dict.fromkeys(score.extractor for score in report.columns.values() if score.extractor):
        titles = [score.title for score in report.columns.values() if score.extractor == network]
        tell(f"by {network}: {', '.join(titles)}")
    for note in report.notes:
        tell(f"note: {note}")


def _cell(report: Report, row: Row, key: str, mark: Mark) -> str:
    score = row.scores.get(key)
    if score is None:
        return "-"
    return f"{report.text(key, score.value)}{SIGNS[mark]} {report.interval_text(key, score)}".strip()


def write_report(report: Report, out: Path) -> Iterator[Path]:
    """Write JSON and a page (.html), both or none, or JSON and images beside it -> the names of the files."""
    document = json.dumps(to_json(report), indent=2, allow_nan=False) + "\n"
    numbers = out.with_suffix(".json")
    with atomic(numbers) as partial:
        if out.suffix == ".html":
            with atomic(out) as page:
                page.write_text(render_page(report), encoding="utf-8")
                partial.write_text(document)
            yield out
        else:
            partial.write_text(document)
    yield numbers
    if out.suffix == ".html":
        return
    for gallery in report.galleries:
        with atomic(out.with_suffix(".png")) as partial:
            contact_sheet(gallery.strips).save(partial, format="PNG", optimize=True)
        yield out.with_suffix(".png")
    for chart in report.charts:
        path = out.with_name(f"{out.stem}-{chart.name}.svg")
        with atomic(path) as partial:
            partial.write_text(chart.svg, encoding="utf-8")
        yield path


def to_json(report: Report) -> dict[str, object]:
    """Scores, protocol, notes, and the scores of every held-out view."""
    rows = [(row, _scores(report, i)) for i, row in enumerate(report.rows)]
    reference = [
        {"name": row.name, "note": row.note, "scores": scores} for row, scores in rows if row.reference
    ]
    return {
        "genscene": __version__,
        "generators": {row.name: scores for row, scores in rows if not row.reference},
        "reference": reference[0] if reference else None,
        "protocol": dict(report.protocol),
        "notes": list(report.notes),
        **({"views": dict(report.views)} if report.views else {}),
    }


def _scores(report: Report, index: int) -> dict[str, object]:
    """The scores of a row by their keys, without fields that are empty."""
    found: dict[str, object] = {}
    for key, score in report.rows[index].scores.items():
        mark, interval = report.marks(key)[index], score.interval
        marks = {"best": mark == "best", "not_distinguishable_from_best": mark == "level"}
        fields = {
            "value": score.value,
            "deviation": score.deviation,
            "better": score.better,
            "unit": score.unit,
        }
        fields |= {
            "interval": None if interval is None else [interval.low, interval.high],
            "title": score.title,
        }
        fields |= {"extractor": score.extractor, "settings": dict(score.settings)}
        present = {name: value for name, value in fields.items() if value not in (None, "", {})}
        found[key] = present | (marks if len(report.rows) > 1 else {})
    return found
