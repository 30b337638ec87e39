"""The ground of opaque photographs: the one color around what they show, from the pixels of their borders."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from genscene.contract import Vector
from genscene.scenes import SolidBackground

# of 255: pixels this near the middle color of the borders belong to the ground; the wider one only where that
# is nearly black or white, for cloth with folds
TOLERANCES = (16, 40)
SURE = 0.7  # share of the border pixels from which on there is a ground
MOST_PIXELS = 500_000  # of the borders that are compared, evenly spaced
NEAR = 40  # of 255: a ground this near black or white is rendered as that background


@dataclass(frozen=True)
class Ground:
    """The color that most border pixels are near, and how many are."""

    color: Vector  # mean of the border pixels near it, 0 to 1
    share: float  # of the border pixels within the tolerance of their median color
    tolerance: int = TOLERANCES[0]  # of 255

    @property
    def sure(self) -> bool:
        """Whether enough border pixels have that color."""
        return self.share >= SURE

    @property
    def background(self) -> SolidBackground | None:
        """Black or white, where the ground is sure and near it; None: neither."""
        distances = {"black": max(self.color), "white": 1 - min(self.color)}
        name = min(distances, key=distances.__getitem__)
        return cast(SolidBackground, name) if self.sure and distances[name] <= NEAR / 255 else None

    def __str__(self) -> str:
        r, g, b = (round(255 * part) for part in self.color)
        return f"{100 * self.share:.0f} % of the border pixels are within {self.tolerance} of {r},{g},{b}"


def find_ground(pixels: np.ndarray) -> Ground:
    """The ground of N opaque photographs, uint8 [N, H, W, 3]."""
    sides = (pixels[:, 0], pixels[:, -1], pixels[:, 1:-1, 0], pixels[:, 1:-1, -1])
    border = np.concatenate([side.reshape(-1, 3) for side in sides])
    border = border[:: 1 + len(border) // MOST_PIXELS]
    found = [_near_median(border, tolerance) for tolerance in TOLERANCES]
    return found[1] if not found[0].sure and found[1].background else found[0]


def shows_object(pixels: np.ndarray, ground: Ground) -> np.ndarray:
    """Which pixels of photographs, uint8 [N, H, W, 3], are not of the ground -> bool [N, H, W]."""
    color = np.array(ground.color) * 255
    return np.stack([(np.abs(image - color) > ground.tolerance).any(axis=-1) for image in pixels])


def _near_median(border: np.ndarray, tolerance: int) -> Ground:
    """The mean of the border pixels [M, 3] within a tolerance of their median, and their share."""
    near = (np.abs(border - np.median(border, axis=0)) <= tolerance).all(axis=1)
    found = border[near] if near.any() else border
    r, g, b = (round(float(part) / 255, 4) for part in found.mean(axis=0))
    return Ground((r, g, b), float(near.mean()), tolerance)
