"""Principal directions of styles (GANSpace, Härkönen et al. 2020), and directions of labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genscene.apps.interpolate import styles_of_seeds
from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.geometry.cameras import named_tensors
from genscene.layers.mapping import join_styles, map_tensors

FIRST_SEED = 1 << 40  # of the styles that are sampled: none that a person names
PART = 256  # styles that are computed at once
# of scenes of objects: what is there, and where; only codes have directions
FIXED = (
    "classes",
    "present",
    "background_present",
    "background_rotation",
    "scale",
    "translation",
    "rotation",
)
FOLDS, LEAST_LABELS = 5, 4  # of the cross-validation; scenes with labels that are needed


@dataclass(frozen=True)
class Direction:
    """What is known of a direction, beside its style of length 1."""

    name: str
    deviation: float  # standard deviation of styles along it: the unit of edits
    share: float  # of the variance of all styles
    # of the labels and what cross-validation predicts them to be, -1 to 1; None: of no labels
    correlation: float | None = None


@dataclass(frozen=True)
class Directions:
    """K directions, and their styles [K, ...], each of length 1 over all its numbers."""

    w: Any
    known: Sequence[Direction]


@torch.no_grad()
def sample_vectors(generator: Generator, count: int) -> tuple[Tensor, Any]:
    """Styles of so many fixed seeds -> vectors [count, D] in float64 on the CPU, and the style of one."""
    starts = range(0, count, PART)
    seeds = [range(FIRST_SEED + start, FIRST_SEED + min(start + PART, count)) for start in starts]
    parts = [styles_of_seeds(generator, each) for each in seeds]
    return torch.cat([to_vectors(part) for part in parts]), parts[0]


def to_vectors(w: Any) -> Tensor:
    """S styles -> their codes as vectors [S, D] in float64 on the CPU."""
    return torch.cat([codes.detach().flatten(1).double().cpu() for codes in codes_of(w).values()], dim=1)


def codes_of(w: Any) -> dict[str, Tensor]:
    """The tensors of styles that have directions, by name; all of plain styles."""
    return {name: tensor for name, tensor in named_tensors(w).items() if name not in FIXED}


def to_styles(vectors: Tensor, like: Any) -> Any:
    """Vectors [K, D] as `to_vectors` makes them -> K styles of the kind of `like`, 0 where it is fixed."""
    sizes = {name: codes[0].numel() for name, codes in codes_of(like).items()}
    parts = dict(zip(sizes, vectors.split(list(sizes.values()), dim=1), strict=True))
    order = iter(named_tensors(like))

    def fill(tensor: Tensor) -> Tensor:
        name, shape = next(order), (len(vectors), *tensor.shape[1:])
        return parts[name].reshape(shape).to(tensor) if name in parts else tensor.new_zeros(shape)

    return map_tensors(fill, like)


def principal_axes(samples: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Samples [N, D], float64 -> axes [K, D] of length 1, and all variances [min(N, D)], from large to small.

    K: the count, or so many as N samples in D dimensions have. An axis has the sign that makes its largest
    entry positive.
    """
    centered = samples - samples.mean(dim=0)
    size, width = centered.shape
    if width <= size:
        variances, axes = torch.linalg.eigh(centered.mT @ centered / size)
        axes = axes.mT
    else:  # the same by the smaller matrix
        variances, weights = torch.linalg.eigh(centered @ centered.mT / size)
        axes = weights.mT @ centered
        axes = axes / axes.norm(dim=1, keepdim=True).clamp_min(1e-300)
    variances, axes = variances.flip(0).clamp_min(0), axes.flip(0)[:count]
    return axes * axes.gather(1, axes.abs().argmax(dim=1, keepdim=True)).sign(), variances


def principal_directions(generator: Generator, count: int, samples: int) -> Directions:
    """The first directions of the principal components of a generator's styles, by so many samples.

    Raises BadInput where there are fewer, as of styles that are all the same.
    """
    vectors, like = sample_vectors(generator, samples)
    axes, variances = principal_axes(vectors, count)
    there = int((variances > 1e-12 * variances.sum().clamp_min(1e-300)).sum())
    if count > there:
        raise BadInput(f"{count} directions: {samples} styles vary along {there}, wanted at most so many")
    total = float(variances.sum())
    known = [
        Direction(f"component {i + 1}", float(variances[i]) ** 0.5, float(variances[i]) / total)
        for i in range(count)
    ]
    return Directions(to_styles(axes, like), known)


def labelled_directions(
    generator: Generator, w: Any, labels: Mapping[str, Mapping[int, float]], samples: int
) -> Directions:
    """Directions of labels: by name the labels of some of S styles, numbers or 0 and 1, by their places.

    A direction is the covariance of styles and labels; of two classes the difference of their means.
    Raises BadInput, naming the label, where fewer than 4 styles have it, or all have the same.
    """
    vectors, given = sample_vectors(generator, samples)[0], to_vectors(w)
    centered = vectors - vectors.mean(dim=0)
    total, axes, known = float(centered.square().sum()) / samples, [], []
    for name, values in labels.items():
        x = given[list(values)]
        y = torch.tensor(list(values.values()), dtype=torch.float64)
        if len(y) < LEAST_LABELS or float(y.std()) == 0:
            got = f"{len(y)} scenes" if len(y) < LEAST_LABELS else "all scenes the same"
            raise BadInput(f"label {name!r}: {got}, wanted {LEAST_LABELS} or more with different values")
        axis = covariance(x, y)
        variance = float((centered @ axis).square().mean())
        known.append(Direction(name, variance**0.5, variance / max(total, 1e-300), cross_validated(x, y)))
        axes.append(axis)
    return Directions(to_styles(torch.stack(axes), w), known)


def covariance(x: Tensor, y: Tensor) -> Tensor:
    """Vectors [N, D], labels [N] -> the direction of their covariance [D], of length 1."""
    axis = (y - y.mean()) @ (x - x.mean(dim=0))
    return axis / axis.norm().clamp_min(1e-300)


def cross_validated(x: Tensor, y: Tensor) -> float:
    """The correlation of labels [N] with the places of vectors [N, D] along directions of other labels."""
    folds, places = min(FOLDS, len(y)), torch.zeros_like(y)
    for fold in range(folds):
        left_out = torch.arange(len(y)) % folds == fold
        some, others = x[~left_out], y[~left_out]
        along = (some - some.mean(dim=0)) @ covariance(some, others)
        scale = along.std().clamp_min(1e-300)
        places[left_out] = (x[left_out] - some.mean(dim=0)) @ covariance(some, others) / scale
    places, labels = places - places.mean(), y - y.mean()
    return float((places @ labels) / (places.norm() * labels.norm()).clamp_min(1e-300))


def moved_styles(
    generator: Generator, w: Any, direction: Any, amount: float, layers: Sequence[int] = ()
) -> Any:
    """S styles -> the same, moved by a multiple of the style of one direction [1, ...].

    layers: numbers of those that are moved, 0 the coarsest; none: all. Raises BadInput where the generator's
    styles are not by layers, or have fewer.
    """
    return change_styles(generator, w, map_tensors(lambda w, d: w + amount * d, w, direction), layers)


def change_styles(generator: Generator, w: Any, changed: Any, layers: Sequence[int]) -> Any:
    """S styles, and the same S changed -> those that are changed in some layers alone; no layers: in all."""
    if not layers:
        return changed
    dim = generator.layer_dim
    if dim is None:
        raise BadInput("the styles of this generator are not by layers: wanted all of them edited")

    def choose(own: Tensor, other: Tensor) -> Tensor:
        if max(layers) >= own.shape[dim]:
            raise BadInput(f"layer {max(layers)}: this generator has layers 0 to {own.shape[dim] - 1}")
        index = torch.tensor(sorted(set(layers)), device=own.device)
        return own.index_copy(dim, index, other.index_select(dim, index))

    return map_tensors(choose, w, changed)


def joined(parts: Sequence[Directions]) -> Directions:
    """Directions of several kinds, in order."""
    return Directions(
        join_styles([part.w for part in parts]), [each for part in parts for each in part.known]
    )
