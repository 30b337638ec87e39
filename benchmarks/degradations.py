"""Whether metrics are monotone in degradations: one half of a set against the other half, degraded by steps.

Two halves differ by chance even without a degradation: the first rows measure that. Distances also grow where
images are fewer, so rows with modes removed are followed by rows with as many images sampled at random.
"""

import argparse
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, conv1d, pad

from genscene.data.images import load_images
from genscene.experiment.schema import ImageConfig
from genscene.metrics.frechet import Moments, frechet_distance
from genscene.metrics.kernel import kernel_distance
from genscene.metrics.networks.backbones import squeezenet_features
from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.networks.random_features import random_features
from genscene.metrics.precision_recall import precision_recall

BLUR = (0.5, 1.0, 2.0, 4.0)  # deviations in pixels
NOISE = (4, 8, 16, 32)  # deviations in 255ths
JPEG = (90, 60, 30, 10)  # qualities
REMOVED, MODES = (1, 2, 4, 6), 8  # how many of how many
HALVINGS = 5
BATCH = 16  # images per call of an extractor
METRICS = ("Frechet", "kernel x 100", "precision", "recall")


@dataclass(frozen=True)
class Degradation:
    """A degraded set of images."""

    kind: str  # blur, noise, ...
    amount: str  # as printed in the table
    images: Tensor  # uint8 [N, 3, H, W]


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    kind: str
    amount: str
    numbers: tuple[float, ...]  # METRICS of every extractor


def blur(images: Tensor, deviation: float) -> Tensor:
    """Images uint8 [N, 3, H, W] blurred by a Gaussian of a deviation in pixels, borders replicated."""
    radius = min(math.ceil(4 * deviation), min(images.shape[-2:]) - 1)
    at = torch.arange(-radius, radius + 1.0)
    weights = torch.exp(-0.5 * (at / deviation).square())
    weights = (weights / weights.sum())[None, None]
    x = images.float()
    for _ in range(2):  # along rows, then, transposed, along columns
        lines = pad(x, (radius, radius, 0, 0), mode="replicate").flatten(0, 2)[:, None]
        x = conv1d(lines, weights).reshape(x.shape).mT
    return _bytes(x)


def add_noise(images: Tensor, deviation: float) -> Tensor:
    """Images uint8 [N, 3, H, W] with normal noise of a deviation in 255ths."""
    stream = torch.Generator().manual_seed(0)
    return _bytes(images + deviation * torch.randn(images.shape, generator=stream))


def compress(images: Tensor, quality: int) -> Tensor:
    """Images uint8 [N, 3, H, W] after JPEG compression."""
    return torch.stack([_jpeg(image, quality) for image in images])


def modes(images: Tensor, iterations: int = 30) -> Tensor:
    """Images uint8 [N, 3, H, W] -> index of the mode of each [N], by k-means of 8 x 8 thumbnails."""
    points = adaptive_avg_pool2d(images.float() / 255, 8).flatten(1)
    stream = np.random.RandomState(0)
    centers = points[torch.from_numpy(stream.choice(len(points), MODES, replace=False))]
    for _ in range(iterations):
        nearest = torch.cdist(points, centers).argmin(dim=1)
        means = [
            points[nearest == i].mean(dim=0) if (nearest == i).any() else centers[i] for i in range(MODES)
        ]
        centers = torch.stack(means)
    return nearest


def degradations(images: Tensor) -> Iterator[Degradation]:
    """All degradations of a half, uint8 [N, 3, H, W]; the first is none."""
    yield Degradation("nothing", "", images)
    graded: tuple[tuple[str, tuple[float, ...], Callable[..., Tensor]], ...] = (
        ("blur", BLUR, blur),
        ("noise", NOISE, add_noise),
        ("JPEG", JPEG, compress),
    )
    for kind, amounts, degrade in graded:
        for amount in amounts:
            yield Degradation(kind, f"{amount:g}", degrade(images, amount))
    mode, order = modes(images), np.random.RandomState(1).permutation(len(images))
    for count in REMOVED:
        left = images[mode >= count]
        yield Degradation("modes removed", f"{count} of {MODES}, {len(left)} left", left)
        sampled = images[torch.from_numpy(order[: len(left)])]
        yield Degradation("as many at random", f"{len(left)} left", sampled)


def extract(extractor: Extractor, images: Tensor) -> Tensor:
    """Images uint8 [N, 3, H, W] -> features [N, width]."""
    return torch.cat([extractor(batch) for batch in images.split(BATCH)])


def compute_metrics(fake: Tensor, real: Tensor) -> tuple[float, ...]:
    """Features [N, D], [M, D] -> METRICS."""
    shares = precision_recall(fake, real)
    distance = frechet_distance(Moments.of(fake), Moments.of(real))
    kernel = kernel_distance(fake, real, subsets=10, size=500).mean
    return distance, 100 * kernel, shares.precision, shares.recall


def random_halves(features: list[Tensor], count: int) -> Row:
    """Mean METRICS between random halves of the undegraded set, by each extractor's features [N, D]."""
    each = []
    for seed in range(1, count + 1):
        order = torch.from_numpy(np.random.RandomState(seed).permutation(len(features[0])))
        one, other = order.chunk(2)
        each.append([number for f in features for number in compute_metrics(f[one], f[other])])
    return Row("nothing", f"mean of {count} halvings", tuple(np.mean(each, axis=0).tolist()))


def monotone(rows: list[Row], kind: str) -> list[str]:
    """Whether each column strictly grows or falls with the amount of a degradation, starting at none."""
    numbers = [row.numbers for row in rows if row.kind == kind or (row.kind == "nothing" and not row.amount)]
    changes = np.diff(np.array(numbers), axis=0)
    return ["grows" if (c > 0).all() else "falls" if (c < 0).all() else "neither" for c in changes.T]


def measure(images: Tensor, extractors: list[Extractor]) -> list[Row]:
    """Images uint8 [N, 3, H, W] -> rows of the table."""
    order = torch.from_numpy(np.random.RandomState(0).permutation(len(images)))
    one, other = (images[half] for half in order.chunk(2))
    rows = [random_halves([extract(e, images) for e in extractors], HALVINGS)]
    real = [extract(e, one) for e in extractors]
    for degradation in degradations(other):
        pairs = zip(extractors, real, strict=True)
        numbers = [number for e, f in pairs for number in compute_metrics(extract(e, degradation.images), f)]
        rows.append(Row(degradation.kind, degradation.amount, tuple(numbers)))
    return rows


def table(rows: list[Row], extractors: list[Extractor]) -> str:
    """Rows -> Markdown, with a last line per degradation on whether numbers are monotone."""
    columns = [
        f"{e.name}: {metric}" if metric == METRICS[0] else metric for e in extractors for metric in METRICS
    ]
    lines = [["what", "how much", *columns], ["---"] * (2 + len(columns))]
    lines += [[row.kind, row.amount, *(_format(i, x) for i, x in enumerate(row.numbers))] for row in rows]
    for kind in ("blur", "noise", "JPEG", "modes removed"):
        lines.append([f"**{kind}**", "monotone?", *monotone(rows, kind)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    """Load, degrade, measure, print."""
    options = argparse.ArgumentParser(prog="benchmarks.degradations", description=__doc__)
    options.add_argument("--data", required=True, help="a folder or zip of images")
    options.add_argument("--squeezenet", type=Path, help="weights of SqueezeNet 1.1: a second extractor")
    options.add_argument("--size", type=int, default=64, help="pixels a side")
    options.add_argument("--limit", type=int, default=1600, help="number of images, evenly spaced; 0: all")
    options.add_argument("--out", type=Path, help="also write the table to this file")
    chosen = options.parse_args()
    extractors = [random_features()] + ([squeezenet_features(chosen.squeezenet)] if chosen.squeezenet else [])
    found = load_images(
        chosen.data, ImageConfig(background="white", limit=chosen.limit), (chosen.size, chosen.size)
    )
    images = torch.from_numpy(np.array(found.pixels)).movedim(-1, 1).contiguous()
    title = f"{len(images)} images of {Path(chosen.data).name}, {chosen.size} x {chosen.size}"
    text = f"{title}, in halves\n\n{table(measure(images, extractors), extractors)}"
    print(text)
    if chosen.out:
        chosen.out.write_text(text)


def _bytes(x: Tensor) -> Tensor:
    return x.round().clamp(0, 255).to(torch.uint8)


def _jpeg(image: Tensor, quality: int) -> Tensor:
    """uint8 [3, H, W] -> the same after one JPEG file."""
    file = io.BytesIO()
    Image.fromarray(image.movedim(0, -1).numpy()).save(file, "JPEG", quality=quality)
    with Image.open(file) as decoded:
        return torch.from_numpy(np.array(decoded)).movedim(-1, 0)


def _format(column: int, number: float) -> str:
    """Fractions with three decimals, distances with three significant digits."""
    return f"{number:.3f}" if METRICS[column % len(METRICS)] in ("precision", "recall") else f"{number:.3g}"


if __name__ == "__main__":
    main()
