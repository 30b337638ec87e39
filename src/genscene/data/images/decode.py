"""One image file of any format decoded to the size and colours of the training data."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageOps

from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig
from genscene.geometry.cameras import Size
from genscene.io.pictures import UnreadableImage, decode_picture, in_turn, open_picture, reason

ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
COLORS = {"white": (255, 255, 255), "black": (0, 0, 0)}
ORIENTATION, TRANSPOSED = 0x0112, (5, 6, 7, 8)  # EXIF tag, and its values that swap height and width


@dataclass(frozen=True)
class DecodeOptions:
    """How every image of a set is decoded."""

    size: Size  # of the result
    config: ImageConfig

    @property
    def keep_alpha(self) -> bool:
        """Whether alpha is kept: batches are composited on random colours, or tell where the picture is."""
        return self.config.background == "random" or self.config.fit == "inside"


def decode_image(content: bytes, options: DecodeOptions) -> np.ndarray:
    """The bytes of an image file -> uint8 [H, W, 3], or [H, W, 4] premultiplied where alpha is kept.

    Raises UnreadableImage for a file that is truncated, not an image, or a decompression bomb.
    """
    return decode_compared(content, options)[0]


def decode_compared(
    content: bytes, options: DecodeOptions, mask: bytes | None = None
) -> tuple[np.ndarray, bool]:
    """The pixels of `decode_image`, and whether they were enlarged; mask: the file of its transparency."""
    with open_picture(content) as header:
        with in_turn(header.width * header.height):
            opened = open_image(content)
            if mask is not None:
                opened = with_mask(opened, open_mask(mask))
            image = fit_to_size(to_color(opened), options)
            pixels = np.asarray(to_premultiplied(image) if options.keep_alpha else image)
        if pixels.shape[-1] == 4 and not options.keep_alpha:
            pixels = composite(pixels, parse_color(options.config.background))
        return pixels, is_enlarged(header, options)


def open_image(content: bytes) -> Image.Image:
    """The bytes of an image file -> the decoded image, transposed as its EXIF orientation says."""
    image = decode_picture(content, halved=True)
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:  # damaged EXIF
        raise UnreadableImage(reason(error)) from None
    return image


def open_mask(content: bytes) -> Image.Image:
    """The bytes of the file of a mask -> the decoded mask."""
    try:
        return open_image(content)
    except UnreadableImage as error:
        raise UnreadableImage(f"its mask: {error}") from None


def has_alpha(image: Image.Image) -> bool:
    """Whether an image has an alpha channel or a transparent colour."""
    return image.mode in ALPHA_MODES or "transparency" in image.info


def with_mask(image: Image.Image, mask: Image.Image) -> Image.Image:
    """An image whose alpha is a mask, white at objects, resized to it; times its own alpha -> RGBA."""
    color = to_color(image).convert("RGBA")
    alpha = np.asarray(to_premultiplied(mask))[..., 0]  # transparent is black
    resized = Image.fromarray(alpha).resize(image.size, Image.Resampling.BILINEAR)
    color.putalpha(ImageChops.multiply(color.getchannel("A"), resized))
    return color


def to_color(image: Image.Image) -> Image.Image:
    """Any mode (grey, 16-bit, palette, CMYK) -> 8 bits: RGB, or with alpha RGBa, which is premultiplied."""
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_8_bits(np.asarray(image), image.mode))
    if has_alpha(image) and image.mode != "RGBa":
        return (image if image.mode == "RGBA" else image.convert("RGBA")).convert("RGBa")
    return image if image.mode in ("RGB", "RGBa") else image.convert("RGB")


def to_premultiplied(image: Image.Image) -> Image.Image:
    """Any mode, with or without alpha -> mode RGBa: premultiplied, 8 bits."""
    color = to_color(image)
    return color.convert("RGBA").convert("RGBa") if color.mode == "RGB" else color


def _to_8_bits(values: np.ndarray, mode: str) -> np.ndarray:
    """16-bit, 32-bit or floating-point grey values of a Pillow mode -> uint8."""
    wide = values.astype(np.float32)
    if mode == "F":
        wide *= 255 if wide.max(initial=0) <= 1 else 1
    elif mode != "I" or wide.max(initial=0) > 255:
        wide /= 257  # 65535 is white
    np.clip(wide, 0, 255, out=wide)
    wide += 0.5
    return wide.astype(np.uint8)


def fit_to_size(image: Image.Image, options: DecodeOptions) -> Image.Image:
    """An image (RGB or RGBa) cropped to its center and resized with antialiasing, as `fit` says."""
    height, width = options.size
    box = center_crop_box(image.size, options.config.center_crop)
    across, down = box[2] - box[0], box[3] - box[1]
    bicubic = Image.Resampling.BICUBIC
    if options.config.fit == "stretch":
        return image.resize((width, height), bicubic, box)
    if options.config.fit == "cover":
        scale = min(across / width, down / height)
        x, y = box[0] + (across - scale * width) / 2, box[1] + (down - scale * height) / 2
        return image.resize((width, height), bicubic, (x, y, x + scale * width, y + scale * height))
    scale = max(across / width, down / height)
    inner = (max(1, round(across / scale)), max(1, round(down / scale)))
    resized = to_premultiplied(image.resize(inner, bicubic, box))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    if options.config.fit == "inside":
        return extend(
            composite(np.asarray(resized), parse_color(options.config.background)), left, top, options
        )
    canvas = Image.new("RGBa", (width, height))
    canvas.paste(resized, (left, top))
    return canvas


def extend(pixels: np.ndarray, left: int, top: int, options: DecodeOptions) -> Image.Image:
    """An image uint8 [h, w, 3] in a frame whose rest repeats its borders; alpha is where the image is."""
    height, width = options.size
    rows, columns = (top, height - top - pixels.shape[0]), (left, width - left - pixels.shape[1])
    colors = np.pad(pixels, (rows, columns, (0, 0)), mode="edge")
    alpha = np.pad(np.full(pixels.shape[:2], 255, np.uint8), (rows, columns))
    return Image.frombytes("RGBa", (width, height), np.dstack([colors, alpha]).tobytes())


def center_crop_box(size: tuple[int, int], share: float) -> tuple[float, float, float, float]:
    """(width, height), share of the shorter side -> central square (left, top, right, bottom); 1: all."""
    width, height = size
    if share >= 1:
        return 0.0, 0.0, float(width), float(height)
    side = min(size) * share
    return (width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2


def is_enlarged(image: Image.Image, options: DecodeOptions) -> bool:
    """Whether `decode_image` upsamples this (readable) image, whose header was read."""
    square = options.size[0] == options.size[1]  # then orientation does not matter: EXIF costs a decoding
    height, width = (image.height, image.width) if square else oriented_size(image)
    left, top, right, bottom = center_crop_box((width, height), options.config.center_crop)
    wider, higher = right - left < options.size[1], bottom - top < options.size[0]
    return wider and higher if options.config.fit in ("contain", "inside") else wider or higher


def oriented_size(image: Image.Image) -> Size:
    """(height, width) of an opened image after its EXIF orientation is applied."""
    transposed = image.getexif().get(ORIENTATION) in TRANSPOSED
    return (image.width, image.height) if transposed else (image.height, image.width)


def composite(pixels: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Premultiplied uint8 [H, W, 4] over a colour -> uint8 [H, W, 3]."""
    rest = 255 - pixels[..., 3:].astype(np.uint16)
    behind = (rest * np.array(color, np.uint16) + 127) // 255
    return np.minimum(pixels[..., :3] + behind, 255).astype(np.uint8)


def parse_color(name: str) -> tuple[int, int, int]:
    """white, black or R,G,B -> three integers from 0 to 255."""
    if name in COLORS:
        return COLORS[name]
    try:
        r, g, b = (int(part) for part in name.split(","))
    except ValueError:
        r = g = b = -1
    if not 0 <= min(r, g, b) <= max(r, g, b) <= 255:
        raise BadInput(
            f"background {name!r}: wanted white, black, random or R,G,B with numbers from 0 to 255"
        )
    return r, g, b
