"""Pictures to be looked at: real ones, generated ones, and what each of these is closest to."""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from genscene.errors import BadInput
from genscene.export.pictures import tile, to_bytes

SIDE = 128  # pixels a picture is enlarged to, about
GAP, EDGE, CAPTION, WORDS = (
    4,
    16,
    26,
    14,
)  # pixels: between pictures, around all, height of a caption and its letters
INK = (28, 32, 38)
CAPTIONS = (
    "real, evenly chosen",
    "generated, the first ones",
    "the real picture closest to each generated one",
)


def sheet(
    real: Tensor, fake: Tensor, nearest_real: Tensor, captions: tuple[str, str, str] = CAPTIONS
) -> Tensor:
    """Three rows of pictures [n, 3, H, W] in [0, 1], each below its caption -> one picture [3, *, *] in [0, 1]."""
    rows = (real, fake, nearest_real)
    if (
        real.dim() != 4
        or real.shape[1] != 3
        or 0 in real.shape
        or any(row.shape != real.shape for row in rows)
    ):
        shapes = ", ".join(str(list(row.shape)) for row in rows)
        raise BadInput(f"a sheet of pictures {shapes}, wanted three times the same [n, 3, H, W]")
    strips = [to_bytes(tile(enlarged(row.detach().float().cpu())[None], GAP)).numpy() for row in rows]
    height, width = strips[0].shape[:2]
    font = ImageFont.load_default(WORDS)
    wide = EDGE * 2 + max(width, *(round(font.getlength(words) + 0.5) for words in captions))
    whole = Image.new("RGB", (wide, EDGE + 3 * (CAPTION + height + EDGE)), "white")
    draw = ImageDraw.Draw(whole)
    for place, (strip, words) in enumerate(zip(strips, captions, strict=True)):
        top = EDGE + place * (CAPTION + height + EDGE)
        draw.text((EDGE, top + CAPTION / 2), words, fill=INK, font=font, anchor="lm")
        whole.paste(Image.fromarray(strip), (EDGE, top + CAPTION))
    return torch.from_numpy(np.array(whole)).movedim(-1, 0).float() / 255


def enlarged(images: Tensor, side: int = SIDE) -> Tensor:
    """Pictures [n, 3, H, W] smaller than `side` pixels, made about as large by a whole factor; pixels stay squares."""
    factor = max(1, round(side / max(images.shape[-2:])))
    return images.repeat_interleave(factor, dim=-2).repeat_interleave(factor, dim=-1)
