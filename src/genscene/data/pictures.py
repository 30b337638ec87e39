"""A set of pictures in memory: uint8, one size, with cameras where they are known."""

import mmap
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genscene.geometry.cameras import Camera


@dataclass(frozen=True)
class ImageSet:
    """N pictures of one size."""

    pixels: np.ndarray  # [N, H, W, 3 or 4], uint8 sRGB; 4: premultiplied by alpha, which is the last
    cameras: Camera | None = None
    enlarged: tuple[int, ...] = ()  # rows whose files were smaller than they are

    def __len__(self) -> int:
        return len(self.pixels)

    def forget(self) -> None:
        """Give back the memory of what was read of a mapped file: it is read again when it is wanted."""
        mapped = getattr(self.pixels, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)

    def take(self, indices: np.ndarray | slice) -> Tensor:
        """Pictures [B, 3 or 4, H, W] in [0, 1]."""
        rows = torch.from_numpy(np.array(self.pixels[indices]))  # a copy: the cache is read-only
        return rows.movedim(-1, 1).float() / 255
