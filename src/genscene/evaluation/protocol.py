"""Evaluation protocols: how images are prepared; scores are comparable only under equal protocols."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from genscene.errors import BadInput, suggest
from genscene.experiment.schema import ImageConfig
from genscene.geometry.cameras import Size
from genscene.metrics.networks.extractor import Extractor

VERSION = "1"  # of the meaning of the fields
DOWNSAMPLING = "Pillow bicubic, antialiased"


@dataclass(frozen=True)
class Preparation:
    """How real or generated images are prepared for the extractor."""

    count: int = 0  # the first so many; 0: all
    format: Literal["memory", "png", "jpeg"] = "memory"  # file format that the images are passed through
    quality: int = 75  # of JPEG
    flip: Literal["none", "random"] = "none"  # random: half of them are mirrored


@dataclass(frozen=True)
class Protocol:
    """The preparation of real and generated images, and the metrics that are computed by default."""

    source: str  # the paper or code it is from
    metrics: tuple[str, ...]
    real: Preparation = Preparation()
    generated: Preparation = Preparation(50_000)
    rounding: Literal["rounded", "truncated"] = "rounded"  # of generated images to 8 bits
    size: int = 0  # side of the images in pixels; 0: the generator's
    psi: float = 1.0  # truncation of generated images
    published: tuple[int, int] | None = None  # the source's own counts, where others are used

    @property
    def wanted(self) -> tuple[int, int]:
        """Generated and real images of the source; 0: all."""
        return self.published or (self.generated.count, self.real.count)

    def count_notes(self, generated: int, real: int, available: int) -> list[str]:
        """A note where the numbers of generated images, or of real ones available, are not the source's."""
        different = []
        used = ("generated", generated, generated), ("real", real, available)
        for (kind, count, most), wanted in zip(used, self.wanted, strict=True):
            if count != (wanted or most):
                different.append(f"{wanted or f'all {most}'} {kind} images, used were {count}")
        advice = "comparable only with scores of the same numbers of images"
        return [f"the protocol specifies {'; '.join(different)}: {advice}"] if different else []

    def fields(self, extractor: Extractor, size: Size, images: ImageConfig) -> dict[str, str]:
        """Everything that must be equal for two scores to be comparable."""
        fit = f"{images.fit}, center crop {images.center_crop:g}"
        fields = {
            "version": VERSION,
            "size": f"{size[0]}x{size[1]}",
            "downsampling": DOWNSAMPLING,
            "fit": fit,
        }
        background = images.background + (" behind masks" if images.masks else "")
        fields |= {"background": background, "rounding": self.rounding}
        for kind, side in (("real", self.real), ("generated", self.generated)):
            fields[f"{kind}_format"] = f"jpeg {side.quality}" if side.format == "jpeg" else side.format
            fields[f"{kind}_flip"] = side.flip
        return fields | extractor.protocol()


def without_augmentation(images: ImageConfig) -> ImageConfig:
    """How files are read for evaluation: as in training, but never mirrored, on one background."""
    background = "white" if images.background == "random" else images.background
    fit = "cover" if images.fit == "inside" else images.fit
    return replace(images, background=background, fit=fit, flip=False)


WEIGHTS_FREE = ("frechet", "kernel", "precision_recall", "memorization", "spectrum")
JPEG_75, JPEG_85, PNG = Preparation(8000, "jpeg"), Preparation(50_000, "jpeg", 85), Preparation(50_000, "png")
PROTOCOLS: dict[str, Protocol] = {
    "tracking": Protocol("genscene, without weights, 2048 images", WEIGHTS_FREE, generated=Preparation(2048)),
    "genscene": Protocol("genscene, without weights, 50,000 images", WEIGHTS_FREE),
    "pigan": Protocol("pi-GAN, README", ("fid", "kid", "is"), Preparation(8000), Preparation(8000), size=128),
    "pigan-monitor": Protocol(
        "pi-GAN, during training", ("fid",), JPEG_75, replace(JPEG_75, count=2048), size=128
    ),
    "graf": Protocol("GRAF", ("fid", "kid"), Preparation(20_000), Preparation(1000)),
    "giraffe": Protocol(
        "GIRAFFE", ("fid",), Preparation(20_000, flip="random"), Preparation(20_000), rounding="truncated"
    ),
    "cips": Protocol("CIPS", ("fid",), JPEG_85, PNG),
    "cips-pr": Protocol("CIPS, precision and recall", ("pr",), JPEG_85, PNG),
    "stylegan": Protocol("StyleGAN 2 and 3: fid50k_full, kid50k_full", ("fid", "kid")),
    "eg3d": Protocol("EG3D: all real images", ("fid", "kid")),
    "cgsgan": Protocol("CGS-GAN: all listed real images, repeats included", ("fid",)),
    "cgsgan-20k": Protocol("CGS-GAN, 20,000", ("fid",), generated=Preparation(20_000)),
    "cgsgan-2k": Protocol("CGS-GAN, 2000", ("fid",), generated=Preparation(2000)),
}


def select_protocol(
    name: str, real: int | None = None, generated: int | None = None, psi: float | None = None
) -> Protocol:
    """The protocol of a name, with other counts or truncation where they are given."""
    if name not in PROTOCOLS:
        raise BadInput(f"no protocol {name!r}; {suggest(name, PROTOCOLS)}")
    chosen = PROTOCOLS[name]
    return replace(
        chosen,
        real=replace(chosen.real, count=chosen.real.count if real is None else real),
        generated=replace(chosen.generated, count=chosen.generated.count if generated is None else generated),
        psi=chosen.psi if psi is None else psi,
        published=chosen.wanted,
    )


def require_same_protocol(one: Mapping[str, str], other: Mapping[str, str], names: tuple[str, str]) -> None:
    """Raise BadInput with every field that differs between two protocols; names: what they are called."""
    pairs = {name: (one.get(name, "missing"), other.get(name, "missing")) for name in sorted({*one, *other})}
    different = [
        f"{name} ({names[0]}: {first}, {names[1]}: {second})"
        for name, (first, second) in pairs.items()
        if first != second
    ]
    if different:
        raise BadInput(f"statistics of different protocols cannot be compared: {'; '.join(different)}")
