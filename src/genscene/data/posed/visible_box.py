"""The box that holds what the cameras of photographs see around the point that they face."""

import math

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, max_pool2d

from genscene.contract import Vector
from genscene.geometry.cameras import Camera

CELLS = 64  # of the search along each side of its cube
SEARCHED = 1.25  # half side of that cube, in radii of what the cameras see
IN_VIEW = 0.5  # share of the cameras that must have a point in view
ON_OBJECT = 0.9  # share of those that must see the object there
MARGIN = 1.02  # sides of the box beyond those of the cells that are kept
LEAST = 0.1  # shortest half side, in radii
SMALLEST = 1e-6  # radius, in world units
MASK_SIDE = 128  # pixels of the longer side that masks are reduced to


def visible_radius(camera: Camera) -> float:
    """Distance x tan(fov / 2), the half width of what N cameras see around the origin: the median."""
    focal, center = camera.intrinsics[:, [0, 1], [0, 1]], camera.intrinsics[:, :2, 2]
    widest = (torch.maximum(center, 1 - center) / focal).amax(dim=1)
    return max(float((camera.pose[:, :3, 3].norm(dim=-1) * widest).median()), SMALLEST)


def visible_box(camera: Camera, masks: Tensor | None = None) -> Vector:
    """Half sides x, y, z of the box around the origin, in world units, rounded up to three digits.

    It holds the points that half of the N cameras have in view and, where masks of an object are given
    (bool [N, H, W]), that show the object in nine of ten of those views: its visual hull.
    """
    radius = visible_radius(camera)
    half = SEARCHED * radius
    line = (torch.arange(CELLS) + 0.5) * (2 * half / CELLS) - half
    points = torch.cartesian_prod(line, line, line)
    reduced = None if masks is None else _reduced(masks)
    seen, shown = torch.zeros(2, len(points))
    for i in range(len(camera)):
        inside, found = _view(camera[i : i + 1], points, None if reduced is None else reduced[i])
        seen, shown = seen + inside, shown + found
    kept = (seen >= IN_VIEW * len(camera)) & (shown >= ON_OBJECT * seen)
    if not kept.any():  # cameras that face several points, or masks that contradict one another
        kept = torch.ones_like(kept)
    reach = (points[kept].abs().amax(dim=0) + half / CELLS) * (1.0 if masks is None else MARGIN)
    x, y, z = (_rounded_up(max(side, LEAST * radius)) for side in reach.tolist())
    return x, y, z


def _view(camera: Camera, points: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Which of P points one camera has in view, and where it sees the object -> bool [P], [P].

    With a mask all points in front of it are in view: beside the picture is what the nearest pixel shows.
    """
    pose, intrinsics = camera.pose[0], camera.intrinsics[0]
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    front = local[:, 2] > 0
    at = (local @ intrinsics.mT)[:, :2] / local[:, 2:].clamp_min(1e-9)  # in image sides
    if mask is None:
        inside = front & ((at >= 0) & (at < 1)).all(dim=-1)
        return inside, inside
    height, width = mask.shape
    column, row = (at.clamp(0, 1 - 1e-6) * torch.tensor([width, height])).long().unbind(-1)
    return front, front & mask[row, column]


def _reduced(masks: Tensor) -> Tensor:
    """Masks bool [N, H, W] with at most MASK_SIDE pixels a side, one pixel wider and without holes."""
    height, width = masks.shape[1:]
    factor = max(1.0, max(height, width) / MASK_SIDE)
    size = (max(1, round(height / factor)), max(1, round(width / factor)))
    small = torch.stack([adaptive_max_pool2d(mask[None].float(), size)[0] for mask in masks])
    wide = max_pool2d(small[:, None], 3, stride=1, padding=1)[:, 0]
    return _between(wide, -1) & _between(wide, -2)


def _between(masks: Tensor, axis: int) -> Tensor:
    """Pixels of masks [N, H, W] that lie between two of their row or column -> bool [N, H, W]."""
    return (masks.cumsum(axis) > 0) & (masks.flip(axis).cumsum(axis) > 0).flip(axis)


def _rounded_up(length: float) -> float:
    """A length with three significant digits, not shorter than it is."""
    unit = 10 ** (math.floor(math.log10(length)) - 2)
    return float(f"{math.ceil(length / unit) * unit:.6g}")
