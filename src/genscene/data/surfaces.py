"""The surface of one mesh: random points on it with their normals, and beside it with their distances.

trimesh and scipy, which are slow to import, are imported where a mesh is read.
"""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from genscene.data.images.load import SYNTHETIC
from genscene.data.synthetic import room_objects, synthetic_set
from genscene.data.synthetic.intersect import Solids
from genscene.errors import BadInput
from genscene.io.files import read_bytes, user_path
from genscene.randomness import RandomStreams, derive_seed
from genscene.scenes import PointBatch

if TYPE_CHECKING:
    from scipy.spatial import cKDTree
    from trimesh import Trimesh

ENDINGS = (".obj", ".ply", ".glb", ".stl", ".off")
FILLED = 0.8  # half of the mesh's longest side in the world, where the solid is within -1 to 1
CELLS = 64  # of marching cubes through an embedded solid
DENSE, NEAREST = 100_000, 4  # points of the surface, of which so many nearest ones give the closest triangle
BESIDE = 0.05  # standard deviation of the points beside the surface, in the world
LARGEST = 1e12  # of coordinates: their squares are far from overflowing


@dataclass(frozen=True)
class Surface:
    """A mesh in the world, and how to get back to its file's coordinates."""

    corners: np.ndarray  # [F, 3, 3], of each triangle, float64
    normals: np.ndarray  # [F, 3], unit, outwards where the mesh is closed
    areas: np.ndarray  # [F], cumulated and divided by their sum
    closed: bool  # whether it has an inside
    to_files: Tensor  # [4, 4], from the world to the file's coordinates

    @cached_property
    def dense(self) -> "tuple[cKDTree, np.ndarray]":
        """Many points of the surface, to be searched, and the triangle of each [K]."""
        from scipy.spatial import cKDTree

        points, chosen = self.sample_surface(np.random.default_rng(0), DENSE)
        return cKDTree(points), chosen

    def sample_surface(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Points uniform in area [N, 3], and their triangles [N]."""
        chosen = np.searchsorted(self.areas, rng.random(count)).clip(max=len(self.areas) - 1)
        root, along = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
        a, b, c = self.corners[chosen].transpose(1, 0, 2)
        return (1 - root) * a + root * (
            1 - along
        ) * b + root * along * c, chosen  # Osada et al. 2002, sec. 3.1

    def sample(self, seed: int, count: int) -> PointBatch:
        """So many points of the surface [1, N, 3]; values [1, N, 7]: normal, another point, its distance.

        Half of the other points are uniform in the box from -1 to 1, half are beside the surface.
        """
        rng = np.random.default_rng(seed)
        points, chosen = self.sample_surface(rng, count)
        others = 2 * rng.random((count, 3)) - 1
        beside = self.sample_surface(rng, count)[0] + BESIDE * rng.standard_normal((count, 3))
        others = np.where(rng.random((count, 1)) < 0.5, beside.clip(-1, 1), others)
        values = np.concatenate([self.normals[chosen], others, self.distance(others)[:, None]], axis=1)
        return PointBatch(*(torch.from_numpy(x[None]).float() for x in (points, values)))

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Points [N, 3] -> distance to the surface [N], below 0 on the inner side of its closest triangle.

        Of triangles that are equally close, at an edge, the one decides that the point is most in front of.
        """
        from trimesh.triangles import closest_point

        tree, triangles = self.dense
        near = triangles[tree.query(points, NEAREST)[1]]  # [N, K]
        each = np.repeat(points, NEAREST, axis=0)
        closest = closest_point(self.corners[near.ravel()], each)
        apart = (each - closest).reshape(*near.shape, 3)
        distance = np.linalg.norm(apart, axis=-1)
        across = (apart * self.normals[near]).sum(axis=-1)
        tied = distance <= distance.min(axis=1, keepdims=True) + 1e-9
        best = np.where(tied, np.abs(across), -1).argmax(axis=1)[:, None]
        sign = np.where(np.take_along_axis(across, best, axis=1)[:, 0] < 0, -1.0, 1.0)
        return sign * distance.min(axis=1)


def load_surface(data: str, seed: int = 0) -> Surface:
    """The surface of a mesh file, or of an embedded solid (synthetic:cars), that of the seed.

    It is moved to the origin and scaled to fill 0.8 of the box from -1 to 1. Raises BadInput for what is no
    mesh, and for one without triangles that have an area.
    """
    if data.startswith(SYNTHETIC):
        return to_surface(_embedded_mesh(data.removeprefix(SYNTHETIC), seed), data)
    return to_surface(_read_mesh(user_path(data)), data)


def to_surface(mesh: "Trimesh", source: str) -> Surface:
    """A mesh -> its surface in the world; source: its file, for error lines."""
    corners = np.asarray(mesh.triangles, dtype=np.float64)
    if not len(corners):
        raise BadInput(f"{source} holds no triangles ({len(mesh.vertices)} points), wanted a mesh with faces")
    if not np.abs(corners).max() < LARGEST:  # not a number is no less either
        raise BadInput(f"{source} holds coordinates that are not finite, or above {LARGEST:g}, wanted less")
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    center, factor = (low + high) / 2, (high - low).max() / 2 / FILLED
    corners = (corners - center) / (factor or 1.0)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    doubled = np.linalg.norm(across, axis=1)
    kept = doubled > 1e-14
    if not kept.any():
        raise BadInput(f"{source}: all {len(corners)} triangles have no area, wanted a mesh with faces")
    corners, areas = corners[kept], doubled[kept].cumsum() / doubled[kept].sum()
    mesh.merge_vertices(merge_tex=True, merge_norm=True)  # seams of textures are no borders
    closed = bool(mesh.is_watertight)
    inwards = closed and float(mesh.volume) < 0
    normals = (-1 if inwards else 1) * across[kept] / doubled[kept, None]
    to_files = torch.diag(torch.tensor([factor, factor, factor, 1.0], dtype=torch.float64))
    to_files[:3, 3] = torch.from_numpy(center)
    return Surface(corners, normals, areas, closed, to_files.float())


def _read_mesh(path: Path) -> "Trimesh":
    """All meshes of a file as one; textures are not decoded, files that it names not opened."""
    import trimesh

    if path.suffix.lower() not in ENDINGS:
        raise BadInput(f"{path}: wanted a mesh, a file ending with {', '.join(ENDINGS)}")
    content, kind = read_bytes(path, "mesh"), path.suffix.lower()[1:]

    def read() -> Any:
        with np.errstate(all="ignore"):  # of numbers far out of range, which are refused later
            found = trimesh.load_scene(io.BytesIO(content), file_type=kind, skip_materials=True)
            return found.to_mesh()

    mesh = _apart(read, path)
    if not isinstance(mesh, trimesh.Trimesh):
        raise BadInput(f"{path} holds no triangles, wanted a mesh with faces")
    return mesh


def _apart(read: Callable[[], Any], path: Path) -> Any:
    """What a parser returns, in a thread: it may catch what signals raise. BadInput where it fails."""
    with ThreadPoolExecutor(1) as thread:
        try:
            return thread.submit(read).result()
        except Exception as error:  # a damaged file can raise anything
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise BadInput(f"{path} holds no mesh that can be read ({reason[:99]}), wanted one") from None


def _embedded_mesh(name: str, seed: int) -> "Trimesh":
    """A scene of an embedded set, as synthesize's first one, by marching cubes."""
    from skimage.measure import marching_cubes
    from trimesh import Trimesh

    streams = RandomStreams([derive_seed(seed, 0)])
    scene = synthetic_set(name).scenes(streams)
    solids = scene if isinstance(scene, Solids) else room_objects(name, range(1), seed).solids()
    low, high = (float(x) for x in (solids.bounds[0, :, 0].min() - 0.05, solids.bounds[0, :, 1].max() + 0.05))
    axis = torch.linspace(low, high, CELLS)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).view(-1, 3)
    outside = solids_level(solids, points).view(CELLS, CELLS, CELLS).numpy()
    vertices, faces, _, _ = marching_cubes(outside, 0.0, spacing=((high - low) / (CELLS - 1),) * 3)
    return Trimesh(vertices + low, faces, process=False)


def solids_level(solids: Solids, points: Tensor) -> Tensor:
    """Points [N, 3] -> below 0 inside one of the first scene's solids, 0 on its surface [N]."""
    best = torch.full((len(points),), torch.inf)
    for i in solids.filled():
        planes = points @ solids.normals[0, i].mT - solids.offsets[0, i]
        apart = points - solids.centers[0, i]
        quadric = ((apart @ solids.quadrics[0, i]) * apart).sum(dim=-1).clamp_min(0).sqrt() - 1
        best = torch.minimum(best, torch.maximum(planes.amax(dim=-1), 0.1 * quadric))
    return best
