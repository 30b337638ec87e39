"""A report as one file that any browser shows: nothing is fetched, nothing runs, light or dark as the reader likes."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from PIL import Image
from torch import Tensor

from genscene.errors import BadInput
from genscene.evaluation.bootstrap import Interval
from genscene.evaluation.report import Cell, Chart, Column, Gallery, Mark, Report, Row, Strip
from genscene.export.pictures import to_bytes

BAR, THICK = 120, 14  # pixels of an interval's bar
SMALL = 64  # pixels, side of pictures that are enlarged with square pixels
# no file of this kind has a need to run or fetch anything: the browser is told so
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(report: Report) -> str:
    """A report -> HTML with its style, pictures and charts inside."""
    title = escape(report.title)
    head = [
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>",
        f"<style>\n{files('genscene.evaluation').joinpath('page.css').read_text(encoding='utf-8')}</style>",
    ]
    body = [
        f'<h1>{title}</h1>\n<p class="lead">{escape(report.lead)}</p>',
        numbers(report),
        *(_note(remark) for remark in report.remarks),
        *map(gallery, report.galleries),
        charts(report.charts),
        protocol(report),
    ]
    top, inner = "\n".join(head), "\n".join(part for part in body if part)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{top}\n</head>\n'
        f"<body>\n<main>\n{inner}\n</main>\n</body>\n</html>\n"
    )


def numbers(report: Report) -> str:
    """The table of numbers by generators: there are more of the former."""
    heads = "".join(
        f'<th scope="col"{_kind(row)}>{escape(row.name)}{_small(row.note)}</th>' for row in report.rows
    )
    lines = []
    for i, column in enumerate(report.columns):
        span = _span(row.cells[i] for row in report.rows if not row.reference)
        marks = zip(report.rows, report.marks(i), strict=True)
        cells = (_cell(row, row.cells[i], column, span, mark) for row, mark in marks)
        lines.append(f"<tr>{_title(column)}{''.join(cells)}</tr>")
    head = f'<thead><tr><th scope="col">number</th>{heads}</tr></thead>'
    return (
        f'<div class="wide"><table class="numbers">\n{head}\n<tbody>\n{_lines(lines)}\n</tbody></table></div>'
    )


def written(value: float, column: Column, interval: Interval | None = None) -> str:
    """A number as the table has it, e.g. 12.3 dB [11.9, 12.8]."""
    unit = f" {column.unit}" if column.unit else ""
    low_high = (
        "" if interval is None else f" [{_plain(interval.low, column)}, {_plain(interval.high, column)}]"
    )
    return f"{_plain(value, column)}{unit}{low_high}"


def bar(cell: Cell, span: tuple[float, float]) -> str:
    """An interval and its number on the line that all generators share, as SVG."""
    if cell.interval is None:
        return ""
    low, at, high = (2 + (BAR - 4) * (x - span[0]) / (span[1] - span[0]) for x in _ends(cell))
    middle = THICK / 2
    lines = "".join(
        f'<line class="{kind}" x1="{x:.1f}" y1="{middle}" x2="{y:.1f}" y2="{middle}"/>'
        for kind, x, y in (("track", 0, BAR), ("bound", low, high))
    )
    point = f'<line class="point" x1="{at:.1f}" y1="1" x2="{at:.1f}" y2="{THICK - 1}"/>'
    return f'<svg width="{BAR}" height="{THICK}" viewBox="0 0 {BAR} {THICK}" aria-hidden="true">{lines}{point}</svg>'


def gallery(shown: Gallery) -> str:
    """Rows of pictures with their names at the left."""
    columns = max((len(strip.images) for strip in shown.strips), default=0)
    rows = _lines(_strip(strip, columns) for strip in shown.strips)
    return f'<section><h2>{escape(shown.title)}</h2>{_note(shown.note)}\n<div class="wide">\n{rows}\n</div></section>'


def charts(shown: Sequence[Chart]) -> str:
    """Charts beside each other where there is room."""
    if not shown:
        return ""
    figures = _lines(
        f'<figure><img src="{_data(chart.png)}" width="{chart.width}" alt="{escape(chart.title)}">'
        f"{_note(chart.note, 'figcaption')}</figure>"
        for chart in shown
    )
    return f'<section><h2>Charts</h2>\n<div class="charts">\n{figures}\n</div></section>'


def protocol(report: Report) -> str:
    """How the numbers were got, line by line."""
    if not report.protocol:
        return ""
    rows = _lines(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in report.protocol.items()
    )
    note = _note("Numbers may be compared only with numbers for which all of this was the same.")
    return f'<section><h2>Protocol</h2>{note}\n<table class="protocol"><tbody>\n{rows}\n</tbody></table></section>'


def png(image: Tensor) -> bytes:
    """A picture [3, H, W] in [0, 1] -> a PNG file's bytes."""
    return encoded(Image.fromarray(to_bytes(image).numpy()))


def encoded(image: Image.Image) -> bytes:
    """A picture -> a PNG file's bytes."""
    held = io.BytesIO()
    image.save(held, format="PNG", optimize=True)
    return held.getvalue()


def _title(column: Column) -> str:
    sense = "\u2193 low is better" if column.low else "\u2191 high is better"
    return (
        f'<th scope="row">{escape(column.name)}<span class="sense">{sense}</span>{_small(column.note)}</th>'
    )


def _cell(row: Row, cell: Cell | None, column: Column, span: tuple[float, float], mark: Mark) -> str:
    if cell is None:
        return f"<td{_kind(row)}>\u2013</td>"
    value = written(cell.value, column)
    between = written(cell.value, column, cell.interval).removeprefix(value)
    said = _small("cannot be told apart from the best" if mark == "level" else mark)
    number = f'<span class="value">{escape(value)}</span><span class="range">{escape(between)}</span>'
    return f"<td{_kind(row, mark == 'best')}>{number}{'' if row.reference else bar(cell, span)}{said}</td>"


def _kind(row: Row, best: bool = False) -> str:
    kind = "reference" if row.reference else "best" if best else ""
    return f' class="{kind}"' if kind else ""


def _strip(strip: Strip, columns: int) -> str:
    if strip.images.dim() != 4 or strip.images.shape[1] != 3:
        raise BadInput(f"pictures {list(strip.images.shape)} of {strip.name!r}, wanted [n, 3, H, W]")
    small = ' class="small"' if max(strip.images.shape[-2:]) <= SMALL else ""
    name = escape(strip.name)
    pictures = "".join(
        f'<img{small} src="{_data(png(image))}" alt="{name}, {place}">'
        for place, image in enumerate(strip.images, 1)
    )
    layout = f"--n: {columns}; grid-template-columns: 9rem repeat({columns}, minmax(4.5rem, 1fr))"
    return f'<figure class="strip" style="{layout}"><figcaption>{name}</figcaption>{pictures}</figure>'


def _span(cells: Iterable[Cell | None]) -> tuple[float, float]:
    """What the bars of a column show: all of its intervals."""
    ends = [end for cell in cells if cell is not None for end in _ends(cell)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _ends(cell: Cell) -> tuple[float, float, float]:
    held = cell.interval or Interval(cell.value, cell.value)
    return held.low, cell.value, held.high


def _plain(value: float, column: Column) -> str:
    return f"{value:.{column.digits}f}"


def _data(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}"


def _note(words: str, tag: str = "p") -> str:
    return f'<{tag} class="note">{escape(words)}</{tag}>' if words else ""


def _small(words: str) -> str:
    return f"<small>{escape(words)}</small>" if words else ""


def _lines(parts: Iterable[str]) -> str:
    return "\n".join(parts)
