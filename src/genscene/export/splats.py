"""Gaussians as files: the .ply of 3D Gaussian splatting, and the .splat of 32 bytes each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genscene.errors import BadInput
from genscene.io.atomic import atomic
from genscene.io.files import MIB, read_bytes

C0 = 0.28209479177387814  # the constant spherical harmonic
MAX_SPLATS = 4096 * MIB  # of a file: 15 million Gaussians with all harmonics
SPLAT = np.dtype([("means", "<f4", 3), ("scales", "<f4", 3), ("rgba", "u1", 4), ("quats", "u1", 4)])


@dataclass(frozen=True)
class Splats:
    """N Gaussians before activation, as the .ply stores them."""

    means: np.ndarray  # [N, 3]
    f_dc: np.ndarray  # [N, 3], constant harmonic
    sh_rest: np.ndarray  # [N, K, 3], higher harmonics; K is 0, 3, 8 or 15
    opacity_logit: np.ndarray  # [N]
    log_scales: np.ndarray  # [N, 3]
    quats: np.ndarray  # [N, 4], wxyz, not normalised

    def opacities(self) -> np.ndarray:
        """[N], 0 to 1."""
        return 1 / (1 + np.exp(-self.opacity_logit.astype(np.float64)))

    def scales(self) -> np.ndarray:
        """[N, 3], world units."""
        return np.exp(self.log_scales.astype(np.float64))

    def unit_quats(self) -> np.ndarray:
        """[N, 4], wxyz, length 1."""
        quats = self.quats.astype(np.float64)
        return quats / np.linalg.norm(quats, axis=-1, keepdims=True)

    def colors(self) -> np.ndarray:
        """Colors of the constant harmonic [N, 3], not below 0."""
        return np.maximum(0, C0 * self.f_dc.astype(np.float64) + 0.5)


@dataclass(frozen=True)
class QuantizedSplats:
    """N Gaussians as a .splat stores them."""

    means: np.ndarray  # [N, 3]
    scales: np.ndarray  # [N, 3], world units
    rgba: np.ndarray  # [N, 4], uint8
    quats: np.ndarray  # [N, 4], wxyz, in steps of 1/128


def read_ply(path: Path) -> Splats:
    """Read a .ply of 3D Gaussian splatting, of any degree of harmonics; BadInput for other files."""
    table = _vertices(path)
    names = set(table.dtype.names or ())
    rest = sorted((n for n in names if n.startswith("f_rest_")), key=lambda n: int(n.removeprefix("f_rest_")))
    columns = {
        "means": ["x", "y", "z"],
        "f_dc": [f"f_dc_{i}" for i in range(3)],
        "log_scales": [f"scale_{i}" for i in range(3)],
        "quats": [f"rot_{i}" for i in range(4)],
    }
    missing = [n for group in (*columns.values(), ["opacity"]) for n in group if n not in names]
    if missing:
        raise BadInput(f"{path} is no file of Gaussians: its vertices have no {missing[0]}")
    parts = {key: np.stack([table[n] for n in group], axis=-1) for key, group in columns.items()}
    flat = np.stack([table[n] for n in rest], axis=-1) if rest else np.zeros((len(table), 0), np.float32)
    sh_rest = flat.reshape(len(table), 3, -1).swapaxes(1, 2)  # red's coefficients come first
    return Splats(**parts, sh_rest=sh_rest, opacity_logit=table["opacity"])


def write_ply(path: Path, splats: Splats) -> None:
    """Write the .ply of 3D Gaussian splatting."""
    rest = splats.sh_rest.swapaxes(1, 2).reshape(len(splats.means), -1)
    names = ["x", "y", "z", "nx", "ny", "nz", *(f"f_dc_{i}" for i in range(3))]
    names += [f"f_rest_{i}" for i in range(rest.shape[1])]
    names += ["opacity", *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]
    normals = np.zeros_like(splats.means)
    opacity = splats.opacity_logit[:, None]
    rows = np.concatenate(
        [splats.means, normals, splats.f_dc, rest, opacity, splats.log_scales, splats.quats], axis=1
    )
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    header += [f"property float {name}" for name in names] + ["end_header\n"]
    with atomic(path) as partial:
        partial.write_bytes("\n".join(header).encode() + rows.astype("<f4").tobytes())


def read_splat(path: Path) -> QuantizedSplats:
    """Read a .splat of 32 bytes a Gaussian; BadInput for any other size."""
    content = read_bytes(path, "file of Gaussians", MAX_SPLATS)
    if not content or len(content) % SPLAT.itemsize:
        raise BadInput(f"{path} has {len(content)} bytes, wanted a multiple of {SPLAT.itemsize}")
    table = np.frombuffer(content, SPLAT)
    return QuantizedSplats(
        table["means"], table["scales"], table["rgba"], (table["quats"].astype(np.float64) - 128) / 128
    )


def write_splat(path: Path, splats: Splats) -> None:
    """Write a .splat, without higher harmonics and quantized."""
    table = np.zeros(len(splats.means), SPLAT)
    table["means"], table["scales"] = splats.means, splats.scales()
    rgba = np.concatenate([splats.colors(), splats.opacities()[:, None]], axis=1)
    table["rgba"] = np.clip(np.round(255 * rgba), 0, 255)
    table["quats"] = np.clip(np.round(128 * splats.unit_quats() + 128), 0, 255)
    with atomic(path) as partial:
        partial.write_bytes(table.tobytes())


def _vertices(path: Path) -> np.ndarray:
    """The vertex table of a binary little-endian .ply."""
    content = read_bytes(path, "file of Gaussians", MAX_SPLATS)
    head, mark, body = content.partition(b"end_header\n")
    lines = head.decode("ascii", "replace").split("\n")
    if not mark or lines[0].strip() != "ply" or "format binary_little_endian 1.0" not in lines:
        raise BadInput(f"{path} is no binary little-endian .ply")
    kinds = {
        "float": "<f4",
        "double": "<f8",
        "uchar": "u1",
        "int": "<i4",
        "uint": "<u4",
        "float32": "<f4",
        "uint8": "u1",
    }
    words = [line.split() for line in lines]
    try:
        elements = [w for w in words if w[:1] == ["element"]]
        count = int(elements[0][2]) if elements[0][1] == "vertex" and len(elements) == 1 else -1
        layout = np.dtype([(w[2], kinds[w[1]]) for w in words if w[:1] == ["property"]])
        return np.frombuffer(body, layout, count) if count >= 0 else _refuse(path)
    except (IndexError, KeyError, ValueError) as error:
        raise BadInput(f"{path} is cut short or not a table of vertices ({error})") from None


def _refuse(path: Path) -> np.ndarray:
    raise BadInput(f"{path} holds more than vertices: a mesh, not Gaussians")
