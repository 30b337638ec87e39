"""Posed photographs decoded: bytes of one size, straightened, with pinhole cameras."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor

from genscene.contract import Background
from genscene.data.decode import ALPHA, background, colored
from genscene.data.posed import Posed
from genscene.data.posed.undistort import Map, mapping, undistort
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Size
from genscene.geometry.transforms import WorldTransform

Lens = Callable[[int], Map | None]


@dataclass(frozen=True)
class PosedImages:
    """N photographs in memory."""

    pixels: np.ndarray  # [N, H, W, 3], uint8
    camera: Camera  # N, float32, without distortion
    bounds: Tensor | None  # [N, 2], nearest and farthest depth, float32
    masks: np.ndarray | None  # [N, H, W], uint8, 0 where nothing is to be learnt, else 255
    normal: WorldTransform  # from the file's world to the cameras'
    clear: bool = False  # whether any was transparent somewhere
    background: Background | None = None  # the one color around what is shown

    def __len__(self) -> int:
        return len(self.pixels)


def photographs(posed: Posed, behind: str = "white", downscale: float = 1.0, side: int = 0) -> PosedImages:
    """Decode all photographs, sides divided by `downscale`, or the longer one made `side` if that is smaller.

    Transparency is put on the colour behind (white, black or R,G,B) at full size, distortion is taken out, and only
    then are pictures made smaller. Raises BadInput, naming the file, for one that does not decode, differs in size, or
    of which masks and lens leave nothing.
    """
    color, size = background(behind), common(posed, downscale, side)
    lens = lenses(posed)
    pixels = np.empty((len(posed), *size, 3), np.uint8)
    masks = (
        None if posed.masks is None and posed.model == "pinhole" else np.empty((len(posed), *size), np.uint8)
    )
    clear = np.zeros(len(posed), bool)

    def fill(i: int) -> None:
        straight = lens(i)
        flat, clear[i] = flattened(opened(posed.paths[i], posed.sizes[i]), color)
        pixels[i] = shrunk(flat if straight is None else undistort(flat, straight), size)
        if masks is not None:
            masks[i] = (
                shrunk(validity(posed, i, straight), size) // 255 * 255
            )  # where all of a pixel is valid
            if not masks[i].any():
                among = "its lens (focal length, centre, distortion)" + (
                    " and its mask" if posed.masks else ""
                )
                raise BadInput(f"{posed.paths[i]}: no pixel to learn from is left by {among}")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(fill, range(len(posed)))
        for _ in track(
            done, "decoding photographs", len(posed), disable=not sys.stderr.isatty(), transient=True
        ):
            pass
    camera = Camera(posed.pose.float(), posed.intrinsics.float(), size)
    bounds = None if posed.bounds is None else posed.bounds.float()
    return PosedImages(pixels, camera, bounds, masks, posed.normal, bool(clear.any()))


def common(posed: Posed, downscale: float, side: int) -> Size:
    """The one (height, width) all photographs get."""
    least = min(map(min, posed.sizes))
    if not 1 <= downscale <= max(1, least) or side < 0:
        wanted = f"a factor from 1 to {least}, the shortest side, and pixels from 0"
        raise BadInput(f"downscale {downscale} and side {side}: wanted {wanted}")
    made = [reduced(size, downscale, side) for size in posed.sizes]
    for path, size, other in zip(posed.paths, made, posed.sizes, strict=True):
        if size != made[0]:
            first, got = posed.sizes[0], f"{other[1]}x{other[0]}"
            raise BadInput(
                f"{path} is {got} pixels, but {posed.paths[0].name} is {first[1]}x{first[0]}: wanted one size"
            )
    return made[0]


def reduced(size: Size, downscale: float, side: int) -> Size:
    """A size made smaller, never larger."""
    factor = max(downscale, max(size) / side if side else 1.0)
    height, width = (max(1, round(n / factor)) for n in size)
    return height, width


def opened(path: Path, size: Size) -> Image.Image:
    """A picture file wholly read, as stored: cameras are found for that, whatever its EXIF says."""
    try:
        with Image.open(path) as image:
            image.load()
    except Exception as error:  # Pillow raises a dozen kinds for damaged files
        raise BadInput(f"cannot decode the picture {path} ({str(error)[:120]})") from None
    if (image.height, image.width) != size:
        raise BadInput(f"{path} is {image.width}x{image.height} pixels, wanted {size[1]}x{size[0]}")
    return image


def flattened(image: Image.Image, color: tuple[int, int, int]) -> tuple[np.ndarray, bool]:
    """Any mode, on a colour -> uint8 [H, W, 3], and whether that colour is seen anywhere."""
    if image.mode not in ALPHA and "transparency" not in image.info:
        return np.asarray(colored(image))[..., :3], False
    rgba = np.asarray(image.convert("RGBA")).astype(np.uint16)
    alpha = rgba[..., 3:]
    flat = (rgba[..., :3] * alpha + np.array(color, np.uint16) * (255 - alpha) + 127) // 255
    return flat.astype(np.uint8), bool((alpha < 255).any())


def surroundings(pixels: np.ndarray, share: float = 0.95, slack: int = 8) -> Background | None:
    """The colour around what N opaque photographs [N, H, W, 3], uint8, show: that of their borders; None: not one.

    share of the pixels of all four sides must be within `slack` of it.
    """
    sides = (pixels[:, 0], pixels[:, -1], pixels[:, 1:-1, 0], pixels[:, 1:-1, -1])
    border = np.concatenate([side.reshape(-1, 3) for side in sides])
    if (border <= slack).all(axis=1).mean() >= share:
        return "black"
    return "white" if (border >= 255 - slack).all(axis=1).mean() >= share else None


def shrunk(picture: np.ndarray, size: Size) -> np.ndarray:
    """uint8 [H, W, ...] -> the same at a size: the mean of each block where sides divide, else antialiased."""
    if picture.shape[:2] == size:
        return picture
    whole = all(n % m == 0 for n, m in zip(picture.shape, size, strict=False))
    kind = Image.Resampling.BOX if whole else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(picture).resize(size[::-1], kind))


def validity(posed: Posed, index: int, straight: Map | None) -> np.ndarray:
    """Where a photograph is to be learnt: in its mask, and within what the lens has seen -> uint8 [H, W], 0 or 255."""
    size = posed.sizes[index]
    mask = np.full(size, 255, np.uint8)
    if posed.masks is not None:
        grey = np.asarray(colored(opened(posed.masks[index], size)))[..., 0]
        mask = np.where(grey >= 128, 255, 0).astype(np.uint8)
        if not mask.any():
            raise BadInput(
                f"{posed.masks[index]}, the mask of {posed.paths[index].name}, is black or clear everywhere: it leaves"
                " no pixel to learn from"
            )
    if straight is None:
        return mask
    moved = undistort(mask[..., None], straight)[..., 0]
    return np.where(straight.inside.numpy(), moved // 255 * 255, 0).astype(np.uint8)


def lenses(posed: Posed) -> Lens:
    """The map that straightens each photograph, made once for those in a row that share a camera."""
    keys = torch.cat([posed.intrinsics.flatten(1), posed.distortion], dim=1)
    first = [int((keys == key).all(dim=1).long().argmax()) for key in keys]

    @lru_cache(maxsize=4)
    def made(i: int) -> Map:
        return mapping(posed.intrinsics[i], posed.distortion[i], posed.model, posed.sizes[i])

    return lambda i: None if posed.model == "pinhole" else made(first[i])
