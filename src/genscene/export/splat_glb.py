"""Gaussians as a .glb with the extension KHR_gaussian_splatting: points to viewers that do not know it."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genscene.export.colors import srgb_to_linear
from genscene.export.splats import Splats
from genscene.geometry.rotations import quaternion, rotation_between
from genscene.io.atomic import atomic
from genscene.scenes import Vector

EXTENSION = "KHR_gaussian_splatting"
FLOAT, BYTE = 5126, 5121  # glTF's numbers of component types
TYPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4"}
POINTS, ARRAY_BUFFER = 0, 34962
MAGIC, VERSION = b"glTF", 2
KERNEL = {
    "kernel": "ellipse",
    "colorSpace": "srgb_rec709_display",
    "sortingMethod": "cameraDistance",
    "projection": "perspective",
}


def write_glb(path: Path, splats: Splats) -> None:
    """Write a .glb whose node turns what is upwards to +y, as glTF wants it; the data are not turned."""
    columns = attributes(splats)
    accessors: list[dict[str, Any]] = []
    views: list[dict[str, Any]] = []
    parts, offset = [], 0
    for name, column in columns.items():
        content = column.tobytes()
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": len(content), "target": ARRAY_BUFFER})
        accessors.append(accessor(name, column, len(accessors)))
        parts.append(content)
        offset += len(content)
    primitive = {"attributes": {name: i for i, name in enumerate(columns)}, "mode": POINTS}
    node: dict[str, Any] = {"mesh": 0, "name": "Gaussians"}
    if splats.up is not None:
        node["rotation"] = rotation_to_y(splats.up)
    document = {
        "asset": {"version": "2.0", "generator": "genscene"},
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [node],
        "meshes": [{"primitives": [primitive | {"extensions": {EXTENSION: KERNEL}}]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": offset}],
    }
    with atomic(path) as partial:
        partial.write_bytes(pack(document, b"".join(parts)))


def attributes(splats: Splats) -> dict[str, np.ndarray]:
    """The columns of the extension and a color for other viewers, by the names of glTF's attributes."""
    opacities, quats = splats.opacities(), splats.unit_quats()
    rgba = np.concatenate([srgb_to_linear(np.minimum(splats.colors(), 1)), opacities[:, None]], axis=1)
    columns = {
        "POSITION": splats.means,
        "COLOR_0": np.round(255 * rgba).astype(np.uint8),
        f"{EXTENSION}:ROTATION": quats[:, [1, 2, 3, 0]],
        f"{EXTENSION}:SCALE": splats.scales(),
        f"{EXTENSION}:OPACITY": opacities,
    }
    harmonics = np.concatenate([splats.f_dc[:, None], splats.sh_rest], axis=1)
    for number in range(harmonics.shape[1]):
        degree = int(number**0.5)
        columns[f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{number - degree**2}"] = harmonics[:, number]
    return {
        name: np.ascontiguousarray(column, dtype=None if column.dtype == np.uint8 else "<f4")
        for name, column in columns.items()
    }


def accessor(name: str, column: np.ndarray, view: int) -> dict[str, Any]:
    """How a column is stored."""
    kind = BYTE if column.dtype == np.uint8 else FLOAT
    found: dict[str, Any] = {"bufferView": view, "componentType": kind, "count": len(column)}
    found["type"] = TYPES[column.shape[1:]]
    if kind == BYTE:
        found["normalized"] = True
    if name == "POSITION":  # glTF wants its bounds
        found |= {"min": column.min(axis=0).tolist(), "max": column.max(axis=0).tolist()}
    return found


def rotation_to_y(up: Vector) -> list[float]:
    """The rotation that takes a direction to +y, as glTF's quaternion xyzw."""
    matrix = rotation_between(torch.tensor(up), torch.tensor([0.0, 1.0, 0.0]))
    w, x, y, z = quaternion(matrix[None])[0].tolist()
    return [x, y, z, w]


def pack(document: dict[str, Any], content: bytes) -> bytes:
    """A .glb of one chunk of JSON and one of bytes, each padded to four."""
    text = json.dumps(document, separators=(",", ":")).encode()
    text, content = text + b" " * (-len(text) % 4), content + b"\0" * (-len(content) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(content), b"BIN\0") + content
    return struct.pack("<4sII", MAGIC, VERSION, 12 + len(chunks)) + chunks
