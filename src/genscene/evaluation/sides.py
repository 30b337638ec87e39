"""The two sides of a comparison, as bytes: pictures there are, and pictures a generator paints."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genscene.contract import MAX_BYTES, Generator, RenderOptions
from genscene.data.images import ImageSet
from genscene.errors import BadInput
from genscene.evaluation.protocol import Side
from genscene.geometry.cameras import Size
from genscene.randomness import RandomStreams, derive_seed

FLIP, LATENT = 11, 12  # uses of the seed here
Notes = Mapping[str, str | int | float]


class Lot(Protocol):
    """Pictures of one side."""

    @property
    def side(self) -> Side:
        """How they come to the extractor."""
        ...

    @property
    def notes(self) -> Notes:
        """What they are, beside the protocol; the content stands in it, never a name alone."""
        ...

    def __len__(self) -> int: ...

    def take(self, places: range) -> Tensor:
        """Some of the pictures, the same whenever asked for -> uint8 [B, 3, H, W]."""
        ...


@dataclass(frozen=True)
class Stored:
    """Pictures of a folder, a zip or an embedded set."""

    pictures: ImageSet
    side: Side
    source: str
    of: int = 0  # pictures there were to choose from, where these are a part of them

    @property
    def count(self) -> int:
        """Pictures that are used, before any are mirrored."""
        return min(self.side.count or len(self.pictures), len(self.pictures))

    @property
    def notes(self) -> Notes:
        """Where they are from, how many there were to choose from, and their content."""
        content = hashlib.sha256(str(self.pictures.pixels.shape).encode())
        for start in range(0, self.count, 256):
            content.update(self.pictures.pixels[start : min(start + 256, self.count)].tobytes())
            self.pictures.release_memory()
        there = len(self.pictures)
        enlarged = sum(row < self.count for row in self.pictures.enlarged)
        counts = {"pictures": len(self), "of": max(there, self.of)} | (
            {"enlarged": enlarged} if enlarged else {}
        )
        return {"source": self.source, "content": content.hexdigest(), **counts}

    def __len__(self) -> int:
        return self.count * self.side.times

    def take(self, places: range) -> Tensor:
        """The first pictures in order; where both are asked for, all again as in a mirror."""
        rows = np.array([place % self.count for place in places])
        images = torch.from_numpy(np.array(self.pictures.pixels[rows])).movedim(-1, 1)
        self.pictures.release_memory()
        mirrored = torch.tensor([self.mirrored(place) for place in places])
        images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
        return filed(images, self.side)

    def mirrored(self, place: int) -> bool:
        """Whether the picture at a place is seen in a mirror."""
        if self.side.flip == "random":
            return bool(derive_seed(FLIP, place) & 1)
        return place >= self.count


@dataclass(frozen=True)
class Generated:
    """Pictures of as many latents, each from its own camera of the generator's prior."""

    generator: Generator
    side: Side
    size: Size
    truncated: bool = False  # to bytes, instead of rounded
    psi: float = 1.0
    seed: int = 0
    budget: int = MAX_BYTES

    @property
    def notes(self) -> Notes:
        """The generator's content, mode and truncation, and the seed."""
        mode = "training" if self.generator.training else "evaluation"
        content = fingerprint(self.generator)
        return {"pictures": len(self), "content": content, "mode": mode, "psi": self.psi, "seed": self.seed}

    def __len__(self) -> int:
        return self.side.count

    @torch.no_grad()
    def take(self, places: range) -> Tensor:
        """Pictures of the latents with these numbers; BadInput where one is of numbers that are not finite."""
        image = finite(self.painted(places)).clamp(0, 1) * 255
        return filed((image if self.truncated else image.round()).byte(), self.side)

    @torch.no_grad()
    def painted(self, places: range) -> Tensor:
        """The same pictures before they become bytes -> [B, 3, H, W], not clamped."""
        generator = self.generator
        draws = RandomStreams(
            [derive_seed(LATENT, self.seed, place) for place in places], next(generator.parameters()).device
        )
        scene = generator.scene(generator.latents(draws), self.psi)
        return generator.render(
            scene, generator.prior.sample(draws, self.size), RenderOptions(max_bytes=self.budget)
        ).image


def finite(images: Tensor) -> Tensor:
    """The same pictures [B, 3, H, W]; BadInput where they cannot be measured, since a byte would hide a nan."""
    if not bool(images.isfinite().all()):
        raise BadInput(
            "the generator paints numbers that are not finite (nan or inf): there is nothing to measure"
        )
    return images


def filed(images: Tensor, side: Side) -> Tensor:
    """Bytes [B, 3, H, W] as they come back from a file of the side's format, on the CPU or where they were."""
    if side.format != "jpeg":
        return images  # PNG keeps every byte
    returned = [
        np.asarray(Image.open(io.BytesIO(jpeg(image, side.quality)))) for image in images.movedim(1, -1).cpu()
    ]
    return torch.from_numpy(np.stack(returned)).movedim(-1, 1).to(images.device)


def jpeg(image: Tensor, quality: int) -> bytes:
    """A picture uint8 [H, W, 3] as the bytes of a JPEG."""
    content = io.BytesIO()
    Image.fromarray(image.numpy()).save(content, "JPEG", quality=quality)
    return content.getvalue()


def fingerprint(generator: Generator) -> str:
    """What a generator is known by: SHA-256 of its kind, the numbers it is made of, and its weights."""
    content = hashlib.sha256(f"{type(generator).__name__} {getattr(generator, 'config', '')}".encode())
    for name, tensor in generator.state_dict().items():
        content.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        content.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return content.hexdigest()
