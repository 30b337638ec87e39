"""An image set in memory, or mapped from the cache."""

import mmap
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from genscene.geometry.cameras import Camera
from genscene.io.files import MIB

RESIDENT = 16 * MIB  # bytes read of a mapped file before its pages, which may be some times more, are dropped


@dataclass(frozen=True)
class ImageSet:
    """N images of one size, with their cameras where these are known."""

    pixels: np.ndarray  # [F, H, W, 3 or 4], uint8 sRGB; 4: premultiplied by alpha, the last channel
    cameras: Camera | None = None  # N cameras
    masks: "ImageSet | None" = None  # N masks of objects, pixels [N, H, W, 1]
    enlarged: tuple[int, ...] = ()  # images whose files are smaller than H x W
    rows: np.ndarray | None = (
        None  # [N], the row of pixels of each image, with repeats; None: N = F, in order
    )
    # bytes that were read since the memory of the mapped file was released
    read: list[int] = field(default_factory=lambda: [0], repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.pixels if self.rows is None else self.rows)

    def bytes_of(self, indices: np.ndarray | slice) -> np.ndarray:
        """The images at B indices -> uint8 [B, H, W, 3 or 4], a copy: the cache is read-only."""
        found = np.array(self.pixels[indices if self.rows is None else self.rows[indices]])
        self.read[0] += found.nbytes
        if self.read[0] > RESIDENT:
            self.release_memory()
        return found

    def cut_out(self) -> "ImageSet":
        """Images on white with masks -> the same with transparency, premultiplied: [F, H, W, 4]."""
        assert self.masks is not None
        alpha = np.asarray(self.masks.pixels)
        color = np.maximum(self.pixels, 255 - alpha) - (255 - alpha)  # what was added is white
        return replace(self, pixels=np.concatenate([color, alpha], axis=-1))

    def take(self, indices: np.ndarray | slice) -> Tensor:
        """The images at B indices -> [B, 3 or 4, H, W] in [0, 1]."""
        return torch.from_numpy(self.bytes_of(indices)).movedim(-1, 1).float() / 255

    def expect_random_reads(self) -> None:
        """Read of a mapped file what is needed alone; else the system reads tens of images for each one."""
        mapped = getattr(self.pixels, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_RANDOM"):
            mapped.madvise(mmap.MADV_RANDOM)
        if self.masks is not None:
            self.masks.expect_random_reads()

    def release_memory(self) -> None:
        """Drop the pages of a mapped file from memory; the next access reads them again."""
        self.read[0] = 0
        release(self.pixels)


def release(array: np.ndarray) -> None:
    """Drop the pages of a mapped file from the memory of this process; what was written to it remains."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
