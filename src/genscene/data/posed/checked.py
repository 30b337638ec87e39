"""Whether cameras can be learnt from, in whatever format they came; one line that names the photograph, if not."""

import torch

from genscene.data.posed import Posed
from genscene.errors import BadInput

FAR = 1e12  # coordinates and depths, either way: beyond, their squares and single precision leave nothing of a scene
LONG = 1e6  # focal lengths and centres in picture sides


def checked(posed: Posed) -> Posed:
    """The same photographs, if each is there once, with a rigid pose and a lens of usable numbers."""
    alone(posed)
    turn = posed.pose[:, :3, :3]
    off = (turn.mT @ turn - torch.eye(3, dtype=turn.dtype)).abs().amax(dim=(1, 2))
    for path, error, volume in zip(posed.paths, off, torch.linalg.det(turn), strict=True):
        if not error < 0.02:
            raise BadInput(
                f"the pose of {path} is no rotation and position: off by {float(error):.2g}, wanted below 0.02"
            )
        if volume <= 0:
            raise BadInput(f"the pose of {path} is mirrored (determinant -1), wanted a rotation and position")
    within(posed)
    return posed


def alone(posed: Posed) -> None:
    """Refuse a photograph that is listed twice: of two poses one is wrong, and one might be learnt, one tested."""
    seen = set()
    for path in posed.paths:
        if path in seen:
            raise BadInput(f"{path} is listed twice, wanted one pose for each photograph")
        seen.add(path)


def within(posed: Posed) -> None:
    """Refuse numbers that are finite, but nothing can be computed with."""
    focal, centre = posed.intrinsics[:, [0, 1], [0, 1]], posed.intrinsics[:, :2, 2].abs()
    places = [posed.pose[:, :3, 3].abs()] + ([] if posed.bounds is None else [posed.bounds.abs()])
    farthest = torch.cat(places, dim=1).amax(dim=1)
    for path, most, (short, long), aside in zip(
        posed.paths,
        farthest.tolist(),
        torch.stack(focal.aminmax(dim=1), dim=1).tolist(),
        centre.amax(1),
        strict=True,
    ):
        if not most < FAR:
            raise BadInput(f"the camera of {path} stands or sees {most:.3g} away, wanted less than {FAR:g}")
        if not (short > 1 / LONG and long < LONG and aside < LONG):
            raise BadInput(
                f"the lens of {path} has focal lengths of {short:.3g} and {long:.3g} picture sides and its centre"
                f" at {float(aside):.3g}: nothing can be seen through it"
            )


def apart(posed: Posed, least: int) -> None:
    """Refuse `least` or more photographs that all stand at one place: they tell nothing of depth."""
    position = posed.pose[:, :3, 3]
    spread, size = (position - position[0]).abs().max(), position.abs().max()
    if len(posed) >= least and spread <= 1e-9 * size.clamp_min(1e-9):
        where = posed.paths[0].parent
        raise BadInput(
            f"all photographs in {where} ({len(posed)}) stand at one place, wanted two places or more"
        )
