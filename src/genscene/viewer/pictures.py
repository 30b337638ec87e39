"""What is sent to a window: pictures with depth, and Gaussians for the browser to render."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genscene.contract import Generator, RenderOptions
from genscene.export.pictures import Show, depth_range, derivative_pictures, to_bytes, to_picture
from genscene.geometry.cameras import Size
from genscene.geometry.rotations import rotation
from genscene.render import spherical_harmonics
from genscene.scenes import Gaussians, Rendering, SolidBackground
from genscene.viewer.views import View, depth_along_axis, visible

FAR = 1e3  # depth where nothing is seen
SHARP = 256  # pixels of the height to which smaller pictures are enlarged before they are encoded


@dataclass(frozen=True)
class Picture:
    """A picture of a scene."""

    rgb: np.ndarray  # uint8 [H, W, 3]
    depth: np.ndarray | None = None  # float32 [H, W], along the optical axis, in world units; None: unknown


@dataclass(frozen=True)
class Cloud:
    """N Gaussians with the colors that are seen from one place."""

    means: np.ndarray  # float32 [N, 3]
    covariances: np.ndarray  # float32 [N, 3, 3]
    colors: np.ndarray  # float32 [N, 3], 0 to 1
    opacities: np.ndarray  # float32 [N, 1], 0 to 1
    background: np.ndarray  # uint8 [1, 1, 3]


@dataclass(frozen=True)
class Look:
    """How a scene is shown."""

    show: Show = "image"
    background: SolidBackground | None = None  # behind scenes with cameras; None: the generator's own

    def options(self, max_bytes: int, cancelled: Callable[[], bool]) -> RenderOptions:
        """The same for the renderer; max_bytes: of a part, rendering can be cancelled between two."""
        return RenderOptions(background=self.background, max_bytes=max_bytes, cancelled=cancelled)


@torch.no_grad()
def view_picture(
    generator: Generator, scene: Any, view: View, size: Size, show: Show, options: RenderOptions
) -> Picture:
    """One scene from a camera; raises Cancelled."""
    camera = view.camera(size).to(device_of(generator))
    rendering = generator.render(scene, camera, options)
    image = to_picture(rendering, show, depth_range(generator))[0]
    return Picture(to_bytes(image).numpy(), depth_of(rendering, view))


def depth_of(rendering: Rendering, view: View) -> np.ndarray | None:
    """Depth of one picture along the optical axis [H, W], far where less than half is opaque."""
    if rendering.depth is None or rendering.alpha is None:
        return None
    depth, alpha = (x[0, 0].float().cpu() for x in (rendering.depth, rendering.alpha))
    along = torch.where(alpha >= 0.5, depth_along_axis(depth, view), FAR)
    return along.numpy().astype(np.float32)


@torch.no_grad()
def canvas_picture(
    generator: Generator,
    scene: Any,
    view: View,
    size: Size,
    aspect: float,
    show: Show,
    options: RenderOptions,
) -> Picture:
    """What is visible of a canvas of this aspect from a camera that faces it; raises Cancelled."""
    grid = visible(view).grid(size, aspect).to(device_of(generator))
    options = replace(options, background=None)
    if show in ("gradient", "laplacian"):
        image = derivative_pictures(generator, scene, grid, show, options)[0]
    else:
        image = generator.render(scene, grid, options).image[0]
    return Picture(to_bytes(image).numpy())


@torch.no_grad()
def bake(scene: Gaussians, eye: Tensor, background: SolidBackground) -> Cloud:
    """One cloud of Gaussians with the colors that are seen from a position [3]."""
    places, scales, seen = scene.means[0].float(), scene.scales[0].float(), scene.colors[0].float()
    turned = rotation(scene.quats[0].float()) * scales[:, None]
    if seen.ndim == 3:
        degree = round(seen.shape[1] ** 0.5) - 1
        seen = spherical_harmonics.evaluate(seen, places - eye.to(places), degree)
    parts = (places, turned @ turned.mT, seen.clamp(0, 1), scene.opacities[0].float()[:, None])
    means, covariances, colors, opacities = (x.cpu().numpy() for x in parts)
    behind = np.full((1, 1, 3), 255 if background == "white" else 0, np.uint8)
    return Cloud(means, covariances, colors, opacities, behind)


def device_of(generator: Generator) -> torch.device:
    """Where the weights of a generator are."""
    return next(generator.parameters()).device


def fit(picture: Picture, aspect: float, surround: tuple[int, int, int]) -> Picture:
    """A picture in the middle of a window of this aspect, enlarged where it is small.

    So a browser that stretches it over the window shows it undistorted, and blocks of JPEG remain invisible.
    """
    height, width = picture.rgb.shape[:2]
    factor = max(1.0, SHARP / height)
    inner = round(height * factor), round(width * factor)
    rgb = picture.rgb
    if factor > 1:
        rgb = np.asarray(Image.fromarray(rgb).resize(inner[::-1], Image.Resampling.BICUBIC))
    whole = max(inner[0], round(inner[1] / aspect)), max(inner[1], round(inner[0] * aspect))
    top, left = (whole[0] - inner[0]) // 2, (whole[1] - inner[1]) // 2
    canvas = np.empty((*whole, 3), np.uint8)
    canvas[:] = surround
    canvas[top : top + inner[0], left : left + inner[1]] = rgb
    if picture.depth is None:
        return Picture(canvas)
    rows, columns = ((np.arange(n) * m) // n for n, m in zip(inner, (height, width), strict=True))
    depth = np.full(whole, FAR, np.float32)
    depth[top : top + inner[0], left : left + inner[1]] = picture.depth[rows][:, columns]
    return Picture(canvas, depth)
