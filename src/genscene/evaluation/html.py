"""A report as one HTML file that fetches nothing, runs nothing, and follows a light or dark theme."""

import base64
import io

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from genscene.evaluation.report import Interval, Report
from genscene.export.pictures import to_bytes

BAR_WIDTH = 120  # of an interval, in pixels
PIXELATED, LARGEST = 64, 512  # pixels: side up to which images are enlarged as squares; from which reduced


def render_page(report: Report) -> str:
    """A report -> HTML with its style, images and charts inside."""
    loader = PackageLoader("genscene.evaluation", "")
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    spans = {key: find_span(report, key) for key in report.columns}
    functions = {"data_url": data_url, "zip": zip}
    sizes = {"bar_width": BAR_WIDTH, "pixelated": PIXELATED}
    return templates.get_template("page.html").render(report=report, spans=spans, **functions, **sizes)


def find_span(report: Report, key: str) -> Interval:
    """The range of all values and intervals of one metric; never empty."""
    scores = [row.scores[key] for row in report.rows if key in row.scores and not row.reference]
    ends = [score.value for score in scores]
    ends += [end for score in scores if score.interval for end in (score.interval.low, score.interval.high)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    return Interval(low, high) if high > low else Interval(low - 0.5, low + 0.5)


def data_url(image: Tensor) -> str:
    """An image [3, H, W] in [0, 1] -> a PNG of limited size as a data URL."""
    content, factor = io.BytesIO(), LARGEST / max(image.shape[-2:])
    if factor < 1:
        image = interpolate(image[None], [round(n * factor) for n in image.shape[-2:]], mode="area")[0]
    Image.fromarray(to_bytes(image).numpy()).save(content, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
