"""COLMAP's sparse models, binary and text."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from genscene.data.posed import colmap_binary as binary
from genscene.data.posed import colmap_text as text
from genscene.data.posed.colmap_model import Model
from genscene.errors import BadInput

T = TypeVar("T")


def read(folder: Path) -> Model:
    """The model in a folder, binary before text. Raises BadInput, naming the file, for what cannot be read."""
    kind, ending = (binary, ".bin") if (folder / "cameras.bin").exists() else (text, ".txt")
    paths = [folder / f"{name}{ending}" for name in ("cameras", "images", "points3D")]
    for path in paths:
        if not path.is_file():
            raise BadInput(f"{folder} holds no whole COLMAP model: {path.name} is missing")
    lenses, shots = _parsed(paths[0], kind.cameras), _parsed(paths[1], kind.images)
    if not shots:
        raise BadInput(f"the COLMAP model in {folder} has no images")
    return Model(lenses, tuple(shots), _parsed(paths[2], kind.points))


def largest(folder: Path) -> Path:
    """The folder of the model with the most images among folder itself and its sub-folders (sparse/0 may be tiny)."""
    found = [
        p.parent
        for pattern in ("cameras.bin", "*/cameras.bin", "cameras.txt", "*/cameras.txt")
        for p in folder.glob(pattern)
    ]
    if not found:
        raise BadInput(f"no COLMAP model in {folder}")
    return max(found, key=_count)


def _count(place: Path) -> int:
    if (place / "images.bin").is_file():
        return _parsed(place / "images.bin", binary.announced)
    listing = place / "images.txt"
    return len(_parsed(listing, text.images)) if listing.is_file() else 0


def _parsed(path: Path, parse: Callable[[Path], T]) -> T:
    try:
        return parse(path)
    except ValueError as error:
        raise BadInput(f"{path} is damaged or no COLMAP file ({error})") from None
