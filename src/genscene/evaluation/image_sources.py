"""Real and generated images as bytes, prepared as a protocol specifies."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genscene.contract import DEFAULT_OPTIONS, Generator, RenderOptions
from genscene.data.images import ImageSet
from genscene.errors import BadInput
from genscene.evaluation.protocol import Preparation
from genscene.geometry.cameras import Camera, Size, View
from genscene.geometry.priors import sample_from
from genscene.io.generator_file import weights_sha256
from genscene.randomness import RandomStreams, derive_seed

FLIP_SEED, LATENT_SEED = 11, 12  # uses of the seed
Provenance = Mapping[str, str | int | float]


@dataclass(frozen=True)
class StoredImages:
    """Images of a folder, a zip or a synthetic set."""

    images: ImageSet
    preparation: Preparation
    source: str
    available: int = 0  # images that these were chosen from, where only some were loaded

    @property
    def provenance(self) -> Provenance:
        """What identifies the images: path, numbers used, available and enlarged, SHA-256 of the pixels."""
        shape = (len(self.images), *self.images.pixels.shape[1:])
        content = hashlib.sha256(str(shape).encode())
        for start in range(0, len(self), 256):
            content.update(self.images.bytes_of(slice(start, min(start + 256, len(self)))).tobytes())
            self.images.release_memory()
        numbers = {"images": len(self), "available": max(len(self.images), self.available)}
        if enlarged := sum(i < len(self) for i in self.images.enlarged):
            numbers["enlarged"] = enlarged
        return {"source": self.source, "content": content.hexdigest(), **numbers}

    def __len__(self) -> int:
        return min(self.preparation.count or len(self.images), len(self.images))

    def read(self, indices: Sequence[int]) -> Tensor:
        """The images with these numbers; with flip "random" half of them are mirrored."""
        images = torch.from_numpy(self.images.bytes_of(np.array(indices))).movedim(-1, 1)
        self.images.release_memory()
        if self.preparation.flip == "random":
            mirrored = torch.tensor([bool(derive_seed(FLIP_SEED, i) & 1) for i in indices])
            images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
        return pass_through_format(images, self.preparation)


@dataclass(frozen=True)
class GeneratedImages:
    """Images of latent codes 0, 1, ... of a seed, each from its own camera of the generator's prior."""

    generator: Generator
    preparation: Preparation
    size: Size
    truncate: bool = False  # to bytes, instead of rounding
    psi: float = 1.0
    seed: int = 0
    # standard deviation of the noise on densities, beside jittered samples, as in training; None: no noise
    noise: float | None = None
    own_camera: bool = False  # styles are conditioned on the camera of each picture; off: on the mean one
    options: RenderOptions = DEFAULT_OPTIONS  # without randomness
    cameras: Camera | None = None  # that views are sampled from, uniformly; None: the generator's prior

    @property
    def provenance(self) -> Provenance:
        """What identifies the images: SHA-256 of the generator, its mode, truncation, seed and noise."""
        mode, content = "training" if self.generator.training else "evaluation", fingerprint(self.generator)
        found: dict[str, str | int | float] = {"images": len(self), "content": content, "mode": mode}
        found |= {"psi": self.psi, "seed": self.seed, **({"camera": "own"} if self.own_camera else {})}
        if self.cameras is not None:
            found["cameras"] = hashlib.sha256(self.cameras.label().double().numpy().tobytes()).hexdigest()
        return found if self.noise is None else found | {"noise": self.noise}

    def __len__(self) -> int:
        return self.preparation.count

    def read(self, indices: Sequence[int]) -> Tensor:
        """Images of the latent codes with these numbers; BadInput where one is not finite."""
        seeds = [derive_seed(LATENT_SEED, self.seed, i) for i in indices]
        how = (self.size, self.psi, self.noise, self.own_camera, self.options, self.cameras)
        images = require_finite(render_samples(self.generator, seeds, *how)).clamp(0, 1) * 255
        return pass_through_format((images if self.truncate else images.round()).byte(), self.preparation)


ImageSource = StoredImages | GeneratedImages


@torch.no_grad()
def render_samples(
    generator: Generator,
    seeds: Sequence[int],
    size: Size,
    psi: float = 1.0,
    noise: float | None = None,
    own_camera: bool = False,
    options: RenderOptions = DEFAULT_OPTIONS,
    cameras: Camera | None = None,
) -> Tensor:
    """Images of the latent codes and cameras of these seeds -> [B, 3, H, W], not clamped.

    noise: of training, a standard deviation on densities beside jittered samples; None: none of both.
    own_camera: styles are conditioned on the cameras of their pictures. cameras: that views are sampled from,
    uniformly; None: the generator's prior.
    """
    streams = RandomStreams(seeds, next(generator.parameters()).device)
    z = generator.latents(streams)
    view: View
    view = generator.prior.sample(streams, size) if cameras is None else sample_from(cameras, streams, size)
    own = view if own_camera and isinstance(view, Camera) else None
    scene = generator.bind(generator.style(z, psi, own)) if own else generator.scene(z, psi)
    if noise is not None:
        options = replace(options, randomness=streams, density_noise=noise)
    return generator.render(scene, view, options).image


def require_finite(images: Tensor) -> Tensor:
    """The same images; BadInput where they hold nan or inf, which quantization would hide."""
    if not bool(images.isfinite().all()):
        raise BadInput("the generator rendered values that are not finite (nan or inf)")
    return images


def pass_through_format(images: Tensor, preparation: Preparation) -> Tensor:
    """Bytes [B, 3, H, W] -> the same, written to and read from the file format of the preparation."""
    if preparation.format != "jpeg":
        return images  # PNG is lossless
    decoded = []
    for image in images.movedim(1, -1).cpu():
        content = io.BytesIO()
        Image.fromarray(image.numpy()).save(content, "JPEG", quality=preparation.quality)
        decoded.append(np.asarray(Image.open(content, formats=["JPEG"])))
    return torch.from_numpy(np.stack(decoded)).movedim(-1, 1).to(images.device)


def fingerprint(generator: Generator) -> str:
    """SHA-256 of a generator's class, configuration and weights."""
    what = f"{type(generator).__name__} {getattr(generator, 'config', '')} {weights_sha256(generator)}"
    return hashlib.sha256(what.encode()).hexdigest()
