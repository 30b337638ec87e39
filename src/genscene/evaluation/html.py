"""A report as one HTML file: it fetches nothing, runs nothing, and follows the reader's light or dark theme."""

import base64
import io
from collections.abc import Iterable
from html import escape
from importlib.resources import files

from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from genscene.evaluation.report import Chart, Gallery, ImageStrip, Interval, Mark, Report, Row, Score
from genscene.export.pictures import to_bytes

BAR_WIDTH, BAR_HEIGHT = 120, 14  # pixels of the bar of an interval
PIXELATED, LARGEST = (
    64,
    320,
)  # pixels: images up to this side are enlarged with square pixels; larger ones reduced
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
SENSES = {"low": "\u2193 low is better", "high": "\u2191 high is better"}
MARKS: dict[Mark, str] = {"": "", "best": "best", "level": "not distinguishable from the best"}


def render_page(report: Report) -> str:
    """A report -> HTML with its style, images and charts inside."""
    title = escape(report.title)
    style = files("genscene.evaluation").joinpath("page.css").read_text(encoding="utf-8")
    head = [
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>\n<style>\n{style}</style>",
    ]
    body = [
        f'<h1>{title}</h1>\n<p class="lead">{escape(report.summary)}</p>',
        _score_table(report),
        *(_note(note) for note in report.notes),
        *(_gallery(each) for each in report.galleries),
        _charts(report.charts),
        _protocol(report),
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{_lines(head)}\n</head>\n'
        f"<body>\n<main>\n{_lines(filter(None, body))}\n</main>\n</body>\n</html>\n"
    )


def _score_table(report: Report) -> str:
    """Metrics by generators: there are more of the former."""
    names = "".join(
        f'<th scope="col"{_class(row)}>{escape(row.name)}{_small(row.note)}</th>' for row in report.rows
    )
    lines = []
    for key, first in report.columns.items():
        span = _span(row.scores.get(key) for row in report.rows if not row.reference)
        network = _small(f"by {first.extractor}") if first.extractor else ""
        sense = f'<span class="sense">{SENSES[first.better]}</span>'
        cells = (
            _cell(report, row, key, span, mark)
            for row, mark in zip(report.rows, report.marks(key), strict=True)
        )
        title = f'<th scope="row">{escape(first.title)}{sense}{network}</th>'
        lines.append(f"<tr>{title}{''.join(cells)}</tr>")
    head = f'<thead><tr><th scope="col">metric</th>{names}</tr></thead>'
    return (
        f'<div class="wide"><table class="scores">\n{head}\n<tbody>\n{_lines(lines)}\n</tbody></table></div>'
    )


def _cell(report: Report, row: Row, key: str, span: tuple[float, float], mark: Mark) -> str:
    score = row.scores.get(key)
    if score is None:
        return f"<td{_class(row)}>\u2013</td>"
    unit = f" {score.unit}" if score.unit else ""
    value = f'<span class="value">{escape(report.text(key, score.value) + unit)}</span>'
    interval = f'<span class="range"> {escape(report.interval_text(key, score))}</span>'
    bar = "" if row.reference else _bar(score, span)
    return f"<td{_class(row, mark)}>{value}{interval}{bar}{_small(MARKS[mark])}</td>"


def _bar(score: Score, span: tuple[float, float]) -> str:
    """The interval and the value of a score on an axis that all generators share, as SVG."""
    if score.interval is None:
        return ""
    scale = (BAR_WIDTH - 4) / (span[1] - span[0])
    low, at, high = (
        2 + scale * (x - span[0]) for x in (score.interval.low, score.value, score.interval.high)
    )
    middle = BAR_HEIGHT / 2
    lines = "".join(
        f'<line class="{kind}" x1="{x:.1f}" y1="{middle}" x2="{y:.1f}" y2="{middle}"/>'
        for kind, x, y in (("track", 0, BAR_WIDTH), ("bound", low, high))
    )
    point = f'<line class="point" x1="{at:.1f}" y1="1" x2="{at:.1f}" y2="{BAR_HEIGHT - 1}"/>'
    size = f'width="{BAR_WIDTH}" height="{BAR_HEIGHT}" viewBox="0 0 {BAR_WIDTH} {BAR_HEIGHT}"'
    return f'<svg {size} aria-hidden="true">{lines}{point}</svg>'


def _span(scores: Iterable[Score | None]) -> tuple[float, float]:
    """The range of all values and intervals of one metric."""
    found = [score for score in scores if score is not None]
    intervals = [score.interval or Interval(score.value, score.value) for score in found]
    ends = [end for each in intervals for end in (each.low, each.high)] + [score.value for score in found]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _gallery(gallery: Gallery) -> str:
    columns = max((len(strip.images) for strip in gallery.strips), default=0)
    strips = _lines(_strip(strip, columns) for strip in gallery.strips)
    title = f"<h2>{escape(gallery.title)}</h2>{_note(gallery.note)}"
    return f'<section>{title}\n<div class="wide">\n{strips}\n</div></section>'


def _strip(strip: ImageStrip, columns: int) -> str:
    small = ' class="small"' if max(strip.images.shape[-2:]) <= PIXELATED else ""
    name = escape(strip.name)
    images = "".join(
        f'<img{small} src="{_data_url(image)}" alt="{name}, {place}">'
        for place, image in enumerate(strip.images, 1)
    )
    layout = f"--n: {columns}; grid-template-columns: 9rem repeat({columns}, minmax(4.5rem, 1fr))"
    return f'<figure class="strip" style="{layout}"><figcaption>{name}</figcaption>{images}</figure>'


def _data_url(image: Tensor) -> str:
    """An image [3, H, W] in [0, 1] -> a PNG of limited size as a data URL."""
    factor = LARGEST / max(image.shape[-2:])
    if factor < 1:
        image = interpolate(image[None], [round(n * factor) for n in image.shape[-2:]], mode="area")[0]
    content = io.BytesIO()
    Image.fromarray(to_bytes(image).numpy()).save(content, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def _charts(charts: Iterable[Chart]) -> str:
    figures = _lines(f"<figure>{chart.svg}</figure>" for chart in charts)
    return f'<section><h2>Charts</h2>\n<div class="charts">\n{figures}\n</div></section>' if figures else ""


def _protocol(report: Report) -> str:
    if not report.protocol:
        return ""
    rows = _lines(
        f'<tr><th scope="row">{escape(name.replace("_", " "))}</th><td>{escape(str(value))}</td></tr>'
        for name, value in report.protocol.items()
    )
    note = _note("Scores are comparable only with scores for which all of this is the same.")
    return f'<section><h2>Protocol</h2>{note}\n<table class="protocol"><tbody>\n{rows}\n</tbody></table></section>'


def _class(row: Row, mark: Mark = "") -> str:
    name = "reference" if row.reference else "best" if mark == "best" else ""
    return f' class="{name}"' if name else ""


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>' if text else ""


def _small(text: str) -> str:
    return f"<small>{escape(text)}</small>" if text else ""


def _lines(parts: Iterable[str]) -> str:
    return "\n".join(parts)
