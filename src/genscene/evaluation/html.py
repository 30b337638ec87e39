"""A report as one HTML file that fetches nothing, runs nothing, and follows a light or dark theme."""

import base64
import io
from html import escape
from importlib.resources import files

from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from genscene.evaluation.report import ImageStrip, Interval, Mark, Report, Row, Score
from genscene.export.pictures import to_bytes

BAR_WIDTH, BAR_HEIGHT = 120, 14  # pixels of the bar of an interval
PIXELATED, LARGEST = 64, 512  # pixels: side up to which images are enlarged as squares; from which reduced
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
SENSES = {"low": "\u2193 low is better", "high": "\u2191 high is better"}
MARKS: dict[Mark, str] = {"": "", "best": "best", "level": "not distinguishable from the best"}
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="lead">{summary}</p>
{body}
</main>
</body>
</html>
"""


def render_page(report: Report) -> str:
    """A report -> HTML with its style, images and charts inside."""
    parts = [_score_table(report), *(_note(note) for note in report.notes)]
    for gallery in report.galleries:
        columns = max((len(strip.images) for strip in gallery.strips), default=0)
        strips = "\n".join(_strip(strip, columns) for strip in gallery.strips)
        parts.append(_section(gallery.title, gallery.note, f'<div class="wide">\n{strips}\n</div>'))
    if report.charts:
        figures = "\n".join(f"<figure>{svg}</figure>" for svg in report.charts.values())
        parts.append(_section("Charts", "", f'<div class="charts">\n{figures}\n</div>'))
    if report.protocol:
        note = "Scores are comparable only with scores for which all of this is the same."
        rows = "\n".join(
            f'<tr><th scope="row">{escape(name.replace("_", " "))}</th><td>{escape(str(value))}</td></tr>'
            for name, value in report.protocol.items()
        )
        parts.append(_section("Protocol", note, f'<table class="protocol"><tbody>\n{rows}\n</tbody></table>'))
    style = files("genscene.evaluation").joinpath("page.css").read_text(encoding="utf-8")
    title, summary = escape(report.title), escape(report.summary)
    return PAGE.format(policy=POLICY, title=title, style=style, summary=summary, body="\n".join(parts))


def _score_table(report: Report) -> str:
    """The table: metrics by generators, as there are more of the former."""
    names = (f"{_class(row)}>{escape(row.name)}{_small(row.note)}" for row in report.rows)
    head, lines = "".join(f'<th scope="col"{name}</th>' for name in (">metric", *names)), []
    for key, first in report.columns.items():
        span = _span([row.scores[key] for row in report.rows if key in row.scores and not row.reference])
        network = _small(f"by {first.extractor}" if first.extractor else "")
        sense = f'<span class="sense">{SENSES[first.better]}</span>'
        marked = zip(report.rows, report.marks(key), strict=True)
        cells = "".join(_cell(report, row, key, span, mark) for row, mark in marked)
        lines.append(f'<tr><th scope="row">{escape(first.title)}{sense}{network}</th>{cells}</tr>')
    body = "\n".join(lines)
    table = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    return f'<div class="wide"><table class="scores">\n{table}</table></div>'


def _cell(report: Report, row: Row, key: str, span: Interval, mark: Mark) -> str:
    score = row.scores.get(key)
    if score is None:
        return f"<td{_class(row)}>\u2013</td>"
    value = f"{report.text(key, score.value)} {score.unit}".strip()
    interval = f'<span class="range"> {report.interval_text(key, score)}</span>'
    bar = "" if row.reference or score.interval is None else _bar(score.value, score.interval, span)
    content = f'<span class="value">{escape(value)}</span>{interval}{bar}{_small(MARKS[mark])}'
    return f"<td{_class(row, mark)}>{content}</td>"


def _bar(value: float, interval: Interval, span: Interval) -> str:
    """An interval and its value on an axis that all generators share, as SVG."""
    scale, middle = (BAR_WIDTH - 4) / (span.high - span.low), BAR_HEIGHT / 2
    low, at, high = (2 + scale * (x - span.low) for x in (interval.low, value, interval.high))
    lines = "".join(
        f'<line class="{kind}" x1="{x:.1f}" y1="{middle}" x2="{y:.1f}" y2="{middle}"/>'
        for kind, x, y in (("track", 0, BAR_WIDTH), ("bound", low, high))
    )
    point = f'<line class="point" x1="{at:.1f}" y1="1" x2="{at:.1f}" y2="{BAR_HEIGHT - 1}"/>'
    size = f'width="{BAR_WIDTH}" height="{BAR_HEIGHT}" viewBox="0 0 {BAR_WIDTH} {BAR_HEIGHT}"'
    return f'<svg {size} aria-hidden="true">{lines}{point}</svg>'


def _span(scores: list[Score]) -> Interval:
    """The range of all values and intervals of one metric; never empty."""
    ends = [score.value for score in scores]
    ends += [end for score in scores if score.interval for end in (score.interval.low, score.interval.high)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    return Interval(low, high) if high > low else Interval(low - 0.5, low + 0.5)


def _strip(strip: ImageStrip, columns: int) -> str:
    small = ' class="small"' if max(strip.images.shape[-2:]) <= PIXELATED else ""
    name, urls = escape(strip.name), map(_data_url, strip.images)
    images = "".join(f'<img{small} src="{url}" alt="{name}, {i}">' for i, url in enumerate(urls, 1))
    layout = f"--n: {columns}; grid-template-columns: 9rem repeat({columns}, minmax(4.5rem, 1fr))"
    return f'<figure class="strip" style="{layout}"><figcaption>{name}</figcaption>{images}</figure>'


def _data_url(image: Tensor) -> str:
    """An image [3, H, W] in [0, 1] -> a PNG of limited size as a data URL."""
    content, factor = io.BytesIO(), LARGEST / max(image.shape[-2:])
    if factor < 1:
        image = interpolate(image[None], [round(n * factor) for n in image.shape[-2:]], mode="area")[0]
    Image.fromarray(to_bytes(image).numpy()).save(content, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def _section(title: str, note: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{_note(note)}\n{content}</section>"


def _class(row: Row, mark: Mark = "") -> str:
    name = "reference" if row.reference else "best" if mark == "best" else ""
    return f' class="{name}"' if name else ""


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>' if text else ""


def _small(text: str) -> str:
    return f"<small>{escape(text)}</small>" if text else ""
