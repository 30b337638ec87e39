"""Whether two pictures of one scene agree: what one shows, carried by its depth to where the other looks from."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from genscene.errors import BadInput
from genscene.geometry.cameras import Grid, Rays, as_float64
from genscene.metrics.image import psnr

OPAQUE = 0.5  # least alpha of what counts as a surface
WHOLE = 0.999  # least share of opaque neighbours; 1 but for rounding
INSIDE = 1 + 1e-6  # the picture's border, in half sides, and room for rounding


@dataclass(frozen=True)
class Shot:
    """B pictures, how far away what they show is, and from where it was seen."""

    image: Tensor  # [B, 3, H, W], 0 to 1
    depth: Tensor  # [B, 1, H, W], distance along the rays, in lengths of their directions
    alpha: Tensor  # [B, 1, H, W], 0 to 1
    rays: Rays  # R = H * W, row by row, along which the pictures were taken
    pose: Tensor  # [B, 4, 4], camera to world, OpenCV axes

    def __post_init__(self) -> None:
        batch, (height, width) = len(self.image), self.image.shape[-2:]
        wanted = [
            (batch, 3, height, width),
            (batch, 1, height, width),
            (batch, 1, height, width),
            (batch, 4, 4),
        ]
        got = [tuple(x.shape) for x in (self.image, self.depth, self.alpha, self.pose)]
        if got != wanted or self.rays.directions.shape != (batch, height * width, 3):
            said = f"image, depth, alpha and pose of shapes {got} with {len(self.rays)} rays"
            raise BadInput(f"{said}: wanted [B, 3, H, W], [B, 1, H, W] twice, [B, 4, 4] and H * W rays")

    @property
    def opaque(self) -> Tensor:
        """Where there is a surface -> bool [B, R]."""
        return self.alpha.flatten(1) > OPAQUE

    @property
    def distance(self) -> Tensor:
        """Depth in world units -> [B, 1, H, W]."""
        lengths = as_float64(self.rays.directions).norm(dim=-1)
        return as_float64(self.depth) * lengths.view_as(self.depth)

    def lifted(self) -> Tensor:
        """What every pixel shows -> world points [B, R, 3]."""
        return self.rays.at(as_float64(self.depth).flatten(1)[..., None])[:, :, 0]


@dataclass(frozen=True)
class Agreement:
    """How well B pairs of pictures agree; nan where no pixel of the first one is visible in the second."""

    squared: Tensor  # [B], mean squared error of colours, over the visible pixels
    absolute: Tensor  # [B], mean absolute error of colours, over the visible pixels
    visible: Tensor  # [B], share of the first picture's opaque pixels that the second one shows
    depth: Tensor  # [B], median |distance seen - distance| / distance, hidden or not, where both are opaque

    @property
    def psnr(self) -> Tensor:
        """Of the visible pixels, in decibels, 100 at most -> [B]."""
        return psnr(self.squared)


@torch.no_grad()
def reprojected(first: Shot, second: Shot, tolerance: float = 0.05) -> Agreement:
    """Carry the first pictures' pixels into the second ones and compare, one way; the same scene, B times each.

    Colours and distances are read bilinearly, so that the error of a true scene falls with the pixels' size. A pixel
    is visible where it is opaque, falls inside the second picture in front of its camera, on opaque pixels only (so the
    outline there, a pixel as_float64, is left out), and the distance seen there is its own within a relative tolerance.
    Light that depends on the view counts as error.
    """
    points = first.lifted()
    places, ahead = projected(points, second)
    solid = second.opaque.view_as(second.alpha).to(points)
    seen = sampled(torch.cat([as_float64(second.image), second.distance, solid], dim=1), places)
    met = first.opaque & ahead & (places.abs() <= INSIDE).all(dim=-1) & (seen[:, 4] > WHOLE)
    apart = (points - as_float64(second.pose)[:, None, :3, 3]).norm(dim=-1)
    off = (seen[:, 3] - apart).abs() / apart
    visible = met & (off <= tolerance)
    error = (seen[:, :3] - as_float64(first.image).flatten(2)).abs()
    return Agreement(
        mean_where(error.square().mean(dim=1), visible),
        mean_where(error.mean(dim=1), visible),
        visible.sum(dim=1) / first.opaque.sum(dim=1),
        off.masked_fill(~met, torch.nan).nanmedian(dim=1).values,
    )


def projected(points: Tensor, shot: Shot) -> tuple[Tensor, Tensor]:
    """World points [B, N, 3] -> where pictures show them, -1 to 1 from border to border [B, N, 2], and if in front.

    The lens is read off the rays, whichever way they go through the pixels: slopes are affine in the pixels' places.
    """
    size = (shot.image.shape[-2], shot.image.shape[-1])
    turn, eye = as_float64(shot.pose)[:, :3, :3], as_float64(shot.pose)[:, None, :3, 3]
    grid = as_float64(Grid.whole(len(points), size).coords().to(points.device)).flatten(2).mT
    lens = torch.linalg.lstsq(slopes(as_float64(shot.rays.directions) @ turn), grid).solution
    inside = (as_float64(points) - eye) @ turn
    return (slopes(inside) @ lens)[..., :2], inside[..., 2] > 0


def slopes(directions: Tensor) -> Tensor:
    """Directions in the camera's axes [B, N, 3] -> (x / z, y / z, 1) [B, N, 3]."""
    return directions / directions[..., 2:]


def sampled(maps: Tensor, places: Tensor) -> Tensor:
    """Maps [B, C, H, W] at places [B, N, 2], -1 to 1 from border to border, bilinear -> [B, C, N]."""
    whole = torch.nan_to_num(places)[:, None].to(maps)
    return grid_sample(maps, whole, mode="bilinear", padding_mode="border", align_corners=False)[:, :, 0]


def mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean of the chosen ones among values [B, N]; nan where there are none -> [B]."""
    return torch.where(chosen, values, 0.0).sum(dim=1) / chosen.sum(dim=1)
