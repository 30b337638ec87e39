"""What is done to pictures before they are measured: numbers under different protocols are not compared."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from genscene.errors import BadInput, suggest
from genscene.experiment.schema import ImageConfig
from genscene.geometry.cameras import Size
from genscene.metrics.networks.extractor import Extractor

VERSION = 1  # of what the fields mean
SMALL = "Pillow's bicubic, antialiased"  # how data.decode makes pictures small


@dataclass(frozen=True)
class Side:
    """How the pictures of one side come to the extractor."""

    count: int = 0  # the first so many; 0: all there are
    format: Literal["memory", "png", "jpeg"] = "memory"  # as a file of that format would hold them
    quality: int = 75  # of JPEG
    flip: Literal["none", "both", "random"] = "none"  # both: each picture and its mirror image

    @property
    def times(self) -> int:
        """How often each picture is shown."""
        return 2 if self.flip == "both" else 1

    def words(self) -> str:
        """Format and flip."""
        return f"{self.format} {self.quality}" if self.format == "jpeg" else self.format


@dataclass(frozen=True)
class Protocol:
    """Both sides, and what is measured unless told otherwise."""

    source: str  # whose it is
    metrics: tuple[str, ...]
    reals: Side = Side()
    fakes: Side = Side(50_000)
    rounding: Literal["rounded", "truncated"] = "rounded"  # of generated pictures to bytes
    size: int = 0  # side of the pictures, in pixels; 0: the generator's
    psi: float = 1.0  # truncation of generated pictures
    # generated and real pictures of its source, where others are asked for
    whole: tuple[int, int] | None = None

    @property
    def counts(self) -> tuple[int, int]:
        """Generated and real pictures as whose it is counts them; 0: all."""
        return self.whole or (self.fakes.count, self.reals.count)

    def departure(self, fakes: int, reals: int, there: int) -> list[str]:
        """What to say of so many generated, and so many of all real pictures there are, where it wants others."""
        sides = zip(("generated", "real"), self.counts, (fakes, reals), (fakes, there), strict=True)
        others = [
            f"{wanted or 'all ' + str(most)} {side} pictures, there are {found}"
            for side, wanted, found, most in sides
            if found != (wanted or most)
        ]
        if not others:
            return []
        return [f"the protocol wants {'; '.join(others)}: compare with numbers of as many pictures alone"]

    def fields(self, extractor: Extractor, size: Size, pictures: ImageConfig) -> dict[str, str]:
        """All that must be equal for two numbers to be compared."""
        return {
            "version": str(VERSION),
            "size": f"{size[0]}x{size[1]}",
            "made small": SMALL,
            "fit": f"{pictures.fit}, {pictures.center_crop:g} of the middle",
            "background": pictures.background,
            "rounding": self.rounding,
            "format of reals": self.reals.words(),
            "format of fakes": self.fakes.words(),
            "flip of reals": self.reals.flip,
            "flip of fakes": self.fakes.flip,
            **extractor.protocol(),
        }


def untreated(pictures: ImageConfig) -> ImageConfig:
    """How files become pictures that are measured: as in training, but none mirrored, and all on one background."""
    behind = "white" if pictures.background == "random" else pictures.background
    return replace(pictures, background=behind, flip=False)


WEIGHTS_FREE = ("frechet", "kernel", "manifold", "copies", "spectrum")
PROTOCOLS: dict[str, Protocol] = {
    "tracking": Protocol(
        "genscene: no weights needed, quick enough for every day", WEIGHTS_FREE, fakes=Side(2048)
    ),
    "genscene": Protocol("genscene: no weights needed, counts as published numbers have them", WEIGHTS_FREE),
    "pigan": Protocol("pi-GAN, its README", ("fid", "kid", "is"), Side(8000), Side(8000), size=128),
    "pigan-monitor": Protocol(
        "pi-GAN, while it trains", ("fid",), Side(8000, "jpeg"), Side(2048, "jpeg"), size=128
    ),
    "graf": Protocol("GRAF", ("fid", "kid"), Side(20_000), Side(1000)),
    "giraffe": Protocol("GIRAFFE", ("fid",), Side(20_000, flip="random"), Side(20_000), rounding="truncated"),
    "cips": Protocol("CIPS", ("fid",), Side(50_000, "jpeg", 85), Side(50_000, "png")),
    "cips-pr": Protocol("CIPS: precision and recall", ("pr",), Side(50_000, "jpeg", 85), Side(50_000, "png")),
    "stylegan": Protocol("StyleGAN 2 and 3: fid50k_full, kid50k_full", ("fid", "kid")),
    "eg3d": Protocol("EG3D: all reals", ("fid", "kid")),
    "cgsgan": Protocol("CGS-GAN: all listed reals, repeats too", ("fid",)),
    "cgsgan-20k": Protocol("CGS-GAN, 20,000", ("fid",), fakes=Side(20_000)),
    "cgsgan-2k": Protocol("CGS-GAN, 2000", ("fid",), fakes=Side(2000)),
}


def protocol_of(
    name: str, reals: int | None = None, fakes: int | None = None, psi: float | None = None
) -> Protocol:
    """The protocol of a name, with other counts or truncation where they are given; BadInput for an unknown one."""
    if name not in PROTOCOLS:
        raise BadInput(f"no protocol {name!r}; {suggest(name, PROTOCOLS)}")
    chosen = PROTOCOLS[name]
    if reals is not None or fakes is not None:
        chosen = replace(chosen, whole=chosen.counts)
    if reals is not None:
        chosen = replace(chosen, reals=replace(chosen.reals, count=reals))
    if fakes is not None:
        chosen = replace(chosen, fakes=replace(chosen.fakes, count=fakes))
    return chosen if psi is None else replace(chosen, psi=psi)


def agree(one: Mapping[str, str], other: Mapping[str, str], names: tuple[str, str]) -> None:
    """Raise BadInput with all fields that differ between two sets of statistics, which have names."""
    apart = [
        f"{field} ({names[0]}: {one.get(field, 'not told')}, {names[1]}: {other.get(field, 'not told')})"
        for field in sorted({*one, *other})
        if one.get(field) != other.get(field)
    ]
    if apart:
        raise BadInput(f"statistics of another protocol are not compared: they differ in {'; '.join(apart)}")
