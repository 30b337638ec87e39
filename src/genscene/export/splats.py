"""Gaussians as files: the .ply of 3D Gaussian splatting, and the .splat of 32 bytes each."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.io.atomic import atomic
from genscene.io.files import MIB, read_bytes
from genscene.render.spherical_harmonics import C0
from genscene.scenes import Gaussians, Vector

READ = (".ply", ".splat")  # endings of files that can be read
DEGREES = {0: 0, 3: 1, 8: 2, 15: 3}  # number of higher harmonics -> their degree
LEAST = 1e-7  # opacities nearer to 0 or 1 are stored as this near
UP = "Vertical axis:"  # comment of a .ply, as Brush writes it: x, y or z, or the three numbers of a direction
MODE = "SplatRenderMode:"  # comment of a .ply: mip where opacities are meant for the antialiased mode
MAX_SPLATS = 4096 * MIB  # of a file: 15 million Gaussians with all harmonics
KINDS = {  # of properties in a .ply
    "char": "i1",
    "uchar": "u1",
    "short": "<i2",
    "ushort": "<u2",
    "int": "<i4",
    "uint": "<u4",
    "int8": "i1",
    "uint8": "u1",
    "int16": "<i2",
    "uint16": "<u2",
    "int32": "<i4",
    "uint32": "<u4",
    "float": "<f4",
    "double": "<f8",
    "float32": "<f4",
    "float64": "<f8",
}
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
    antialiased: bool = False  # opacities are meant for the antialiased mode of rendering
    up: Vector | None = None  # direction that is upwards; None: not known

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

    def by_importance(self) -> "Splats":
        """The same, those of large volume and opacity first, as viewers of .splat expect them."""
        weight = self.log_scales.astype(np.float64).sum(-1) + np.log(self.opacities())
        return self.ordered(np.argsort(-weight, kind="stable"))

    def by_place(self) -> "Splats":
        """The same, neighbors near to each other, along Morton's curve: files of columns become smaller."""
        low, high = self.means.min(axis=0), self.means.max(axis=0)
        cells = ((self.means - low) / np.maximum(high - low, 1e-30) * 1023).astype(np.int64)  # [N, 3]
        bits = (cells[:, :, None] >> np.arange(10)) & 1
        places = 3 * np.arange(10) + np.arange(3)[:, None]
        return self.ordered(np.argsort((bits << places).sum(axis=(1, 2)), kind="stable"))

    def ordered(self, order: np.ndarray) -> "Splats":
        """The Gaussians with these numbers [M]."""
        names = ("means", "f_dc", "sh_rest", "opacity_logit", "log_scales", "quats")
        return replace(self, **{name: getattr(self, name)[order] for name in names})


@dataclass(frozen=True)
class QuantizedSplats:
    """N Gaussians as a .splat stores them."""

    means: np.ndarray  # [N, 3]
    scales: np.ndarray  # [N, 3], world units
    rgba: np.ndarray  # [N, 4], uint8
    quats: np.ndarray  # [N, 4], wxyz, in steps of 1/128

    def splats(self) -> Splats:
        """The same Gaussians before activation; without higher harmonics."""
        rgba = self.rgba.astype(np.float64) / 255
        opacity = np.clip(rgba[:, 3], LEAST, 1 - LEAST)
        none = np.zeros((len(rgba), 0, 3), np.float32)
        scales = np.log(np.maximum(self.scales.astype(np.float64), 1e-30))
        f_dc, logit = (rgba[:, :3] - 0.5) / C0, np.log(opacity / (1 - opacity))
        return Splats(self.means, f_dc, none, logit, scales, self.quats)


def from_gaussians(gaussians: Gaussians, up: Vector | None = None) -> Splats:
    """One cloud of Gaussians, as it is stored."""
    means, quats, scales, opacities, colors = (
        x.detach()[0].cpu().double()
        for x in (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.colors)
    )
    if colors.ndim == 2:  # values, not coefficients
        colors = ((colors - 0.5) / C0)[:, None]
    logits = torch.logit(opacities.clamp(LEAST, 1 - LEAST))
    parts = (means, colors[:, 0], colors[:, 1:], logits, scales.clamp_min(1e-30).log(), quats)
    places, f_dc, rest, logit, logs, turns = (x.float().numpy() for x in parts)
    return Splats(places, f_dc, rest, logit, logs, turns, gaussians.antialiased, up)


def to_gaussians(splats: Splats) -> Gaussians:
    """The cloud of what a file stores."""

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None]

    colors = np.concatenate([splats.f_dc[:, None], splats.sh_rest], axis=1)
    return Gaussians(
        tensor(splats.means),
        tensor(splats.unit_quats()),
        tensor(splats.scales()),
        tensor(splats.opacities()),
        tensor(colors),
        antialiased=splats.antialiased,
    )


def read_splats(path: Path) -> Splats:
    """The Gaussians in a .ply or .splat; BadInput, in one line, for files that hold none."""
    if path.suffix not in READ:
        raise BadInput(f"{path}: wanted a file ending with {', '.join(READ)}")
    splats = read_ply(path) if path.suffix == ".ply" else read_splat(path).splats()
    if not len(splats.means):
        raise BadInput(f"{path} holds no Gaussians, wanted at least 1")
    if splats.sh_rest.shape[1] not in DEGREES:
        wanted = ", ".join(str(3 * count) for count in DEGREES)
        raise BadInput(f"{path} has {3 * splats.sh_rest.shape[1]} f_rest: wanted {wanted}")
    values = {"a position": splats.means, "a color": splats.f_dc, "a color's harmonic": splats.sh_rest}
    values |= {"an opacity": splats.opacity_logit, "a scale": splats.log_scales, "a rotation": splats.quats}
    for what, array in values.items():
        wrong = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        if what == "a rotation":
            wrong |= ~array.any(axis=1)
        if wrong.any():
            where = f"{wrong.sum()} of {len(array)} Gaussians, the first is number {wrong.argmax()}"
            raise BadInput(f"{path}: {what} is not finite, or no rotation, of {where}: wanted finite numbers")
    return splats


def read_ply(path: Path) -> Splats:
    """Read a .ply of 3D Gaussian splatting, of any degree of harmonics; BadInput for other files."""
    table, comments = _vertices(path)
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
    if flat.shape[1] % 3:
        raise BadInput(f"{path} has {flat.shape[1]} f_rest: wanted as many of each color")
    sh_rest = flat.reshape(len(table), 3, flat.shape[1] // 3).swapaxes(1, 2)  # red's coefficients come first
    antialiased = _comment(comments, MODE).lower() == "mip" or _comment(comments, "antialiased") == "1"
    up = parse_up(_comment(comments, UP))
    return Splats(**parts, sh_rest=sh_rest, opacity_logit=table["opacity"], antialiased=antialiased, up=up)


def parse_up(text: str) -> Vector | None:
    """x, -x, ... -z, or three numbers -> a direction of length 1; None for any other text."""
    sign, axis = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    if axis in ("x", "y", "z") and axis:
        numbers = [sign * (axis == each) for each in "xyz"]
    else:
        try:
            numbers = [float(word) for word in text.replace(",", " ").split()]
        except ValueError:
            return None
    length = float(np.linalg.norm(numbers)) if len(numbers) == 3 else 0.0
    if not 0 < length < np.inf:
        return None
    x, y, z = (number / length for number in numbers)
    return x, y, z


def write_ply(path: Path, splats: Splats) -> None:
    """Write the .ply of 3D Gaussian splatting."""
    rest = splats.sh_rest.swapaxes(1, 2).reshape(len(splats.means), 3 * splats.sh_rest.shape[1])
    names = ["x", "y", "z", "nx", "ny", "nz", *(f"f_dc_{i}" for i in range(3))]
    names += [f"f_rest_{i}" for i in range(rest.shape[1])]
    names += ["opacity", *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]
    normals = np.zeros_like(splats.means)
    opacity = splats.opacity_logit[:, None]
    rows = np.concatenate(
        [splats.means, normals, splats.f_dc, rest, opacity, splats.log_scales, splats.quats], axis=1
    )
    header = ["ply", "format binary_little_endian 1.0"]
    header += [f"comment {MODE} mip"] * splats.antialiased
    header += [f"comment {UP} {' '.join(f'{x:g}' for x in splats.up)}"] if splats.up else []
    header += [f"element vertex {len(rows)}"]
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


def _vertices(path: Path) -> tuple[np.ndarray, list[str]]:
    """The vertex table of a binary little-endian .ply, and the comments of its header."""
    content = read_bytes(path, "file of Gaussians", MAX_SPLATS)
    head, mark, body = content.partition(b"end_header\n")
    lines = [line.rstrip("\r") for line in head.decode("ascii", "replace").split("\n")]
    if not mark or lines[0].strip() != "ply" or "format binary_little_endian 1.0" not in lines:
        raise BadInput(f"{path} is no binary little-endian .ply")
    words = [line.split() for line in lines]
    try:
        elements = [w for w in words if w[:1] == ["element"]]
        count = int(elements[0][2]) if elements[0][1] == "vertex" and len(elements) == 1 else -1
        if count < 0:
            held = ", ".join(w[1] for w in elements)
            raise BadInput(
                f"{path} holds more than vertices ({held}): a mesh or compressed, wanted Gaussians"
            )
        layout = np.dtype([(w[2], KINDS[w[1]]) for w in words if w[:1] == ["property"]])
        table = np.frombuffer(body, layout, count) if count else np.zeros(0, layout)
    except (IndexError, KeyError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{path} is cut short or not a table of vertices ({error})") from None
    return table, [line.removeprefix("comment ").strip() for line in lines if line.startswith("comment ")]


def _comment(comments: list[str], name: str) -> str:
    """What follows the last comment of this name, in any case of letters; "" where there is none."""
    found = [line[len(name) :].strip() for line in comments if line.lower().startswith(name.lower())]
    return found[-1] if found else ""
