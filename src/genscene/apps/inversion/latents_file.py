"""Files of latents: styles w of a generator, and the cameras of the pictures that they were found for.

format 1: safetensors with tensors `style.NAME`, as many of each as there are scenes, and `cameras.*` of the
pictures; the header's entries are latents (the format), genscene (the version that wrote it), generator (the
SHA-256 of its weights), and pictures (JSON: for each picture the number of its scene, and what was measured).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, batch_shapes, check_shapes, named_tensors
from genscene.io.files import open_regular
from genscene.io.generator_file import (
    camera_tensors,
    mismatch,
    stored_cameras,
    weights_sha256,
    write_with_header,
)
from genscene.layers.mapping import map_tensors, style_count, take_styles
from genscene.version import __version__

FORMAT = 1  # of files of latents
STYLE, CAMERAS = "style.", "cameras."  # what names of tensors begin with
MAX_BYTES = 1 << 32  # of a file
WANTED = "wanted a file of genscene invert"


@dataclass(frozen=True)
class Latents:
    """Styles of S scenes, and P pictures that they were found for."""

    w: Any  # S styles, as `generator.style` returns them
    cameras: Camera | None = None  # P cameras, one of each picture; None: scenes without cameras
    # of each picture: "scene", the number of its style; what else there is, was measured
    pictures: tuple[Mapping[str, Any], ...] = ()

    def __len__(self) -> int:
        """S, the number of scenes."""
        return style_count(self.w)

    def take(self, scenes: slice) -> Any:
        """The styles of some of the scenes."""
        return take_styles(self.w, scenes)


def write_latents(path: str | Path, latents: Latents, generator: Generator) -> None:
    """Write styles of a generator, and the cameras of their pictures, atomically.

    Raises BadInput where these are no styles of the generator, or not as many cameras as pictures.
    """
    check_shapes("latents", latents.w, batch_shapes(_no_style(generator)))
    _check_pictures("latents", latents)
    tensors = {STYLE + name: tensor for name, tensor in named_tensors(latents.w).items()}
    header = {
        "latents": str(FORMAT),
        "genscene": __version__,
        "generator": weights_sha256(generator),
        "pictures": json.dumps([dict(each) for each in latents.pictures], allow_nan=False),
    }
    write_with_header(path, tensors | camera_tensors(latents.cameras), header)


def read_latents(path: str | Path, generator: Generator, source: str | Path = "this generator") -> Latents:
    """The latents in a file, on the device of a generator, whose weights they must have been found with.

    source: the generator, for error lines. Raises BadInput, naming the file, for any other file, and for
    latents of another generator.
    """
    path = Path(path)
    header, tensors = _read(path)
    if header["generator"] != weights_sha256(generator):
        raise BadInput(f"{path}: its latents are of another generator, wanted those of {source}")
    weights = next(generator.parameters())
    of_none = _no_style(generator)
    names = {STYLE + name: like for name, like in named_tensors(of_none).items()}
    cameras = {name: tensor for name, tensor in tensors.items() if name.startswith(CAMERAS)}
    styles = {name: tensor for name, tensor in tensors.items() if name not in cameras}
    # how many there are is checked below
    wrong = mismatch(styles, {name: styles.get(name, like).to(like.dtype) for name, like in names.items()})
    if wrong:
        raise BadInput(f"{path}: its latents cannot be used: {wrong}")
    order = iter(names)
    w = map_tensors(lambda like: styles[next(order)].to(device=like.device, dtype=like.dtype), of_none)
    check_shapes(str(path), w, batch_shapes(of_none))
    found = stored_cameras(cameras, path)[0] if cameras else None
    moved = None if found is None else found.to(weights.device)
    latents = Latents(w, moved, _pictures(path, header))
    _check_pictures(str(path), latents)
    return latents


def _no_style(generator: Generator) -> Any:
    """The styles of no scene."""
    return generator.style(next(generator.parameters()).new_zeros(0, generator.latent_dim))


def _read(path: Path) -> tuple[Mapping[str, str], dict[str, Tensor]]:
    """The header and the tensors of a file of latents."""
    with open_regular(path, "file of latents", MAX_BYTES):
        pass
    try:
        with safe_open(path, framework="pt") as file:
            header: Mapping[str, str] = file.metadata() or {}
            if "latents" not in header or "generator" not in header:
                raise BadInput(f"{path} holds no latents, {WANTED}")
            if header["latents"] != str(FORMAT):
                found = f"{path} is a file of latents of format {header['latents']}"
                raise BadInput(f"{found}, this version reads format {FORMAT}")
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path} is not a whole safetensors file ({error}); {WANTED}") from None


def _pictures(path: Path, header: Mapping[str, str]) -> tuple[Mapping[str, Any], ...]:
    """What the header says of the pictures."""
    try:
        found = json.loads(header.get("pictures", "[]"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadInput(f"{path}: its header holds no readable list under 'pictures'")
    return tuple(found)


def _check_pictures(what: str, latents: Latents) -> None:
    """Raise BadInput unless there are styles, each picture is of one of them, and has its own camera."""
    scenes, pictures = len(latents), latents.pictures
    if not scenes:
        raise BadInput(f"{what}: there are no latents in it, wanted one or more")
    if latents.cameras is not None and len(latents.cameras) != len(pictures):
        raise BadInput(f"{what}: {len(latents.cameras)} cameras of {len(pictures)} pictures, wanted as many")
    for number, each in enumerate(pictures):
        scene = each.get("scene")
        if type(scene) is not int or not 0 <= scene < scenes:
            raise BadInput(f"{what}: picture {number} is of scene {scene!r}, wanted 0 to {scenes - 1}")
