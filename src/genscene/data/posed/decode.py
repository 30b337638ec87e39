"""Posed photographs decoded: uint8 images of one size with pinhole cameras, distortion removed."""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genscene.contract import Vector
from genscene.data.images.cache import Allocate, Cached, cached_array
from genscene.data.images.decode import has_alpha, parse_color, to_color, to_premultiplied
from genscene.data.images.files import fingerprint
from genscene.data.posed.posed_files import PosedFiles
from genscene.data.posed.undistort import UndistortMap, undistort_image, undistort_map
from genscene.data.progress import log_line, track_progress
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Size
from genscene.geometry.transforms import WorldTransform
from genscene.io.pictures import (
    UnreadableImage,
    collect_warnings,
    decode_picture,
    in_turn,
    read_picture,
    within,
)
from genscene.scenes import SolidBackground, SparsePoints

FAINTEST = 8  # of 255: less alpha counts as wholly transparent


@dataclass(frozen=True)
class PosedImages:
    """N photographs, in memory or mapped from the cache, and their cameras."""

    pixels: np.ndarray  # [N, H, W, 3], uint8
    camera: Camera  # N pinhole cameras, float32
    bounds: Tensor | None  # [N, 2], nearest and farthest depth, float32
    masks: np.ndarray | None  # [N, H, W], uint8, 255 where pixels are used, else 0; None: all are used
    transform: WorldTransform  # from the world of the files to that of the cameras
    # [N, H, W], uint8, 0 to 255, before they were composited; None: no photograph had transparent pixels
    alpha: np.ndarray | None = None
    stored: Size | None = None  # (height, width) of the first file; None: rendered
    # the one colour around the scene; None: several, or not determined
    background: SolidBackground | None = None
    ground: Vector | None = (
        None  # the color of opaque photographs there, 0 to 1, where it is not exactly that
    )
    box: Vector | None = None  # half sides of the box around the origin that holds what the cameras see
    points: SparsePoints | None = None  # of the scene; None: not given by the format

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def has_alpha(self) -> bool:
        """Whether any photograph had transparent pixels."""
        return self.alpha is not None

    @property
    def opaque(self) -> np.ndarray | None:
        """Where they were not wholly transparent, bool [N, H, W]; None: none had transparent pixels."""
        return None if self.alpha is None else self.alpha >= FAINTEST

    def to_files(self) -> Tensor:
        """The transform from the cameras' world to that of the files -> [4, 4], float32."""
        return self.transform.inverse().matrix().float()


def decode_posed(
    posed: PosedFiles,
    background: str = "white",
    downscale: float = 1.0,
    side: int = 0,
    cached: bool = False,
) -> PosedImages:
    """Decode photographs, sides divided by `downscale`, or the longer one reduced to `side` if smaller.

    At full size, transparency is composited on the background (white, black or R,G,B) and distortion is
    removed; then images are downsampled. Raises BadInput, naming the file, for one that cannot be decoded,
    has another size, or of which mask and distortion leave no pixel. cached: they are mapped from the cache,
    in which the first call stores them.
    """
    color, size = parse_color(background), _output_size(posed, downscale, side)

    def compute(allocate: Allocate) -> Cached:
        flat = allocate((len(posed) * math.prod(size) * (3 + len(_planes(posed))),))
        with collect_warnings() as findings:
            transparent = _decode_all(posed, color, _views(posed, flat, size))
        return flat, {"transparent": transparent, "findings": list(findings.lines())}

    if cached:
        flat, notes = cached_array(_cache_key(posed, color, size), compute)
    else:
        flat, notes = compute(lambda shape: np.empty(shape, np.uint8))
    for line in notes["findings"]:
        log_line(f"photographs: {line}")
    parts = _views(posed, flat, size)
    cameras = Camera(posed.pose.float(), posed.intrinsics.float(), size)
    bounds = None if posed.bounds is None else posed.bounds.float()
    given = (posed.transform, parts["alpha"] if notes["transparent"] else None, posed.sizes[0])
    return PosedImages(parts["pixels"], cameras, bounds, parts.get("masks"), *given, points=posed.points)


def _planes(posed: PosedFiles) -> tuple[str, ...]:
    """What is decoded beside colors, one byte for each pixel."""
    masked = posed.masks is not None or posed.distortion_model != "pinhole"
    return ("alpha", "masks") if masked else ("alpha",)


def _views(posed: PosedFiles, flat: np.ndarray, size: Size) -> dict[str, np.ndarray]:
    """One array of bytes as that of the pixels [N, H, W, 3], and of each plane [N, H, W]."""
    shape, flat = (len(posed), *size), np.asarray(flat)  # rows of a memmap are taken much more slowly
    count = math.prod(shape)
    planes = {
        name: flat[at * count : (at + 1) * count].reshape(shape) for at, name in enumerate(_planes(posed), 3)
    }
    return {"pixels": flat[: 3 * count].reshape(*shape, 3), **planes}


def _cache_key(posed: PosedFiles, color: tuple[int, int, int], size: Size) -> Any:
    """What decoded photographs depend on."""
    files = [
        (str(path.resolve()), *fingerprint(path.stat())) for path in (*posed.paths, *(posed.masks or ()))
    ]
    lenses = posed.distortion_model, posed.intrinsics.tolist(), posed.distortion.tolist()
    return ["photographs", files, lenses, posed.sizes, color, size]


def _decode_all(posed: PosedFiles, color: tuple[int, int, int], into: dict[str, np.ndarray]) -> bool:
    """Decode all photographs into arrays -> whether one has transparent pixels."""
    undistortion_of = _undistort_maps(posed)
    pixels, alphas, masks = into["pixels"], into["alpha"], into.get("masks")
    size: Size = pixels.shape[1:3]
    transparent = np.zeros(len(posed), bool)

    def decode(i: int) -> None:
        undistortion = undistortion_of(i)
        image, alpha = _read(posed.paths[i], posed.sizes[i], color)
        pixels[i] = _downsample(image if undistortion is None else undistort_image(image, undistortion), size)
        alphas[i] = 255
        if alpha is not None:
            alpha = alpha if undistortion is None else undistort_image(alpha[..., None], undistortion)[..., 0]
            alphas[i], transparent[i] = _downsample(alpha, size), True
        if masks is not None:
            # Only where every source pixel is valid.
            masks[i] = _downsample(_valid_mask(posed, i, undistortion), size) // 255 * 255
            if not masks[i].any():
                cause = f"camera (focal length, principal point, distortion){' and mask' * bool(posed.masks)}"
                raise BadInput(f"{posed.paths[i]}: no pixel to train on is left by its {cause}")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in track_progress(pool.map(decode, range(len(posed))), "decoding photographs", len(posed)):
            pass
    return bool(transparent.any())


def _output_size(posed: PosedFiles, downscale: float, side: int) -> Size:
    """The one (height, width) of all decoded photographs."""
    least = min(map(min, posed.sizes))
    if not 1 <= downscale <= max(1, least) or side < 0:
        wanted = f"a factor from 1 to {least}, the shortest side, and pixels from 0"
        raise BadInput(f"downscale {downscale} and side {side}: wanted {wanted}")
    reduced = [_reduced_size(size, downscale, side) for size in posed.sizes]
    for path, size, (height, width) in zip(posed.paths, reduced, posed.sizes, strict=True):
        if size != reduced[0]:
            first, name = posed.sizes[0], posed.paths[0].name
            raise BadInput(
                f"{path} is {width}x{height} pixels, but {name} is {first[1]}x{first[0]}: wanted one size"
            )
    return reduced[0]


def _reduced_size(size: Size, downscale: float, side: int) -> Size:
    """A size divided by the larger of the two factors; never enlarged."""
    factor = max(downscale, max(size) / side if side else 1.0)
    height, width = (max(1, round(n / factor)) for n in size)
    return height, width


def _read(path: Path, size: Size, color: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray | None]:
    """An image file over a color, and its alpha; large ones one after the other."""
    with in_turn(math.prod(size)):
        return _composite(_open(path, size), color)


def _open(path: Path, size: Size) -> Image.Image:
    """An image file fully decoded as stored, which its camera is for, whatever its EXIF orientation."""
    try:
        with within(path.name):
            image = decode_picture(read_picture(path))
    except UnreadableImage as error:
        raise BadInput(f"cannot decode the image {path} ({error})") from None
    if (image.height, image.width) != size:
        raise BadInput(f"{path} is {image.width}x{image.height} pixels, wanted {size[1]}x{size[0]}")
    return image


def _composite(image: Image.Image, color: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray | None]:
    """An image of any mode over a colour -> uint8 [H, W, 3]; alpha, uint8 [H, W], where it has any."""
    if not has_alpha(image):
        return np.asarray(to_color(image)), None
    rgba = np.asarray(image if image.mode == "RGBA" else image.convert("RGBA"))
    opaque, behind = np.empty_like(rgba[..., :3]), np.array(color, np.uint16)
    for row, wide in enumerate(rgba):  # all rows at once would take six times the memory
        alpha = wide[:, 3:].astype(np.uint16)
        opaque[row] = (wide[:, :3] * alpha + behind * (255 - alpha) + 127) // 255
    alpha = rgba[..., 3]
    return opaque, alpha if (alpha < 255).any() else None


def _downsample(image: np.ndarray, size: Size) -> np.ndarray:
    """uint8 [H, W, ...] -> the same at a size: block means where sides divide, else antialiased bicubic."""
    if image.shape[:2] == size:
        return image
    divides = all(n % m == 0 for n, m in zip(image.shape, size, strict=False))
    filter_ = Image.Resampling.BOX if divides else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(image).resize(size[::-1], filter_))


def _valid_mask(posed: PosedFiles, index: int, undistortion: UndistortMap | None) -> np.ndarray:
    """Pixels of a photograph in its mask and within its distorted image -> uint8 [H, W], 0 or 255."""
    size = posed.sizes[index]
    mask = np.full(size, 255, np.uint8)
    if posed.masks is not None:
        grey = np.asarray(to_premultiplied(_open(posed.masks[index], size)))[..., 0]
        mask = np.where(grey >= 128, 255, 0).astype(np.uint8)
        if not mask.any():
            raise BadInput(
                f"{posed.masks[index]}, the mask of {posed.paths[index].name}, is black or transparent"
                " everywhere: it leaves no pixel to train on"
            )
    if undistortion is None:
        return mask
    sampled = undistort_image(mask[..., None], undistortion)[..., 0]
    return np.where(undistortion.valid.numpy(), sampled // 255 * 255, 0).astype(np.uint8)


def _undistort_maps(posed: PosedFiles) -> Callable[[int], UndistortMap | None]:
    """The map of a photograph by index, computed once for consecutive ones of one camera; None: pinhole."""
    keys = torch.cat([posed.intrinsics.flatten(1), posed.distortion], dim=1)
    first = [int((keys == key).all(dim=1).long().argmax()) for key in keys]

    @lru_cache(maxsize=4)
    def compute(i: int) -> UndistortMap:
        return undistort_map(posed.intrinsics[i], posed.distortion[i], posed.distortion_model, posed.sizes[i])

    return lambda i: None if posed.distortion_model == "pinhole" else compute(first[i])
