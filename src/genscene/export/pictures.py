"""Pictures as files: tensors to 8 bits, tiles, depth as brightness."""

from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from genscene.contract import Generator, Rendering
from genscene.errors import BadInput
from genscene.io.atomic import atomic


def to_bytes(image: Tensor) -> Tensor:
    """[..., 3, H, W] in [0, 1], clamped and rounded -> uint8 [..., H, W, 3]."""
    return (image.detach().clamp(0, 1) * 255).round().byte().movedim(-3, -1).cpu()


def tile(images: Tensor, gap: int = 0) -> Tensor:
    """Rows x columns of pictures [R, C, 3, H, W] -> one picture [3, ...], with white gaps of so many pixels."""
    padded = torch.nn.functional.pad(images, (0, gap, 0, gap), value=1.0)
    rows, columns, channels, height, width = padded.shape
    whole = padded.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)
    return whole[:, : rows * height - gap, : columns * width - gap]


def save_png(path: str | Path, image: Tensor) -> None:
    """Write a picture [3, H, W] in [0, 1] as PNG."""
    with atomic(path) as partial:
        Image.fromarray(to_bytes(image).numpy()).save(partial, format="PNG", optimize=True)


Show = Literal[
    "image", "depth", "alpha", "opacity", "normal", "normals"
]  # opacity is alpha, normals is normal


def shown(rendering: Rendering, what: Show, span: tuple[float, float]) -> Tensor:
    """One side of a rendering as pictures [B, 3, H, W] in [0, 1]; span: the nearest and farthest depth there can be."""
    if what == "image":
        return rendering.image
    if rendering.depth is None or rendering.alpha is None:
        raise BadInput(f"this generator's renderer knows no {what}, only the image")
    if what in ("alpha", "opacity"):
        return rendering.alpha.expand(-1, 3, -1, -1)
    if what in ("normal", "normals"):
        return normals(rendering.depth, rendering.alpha)
    return depth_picture(rendering.depth, rendering.alpha, span)


def span_of(generator: Generator) -> tuple[float, float]:
    """The nearest and farthest depth a camera of a generator's orbit can see."""
    if generator.orbit is None:
        return 0.0, 1.0
    return max(0.0, generator.orbit.radius - max(generator.reach)), generator.orbit.radius + max(
        generator.reach
    )


def depth_picture(depth: Tensor, alpha: Tensor, span: tuple[float, float]) -> Tensor:
    """Near is bright, far dark, nothing black: depth, alpha [B, 1, H, W] -> [B, 3, H, W]."""
    near, far = span
    brightness = 1 - 0.85 * ((depth - near) / (far - near)).clamp(0, 1)
    return (brightness * alpha).expand(-1, 3, -1, -1)


def normals(depth: Tensor, alpha: Tensor) -> Tensor:
    """Slopes of the depth as colours: red to the right, green up, blue towards the eye; white where nothing is."""
    height, width = depth.shape[-2:]
    padded = torch.nn.functional.pad(depth, (1, 1, 1, 1), mode="replicate")
    right = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) * width / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) * height / 2
    steep = torch.cat([right, -down, torch.ones_like(right)], dim=1)
    return 1 + alpha * (torch.nn.functional.normalize(steep, dim=1) / 2 - 0.5)
