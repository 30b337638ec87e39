"""Videos as files: mp4 and gif."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from genscene.errors import BadInput
from genscene.io.atomic import atomic

ENDINGS = (".mp4", ".gif")


def save_video(path: str | Path, frames: Iterable[np.ndarray], fps: float = 30.0) -> None:
    """Write frames, each uint8 [H, W, 3], as .mp4 or .gif. Raises BadInput for another suffix."""
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise BadInput(f"{path}: wanted a file ending with {' or '.join(ENDINGS)}")
    with atomic(path) as partial:
        if path.suffix == ".mp4":
            _mp4(partial, frames, fps)
        else:
            _gif(partial, frames, fps)


def _mp4(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """H.264 in yuv420p, which every player decodes; odd sides get one more row or column."""
    stream = None
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        for pixels in frames:
            height, width = (side + side % 2 for side in pixels.shape[:2])
            if stream is None:
                stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.options = {"crf": "16", "preset": "medium"}
            missing = ((0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0))
            frame = av.VideoFrame.from_ndarray(np.pad(pixels, missing, mode="edge"), format="rgb24")
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode())


def _gif(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """One palette of 256 colors for all frames, looping."""
    pictures = [Image.fromarray(pixels) for pixels in frames]
    few = Image.fromarray(np.concatenate([np.asarray(p) for p in pictures[:: max(1, len(pictures) // 16)]]))
    palette = few.quantize(255)
    mapped = [picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for picture in pictures]
    mapped[0].save(
        path, save_all=True, append_images=mapped[1:], duration=round(1000 / fps), loop=0, format="GIF"
    )
