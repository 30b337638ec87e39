"""Images and charts of a report: generated and real images, precision against recall, power spectra."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from genscene.evaluation.image_sources import ImageSource, StoredImages
from genscene.evaluation.registry import SPECTRUM
from genscene.evaluation.report import Gallery, ImageStrip
from genscene.evaluation.session import Features
from genscene.evaluation.statistics import FeatureStatistics
from genscene.export.charts import Axes, Point, line_chart
from genscene.export.pictures import tile, to_bytes
from genscene.metrics.precision_recall import nearest_neighbors, precision_recall
from genscene.metrics.spectrum import to_decibels

SHOWN = 8  # images in a strip
NEIGHBORS = (1, 2, 3, 4, 5, 7, 10)  # of the curve of precision and recall
CURVE_FEATURES = 3000  # of either side, for that curve
SIDE, GAP, MARGIN, CAPTION, FONT = 128, 4, 16, 26, 14  # pixels of a contact sheet
INK = (28, 32, 38)
PRECISION_AXES = Axes(
    "precision and recall, 1 to 10 neighbors", "recall", "precision", (0, 1), (0, 1), True, 2, "3 neighbors"
)
SPECTRUM_AXES = Axes("mean power spectrum", "frequency / highest frequency", "power, dB", reference="real")


def galleries(
    names: Sequence[str],
    sources: Sequence[ImageSource],
    fakes: Sequence[Features],
    real: Features,
    real_images: StoredImages | None,
) -> list[Gallery]:
    """The first images of every generator, and the real images nearest to them."""
    strips = [
        ImageStrip(name, source.read(range(min(SHOWN, len(source)))).float().cpu() / 255)
        for name, source in zip(names, sources, strict=True)
    ]
    note = "The first images of each; generators of one system share latent codes and cameras in each column."
    key = image_extractor(real)
    if real_images is None or key is None:
        return [Gallery("Images", strips, note)]
    indices = np.linspace(0, len(real_images) - 1, min(SHOWN, len(real_images))).astype(int)
    strips = [ImageStrip("real", _take(real_images, indices.tolist())), *strips]
    nearest_strips = []
    for fake in fakes:
        rows, _ = nearest_neighbors(fake[key].features[:SHOWN], real[key].features)
        nearest_strips.append(ImageStrip("nearest real images", _take(real_images, rows[:, 0].tolist())))
    if len(names) == 1:
        return [Gallery("Images", [*strips, *nearest_strips], note)]
    note = "A generator that has memorized training images would give the same images in both rows."
    pairs = zip(names, strips[1:], nearest_strips, strict=True)
    return [Gallery("Images", strips, note)] + [
        Gallery(f"{name}: nearest real images", [ImageStrip("generated", strip.images), closest], note)
        for name, strip, closest in pairs
    ]


def charts(names: Sequence[str], fakes: Sequence[Features], real: Features) -> dict[str, str]:
    """Precision against recall, where there are enough images, and power spectra -> SVG by name."""
    found, key = {}, image_extractor(real)
    if key is not None and min(len(side[key].features) for side in (*fakes, real)) > max(NEIGHBORS):
        curves = {
            name: precision_curve(fake[key], real[key]) for name, fake in zip(names, fakes, strict=True)
        }
        found["precision"] = line_chart(curves, PRECISION_AXES)
    if SPECTRUM in real:
        spectra = {"real": spectrum(real[SPECTRUM])}
        for name, fake in zip(names, fakes, strict=True):
            spectra[name if name != "real" else "real (generated)"] = spectrum(fake[SPECTRUM])
        found["spectrum"] = line_chart(spectra, SPECTRUM_AXES)
    return found


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


def contact_sheet(strips: Sequence[ImageStrip]) -> Image.Image:
    """Strips below each other, each under its name; small images are enlarged by a whole factor."""
    rows = []
    for strip in strips:
        factor = max(1, round(SIDE / max(strip.images.shape[-2:])))
        enlarged = strip.images.repeat_interleave(factor, dim=-2).repeat_interleave(factor, dim=-1)
        rows.append(Image.fromarray(to_bytes(tile(enlarged[None], GAP)).numpy()))
    font = ImageFont.load_default(FONT)
    width = max(*(row.width for row in rows), *(round(font.getlength(strip.name) + 0.5) for strip in strips))
    height = sum(CAPTION + row.height + MARGIN for row in rows)
    sheet = Image.new("RGB", (width + 2 * MARGIN, height + MARGIN), "white")
    draw, top = ImageDraw.Draw(sheet), MARGIN
    for strip, row in zip(strips, rows, strict=True):
        draw.text((MARGIN, top + CAPTION / 2), strip.name, fill=INK, font=font, anchor="lm")
        sheet.paste(row, (MARGIN, top + CAPTION))
        top += CAPTION + row.height + MARGIN
    return sheet


def _take(source: ImageSource, indices: Sequence[int]) -> Tensor:
    """Images of a source -> [N, 3, H, W] in [0, 1]."""
    return torch.cat([source.read(range(i, i + 1)) for i in indices]).float().cpu() / 255
