"""A mesh from a density field: marching cubes, vertex colors, small parts removed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from skimage.measure import marching_cubes
from torch import Tensor

from genscene.errors import BadInput
from genscene.export.colors import srgb_to_linear
from genscene.io.atomic import atomic
from genscene.scenes import Field

ENDINGS = (".glb", ".obj", ".ply")
CHUNK = 1 << 15  # points evaluated at once
UNCERTAIN = 0.03  # shift of the surface, in sides of the box, above which there is none to speak of
STEP = 1 / 256  # length over which the slope of the density is measured, in sides of the box
Box = tuple[float, float, float]


@dataclass(frozen=True)
class Lattice:
    """Density at the corners of cubes that fill a box around the origin."""

    density: np.ndarray  # [X, Y, Z], at least 0
    box: Box  # half sides, in world units; corner (0, 0, 0) of the lattice is at -box exactly

    @property
    def spacing(self) -> np.ndarray:
        """Sides of a cube, in world units -> [3]."""
        return 2 * np.array(self.box) / (np.array(self.density.shape) - 1)


@torch.no_grad()
def sample_density(
    field: Field,
    activate: Callable[[Tensor], Tensor],
    box: Box,
    resolution: int,
    report: Callable[[int], None] | None = None,
) -> Lattice:
    """Evaluate the density of one field at the corners of `resolution` cubes along the longest side of a box.

    activate: raw density -> density. report is called with the number of corners just evaluated.
    """
    counts = corner_counts(box, resolution)
    axes = [torch.linspace(-half, half, count) for half, count in zip(box, counts, strict=True)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(1, -1, 3)
    parts: list[Tensor] = []
    for part in points.split(CHUNK, dim=1):
        parts.append(activate(field(part, front_direction(part))[1][0]))
        if report:
            report(part.shape[1])
    return Lattice(torch.cat(parts).view(*counts).numpy(), box)


def corner_counts(box: Box, resolution: int) -> list[int]:
    """Corners of cubes along each side of a box; their sides are as equal as the box allows."""
    return [max(2, round(resolution * half / max(box))) + 1 for half in box]


def front_direction(points: Tensor) -> Tensor:
    """The viewing direction from the front, for points [B, N, 3]."""
    return torch.tensor([0.0, 0.0, -1.0]).expand_as(points)


def surface_level(lattice: Lattice) -> float:
    """The density of the surface: half the median density where transmittance falls below a half.

    Transmittance is computed along each axis in both directions, over the columns where it falls so far: the
    surface is the visible one, whatever the scale of the field. Raises BadInput where no column is that
    dense.
    """
    found = [
        _half_transmittance(lattice.density, axis, lattice.spacing[axis], way)
        for axis in range(3)
        for way in (1, -1)
    ]
    values = np.concatenate(found)
    if not len(values):
        highest = float(lattice.density.max())
        raise BadInput(f"no part of the scene is opaque (highest density {highest:.3g}): wanted --level")
    return float(np.median(values)) / 2


def _half_transmittance(density: np.ndarray, axis: int, step: float, way: int) -> np.ndarray:
    """Density where transmittance along an axis falls below a half -> [K], of K columns."""
    columns = np.moveaxis(density, axis, -1).reshape(-1, density.shape[axis])[:, ::way]
    opaque = np.cumsum(columns * step, axis=-1) > np.log(2)
    reached = opaque.any(axis=-1)
    return columns[reached, opaque[reached].argmax(axis=-1)]


def extract_surface(lattice: Lattice, level: float) -> trimesh.Trimesh:
    """Marching cubes (Lewiner 2003), closed at the box, normals outwards, in world units."""
    padded = np.pad(lattice.density, 1)  # empty outside: the surface is closed at the sides of the box
    if not padded.min() < level < padded.max():
        highest = float(lattice.density.max())
        raise BadInput(f"level {level:.4g}: wanted a density of this scene, from 0 to {highest:.4g}")
    vertices, faces, _, _ = marching_cubes(
        padded, level, spacing=tuple(lattice.spacing), gradient_direction="ascent"
    )
    vertices = vertices - lattice.spacing - np.array(lattice.box)
    return trimesh.Trimesh(vertices, faces, process=False)


@torch.no_grad()
def surface_shift(
    mesh: trimesh.Trimesh, field: Field, activate: Callable[[Tensor], Tensor], level: float, side: float
) -> float:
    """How far the surface moves from half to twice the level: the median over vertices, in sides of the box.

    Small where density rises steeply, large in fog, of which the surface is arbitrary. The slope is that of
    the density along the normals, over `STEP` sides. side: the longest one of the box, in world units.
    """
    points = torch.tensor(np.asarray(mesh.vertices), dtype=torch.float32)[None]
    normals = torch.tensor(np.array(mesh.vertex_normals), dtype=torch.float32)[None]
    step, slopes = STEP * side, []
    for p, n in zip(points.split(CHUNK, dim=1), normals.split(CHUNK, dim=1), strict=True):
        inside, outside = (activate(field(p + way * n, -n)[1][0]).view(-1) for way in (-step / 2, step / 2))
        slopes.append((inside - outside) / step)
    slope = torch.cat(slopes).clamp_min(level * 1e-6 / side)  # where it does not fall: a million sides
    return float((1.5 * level / slope).median()) / side


def remove_small_parts(mesh: trimesh.Trimesh, keep: float) -> trimesh.Trimesh:
    """Remove connected parts with less than a share of the largest one's faces; 0: none."""
    parts = trimesh.graph.connected_component_labels(mesh.face_adjacency, node_count=len(mesh.faces))
    sizes = np.bincount(parts)
    mesh.update_faces((sizes >= keep * sizes.max())[parts])
    mesh.remove_unreferenced_vertices()
    return mesh


@torch.no_grad()
def color_vertices(mesh: trimesh.Trimesh, field: Field) -> trimesh.Trimesh:
    """Set vertex colors to the field's, seen along the inverted normals; a field of features has none."""
    points = torch.tensor(np.asarray(mesh.vertices), dtype=torch.float32)[None]
    directions = -torch.tensor(np.array(mesh.vertex_normals), dtype=torch.float32)[None]
    pairs = zip(points.split(CHUNK, dim=1), directions.split(CHUNK, dim=1), strict=True)
    colors = torch.cat([field(p, d)[0][0] for p, d in pairs]).clamp(0, 1)
    if colors.shape[-1] != 3:
        return mesh
    mesh.visual = trimesh.visual.ColorVisuals(mesh, vertex_colors=(255 * colors).round().byte().numpy())
    return mesh


def save_mesh(path: str | Path, mesh: trimesh.Trimesh) -> None:
    """Write as .glb, .obj or .ply, with vertex colors. Raises BadInput for another suffix."""
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise BadInput(f"{path}: wanted a file ending with {', '.join(ENDINGS)}")
    # trimesh catches every exception, those of signals too, which reach the main thread alone
    with ThreadPoolExecutor(1) as thread:
        content = thread.submit(_encode, mesh, path.suffix).result()
    with atomic(path) as partial:
        partial.write_bytes(content)


def _encode(mesh: trimesh.Trimesh, suffix: str) -> bytes:
    """The content of a file with this suffix."""
    if suffix == ".glb":
        return _glb(mesh)
    content: Any = mesh.export(file_type=suffix[1:])
    return content.encode() if isinstance(content, str) else content


def _glb(mesh: trimesh.Trimesh) -> bytes:
    """glTF: its colors are linear, and without a material viewers assume metal."""
    linear = mesh.copy()
    srgb = np.asarray(mesh.visual.vertex_colors)[:, :3] / 255  # type: ignore[union-attr]
    colors = (255 * srgb_to_linear(srgb)).round().astype(np.uint8)
    linear.visual = trimesh.visual.ColorVisuals(linear, vertex_colors=colors)

    def add_matte_material(tree: dict[str, Any]) -> None:
        tree["materials"] = [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0}}]
        for part in tree["meshes"]:
            for primitive in part["primitives"]:
                primitive["material"] = 0

    content = trimesh.exchange.gltf.export_glb(
        trimesh.Scene(linear), include_normals=True, tree_postprocessor=add_matte_material
    )
    return bytes(content)
