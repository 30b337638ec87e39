"""Whether distances grow with what is wrong: one half of a set against the other half, made worse step by step.

The halves differ by chance even where nothing was done: what that alone gives stands in the first rows. A distance
also grows where pictures are fewer, so beside modes that are removed stand as many pictures drawn at random.
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

from genscene.data import load_images
from genscene.experiment.schema import ImageConfig
from genscene.metrics.extractor import Extractor
from genscene.metrics.frechet import Moments, frechet
from genscene.metrics.kid import kid
from genscene.metrics.manifold import manifold
from genscene.metrics.pooled_squeezenet import squeezenet_features
from genscene.metrics.random_features import random_features

BLUR = (0.5, 1.0, 2.0, 4.0)  # deviations in pixels
NOISE = (4, 8, 16, 32)  # deviations in 255ths
JPEG = (90, 60, 30, 10)  # qualities
REMOVED, MODES = (1, 2, 4, 6), 8  # how many of how many
HALVINGS = 5
BATCH = 16  # pictures an extractor is shown at once
METRICS = ("Frechet", "kernel x 100", "precision", "recall")


@dataclass(frozen=True)
class Step:
    """A set that was made worse."""

    kind: str  # blur, noise, ...
    amount: str  # how much, as the table says it
    pictures: Tensor  # uint8 [N, 3, H, W]


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    kind: str
    amount: str
    numbers: tuple[float, ...]  # METRICS, for every extractor


def blurred(pictures: Tensor, deviation: float) -> Tensor:
    """Pictures uint8 [N, 3, H, W] smoothed by a Gaussian of a deviation in pixels, the border repeated."""
    reach = min(math.ceil(4 * deviation), min(pictures.shape[-2:]) - 1)
    at = torch.arange(-reach, reach + 1.0)
    weights = torch.exp(-0.5 * (at / deviation).square())
    weights = (weights / weights.sum())[None, None]
    x = pictures.float()
    for _ in range(2):  # along rows, then, turned, along columns
        lines = pad(x, (reach, reach, 0, 0), mode="replicate").flatten(0, 2)[:, None]
        x = conv1d(lines, weights).reshape(x.shape).mT
    return _bytes(x)


def noisy(pictures: Tensor, deviation: float) -> Tensor:
    """Pictures uint8 [N, 3, H, W] with normal noise of a deviation in 255ths."""
    stream = torch.Generator().manual_seed(0)
    return _bytes(pictures + deviation * torch.randn(pictures.shape, generator=stream))


def compressed(pictures: Tensor, quality: int) -> Tensor:
    """Pictures uint8 [N, 3, H, W] as they come back from JPEG files."""
    return torch.stack([_through_jpeg(picture, quality) for picture in pictures])


def modes(pictures: Tensor, rounds: int = 30) -> Tensor:
    """Pictures uint8 [N, 3, H, W] -> which of MODES each belongs to [N]: k-means of 8 x 8 pixels, of no extractor."""
    points = adaptive_avg_pool2d(pictures.float() / 255, 8).flatten(1)
    stream = np.random.RandomState(0)
    centres = points[torch.from_numpy(stream.choice(len(points), MODES, replace=False))]
    for _ in range(rounds):
        nearest = torch.cdist(points, centres).argmin(dim=1)
        means = [
            points[nearest == i].mean(dim=0) if (nearest == i).any() else centres[i] for i in range(MODES)
        ]
        centres = torch.stack(means)
    return nearest


def steps(pictures: Tensor) -> Iterator[Step]:
    """All that is done to a half, uint8 [N, 3, H, W]."""
    yield Step("nothing", "", pictures)
    grown: tuple[tuple[str, tuple[float, ...], Callable[..., Tensor]], ...] = (
        ("blur", BLUR, blurred),
        ("noise", NOISE, noisy),
        ("JPEG", JPEG, compressed),
    )
    for kind, amounts, make in grown:
        for amount in amounts:
            yield Step(kind, f"{amount:g}", make(pictures, amount))
    belongs, lots = modes(pictures), np.random.RandomState(1).permutation(len(pictures))
    for count in REMOVED:
        left = pictures[belongs >= count]
        yield Step("modes removed", f"{count} of {MODES}, {len(left)} left", left)
        yield Step("as many at random", f"{len(left)} left", pictures[torch.from_numpy(lots[: len(left)])])


def features(extractor: Extractor, pictures: Tensor) -> Tensor:
    """Pictures uint8 [N, 3, H, W] -> features [N, width]."""
    return torch.cat([extractor(batch) for batch in pictures.split(BATCH)])


def measured(fake: Tensor, real: Tensor) -> tuple[float, ...]:
    """Features [N, D], [M, D] -> METRICS."""
    near = manifold(fake, real)
    distance = frechet(Moments.of(fake), Moments.of(real))
    return distance, 100 * kid(fake, real, subsets=10, size=500).mean, near.precision, near.recall


def by_chance(looked: list[Tensor], count: int) -> Row:
    """What halves of the undegraded set are apart by each extractor's features [N, D], on average."""
    each = []
    for seed in range(1, count + 1):
        lots = torch.from_numpy(np.random.RandomState(seed).permutation(len(looked[0])))
        one, other = lots.chunk(2)
        each.append([number for f in looked for number in measured(f[one], f[other])])
    return Row("nothing", f"mean of {count} halvings", tuple(np.mean(each, axis=0).tolist()))


def judged(rows: list[Row], kind: str) -> list[str]:
    """Of every column: whether it rises or falls strictly with the amount of a kind, from nothing on."""
    numbers = [row.numbers for row in rows if row.kind == kind or (row.kind == "nothing" and not row.amount)]
    changes = np.diff(np.array(numbers), axis=0)
    return ["grows" if (c > 0).all() else "falls" if (c < 0).all() else "neither" for c in changes.T]


def compared(pictures: Tensor, extractors: list[Extractor]) -> list[Row]:
    """Pictures uint8 [N, 3, H, W] -> the lines of the table."""
    lots = torch.from_numpy(np.random.RandomState(0).permutation(len(pictures)))
    one, other = (pictures[half] for half in lots.chunk(2))
    rows = [by_chance([features(e, pictures) for e in extractors], HALVINGS)]
    real = [features(e, one) for e in extractors]
    for step in steps(other):
        pairs = zip(extractors, real, strict=True)
        numbers = [number for e, f in pairs for number in measured(features(e, step.pictures), f)]
        rows.append(Row(step.kind, step.amount, tuple(numbers)))
    return rows


def table(rows: list[Row], extractors: list[Extractor]) -> str:
    """Markdown: the numbers, then whether they grow."""
    columns = [
        f"{e.name}: {METRICS[0]}" if metric == METRICS[0] else metric
        for e in extractors
        for metric in METRICS
    ]
    lines = [["what", "how much", *columns], ["---"] * (2 + len(columns))]
    lines += [[row.kind, row.amount, *(_shown(i, x) for i, x in enumerate(row.numbers))] for row in rows]
    for kind in ("blur", "noise", "JPEG", "modes removed"):
        lines.append([f"**{kind}**", "monotone?", *judged(rows, kind)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    """Load, make worse, measure, print."""
    options = argparse.ArgumentParser(prog="benchmarks.degradations", description=__doc__)
    options.add_argument("--data", required=True, help="a folder or zip of pictures")
    options.add_argument("--squeezenet", type=Path, help="weights of SqueezeNet 1.1: a second extractor")
    options.add_argument("--size", type=int, default=64, help="pixels a side")
    options.add_argument("--limit", type=int, default=1600, help="so many pictures, evenly chosen; 0: all")
    options.add_argument("--out", type=Path, help="where the table is written, too")
    chosen = options.parse_args()
    extractors = [random_features()] + ([squeezenet_features(chosen.squeezenet)] if chosen.squeezenet else [])
    found = load_images(
        chosen.data, ImageConfig(background="white", limit=chosen.limit), (chosen.size, chosen.size)
    )
    pictures = torch.from_numpy(np.array(found.pixels)).movedim(-1, 1).contiguous()
    title = f"{len(pictures)} pictures of {Path(chosen.data).name}, {chosen.size} x {chosen.size}"
    text = f"{title}, in halves\n\n{table(compared(pictures, extractors), extractors)}"
    print(text)
    if chosen.out:
        chosen.out.write_text(text)


def _bytes(x: Tensor) -> Tensor:
    return x.round().clamp(0, 255).to(torch.uint8)


def _through_jpeg(picture: Tensor, quality: int) -> Tensor:
    """uint8 [3, H, W] -> the same after one JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture.movedim(0, -1).numpy()).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return torch.from_numpy(np.array(image)).movedim(-1, 0)


def _shown(column: int, number: float) -> str:
    """Shares with three decimals, distances with three digits."""
    return f"{number:.3f}" if METRICS[column % len(METRICS)] in ("precision", "recall") else f"{number:.3g}"


if __name__ == "__main__":
    main()
