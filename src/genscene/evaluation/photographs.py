"""A scene beside the photographs it was not shown."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.contract import MAX_BYTES, Generator, RenderOptions
from genscene.data.posed import PosedImages
from genscene.evaluation.sides import finite
from genscene.metrics.image import psnr, ssim
from genscene.randomness import RandomStreams


@dataclass(frozen=True)
class Compared:
    """One photograph, what was rendered in its place, and how alike they are."""

    photo: Tensor  # [3, H, W] in [0, 1]
    image: Tensor  # [3, H, W] in [0, 1], rounded to bytes as a file would hold it
    psnr: float  # decibels
    ssim: float


@torch.no_grad()
def compared(generator: Generator, album: PosedImages, budget: int = MAX_BYTES) -> Iterator[Compared]:
    """Every photograph of an album in turn; where masks leave nothing to learn, both are taken as white."""
    device = next(generator.parameters()).device
    scene = generator.bind(generator.latents(RandomStreams([0], device)))
    for i in range(len(album)):
        rendering = generator.render(
            scene, album.camera[i : i + 1].to(device), RenderOptions(max_bytes=budget)
        )
        image = (finite(rendering.image)[0].clamp(0, 1).cpu() * 255).round() / 255
        photo = torch.from_numpy(album.pixels[i].copy()).movedim(-1, 0).float() / 255
        if album.masks is not None:
            learnt = torch.from_numpy(album.masks[i] > 0)
            image, photo = (torch.where(learnt, x, torch.ones_like(x)) for x in (image, photo))
        yield Compared(photo, image, float(psnr((image - photo).square().mean())), ssim(image, photo))
