"""Reports as tables on the terminal, JSON, and pages."""

import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from genscene.cli.shared.options import print_line, require_suffix
from genscene.errors import BadInput, escape
from genscene.evaluation.page import render_page
from genscene.evaluation.report import Report
from genscene.export.pictures import save_png, tile
from genscene.io.atomic import atomic, make_parent, sync
from genscene.version import __version__

SIGNS = {"": "", "best": "*", "level": "~"}
EMPTY: tuple[object, ...] = (None, "", {})
IN_JSON = ("title", "value", "better", "unit", "extractor", "deviation", "interval", "settings")


def check_output(out: Path | None) -> None:
    """Raise before anything is computed where a report cannot be written; leaves no file or folder behind."""
    if out is None:
        return
    require_suffix("--out", out, [".html", ".json", ".md", ".png"])
    if os.environ.get("RANK", "0") != "0":
        return  # the main process writes
    new = [folder for folder in out.parents if not folder.exists()]
    try:
        places = (
            [out] if out.suffix in (".md", ".png") else [out.with_suffix(".html"), out.with_suffix(".json")]
        )
        for path in places:
            make_parent(path)
            probe = path.with_name(f".{path.name}.{os.getpid()}.probe")
            probe.touch()
            probe.unlink()
    except OSError as error:
        raise BadInput(f"--out {out}: {error.strerror}; wanted a place that can be written to") from None
    finally:
        for folder in new:
            with suppress(OSError):
                folder.rmdir()


def output(report: Report, out: Path | None) -> None:
    """Print a report, and write it as a page and JSON, both or none; or its images, side by side."""
    print_report(report)
    if out is not None and out.suffix == ".png":
        if len({images.shape for _, images in report.strips}) != 1:
            raise BadInput(f"--out {out}: this report has no images side by side, wanted NAME.html")
        save_png(out, tile(torch.stack([images for _, images in report.strips], dim=1)))
        print_line(str(out))
    elif out is not None and out.suffix == ".md":
        write_markdown(report, out)
    elif out is not None:
        page, numbers = out.with_suffix(".html"), out.with_suffix(".json")
        text = json.dumps(to_json(report), indent=2, allow_nan=False) + "\n"
        with atomic(page) as partial_page, atomic(numbers) as partial_numbers:
            partial_page.write_text(render_page(report), encoding="utf-8")
            partial_numbers.write_text(text, encoding="utf-8")
            sync(partial_page)  # before the first of them gets its name
        print_line(f"{page}\n{numbers}")


def write_markdown(report: Report, out: Path) -> None:
    """Write the table of scores and the notes as Markdown."""
    with atomic(out) as partial:
        partial.write_text(to_markdown(report), encoding="utf-8")
    print_line(str(out))


def print_report(report: Report) -> None:
    """Print the scores, a metric a line, and the notes; of a single scene also the scores of every view."""
    print_line(report.summary)
    console = Console(markup=False, emoji=False)  # names of folders are not markup
    marks = "; *: best; ~: not distinguishable from the best" if len(report.rows) > 1 else ""
    for scores in report.views.values() if not marks else ():
        table = Table("view", *(report.columns[key].title for key in scores[0]), box=None, pad_edge=False)
        for i, view in enumerate(scores):
            table.add_row(str(i), *(report.text(key, value) for key, value in view.items()))
        console.print(table)
    table = Table("", *(escape(row.name) for row in report.rows), box=None, pad_edge=False)
    networks: dict[str, list[str]] = {}
    for key, first in report.columns.items():
        cells = []
        for row, mark in zip(report.rows, report.marks(key), strict=True):
            score = row.scores.get(key)
            value = f"{report.text(key, score.value)}{SIGNS[mark]}" if score else "-"
            cells.append(f"{value} {report.interval_text(key, score) if score else ''}".strip())
        table.add_row(f"{first.title} ({', '.join(filter(None, (first.unit, first.better)))})", *cells)
        networks.setdefault(first.extractor, []).append(first.title)
    console.print(table)
    print_line(f"low, high: which is better{marks}")
    lines = [f"{row.name}: {row.note}" for row in report.rows if row.reference]
    lines += [f"by {network}: {', '.join(titles)}" for network, titles in networks.items() if network]
    for line in [*lines, *(f"note: {note}" for note in report.notes)]:
        print_line(line)


def to_json(report: Report) -> dict[str, object]:
    """Scores, protocol, notes, and the scores of every held-out view."""
    generators: dict[str, object] = {}
    reference: dict[str, object] | None = None
    for i, row in enumerate(report.rows):
        scores = {}
        for key, score in row.scores.items():
            fields = asdict(score).items()
            scores[key] = {name: value for name, value in fields if name in IN_JSON and value not in EMPTY}
            if len(report.rows) > 1:
                mark = report.marks(key)[i]
                scores[key] |= {"best": mark == "best", "not_distinguishable_from_best": mark == "level"}
        if row.reference:
            reference = {"name": row.name, "note": row.note, "scores": scores}
        else:
            generators[row.name] = scores
    return {
        "genscene": __version__,
        "generators": generators,
        "reference": reference,
        "protocol": dict(report.protocol),
        "notes": list(report.notes),
        **({"views": dict(report.views)} if report.views else {}),
        **({"runs": list(report.runs)} if report.runs else {}),
    }


def to_markdown(report: Report) -> str:
    """The table of scores in Markdown, a generator a line; the best scores are bold."""
    heads = [f"{first.title} ({', '.join(filter(None, (first.unit, first.better)))})"
             for first in report.columns.values()]  # fmt: skip
    lines = [["", *heads, ""], ["---"] * (len(heads) + 2)]
    for i, row in enumerate(report.rows):
        cells = []
        for key in report.columns:
            score, mark = row.scores.get(key), report.marks(key)[i]
            value = f"{report.text(key, score.value)}{'~' * (mark == 'level')}" if score else "-"
            bold = f"**{value}**" if mark == "best" else value
            cells.append(f"{bold} {report.interval_text(key, score) if score else ''}".strip())
        lines.append([row.name, *cells, row.note])
    table = ["| " + " | ".join(escape(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]
    notes = [f"- {escape(note)}" for note in report.notes]
    return "\n".join([escape(report.summary), "", *table, "", *notes]) + "\n"
