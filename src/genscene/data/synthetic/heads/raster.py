"""A z-buffer rasteriser for meshes of many small triangles, in NumPy."""

from dataclasses import dataclass
from functools import reduce

import numpy as np

from genscene.geometry.cameras import Size


@dataclass(frozen=True)
class Fragments:
    """What is seen at the M pixels that a mesh covers."""

    pixels: np.ndarray  # [M], rising indices in the flattened picture
    triangles: np.ndarray  # [M]
    weights: np.ndarray  # [M, 3], of the corners, in perspective

    def interpolate(self, triangles: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Corners [T, 3] of all triangles, values [V, C] of vertices -> [M, C]."""
        return np.einsum("mk,mkc->mc", self.weights, values[triangles[self.triangles]])


def rasterize(points: np.ndarray, depth: np.ndarray, triangles: np.ndarray, size: Size) -> Fragments:
    """Vertices at points [V, 2] in pixels, centers at + 0.5, and depths [V] > 0 -> the nearest surfaces.

    Triangles [T, 3] that are clockwise in the picture (y down) face away, and are left out, as are those
    that reach behind the camera.
    """
    corners, near = points[triangles], depth[triangles]
    ahead, back = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = ahead[:, 1] * back[:, 0] - ahead[:, 0] * back[:, 1]  # counterclockwise, with y down
    limit = np.array([size[1], size[0]])
    first, last = (reduce(each, corners.swapaxes(0, 1)) for each in (np.minimum, np.maximum))
    low = np.clip(np.ceil(first - 0.5), 0, limit).astype(np.int64)
    wide, high = (np.clip(np.floor(last - 0.5) + 1, 0, limit).astype(np.int64) - low).T
    kept = ((area > 1e-12) & (reduce(np.minimum, near.T) > 1e-6) & (wide > 0) & (high > 0)).nonzero()[0]
    wide, counts = wide[kept], (wide * high)[kept]
    each = np.repeat(np.arange(len(kept)), counts)  # one row for each pixel of each bounding box
    place = np.arange(len(each)) - np.repeat(counts.cumsum() - counts, counts)
    x = low[kept[each], 0] + place % wide[each]
    y = low[kept[each], 1] + place // wide[each]
    weights = _barycentric(corners[kept], area[kept], each, x + 0.5, y + 0.5)
    inside = (weights[:, 0] >= 0) & (weights[:, 1] >= 0) & (weights[:, 2] >= 0)
    weights, found, pixel = weights[inside], kept[each[inside]], (y * size[1] + x)[inside]
    weights = weights / near[found]
    closeness = weights.sum(axis=1)  # 1 / depth
    order = np.argsort(closeness, kind="stable")
    best = np.full(size[0] * size[1], -1)
    best[pixel[order]] = order  # of several the last is kept, which is the nearest
    covered = (best >= 0).nonzero()[0]
    winner = best[covered]
    return Fragments(covered, found[winner], weights[winner] / closeness[winner, None])


def _barycentric(
    corners: np.ndarray, area: np.ndarray, each: np.ndarray, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Places x, y [N] in the triangles `each` [N] of corners [K, 3, 2], double area [K] -> weights [N, 3]."""
    found = np.empty((len(each), 3))
    for k in range(3):
        a, b = corners[:, (k + 1) % 3], corners[:, (k + 2) % 3]
        dx, dy = ((b - a) / area[:, None])[each].T
        found[:, k] = dy * (x - a[each, 0]) - dx * (y - a[each, 1])
    return found


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals [V, 3] of vertices [V, 3]: means of those of their triangles [T, 3], weighted by area."""
    corners = vertices[triangles]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    rows = triangles.ravel()
    spread = np.repeat(across, 3, axis=0)
    total = np.stack([np.bincount(rows, spread[:, i], len(vertices)) for i in range(3)], axis=1)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
