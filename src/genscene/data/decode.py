"""One picture file, of whatever kind, into bytes of the size and colours that are trained on."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig
from genscene.geometry.cameras import Size

ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
NAMED = {"white": (255, 255, 255), "black": (0, 0, 0)}


class Broken(Exception):
    """A file that is no whole picture; the message says why."""


@dataclass(frozen=True)
class Treatment:
    """What is done to every picture."""

    size: Size
    pictures: ImageConfig

    @property
    def keeps_alpha(self) -> bool:
        """Whether pictures keep their transparency, to be put on random colours later."""
        return self.pictures.background == "random"


def decode(content: bytes, treatment: Treatment) -> np.ndarray:
    """A picture file's bytes -> uint8 [H, W, 3], or [H, W, 4] premultiplied where alpha is kept.

    Raises Broken for a file that is cut short, no picture, or suspiciously large.
    """
    image = opened(content)
    fitted = fit(colored(image), treatment)
    if treatment.keeps_alpha:
        return np.asarray(fitted)
    return composited(np.asarray(fitted), background(treatment.pictures.background))


def opened(content: bytes) -> Image.Image:
    """Bytes -> the picture, turned as its EXIF says, wholly read."""
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
        return ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow raises a dozen kinds for damaged files, and for decompression bombs
        raise Broken(str(error).splitlines()[0][:120] if str(error) else type(error).__name__) from None


def colored(image: Image.Image) -> Image.Image:
    """Any mode (grey, 16-bit, palette, CMYK, with or without alpha) -> RGBa, premultiplied, 8 bits."""
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(narrowed(np.asarray(image), image.mode))
    if image.mode in ALPHA or "transparency" in image.info:
        return image.convert("RGBA").convert("RGBa")
    return image.convert("RGB").convert("RGBA").convert("RGBa")


def narrowed(values: np.ndarray, mode: str) -> np.ndarray:
    """16-bit, 32-bit or floating greys -> 8 bits."""
    wide = values.astype(np.float64)
    if mode == "F":
        wide = wide * (255 if wide.max(initial=0) <= 1 else 1)
    elif mode != "I" or wide.max(initial=0) > 255:
        wide = wide / 257  # 65535 is white
    return (wide.clip(0, 255) + 0.5).astype(np.uint8)


def fit(image: Image.Image, treatment: Treatment) -> Image.Image:
    """Resize with antialiasing, cut or padded to the size."""
    height, width = treatment.size
    box = kept(image.size, treatment.pictures.center_crop)
    across, down = box[2] - box[0], box[3] - box[1]
    bicubic = Image.Resampling.BICUBIC
    if treatment.pictures.fit == "stretch":
        return image.resize((width, height), bicubic, box)
    if treatment.pictures.fit == "cover":
        scale = min(across / width, down / height)
        x, y = box[0] + (across - scale * width) / 2, box[1] + (down - scale * height) / 2
        return image.resize((width, height), bicubic, (x, y, x + scale * width, y + scale * height))
    scale = max(across / width, down / height)
    inner = (max(1, round(across / scale)), max(1, round(down / scale)))
    canvas = Image.new("RGBa", (width, height))
    canvas.paste(image.resize(inner, bicubic, box), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return canvas


def kept(size: tuple[int, int], share: float) -> tuple[float, float, float, float]:
    """The middle of a picture (width, height): a square of a share of the shorter side; all of it for share 1."""
    width, height = size
    if share >= 1:
        return 0.0, 0.0, float(width), float(height)
    side = min(size) * share
    return (width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2


def composited(pixels: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Premultiplied [H, W, 4] on a colour -> [H, W, 3]."""
    rest = 255 - pixels[..., 3:].astype(np.uint16)
    behind = (rest * np.array(color, np.uint16) + 127) // 255
    return np.minimum(pixels[..., :3] + behind, 255).astype(np.uint8)


def background(name: str) -> tuple[int, int, int]:
    """white, black or R,G,B -> three numbers from 0 to 255."""
    if name in NAMED:
        return NAMED[name]
    try:
        r, g, b = (int(part) for part in name.split(","))
    except ValueError:
        r = g = b = -1
    if not 0 <= min(r, g, b) <= max(r, g, b) <= 255:
        raise BadInput(
            f"background {name!r}: wanted white, black, random or R,G,B with numbers from 0 to 255"
        )
    return r, g, b
