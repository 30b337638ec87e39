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

from genscene.apps.inversion.styles_file import StylesKind, read_styles_file, style_tensors
from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera
from genscene.io.generator_file import camera_tensors, stored_cameras, weights_sha256, write_with_header
from genscene.layers.mapping import style_count, take_styles
from genscene.version import __version__

FORMAT = 1  # of files of latents
KIND = StylesKind("latents", FORMAT, "style.", "wanted a file of genscene invert")


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
    tensors = style_tensors(latents.w, KIND, generator)
    _check_pictures("latents", latents)
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
    header, w, cameras = read_styles_file(path, KIND, generator, source)
    found = stored_cameras(cameras, path)[0] if cameras else None
    moved = None if found is None else found.to(next(generator.parameters()).device)
    latents = Latents(w, moved, _pictures(path, header))
    _check_pictures(str(path), latents)
    return latents


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
