"""Consistency of two views of one scene: pixels of one are reprojected by their depth into the other."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from genscene.errors import BadInput
from genscene.geometry.cameras import Grid, Rays, as_float64
from genscene.metrics.image import psnr

OPAQUE = 0.5  # alpha above which a pixel shows a surface
COVERED = 0.999  # least bilinear weight of opaque pixels; 1 but for rounding
BORDER = 1 + 1e-6  # of an image in half sides, with room for rounding


@dataclass(frozen=True)
class RenderedView:
    """B rendered images with depth, and the rays and poses they were rendered with."""

    image: Tensor  # [B, 3, H, W], 0 to 1
    depth: Tensor  # [B, 1, H, W], distance from the eye along the ray, in world units
    alpha: Tensor  # [B, 1, H, W], 0 to 1
    rays: Rays  # R = H * W, row by row
    pose: Tensor  # [B, 4, 4], camera to world, OpenCV axes

    def __post_init__(self) -> None:
        batch, size = len(self.image), tuple(self.image.shape[-2:])
        wanted = [(batch, 3, *size), (batch, 1, *size), (batch, 1, *size), (batch, 4, 4)]
        got = [tuple(x.shape) for x in (self.image, self.depth, self.alpha, self.pose)]
        if got != wanted or self.rays.directions.shape != (batch, size[0] * size[1], 3):
            shapes = "[B, 3, H, W], [B, 1, H, W] twice, [B, 4, 4] and H * W rays"
            raise BadInput(f"image, depth, alpha, pose {got} with {len(self.rays)} rays, wanted {shapes}")

    @property
    def opaque(self) -> Tensor:
        """Pixels that show a surface -> bool [B, R]."""
        return self.alpha.flatten(1) > OPAQUE

    def points(self) -> Tensor:
        """World points that the pixels show [B, R, 3], float64."""
        origins, depth = as_float64(self.rays.origins), as_float64(self.depth).flatten(1)[..., None]
        return torch.addcmul(origins, depth, normalize(as_float64(self.rays.directions), dim=-1))


@dataclass(frozen=True)
class Agreement:
    """Agreement of B pairs of views; nan where no pixel of the first is visible in the second."""

    squared: Tensor  # [B], mean squared error of colors over visible pixels
    absolute: Tensor  # [B], mean absolute error of colors over visible pixels
    visible: Tensor  # [B], fraction of the first view's opaque pixels that are visible in the second
    depth: Tensor  # [B], median relative error of depth where both are opaque, occluded pixels included

    @property
    def psnr(self) -> Tensor:
        """PSNR of the visible pixels [B] in dB, at most 100."""
        return psnr(self.squared)


@torch.no_grad()
def reproject(first: RenderedView, second: RenderedView, tolerance: float = 0.05) -> Agreement:
    """Reproject B first views into second views of the same scenes; compare colors and depth, one way.

    The second view is sampled bilinearly, so the error of a consistent scene falls with the size of a pixel.
    A pixel is visible where it is opaque, lies in front of the second camera and inside its image, on opaque
    pixels only (which leaves silhouettes out), and the depth sampled there is its own distance within a
    relative tolerance. View-dependent color counts as error.
    """
    points = first.points()
    positions, in_front = project(points, second)
    opaque = second.opaque.view_as(second.alpha).to(points)
    maps = torch.cat([as_float64(second.image), as_float64(second.depth), opaque], dim=1)
    grid = torch.nan_to_num(positions)[:, None].to(maps)
    sampled = grid_sample(maps, grid, padding_mode="border", align_corners=False)[:, :, 0]  # [B, 5, R]
    compared = first.opaque & in_front & (positions.abs() <= BORDER).all(dim=-1) & (sampled[:, 4] > COVERED)
    distance = (points - as_float64(second.pose)[:, None, :3, 3]).norm(dim=-1)
    depth_error = (sampled[:, 3] - distance).abs() / distance
    visible = compared & (depth_error <= tolerance)
    error, count = (sampled[:, :3] - as_float64(first.image).flatten(2)).abs(), visible.sum(dim=1)
    squared, absolute = (torch.where(visible, x.mean(dim=1), 0.0).sum(dim=1) for x in (error.square(), error))
    depth = depth_error.masked_fill(~compared, torch.nan).nanmedian(dim=1).values
    return Agreement(squared / count, absolute / count, count / first.opaque.sum(dim=1), depth)


def project(points: Tensor, view: RenderedView) -> tuple[Tensor, Tensor]:
    """World points [B, N, 3] -> positions [B, N, 2], -1 to 1 between borders; whether in front [B, N]."""
    size = (view.image.shape[-2], view.image.shape[-1])
    grid = as_float64(Grid.whole(len(points), size).coords().to(points.device)).flatten(2).mT
    rotation, eye = as_float64(view.pose)[:, :3, :3], as_float64(view.pose)[:, None, :3, 3]
    of_pixels, of_points = as_float64(view.rays.directions) @ rotation, (as_float64(points) - eye) @ rotation
    # fitted to the rays, whatever their pixel convention: positions are affine in slopes
    intrinsics = torch.linalg.lstsq(of_pixels / of_pixels[..., 2:], grid).solution
    return (of_points / of_points[..., 2:] @ intrinsics)[..., :2], of_points[..., 2] > 0


def mean_resultant_length(angles: Tensor, dim: int = -1) -> Tensor:
    """Mean resultant length of angles in radians: 1 where all are equal, 0 where they cancel."""
    return torch.stack([angles.cos().mean(dim), angles.sin().mean(dim)]).norm(dim=0)
