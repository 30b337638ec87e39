"""Gaussians as .spz, version 3: gzip of columns of whole numbers (github.com/nianticlabs/spz)."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np

from genscene.errors import BadInput
from genscene.export.splat_files.quantize import smallest_three
from genscene.export.splats import DEGREES, Splats
from genscene.io.atomic import atomic

MAGIC, VERSION = 0x5053474E, 3
ANTIALIASED = 1  # flag
MOST_PLACE, MOST_BITS = 2**23 - 1, 23  # of 24 bits with a sign; of these, after the point
FINE = 64  # steps of places in the usual length of a Gaussian
SIZE_STEPS, LEAST_LOG = 16, -10.0  # of logarithms of sizes: steps in 1, and the least
MOST_LOG = LEAST_LOG + 255 / SIZE_STEPS
COLOR = 0.15 * 255  # steps of the constant harmonic in 1
ROTATION = 511 * math.sqrt(2)  # steps of a quaternion's components in 1
BUCKETS = {1: 8, 2: 16, 3: 16}  # steps that harmonics of a degree are rounded to, so that gzip finds more


def write_spz(path: Path, splats: Splats) -> None:
    """Write a .spz; +y is upwards in viewers of it. BadInput for sizes or places that it cannot hold."""
    content = compress(path, splats)
    with atomic(path) as partial:
        partial.write_bytes(content)


def compress(path: Path, splats: Splats) -> bytes:
    """The content of a .spz; BadInput, naming the file, for sizes or places that it cannot hold."""
    usual = float(np.median(splats.log_scales))
    if not LEAST_LOG < usual < MOST_LOG:
        held = f"{math.exp(LEAST_LOG):.2g} to {math.exp(MOST_LOG):.4g}"
        raise BadInput(f"{path}: the usual size of its Gaussians is {math.exp(usual):.3g}, .spz holds {held}")
    return gzip.compress(encode(splats.by_place(), place_bits(path, splats)), mtime=0)


def place_bits(path: Path, splats: Splats) -> int:
    """Bits of places after the point: as fine as the Gaussians need, as their distance allows."""
    farthest = float(np.abs(splats.means).max())
    if farthest > MOST_PLACE:
        raise BadInput(f"{path}: a Gaussian is at {farthest:.3g}, .spz holds places up to {MOST_PLACE:.3g}")
    usual = float(np.median(splats.log_scales.max(axis=1)))
    wanted = math.ceil(math.log2(FINE) - usual / math.log(2))
    most = math.floor(math.log2(MOST_PLACE / max(farthest, 1e-30)))
    return max(0, min(wanted, most, MOST_BITS))


def encode(splats: Splats, bits: int) -> bytes:
    """The content before gzip; bits: of places after the point."""
    count, harmonics = splats.sh_rest.shape[:2]
    flags = ANTIALIASED * splats.antialiased
    header = struct.pack("<III4B", MAGIC, VERSION, count, DEGREES[harmonics], bits, flags, 0)
    places = np.round(splats.means.astype(np.float64) * 2**bits).astype("<i4")
    columns = [
        places.view(np.uint8).reshape(count, 3, 4)[:, :, :3],
        to_bytes(255 * splats.opacities()),
        to_bytes(COLOR * splats.f_dc + 127.5),
        to_bytes(SIZE_STEPS * (splats.log_scales - LEAST_LOG)),
        rotations(splats),
        *([harmonic_bytes(splats.sh_rest)] if harmonics else []),
    ]
    return header + b"".join(column.tobytes() for column in columns)


def rotations(splats: Splats) -> np.ndarray:
    """Which component of xyzw is largest, in 2 bits, and the others in a sign and 9 bits each -> [N]."""
    largest, others = smallest_three(splats.unit_quats()[:, [1, 2, 3, 0]])
    numbers = (others < 0) << 9 | np.minimum(511, np.round(ROTATION * np.abs(others))).astype(np.int64)
    return (largest << 30 | numbers[:, 0] << 20 | numbers[:, 1] << 10 | numbers[:, 2]).astype("<u4")


def harmonic_bytes(sh_rest: np.ndarray) -> np.ndarray:
    """Higher harmonics [N, K, 3] -> bytes, 128 for 0, in steps of 1/16 (degree 1) or 1/8."""
    degrees = np.sqrt(np.arange(1, sh_rest.shape[1] + 1)).astype(int)
    steps = np.array([BUCKETS[degree] for degree in degrees])[:, None]
    return to_bytes(steps * np.round(128 * sh_rest / steps) + 128, steps)


def to_bytes(values: np.ndarray, step: np.ndarray | int = 1) -> np.ndarray:
    """The nearest of 0 to 255, or of the multiples of a step in there, uint8."""
    return np.clip(np.round(values), 0, 256 - step if np.ndim(step) else 255).astype(np.uint8)
