"""Gaussians as a file of any format, by its ending, with what viewers of it take for upwards."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genscene.export.splat_files.page import write_page
from genscene.export.splat_files.sog import write_sog
from genscene.export.splat_files.spz import write_spz
from genscene.export.splat_glb import write_glb
from genscene.export.splats import Splats, from_gaussians, write_ply, write_splat
from genscene.geometry.cameras import Camera, transform_cameras
from genscene.geometry.rotations import rotation_between
from genscene.render.splatting import transform_gaussians
from genscene.scenes import Gaussians, Vector

PAGE = ".html"
WRITERS: dict[str, Callable[[Path, Splats], None]] = {
    ".ply": write_ply,
    ".splat": lambda path, splats: write_splat(path, splats.by_importance()),
    ".glb": write_glb,
    ".sog": write_sog,
    ".spz": write_spz,
}
ENDINGS = (*WRITERS, PAGE)
# what viewers take for upwards in formats that do not say it; the others are in the coordinates of files
UPWARDS: dict[str, Vector] = {".sog": (0.0, -1.0, 0.0), ".spz": (0.0, 1.0, 0.0), PAGE: (0.0, 1.0, 0.0)}


@dataclass(frozen=True)
class Placement:
    """Where a scene is, and from where it is seen first."""

    up: Vector  # direction of its world that is upwards
    camera: Camera  # of 1, that faces the origin of its world
    fov: float  # across the shorter side of a window, in degrees
    to_files: Tensor | None = None  # [4, 4], from its world to that of the photographs' files
    turn_to: Vector | None = None  # what is upwards in the file; None: as its format wants it


def write_gaussians(path: Path, scene: Gaussians, placement: Placement) -> tuple[int, Vector]:
    """Write one cloud in the format of the file's ending -> its bytes, and what is upwards in it."""
    similarity, up = to_format(path.suffix, placement)
    splats = from_gaussians(transform_gaussians(scene, similarity), up)
    if path.suffix == PAGE:
        write_page(path, splats, transform_cameras(placement.camera, similarity), placement.fov)
    else:
        WRITERS[path.suffix](path, splats)
    return path.stat().st_size, up


def to_format(suffix: str, placement: Placement) -> tuple[Tensor, Vector]:
    """The similarity [4, 4] from a scene's world to that of a format, and what is upwards there.

    A page is in units of the first camera's distance, about the origin of the scene.
    """
    similarity = torch.eye(4, dtype=torch.float64)
    if placement.to_files is not None and suffix != PAGE:
        similarity = placement.to_files.cpu().double()
    up = normalize(similarity[:3, :3] @ torch.tensor(placement.up, dtype=torch.float64), dim=0)
    wanted = UPWARDS.get(suffix) if suffix == PAGE or placement.turn_to is None else placement.turn_to
    if wanted is not None:
        turn = torch.eye(4, dtype=torch.float64)
        turn[:3, :3] = rotation_between(up, torch.tensor(wanted))
        similarity, up = turn @ similarity, normalize(torch.tensor(wanted, dtype=torch.float64), dim=0)
    if suffix == PAGE:
        similarity[:3] /= placement.camera.pose[0, :3, 3].norm().double()
    x, y, z = (round(number, 6) + 0.0 for number in up.tolist())
    return similarity, (x, y, z)
