"""A measurement laid out: what is measured, against what, at which size, through which extractors."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from genscene.contract import Generator
from genscene.data.images import EMBEDDED, SYNTHETIC, ImageSet, common_size, load_images
from genscene.errors import BadInput
from genscene.evaluation.measures import METRICS, Number
from genscene.evaluation.protocol import Protocol, agree
from genscene.evaluation.sides import Generated, Lot, Stored
from genscene.evaluation.statistics import Statistics
from genscene.evaluation.stream import Streaming, Task, measure
from genscene.experiment.schedules import largest_size
from genscene.experiment.schema import Experiment, ImageConfig
from genscene.geometry.cameras import Camera, Size
from genscene.metrics.networks.extractor import Extractor

Sides = dict[str, Statistics]  # by what metrics call the extractor


@dataclass(frozen=True)
class Subject:
    """What is measured: a generator, or a folder or zip of pictures that something generated."""

    path: Path
    generator: Generator | None = None
    experiment: Experiment | None = None
    alias: str = ""
    cameras: Camera | None = None

    @property
    def name(self) -> str:
        """What to call it: its alias, its file, or the folder of its run."""
        if self.alias:
            return self.alias
        return (
            self.path.parent.name
            if self.path.name == "generator.safetensors"
            else self.path.stem or str(self.path)
        )

    def data(self, given: str) -> str:
        """What it is compared with: what was given, or what it was trained on; BadInput where neither is known."""
        known = self.experiment.data if self.experiment else ""
        if not given and not known:
            what = (
                "pictures"
                if self.generator is None
                else "a generator that does not tell what it was trained on"
            )
            raise BadInput(f"{self.path}: {what}; --data PATH names the real pictures to compare with")
        return given or known

    def size(self, protocol: Protocol, data: str) -> Size:
        """Height and width of all pictures; BadInput where pictures of mixed sizes leave it open."""
        if protocol.size:
            return protocol.size, protocol.size
        other = None
        if data and is_pictures(Path(data)) and not (self.experiment and data == self.experiment.data):
            other = common_size(data)
        if self.experiment is not None:
            return largest_size(self.experiment)
        own = common_size(str(self.path))
        if other and own != other:
            here, there = (f"{height}x{width}" for height, width in (own, other))
            raise BadInput(
                f"{self.path} holds pictures of {here}, {data} of {there}: --size N makes them one size"
            )
        return own


@dataclass(frozen=True)
class Real:
    """What is measured against: pictures, or statistics that were written before."""

    pictures: Stored | None = None
    stored: Sides = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many pictures there are, or were."""
        if self.pictures is not None:
            return len(self.pictures)
        return min((statistics.tally.count for statistics in self.stored.values()), default=0)


@dataclass(frozen=True)
class Desk:
    """One task for all sides, and its extractors by what metrics call them."""

    task: Task
    extractors: dict[str, Extractor]
    streaming: Streaming
    device: torch.device
    seed: int = 0  # of latents and cameras
    trained_on: str = ""  # the data that the pictures' limit is meant for

    def lot(self, subject: Subject) -> Lot:
        """The pictures of a subject."""
        protocol = self.task.protocol
        if subject.generator is None:
            every = replace(
                self.task.pictures, limit=0, center_crop=1.0
            )  # what another was trained on was cut, not these
            return Stored(self.loaded(str(subject.path), every), protocol.fakes, str(subject.path))
        truncated, generator = protocol.rounding == "truncated", subject.generator.to(self.device)
        return Generated(generator, protocol.fakes, self.task.size, truncated, protocol.psi, self.seed)

    def real(self, data: str) -> Real:
        """What lies at a path: pictures or statistics."""
        path = Path(data)
        if (path / "experiment.json").is_file():
            raise BadInput(
                f"--data {data} is a run: wanted real pictures, or statistics that were written of some"
            )
        return Real(stored=self.stored(path)) if is_statistics(path) else Real(self.reals(data))

    def reals(self, data: str) -> Stored:
        """The real pictures of a folder, zip or embedded set."""
        side, pictures = self.task.protocol.reals, self.task.pictures
        if data != self.trained_on:
            pictures = replace(pictures, limit=0)
        there = 0
        if data.startswith(SYNTHETIC) and side.count:
            pictures, there = replace(pictures, limit=side.count), pictures.limit or EMBEDDED
        return Stored(self.loaded(data, pictures), side, data, there)

    def loaded(self, data: str, pictures: ImageConfig) -> ImageSet:
        """Pictures from where they lie; other processes find them in the cache of the first."""
        group = self.streaming.group
        return group.main_first(lambda: load_images(data, pictures, self.task.size, not group.is_main))

    def side(self, lot: Lot, name: str) -> Sides:
        """The statistics of one side; none in processes that are not the first."""
        return dict(zip(self.extractors, measure(lot, name, self.task, self.streaming), strict=False))

    def real_side(self, real: Real) -> Sides:
        """The statistics of what is measured against."""
        return real.stored if real.pictures is None else self.side(real.pictures, "real pictures")

    def stored(self, path: Path) -> Sides:
        """Statistics that were written before; BadInput where they are of another protocol than this."""
        found = {}
        for name, looks in self.extractors.items():
            place = path / f"{name}.safetensors" if path.is_dir() else path
            if not place.is_file():
                raise BadInput(f"{path} holds no statistics by {looks.name} (no {place.name})")
            found[name] = Statistics.load(place)
            now = self.task.protocol.fields(looks, self.task.size, self.task.pictures)
            agree(found[name].protocol, now, (str(place), "here"))
            if len(found[name].tally.mean) != looks.width:
                raise BadInput(
                    f"{place} holds features {len(found[name].tally.mean)} wide, wanted {looks.width}"
                )
            self.counted(found[name], place)
        return found

    def counted(self, stored: Statistics, place: Path) -> None:
        """BadInput where statistics are of another number of pictures than this would have taken where they lay."""
        side = self.task.protocol.reals
        taken = stored.tally.count // side.times
        there = max(taken, int(stored.notes.get("of", taken)))
        if taken != min(side.count or there, there):
            asked = f"the first {side.count}" if side.count else "all"
            raise BadInput(
                "statistics of another protocol are not compared: they differ in the count of real pictures"
                f" ({place}: {taken} of {there}, here: {asked}; --reals {taken if taken < there else 0} takes them)"
            )

    def numbers(self, metrics: list[str], chosen: str, fake: Sides, real: Sides) -> list[Number]:
        """What metrics make of both sides; those that are none of statistics are passed over."""
        found = []
        for name in metrics:
            metric = METRICS.get(name)
            if metric is not None:
                by = metric.extractor or chosen
                found += metric.compute(fake[by], real[by], self.extractors[by])
        return found


def is_pictures(path: Path) -> bool:
    """Whether a path is a zip, or a folder that holds neither a run nor statistics."""
    return path.suffix == ".zip" or (path.is_dir() and not any(path.glob("*.safetensors")))


def is_statistics(path: Path) -> bool:
    """Whether a path is a file of statistics, or a folder of such files."""
    return path.suffix == ".safetensors" or (path.is_dir() and any(path.glob("*.safetensors")))
