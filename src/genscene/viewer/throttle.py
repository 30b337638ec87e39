"""How large the pictures of a moving camera may be."""

import math
from dataclasses import dataclass

FIRST = 10_000.0  # rays a second that are assumed before any picture
NEW = 0.4  # weight of the latest picture in the running mean


@dataclass
class Throttle:
    """A running mean of the rays that are rendered in a second."""

    fps: float = 5.0  # pictures a second that are aimed at
    rays_per_second: float = FIRST

    def record(self, rays: int, seconds: float) -> None:
        """Count a finished picture; cancelled ones say nothing."""
        rate = rays / max(seconds, 1e-6)
        self.rays_per_second += NEW * (rate - self.rays_per_second)

    def height(self, aspect: float) -> float:
        """The height of a picture of this aspect that is rendered in time, in pixels."""
        return math.sqrt(self.rays_per_second / self.fps / aspect)
