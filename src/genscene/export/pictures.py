"""Pictures as files: tensors to 8 bits, tiles, depth, opacity and normals as colors."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genscene.contract import Generator, Rendering, RenderOptions
from genscene.errors import BadInput
from genscene.geometry.cameras import Grid, View
from genscene.geometry.priors import CameraPrior
from genscene.io.atomic import atomic
from genscene.render.canvas import CanvasGenerator, render_pixels
from genscene.render.derivatives import gradient, laplacian

# opacity is alpha, normals is normal; gradient and laplacian are of pictures that are functions of the plane
Show = Literal["image", "depth", "alpha", "opacity", "normal", "normals", "gradient", "laplacian"]

DEPTH_COLORS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))  # viridis
FLAT = 1e-9  # derivatives by pixel that are none but for rounding


def to_bytes(image: Tensor) -> Tensor:
    """[..., 3, H, W] in [0, 1], clamped and rounded -> uint8 [..., H, W, 3]."""
    return (image.detach().clamp(0, 1) * 255).round().byte().movedim(-3, -1).cpu()


def tile(images: Tensor, gap: int = 0) -> Tensor:
    """Rows x columns of pictures [R, C, 3, H, W] -> one picture [3, ...], with white gaps in pixels."""
    padded = torch.nn.functional.pad(images, (0, gap, 0, gap), value=1.0)
    rows, columns, channels, height, width = padded.shape
    whole = padded.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)
    return whole[:, : rows * height - gap, : columns * width - gap]


def save_png(path: str | Path, image: Tensor) -> None:
    """Write a picture [3, H, W] in [0, 1] as PNG."""
    with atomic(path) as partial:
        Image.fromarray(to_bytes(image).numpy()).save(partial, format="PNG", optimize=True)


def to_picture(rendering: Rendering, show: Show, depth_range: tuple[float, float]) -> Tensor:
    """A quantity of a rendering as pictures [B, 3, H, W] in [0, 1]; depth_range: of the brightness of depth.

    Raises BadInput where the renderer does not compute the quantity.
    """
    if show == "image":
        return rendering.image
    if rendering.alpha is None or (rendering.depth is None and show not in ("alpha", "opacity")):
        raise BadInput(f"--show {show}: the scenes of this generator have no {show}, only an image")
    if show in ("alpha", "opacity"):
        return rendering.alpha.expand(-1, 3, -1, -1)
    assert rendering.depth is not None
    if show in ("normal", "normals"):
        return normal_picture(rendering.depth, rendering.alpha)
    return depth_picture(rendering.depth, rendering.alpha, depth_range)


def derivative_pictures(
    generator: Generator, scene: Any, view: View, show: Show, options: RenderOptions
) -> Tensor:
    """Exact derivatives of B canvases as pictures [B, 3, H, W] in [0, 1], channel by channel.

    gradient: its length, 0 is black; laplacian: 0 is grey. The largest hundredth of all values is clamped.
    Raises BadInput for generators of other scenes, and where there is no second derivative.
    """
    if not isinstance(generator, CanvasGenerator) or not isinstance(view, Grid):
        raise BadInput(f"--show {show}: wanted a generator of pictures that are functions of the plane")
    coords = generator.coords(view).expand(len(view), -1, -1, -1).flatten(2).mT
    wide = coords.new_ones(len(view)) if view.aspect is None else view.aspect.to(coords)
    # [B, 1, 2], of a pixel, but for a common factor
    sides = torch.stack([2 * wide / view.size[1], torch.full_like(wide, 2 / view.size[0])], dim=-1)[:, None]

    @torch.enable_grad()
    def evaluate(part: slice) -> Tensor:
        points = coords[:, part].detach().requires_grad_()
        first = gradient(scene(points.mT[:, :, None])[:, :, 0].mT, points) * sides[:, None]
        return (first.norm(dim=-1) if show == "gradient" else laplacian(first, points, sides)).detach()

    graphs = 8 if show == "gradient" else 48  # of all derivatives, in those of the picture
    pixel_bytes = graphs * generator.pixel_bytes()
    try:
        found = render_pixels(evaluate, len(view), coords.shape[1], options, pixel_bytes)
    except RuntimeError as error:
        if "is not implemented" not in str(error):
            raise
        raise BadInput(f"--show {show}: the network of this generator has none; wanted gradient") from None
    if found.numel() and float(found.abs().max()) < FLAT:
        raise BadInput(
            f"--show {show}: it is 0 everywhere; wanted a network that is curved, as image-siren's"
        )
    found = found.mT.unflatten(-1, view.size).cpu()
    most = max(float(np.quantile(found.abs().numpy(), 0.99)) if found.numel() else 0.0, 1e-12)
    return (found / most if show == "gradient" else (found / most + 1) / 2).clamp(0, 1)


def depth_range(generator: Generator) -> tuple[float, float]:
    """The nearest and farthest depth that a camera of a generator's prior can see."""
    prior, bounds = generator.prior, generator.bounds
    if bounds is None or not isinstance(prior, CameraPrior):
        return 0.0, 1.0
    return max(0.0, prior.radius - max(bounds)), prior.radius + max(bounds)


def depth_picture(depth: Tensor, alpha: Tensor, depth_range: tuple[float, float]) -> Tensor:
    """Near is bright, far is dark, empty is black: depth, alpha [B, 1, H, W] -> [B, 3, H, W]."""
    near, far = depth_range
    brightness = 1 - 0.85 * ((depth - near) / (far - near)).clamp(0, 1)
    return (brightness * alpha).expand(-1, 3, -1, -1)


def depth_colors(depth: Tensor, alpha: Tensor, depth_range: tuple[float, float]) -> Tensor:
    """Yellow is near, green, blue, violet is far, black is empty: [B, 1, H, W] twice -> [B, 3, H, W]."""
    near, far = depth_range
    place = (1 - (depth - near) / (far - near)).clamp(0, 1) * (len(DEPTH_COLORS) - 1)
    colors, below = torch.tensor(DEPTH_COLORS).to(depth) / 255, place.long().clamp_max(len(DEPTH_COLORS) - 2)
    mixed = torch.lerp(colors[below], colors[below + 1], (place - below)[..., None])  # [B, 1, H, W, 3]
    return mixed[:, 0].movedim(-1, 1) * alpha


def normal_picture(depth: Tensor, alpha: Tensor) -> Tensor:
    """Normals of the depth map [B, 1, H, W]: red is right, green up, blue towards the eye; empty is white."""
    height, width = depth.shape[-2:]
    padded = torch.nn.functional.pad(depth, (1, 1, 1, 1), mode="replicate")
    right = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) * width / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) * height / 2
    slopes = torch.cat([right, -down, torch.ones_like(right)], dim=1)
    return 1 + alpha * (torch.nn.functional.normalize(slopes, dim=1) / 2 - 0.5)
