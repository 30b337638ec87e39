"""Checks of numbers, file names and cameras read from files; each error line names the place."""

import math
import reprlib

import torch

from genscene.data.posed.posed_files import PosedFiles
from genscene.errors import BadInput

MAX_DISTANCE = 1e12  # of coordinates and depths: beyond, squares and single precision lose the scene
MAX_FOCAL = 1e6  # of focal lengths, their inverses and principal points, in image sides
MAX_ROTATION_ERROR = 0.02  # largest entry of R^T R - I
MAX_SHOWN = 80  # characters of a value in a message
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = MAX_SHOWN


def format_value(value: object) -> str:
    """A value as Python code, abbreviated in the middle."""
    return _REPR.repr(value)


def abbreviate(name: str) -> str:
    """A name as it is, abbreviated in the middle; as Python code where it cannot be printed."""
    if not name.isprintable():
        return format_value(name)
    return name if len(name) <= MAX_SHOWN else f"{name[:40]}...{name[-37:]}"


def parse_number(value: object, what: str) -> float:
    """A finite number of a JSON file; BadInput, beginning with what it is, for all else."""
    try:
        found = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise BadInput(f"{what} is {format_value(value)}, wanted a number")
    return found


def parse_file_name(value: object, what: str) -> str:
    """A string that can name a file; BadInput, beginning with what it is, for all else."""
    if isinstance(value, str) and value and "\0" not in value:
        try:
            parts = value.encode().split(b"/")
        except UnicodeEncodeError:
            parts = []  # half of a surrogate pair
        # 250 bytes leave room for a suffix, 1000 characters for the folder
        if parts and max(map(len, parts)) <= 250 and len(value) <= 1000:
            return value
    raise BadInput(f"{what} is {format_value(value)}, wanted the name of a file")


def check_cameras(posed: PosedFiles) -> PosedFiles:
    """The same photographs; BadInput where one is listed twice, or its pose or intrinsics cannot be used."""
    _check_unique(posed)
    rotation = posed.pose[:, :3, :3]
    error = (rotation.mT @ rotation - torch.eye(3, dtype=rotation.dtype)).abs().amax(dim=(1, 2))
    for path, off, determinant in zip(posed.paths, error, torch.linalg.det(rotation), strict=True):
        if not off < MAX_ROTATION_ERROR:
            raise BadInput(
                f"the pose of {path} is no rotation and position: off by {float(off):.2g},"
                f" wanted below {MAX_ROTATION_ERROR}"
            )
        if determinant <= 0:
            raise BadInput(f"the pose of {path} is mirrored (determinant -1), wanted a rotation and position")
    _check_magnitudes(posed)
    return posed


def require_distinct_positions(posed: PosedFiles, least: int) -> None:
    """Raise BadInput where `least` or more photographs all have one position, which gives no depth."""
    position = posed.pose[:, :3, 3]
    spread, size = (position - position[0]).abs().max(), position.abs().max()
    if len(posed) >= least and spread <= 1e-9 * size.clamp_min(1e-9):
        folder = posed.paths[0].parent
        raise BadInput(
            f"all photographs in {folder} ({len(posed)}) have one position, wanted two positions or more"
        )


def _check_unique(posed: PosedFiles) -> None:
    """A photograph with two poses has a wrong one, and might be both trained on and held out."""
    known = set()
    for path in posed.paths:
        if path in known:
            raise BadInput(f"{path} is listed twice, wanted one pose for each photograph")
        known.add(path)


def _check_magnitudes(posed: PosedFiles) -> None:
    """Finite numbers may still be too large or too small to compute with."""
    focal, center = posed.intrinsics[:, [0, 1], [0, 1]], posed.intrinsics[:, :2, 2].abs()
    distances = [posed.pose[:, :3, 3].abs()] + ([] if posed.bounds is None else [posed.bounds.abs()])
    farthest = torch.cat(distances, dim=1).amax(dim=1).tolist()
    shortest, longest = focal.amin(dim=1).tolist(), focal.amax(dim=1).tolist()
    rows = zip(posed.paths, farthest, shortest, longest, center.amax(dim=1).tolist(), strict=True)
    for path, far, short, long, aside in rows:
        if not far < MAX_DISTANCE:
            raise BadInput(
                f"the camera of {path} has a position or depth of {far:.3g},"
                f" wanted less than {MAX_DISTANCE:g}"
            )
        if not (short > 1 / MAX_FOCAL and long < MAX_FOCAL and aside < MAX_FOCAL):
            raise BadInput(
                f"the intrinsics of {path} have focal lengths of {short:.3g} and {long:.3g} image sides"
                f" and the principal point at {aside:.3g}: no pixel has a ray, wanted about 1 and 0.5"
            )
