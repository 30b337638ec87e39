"""Pictures and masks from files, as inversion compares them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genscene.apps.inversion.similarity import Target
from genscene.contract import Generator
from genscene.data.images.decode import has_alpha, open_image, to_color, to_premultiplied
from genscene.errors import BadInput
from genscene.geometry.cameras import Size
from genscene.io.pictures import UnreadableImage, read_picture

ASPECT = 0.02  # relative difference of the shape of a picture from that of the generator's, at most
COLORS = {"white": 1.0, "black": 0.0}  # backgrounds that can be put behind what a mask shows


def read_pictures(
    generator: Generator, pictures: Sequence[Path], masks: Sequence[Path], trained: Size, size: Size
) -> Target:
    """Pictures and their masks (white: what counts), resized to `size`; an alpha channel is a mask.

    trained: the size that the generator was trained with, whose shape all must have. Where all scenes of a
    generator are in front of white or black, that is put behind what the masks show, which is to be opaque;
    else only what the masks show is compared. Raises BadInput, naming the file, for what cannot be used.
    """
    if masks and len(masks) != len(pictures):
        raise BadInput(f"{len(masks)} masks of {len(pictures)} pictures: wanted as many, in the same order")
    columns = []
    for number, path in enumerate(pictures):
        picture = open_file(path)
        _check_shape(path, picture, trained, size)
        mask = open_file(masks[number]) if masks else None
        if mask is not None and mask.size != picture.size:
            found, wanted = (f"{each.width}x{each.height}" for each in (mask, picture))
            raise BadInput(f"{masks[number]}: the mask has {found} pixels, wanted {wanted} as {path}")
        columns.append(_resized(picture, mask, size))
    images, shown = (torch.stack(column) for column in zip(*columns, strict=True))
    if not bool((shown < 1).any()):
        return Target(images, torch.ones_like(shown))
    for path, each in zip(masks or pictures, shown, strict=True):
        if float(each.max()) < 0.5:
            raise BadInput(f"{path}: nothing of the picture is shown, wanted a mask that is white somewhere")
    color = plain_background(generator)
    if color is None:
        return Target(images / shown.clamp_min(1e-3), shown)
    return Target(images + (1 - shown) * color, torch.ones_like(shown), shown)


def plain_background(generator: Generator) -> float | None:
    """The gray, 0 or 1, that is behind all scenes of a generator; None: something else, or a plane."""
    config: Any = getattr(generator, "config", None)
    name = getattr(config, "eval_background", getattr(config, "background", None))
    return COLORS.get(name) if isinstance(name, str) and generator.bounds is not None else None


def open_file(path: Path) -> Image.Image:
    """A decoded picture; BadInput, naming the file, for any other."""
    try:
        return open_image(read_picture(path))
    except UnreadableImage as error:
        raise BadInput(f"{path} is no picture that can be read: {error}") from None


def _check_shape(path: Path, picture: Image.Image, trained: Size, size: Size) -> None:
    """Raise BadInput where a picture has another shape than those of the generator, or fewer pixels."""
    (width, height), (rows, columns) = picture.size, trained
    if abs(width / height * rows / columns - 1) > ASPECT:
        wanted = "square" if rows == columns else f"in the shape of {columns}x{rows}"
        raise BadInput(
            f"{path}: {width}x{height} pixels, wanted {wanted}, as the generator's pictures: crop it"
        )
    if height < size[0] or width < size[1]:
        wanted = f"wanted {size[1]}x{size[0]} or more, or a smaller --side"
        raise BadInput(f"{path}: {width}x{height} pixels, {wanted}")


def _resized(picture: Image.Image, mask: Image.Image | None, size: Size) -> tuple[Tensor, Tensor]:
    """A picture times what of it is shown [3, H, W], and that [1, H, W], both 0 to 1."""
    shown = torch.ones(1, *picture.size[::-1])
    if has_alpha(picture):
        pixels = _tensor(np.asarray(to_premultiplied(picture)))
        color, shown = pixels[:3], pixels[3:]
    else:
        color = _tensor(np.asarray(to_color(picture).convert("RGB")))
    if mask is not None:
        gray = _tensor(np.asarray(to_color(mask).convert("RGB"))).mean(dim=0, keepdim=True)
        color, shown = color * gray, shown * gray
    both = torch.cat([color, shown])[None]
    small = torch.nn.functional.interpolate(both, size, mode="bilinear", antialias=True)[0].clamp(0, 1)
    return small[:3], small[3:]


def _tensor(pixels: np.ndarray) -> Tensor:
    """uint8 [H, W, C] -> [C, H, W], 0 to 1."""
    return torch.from_numpy(pixels.copy()).movedim(-1, 0).float() / 255
