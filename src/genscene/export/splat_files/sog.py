"""Gaussians as .sog, version 2: a zip of lossless WebP pictures, a pixel a Gaussian, and meta.json.

developer.playcanvas.com/user-manual/gaussian-splatting/formats/sog
"""

import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from genscene.export.splat_files.quantize import codebook, nearest, palette, smallest_three
from genscene.export.splats import DEGREES, Splats
from genscene.io.atomic import atomic

FIRST_TAG = 252  # of the alpha of a rotation whose w is the largest; the next ones: x, y, z
PALETTE = 4096  # sets of higher harmonics
COLUMNS = 64  # such sets in a row of their picture


def write_sog(path: Path, splats: Splats) -> None:
    """Write a .sog; -y is upwards in viewers of it, as of 3DGS's files."""
    meta, pictures = encode(splats.by_place())
    with atomic(path) as partial, zipfile.ZipFile(partial, "w") as archive:  # WebP is compressed already
        for name, pixels in pictures.items():
            archive.writestr(zipfile.ZipInfo(name), webp(pixels))
        archive.writestr(zipfile.ZipInfo("meta.json"), json.dumps(meta, separators=(",", ":")))


def encode(splats: Splats) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What meta.json says, and the pictures [H, W, 3 or 4] by the names of their files."""
    count = len(splats.means)
    places = np.sign(splats.means) * np.log1p(np.abs(splats.means.astype(np.float64)))
    low, high = places.min(axis=0), places.max(axis=0)
    steps = np.round((places - low) / np.where(high > low, high - low, 1) * 65535).astype(np.int64)
    largest, others = smallest_three(splats.unit_quats())
    quats = np.concatenate([np.round(255 * (others / math.sqrt(2) + 0.5)), FIRST_TAG + largest[:, None]], -1)
    scales, colors = codebook(splats.log_scales), codebook(splats.f_dc)
    opacities = np.round(255 * splats.opacities())[:, None]
    columns = {
        "means_l.webp": steps & 255,
        "means_u.webp": steps >> 8,
        "scales.webp": nearest(splats.log_scales, scales),
        "quats.webp": quats,
        "sh0.webp": np.concatenate([nearest(splats.f_dc, colors), opacities], axis=-1),
    }
    pictures = {name: picture(column) for name, column in columns.items()}
    meta: dict[str, Any] = {
        "version": 2,
        "asset": {"generator": "genscene"},
        "count": count,
        "antialias": splats.antialiased,
        "means": {"mins": low.tolist(), "maxs": high.tolist(), "files": ["means_l.webp", "means_u.webp"]},
        "scales": {"codebook": rounded(scales), "files": ["scales.webp"]},
        "quats": {"files": ["quats.webp"]},
        "sh0": {"codebook": rounded(colors), "files": ["sh0.webp"]},
    }
    if splats.sh_rest.shape[1]:
        meta["shN"], more = harmonics(splats.sh_rest)
        pictures |= more
    return meta, pictures


def harmonics(sh_rest: np.ndarray) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Higher harmonics [N, K, 3] -> what meta.json says of them, and their pictures."""
    centers, labels = palette(sh_rest.reshape(len(sh_rest), -1), PALETTE)
    values, count = codebook(centers), sh_rest.shape[1]
    rows = -(-len(centers) // COLUMNS)
    pixels = np.zeros((rows * COLUMNS, count, 3), np.uint8)
    pixels[: len(centers)] = nearest(centers, values).reshape(-1, count, 3)
    names = ["shN_centroids.webp", "shN_labels.webp"]
    label = np.stack([labels & 255, labels >> 8, np.zeros_like(labels)], axis=-1)
    meta = {"count": len(centers), "bands": DEGREES[count], "codebook": rounded(values), "files": names}
    return meta, {names[0]: pixels.reshape(rows, COLUMNS * count, 3), names[1]: picture(label)}


def rounded(centers: np.ndarray) -> list[float]:
    """The same to 7 digits, those of float32."""
    return [float(f"{center:.7g}") for center in centers]


def picture(column: np.ndarray) -> np.ndarray:
    """A pixel a Gaussian [N, C], row by row -> a nearly square picture [H, W, C] whose sides four divides."""
    width = 4 * math.ceil(math.sqrt(len(column)) / 4)
    height = 4 * math.ceil(len(column) / width / 4)
    pixels = np.zeros((height * width, column.shape[1]), np.uint8)
    pixels[: len(column)] = column
    return pixels.reshape(height, width, -1)


def webp(pixels: np.ndarray) -> bytes:
    """A picture [H, W, 3 or 4] as WebP, without loss where it is transparent, too."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "WEBP", lossless=True, exact=True, quality=100)
    return content.getvalue()
