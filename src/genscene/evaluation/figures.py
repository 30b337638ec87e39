"""Images and charts of a report: generated and real images, precision against recall, power spectra."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from genscene.evaluation.extract_features import Measurements
from genscene.evaluation.image_sources import ImageSource
from genscene.evaluation.registry import SPECTRUM
from genscene.evaluation.report import Gallery, ImageStrip
from genscene.evaluation.session import Features
from genscene.evaluation.statistics import FeatureStatistics
from genscene.export.charts import Axes, Point, line_chart
from genscene.metrics.precision_recall import nearest_neighbors, precision_recall
from genscene.metrics.spectrum import to_decibels

SHOWN = 8  # images in a strip
NEIGHBORS = (1, 2, 3, 4, 5, 7, 10)  # of the curve of precision and recall
CURVE_FEATURES = 3000  # of either side, for that curve
PRECISION_AXES = Axes(
    "precision and recall, 1 to 10 neighbors", "recall", "precision", (0, 1), (0, 1), True, 2, "3 neighbors"
)
SPECTRUM_AXES = Axes("mean power spectrum", "frequency / highest frequency", "power, dB", reference="real")


def galleries(measured: Measurements) -> list[Gallery]:
    """The first images of every generator, and the real images nearest to them."""
    strips, real_images, nearest = [], measured.real_images, []
    for subject, source in zip(measured.subjects, measured.sources, strict=True):
        images = source.read(range(min(SHOWN, len(source)))).float().cpu() / 255
        strips.append(ImageStrip(subject.name, images))
    note = "The first images of each; generators of one system share latent codes and cameras in each column."
    key = image_extractor(measured.real)
    if real_images is None or key is None:
        return [Gallery("Images", strips, note)]
    for fake in measured.features:
        rows, _ = nearest_neighbors(fake[key].features[:SHOWN], measured.real[key].features)
        nearest.append(ImageStrip("nearest real images", _take(real_images, rows[:, 0].tolist())))
    indices = np.linspace(0, len(real_images) - 1, min(SHOWN, len(real_images))).astype(int).tolist()
    side_by_side = [ImageStrip("real", _take(real_images, indices)), *strips]
    if len(strips) == 1:
        return [Gallery("Images", [*side_by_side, *nearest], "The first images, and the nearest real ones.")]
    found, copies = (
        [Gallery("Images", side_by_side, note)],
        "Both rows would be the same for memorized images.",
    )
    for strip, closest in zip(strips, nearest, strict=True):
        pair = [ImageStrip("generated", strip.images), closest]
        found.append(Gallery(f"{strip.name}: nearest real images", pair, copies))
    return found


def charts(measured: Measurements) -> dict[str, str]:
    """Precision against recall, where there are enough images, and power spectra -> SVG by name."""
    real, charts, key = measured.real, {}, image_extractor(measured.real)
    fakes = dict(zip((subject.name for subject in measured.subjects), measured.features, strict=True))
    if key is not None and min(len(side[key].features) for side in (*fakes.values(), real)) > max(NEIGHBORS):
        curves = {name: precision_curve(fake[key], real[key]) for name, fake in fakes.items()}
        charts["precision"] = line_chart(curves, PRECISION_AXES)
    if SPECTRUM in real:
        named = {name if name != "real" else "real (generated)": fake for name, fake in fakes.items()}
        spectra = {name: spectrum(side[SPECTRUM]) for name, side in {"real": real, **named}.items()}
        charts["spectrum"] = line_chart(spectra, SPECTRUM_AXES)
    return charts


def image_extractor(features: Features) -> str | None:
    """The first extractor whose features describe whole images, unlike power spectra."""
    return next((name for name in features if name != SPECTRUM), None)


def precision_curve(fake: FeatureStatistics, real: FeatureStatistics) -> list[Point]:
    """(recall, precision) for 1 to 10 neighbors."""
    sides = fake.features[:CURVE_FEATURES], real.features[:CURVE_FEATURES]
    found = [precision_recall(*sides, k) for k in NEIGHBORS]
    return [(each.recall, each.precision) for each in found]


def spectrum(statistics: FeatureStatistics) -> list[Point]:
    """(fraction of the highest frequency, mean power in dB), without the constant."""
    power = to_decibels(statistics.running.mean)
    return [(i / (len(power) - 1), float(value)) for i, value in enumerate(power) if i]


def _take(source: ImageSource, indices: Sequence[int]) -> Tensor:
    """Images of a source -> [N, 3, H, W] in [0, 1]."""
    return torch.cat([source.read(range(i, i + 1)) for i in indices]).float().cpu() / 255
