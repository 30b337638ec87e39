"""Ranges of boxes and cameras for GIRAFFE, suggested from pictures: sizes and places of objects."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from genscene.data.images.files import list_images
from genscene.data.images.load import SYNTHETIC, load_images
from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig

SIDE, EXAMINED = 64, 300  # pixels and number of the pictures that are measured
OPAQUE = 0.5  # share of a pixel that an object takes where the pixel counts as its own
BORDER = 16 / 255  # pixels that differ by less from the color of the border are none of an object
PLAIN = 0.7  # share of border pixels that have its color, where that is a background
SPECK = 12  # pixels of the smallest object
STILL = 0.03  # movement that is taken for none, as a share of the frame
ABOVE = 10.0  # degrees of elevation from which on objects stand on a plane
OPTION = "--system.generator"


@dataclass(frozen=True)
class Frames:
    """The rectangles of M objects in pictures from -1 to 1, y upwards."""

    center: Tensor  # [M, 2]
    half: Tensor  # [M], half of the longer side

    def middle(self, axis: int) -> tuple[float, float]:
        """Mean and half range of the centers, uniform between their 5th and 95th percentiles."""
        low, high = self.center[:, axis].quantile(torch.tensor([0.05, 0.95])).tolist()
        half = (high - low) / 2 / 0.9
        return (low + high) / 2, half if half > STILL else 0.0


def suggest_boxes(source: str, objects: int, fov: float, radius: float, elevation: float) -> list[str]:
    """Options for GIRAFFE's boxes and cameras, each with its reason; fov and elevation in degrees.

    Raises BadInput where no object is found.
    """
    masks, how = find_masks(source)
    frames = measure(masks, objects)
    view = radius * math.tan(math.radians(fov) / 2)
    reason = (
        f"half of the view at the origin is {radius:g} * tan({fov:g} / 2 degrees) = {view:.3f} world units"
    )
    return [
        f"{source}: {len(masks)} pictures, objects found by {how}",
        f"  {reason}",
        *lines(frames, objects, view, elevation),
        *camera_lines(fov, radius, elevation),
    ]


def lines(frames: Frames, objects: int, view: float, elevation: float) -> Iterator[str]:
    """The options of the boxes."""
    shares = frames.half.quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
    low, high = (shares[1],) * 2 if shares[2] - shares[0] < STILL else (shares[0], shares[2])
    yield (
        "  "
        + option("boxes.scale-min", (low * view,) * 3)
        + " "
        + option("boxes.scale-max", (high * view,) * 3)
    )
    yield (
        f"    the longer side of {'an object' if objects > 1 else 'the object'} takes {100 * low:.0f} to"
        f" {100 * high:.0f} % of the frame, a box as much of the view"
    )
    (side, sideways), (height, upwards) = frames.middle(0), frames.middle(1)
    place, reach = [0.0, side * view, height * view], [0.0, sideways * view, upwards * view]
    why = "up and down (z)"
    if elevation >= ABOVE:
        # a point at x, z is seen at z cos(elevation) - x sin(elevation); the middle of places is at x = 0
        sine, cosine = math.sin(math.radians(elevation)), math.cos(math.radians(elevation))
        place, reach = [0.0, place[1], place[2] / cosine], [reach[2] / sine, reach[1], 0.0]
        why = f"up and down, which is depth (x) on a plane seen from {elevation:g} degrees above"
    ends = [[p + sign * r for p, r in zip(place, reach, strict=True)] for sign in (-1, 1)]
    yield "  " + option("boxes.translation-min", ends[0]) + " " + option("boxes.translation-max", ends[1])
    yield (
        f"    the centers move by +-{100 * sideways:.0f} % of the frame sideways (y),"
        f" by +-{100 * upwards:.0f} % {why}"
    )
    several = objects > 1
    yield "  " + option("boxes.count", (objects,)) + several * (" " + option("boxes.apart", (0,)))
    yield "    so many were asked for" + several * "; boxes do not overlap"
    yield "  the rotation is not measured: boxes.rotation, in turns, as far as objects turn in the pictures"


def camera_lines(fov: float, radius: float, elevation: float) -> Iterator[str]:
    """The options of the cameras."""
    share = math.pi * (1 - math.sin(math.radians(elevation))) / 2
    pairs = [("fov", (fov,)), ("radius", (radius,)), ("pitch", (share, 0.0)), ("yaw", (0.0, 0.0))]
    yield f"  {OPTION}.prior.distribution sphere " + " ".join(option(f"prior.{n}", x) for n, x in pairs)
    yield (
        f"    as given: {elevation:g} degrees above the horizon, uniform in area; the second number of pitch"
        " is its range, which pictures do not tell from movement of the objects"
    )


def option(name: str, values: Sequence[float]) -> str:
    """An option of the generator with rounded numbers."""
    return f"{OPTION}.{name} " + " ".join(f"{round(value, 3) + 0.0:g}" for value in values)


def find_masks(source: str) -> tuple[Tensor, str]:
    """Masks of objects bool [N, SIDE, SIDE], and by what they were found."""
    config, size = ImageConfig(limit=EXAMINED), (SIDE, SIDE)
    beside = source.startswith(SYNTHETIC) or bool(list_images(source).masks)
    try:
        found = load_images(source, config, size, quiet=True, masks=True).masks
        assert found is not None
        how = "their masks" if beside else "their transparency"
        return found.take(slice(None))[:, 0] > OPAQUE, how
    except BadInput:
        if beside:
            raise
    images = load_images(source, config, size, quiet=True).take(slice(None))
    border = torch.cat([images[..., [0, -1], :].flatten(2), images[..., [0, -1]].flatten(2)], dim=2)
    color = border.median(dim=2).values[..., None]
    plain = ((border - color).abs().amax(dim=1) < BORDER).float().mean(dim=1) > PLAIN
    if plain.float().mean() > 0.5:
        apart = (images - color[..., None]).abs().amax(dim=1) > BORDER
        return apart[
            plain
        ], f"the difference to the color of the border, which {int(plain.sum())} of {len(images)} have"
    return by_edges(images), "edges, since borders have several colors: rough, masks would be better"


def by_edges(images: Tensor) -> Tensor:
    """Images [N, 3, H, W] -> the rectangle between the 5th and 95th percentiles of the energy of edges."""
    grey = images.mean(dim=1)
    energy = torch.zeros_like(grey)
    energy[:, :, 1:] += grey.diff(dim=2).square()
    energy[:, 1:] += grey.diff(dim=1).square()
    inside = [
        (
            share := energy.sum(dim=axis).cumsum(dim=1),
            share >= 0.05 * share[:, -1:],
            share <= 0.95 * share[:, -1:],
        )
        for axis in (1, 2)
    ]
    across, down = (a & b for _, a, b in inside)
    return down[:, :, None] & across[:, None]


def measure(masks: Tensor, objects: int) -> Frames:
    """Masks bool [N, H, W] -> the rectangles of the whole of each, or of its connected parts.

    Those of pictures with so many parts, where there are some: in others objects touch.
    """
    parts = connected(masks) if objects > 1 else masks.long()
    whole = [x for x in parts if (x.unique(return_counts=True)[1] >= SPECK).sum() - 1 == objects]
    at = (torch.arange(masks.shape[-1]) + 0.5) / masks.shape[-1] * 2 - 1
    center, half, pixel = [], [], 1 / masks.shape[-1]
    for labels in whole or parts:
        for label in labels.unique():
            here = labels == label
            if label == 0 or here.sum() < SPECK:
                continue
            x, y = at[here.any(dim=0)], -at[here.any(dim=1)]
            center.append(torch.stack([x[0] + x[-1], y[0] + y[-1]]) / 2)
            half.append(max(x[-1] - x[0], y[0] - y[-1]) / 2 + pixel)
    if not center:
        raise BadInput(
            f"no objects in {len(masks)} pictures: wanted masks/NAME.png, or transparency around them"
        )
    return Frames(torch.stack(center), torch.stack(half))


def connected(masks: Tensor) -> Tensor:
    """Masks bool [N, H, W] -> the same number for all pixels of a connected part, 0 outside [N, H, W]."""
    labels = torch.arange(1.0, masks[0].numel() + 1).view(masks.shape[1:]) * masks
    while True:
        grown = max_pool2d(labels[:, None], 3, 1, 1)[:, 0] * masks
        if torch.equal(grown, labels):
            return labels.long()
        labels = grown
