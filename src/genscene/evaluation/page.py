"""The page of a report: images, charts, and one HTML file that fetches nothing and runs nothing."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from genscene.evaluation.extract_features import Measurements
from genscene.evaluation.image_sources import ImageSource
from genscene.evaluation.registry import SPECTRUM
from genscene.evaluation.report import Interval, Report
from genscene.export.charts import SPECTRUM_AXES, Axes, line_chart, spectrum_series
from genscene.export.pictures import to_bytes
from genscene.metrics.precision_recall import nearest_neighbors, precision_recall
from genscene.metrics.spectrum import to_decibels

SHOWN = 8  # images in a strip
BAR_WIDTH = 120  # of an interval, in pixels
PIXELATED, LARGEST = 64, 512  # pixels: side up to which images are enlarged as squares; from which reduced
NEIGHBORS = (1, 2, 3, 4, 5, 7, 10)  # of the curve of precision and recall
CURVE_FEATURES = 3000  # of either side, for that curve
PRECISION_AXES = Axes(
    "precision and recall, 1 to 10 neighbors", "recall", "precision", (0, 1), (0, 1), True, 2, "3 neighbors"
)


def image_strips(measured: Measurements) -> list[tuple[str, Tensor]]:
    """The first images of every generator, and the real images nearest to them, by name."""
    real, key, strips = measured.real_images, measured.image_extractor, []
    if real is not None:
        evenly_spaced = np.linspace(0, len(real) - 1, min(SHOWN, len(real))).astype(int)
        strips.append(("real", _read(real, evenly_spaced.tolist())))
    for model, source, fake in zip(measured.models, measured.sources, measured.features, strict=True):
        strips.append((model.name, _read(source, range(min(SHOWN, len(source))))))
        if real is not None and key is not None:
            rows, _ = nearest_neighbors(fake[key].features[:SHOWN], measured.real[key].features)
            strips.append(("nearest real images", _read(real, rows[:, 0].tolist())))
    return strips


def charts(measured: Measurements) -> dict[str, str]:
    """Precision against recall, where there are enough images, and power spectra -> SVG by name."""
    real, charts, key = measured.real, {}, measured.image_extractor
    fakes = {
        f"{model.name} (generated)" if model.name == "real" else model.name: features
        for model, features in zip(measured.models, measured.features, strict=True)
    }
    if key is not None and min(len(side[key].features) for side in (*fakes.values(), real)) > max(NEIGHBORS):
        curves = {}
        for name, fake in fakes.items():
            sides = fake[key].features[:CURVE_FEATURES], real[key].features[:CURVE_FEATURES]
            found = [precision_recall(*sides, k) for k in NEIGHBORS]
            curves[name] = [(each.recall, each.precision) for each in found]
        charts["precision"] = line_chart(curves, PRECISION_AXES)
    if SPECTRUM in real:
        means = {name: side[SPECTRUM].running.mean for name, side in {"real": real, **fakes}.items()}
        profiles = {name: to_decibels(mean).tolist() for name, mean in means.items()}
        charts["spectrum"] = line_chart(spectrum_series(profiles), SPECTRUM_AXES)
    return charts


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


def _read(source: ImageSource, indices: Sequence[int]) -> Tensor:
    """Images of a source -> [N, 3, H, W] in [0, 1]."""
    return source.read(indices).float().cpu() / 255
