"""A linear model of heads, read from the files of ICT-FaceKit (light): mesh, modes, landmarks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from genscene.errors import BadInput
from genscene.geometry.face_landmarks import POINTS, head_frame
from genscene.io.arrays import read_arrays
from genscene.io.files import user_path
from genscene.io.json_file import read_json

MESH, INDICES = "ict_facekit_light.npz", "vertex_indices.json"
PARTS = ("face", "backhead", "gumstongue", "teeth", "sclera")  # others, like lashes, are not rendered
MATERIALS = "material_names"
SHAPES = {  # of the arrays that are read; V vertices, Q quads
    "vertices": ("V", 3),
    "quads": ("Q", 4),
    "quad_material": ("Q",),
    "identity_modes": (0, "V", 3),
    "expression_modes": (0, "V", 3),
    "expression_names": (0,),
    MATERIALS: (0,),
}


@dataclass(frozen=True)
class HeadModel:
    """Heads in the frame of `head_frame`: +x the person's left, +y up, +z the front."""

    vertices: np.ndarray  # [V, 3], of the mean head without expression
    triangles: np.ndarray  # [T, 3], counterclockwise seen from outside
    parts: np.ndarray  # [T], index in PARTS
    identity: np.ndarray  # [I, V * 3], displacements for weights of deviation 1
    expression: np.ndarray  # [E, V * 3], displacements at weight 1
    names: tuple[str, ...]  # of E expressions
    landmarks: np.ndarray  # [68], indices of vertices

    @property
    def mean_landmarks(self) -> np.ndarray:
        """The landmarks of the mean head -> [68, 3]."""
        return self.vertices[self.landmarks]

    def deform(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Weights [I] and [E] -> vertices [V, 3]."""
        moved = identity @ self.identity + expression @ self.expression
        return self.vertices + moved.reshape(-1, 3)


def load_model(folder: Path) -> HeadModel:
    """The model in a folder; BadInput, naming file and array, for all else."""
    path = user_path(folder)
    arrays = read_arrays(path / MESH, "model of heads", kinds="biufU")
    _check(arrays, path / MESH)
    vertices = arrays["vertices"].astype(np.float64)
    landmarks = _landmarks(path / INDICES, len(vertices))
    frame = head_frame(torch.from_numpy(vertices[landmarks])).numpy()
    triangles, parts = _triangles(arrays)
    modes = [arrays[f"{kind}_modes"].astype(np.float32) for kind in ("identity", "expression")]
    turned = [(each @ frame[:3, :3].T.astype(np.float32)).reshape(len(each), -1) for each in modes]
    placed = (vertices @ frame[:3, :3].T + frame[:3, 3]).astype(np.float32)
    names = tuple(str(name) for name in arrays["expression_names"])
    return HeadModel(placed, triangles, parts, turned[0], turned[1], names, landmarks)


def _check(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Raise BadInput for a missing array, or one of another shape or with wrong numbers."""
    sizes: dict[str, int] = {}
    for name, shape in SHAPES.items():
        if name not in arrays:
            raise BadInput(f"{path} has no array {name!r}, wanted {', '.join(SHAPES)}")
        found = arrays[name].shape
        wanted = tuple(
            sizes.get(d, n) if isinstance(d, str) else d or n for d, n in zip(shape, found, strict=False)
        )
        if len(found) != len(shape) or found != wanted or 0 in found:
            raise BadInput(f"{path}: {name} has shape {list(found)}, wanted {list(shape)}")
        sizes |= {d: n for d, n in zip(shape, found, strict=True) if isinstance(d, str)}
        if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
            raise BadInput(f"{path}: {name} holds numbers that are not finite")
    if len(arrays["expression_names"]) != len(arrays["expression_modes"]):
        raise BadInput(f"{path}: wanted a name for each of {len(arrays['expression_modes'])} expressions")
    for name, most in (("quads", sizes["V"]), ("quad_material", len(arrays[MATERIALS]))):
        if arrays[name].dtype.kind not in "iu" or arrays[name].min() < 0 or arrays[name].max() >= most:
            raise BadInput(f"{path}: {name} holds other numbers than 0 to {most - 1}")


def _landmarks(path: Path, count: int) -> np.ndarray:
    """The vertices of the landmarks -> [68]."""
    document = read_json(path, "list of landmarks")
    found = document.get("idx_to_landmark_verts") if isinstance(document, dict) else None
    whole = isinstance(found, list) and all(type(i) is int and 0 <= i < count for i in found)
    if not isinstance(found, list) or not whole or len(found) != POINTS:
        raise BadInput(f"{path}: wanted idx_to_landmark_verts, {POINTS} numbers from 0 to {count - 1}")
    return np.array(found)


def _triangles(arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The quads that are shown as triangles [T, 3], their parts [T]; two corners of a quad may be one."""
    plain = [str(name).lower().removeprefix("m_") for name in arrays[MATERIALS]]
    part = np.array([next((i for i, p in enumerate(PARTS) if name.startswith(p)), -1) for name in plain])
    parts = np.tile(part[arrays["quad_material"]], 2)
    quads = arrays["quads"].astype(np.int64)
    both = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    whole = (both[:, 0] != both[:, 1]) & (both[:, 1] != both[:, 2]) & (both[:, 2] != both[:, 0])
    return both[whole & (parts >= 0)], parts[whole & (parts >= 0)]
