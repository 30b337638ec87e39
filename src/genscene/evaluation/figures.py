"""Images and charts of a report: generated and real images, precision against recall, power spectra."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from genscene.evaluation.extract_features import Measurements
from genscene.evaluation.image_sources import ImageSource
from genscene.evaluation.registry import SPECTRUM
from genscene.evaluation.report import Gallery
from genscene.evaluation.session import Features
from genscene.export.charts import Axes, line_chart
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
    real, key, strips = measured.real_images, image_extractor(measured.real), []
    if real is not None:
        evenly_spaced = np.linspace(0, len(real) - 1, min(SHOWN, len(real))).astype(int)
        strips.append(("real", _read(real, evenly_spaced.tolist())))
    for subject, source, fake in zip(measured.subjects, measured.sources, measured.features, strict=True):
        strips.append((subject.name, _read(source, range(min(SHOWN, len(source))))))
        if real is not None and key is not None:
            rows, _ = nearest_neighbors(fake[key].features[:SHOWN], measured.real[key].features)
            strips.append(("nearest real images", _read(real, rows[:, 0].tolist())))
    note = "The first images of each; generators of one system share latent codes and cameras in each column."
    if len(strips) > len(measured.subjects) + 1:
        note += " For memorized images the nearest real images would be the same."
    return [Gallery("Images", strips, note)]


def charts(measured: Measurements) -> dict[str, str]:
    """Precision against recall, where there are enough images, and power spectra -> SVG by name."""
    real, charts, key = measured.real, {}, image_extractor(measured.real)
    fakes = {
        f"{subject.name} (generated)" if subject.name == "real" else subject.name: features
        for subject, features in zip(measured.subjects, measured.features, strict=True)
    }
    if key is not None and min(len(side[key].features) for side in (*fakes.values(), real)) > max(NEIGHBORS):
        curves = {}
        for name, fake in fakes.items():
            sides = fake[key].features[:CURVE_FEATURES], real[key].features[:CURVE_FEATURES]
            found = [precision_recall(*sides, k) for k in NEIGHBORS]
            curves[name] = [(each.recall, each.precision) for each in found]
        charts["precision"] = line_chart(curves, PRECISION_AXES)
    if SPECTRUM in real:
        spectra = {}
        for name, side in {"real": real, **fakes}.items():
            power = to_decibels(side[SPECTRUM].running.mean)
            spectra[name] = [(i / (len(power) - 1), float(value)) for i, value in enumerate(power) if i]
        charts["spectrum"] = line_chart(spectra, SPECTRUM_AXES)
    return charts


def image_extractor(features: Features) -> str | None:
    """The first extractor whose features describe whole images, unlike power spectra."""
    return next((name for name in features if name != SPECTRUM), None)


def _read(source: ImageSource, indices: Sequence[int]) -> Tensor:
    """Images of a source -> [N, 3, H, W] in [0, 1]."""
    return source.read(indices).float().cpu() / 255
