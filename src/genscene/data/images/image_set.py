"""An image set in memory, or mapped from the cache."""

import mmap
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genscene.geometry.cameras import Camera


@dataclass(frozen=True)
class ImageSet:
    """N images of one size, with their cameras where these are known."""

    pixels: np.ndarray  # [N, H, W, 3 or 4], uint8 sRGB; 4: premultiplied by alpha, the last channel
    cameras: Camera | None = None  # N cameras
    masks: "ImageSet | None" = None  # N masks of objects, pixels [N, H, W, 1]
    enlarged: tuple[int, ...] = ()  # rows whose files are smaller than H x W

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, indices: np.ndarray | slice) -> Tensor:
        """The images at B indices -> [B, 3 or 4, H, W] in [0, 1]."""
        rows = torch.from_numpy(np.array(self.pixels[indices]))  # a copy: the cache is read-only
        return rows.movedim(-1, 1).float() / 255

    def release_memory(self) -> None:
        """Drop the pages of a mapped file from memory; the next access reads them again."""
        mapped = getattr(self.pixels, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)
