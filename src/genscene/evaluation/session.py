"""An evaluation session: subjects and real images under one protocol, at one size, by the same extractors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from genscene.contract import Generator
from genscene.data import EMBEDDED, SYNTHETIC, load_images
from genscene.data.pictures import ImageSet
from genscene.data.sizes import one_size
from genscene.errors import BadInput
from genscene.evaluation.extract_features import Streaming, extract_features
from genscene.evaluation.generator_metrics import EvaluatedGenerator
from genscene.evaluation.image_sources import GeneratedImages, ImageSource, StoredImages
from genscene.evaluation.protocol import Protocol, require_same_protocol
from genscene.evaluation.registry import generator_metrics
from genscene.evaluation.statistics import FeatureStatistics
from genscene.experiment.schema import Experiment, Pictures
from genscene.geometry.cameras import Size
from genscene.metrics.extractor import Extractor

Features = Mapping[
    str, FeatureStatistics
]  # by the names of the extractors; empty in processes that are not the main


@dataclass(frozen=True)
class Subject:
    """What is evaluated: a generator, or a folder or zip of generated images."""

    path: Path
    generator: Generator | None = None
    experiment: Experiment | None = None
    alias: str = ""

    @property
    def name(self) -> str:
        """Its alias, the folder of its run, or its file."""
        own = self.path.parent.name if self.path.name == "generator.safetensors" else self.path.stem
        return self.alias or own or str(self.path)

    @property
    def description(self) -> str:
        """Its system and number of parameters."""
        if self.generator is None or self.experiment is None:
            return "images"
        parameters = sum(parameter.numel() for parameter in self.generator.parameters())
        return f"{type(self.experiment.system).__name__.removesuffix('Config')}, {parameters:,} parameters"

    def data(self, given: str) -> str:
        """The given path of the real images, or that of the training data; BadInput where there is neither."""
        known = given or (self.experiment.data if self.experiment else "")
        if not known:
            what = "images" if self.generator is None else "a generator whose training data is unknown"
            raise BadInput(f"{self.path}: {what}; --data PATH names the real images to compare with")
        return known

    def size(self, data: str = "") -> Size:
        """Height and width of its images; BadInput where it or the data holds images of other sizes."""
        if self.experiment is not None and data == self.experiment.data:
            return self.experiment.largest()
        other = one_size(data) if data and is_images(Path(data)) else None
        own = one_size(str(self.path)) if self.experiment is None else self.experiment.largest()
        if other and self.experiment is None and own != other:
            raise BadInput(
                f"{self.path} holds images of {_text(own)}, {data} of {_text(other)}: --size N makes them one size"
            )
        return own


@dataclass(frozen=True)
class RealImages:
    """What is compared with: images, or statistics that were written before."""

    images: StoredImages | None = None
    statistics: Features = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of images."""
        if self.images is not None:
            return len(self.images)
        return min((each.count for each in self.statistics.values()), default=0)


@dataclass(frozen=True)
class EvaluationSession:
    """What is computed, how all images are prepared, and the extractors of their features."""

    protocol: Protocol
    size: Size
    images: Pictures  # how files become images of that size
    extractors: Mapping[str, Extractor]  # by the names that metrics use
    data: str = ""  # of the real images
    metrics: Sequence[str] = ()
    explicit: bool = False  # the metrics were named: what cannot be computed is refused, not skipped
    extractor: str = "random"  # name of the one for metrics that leave it open
    load_embedding: Callable[[], Extractor] | None = None  # of faces, for identity
    streaming: Streaming = Streaming()
    device: torch.device = torch.device("cpu")
    seed: int = 0  # of latent codes and cameras
    training_data: str = ""  # that the limit of `images` is meant for

    def features(self, source: ImageSource, label: str) -> Features:
        """The statistics of a source; label: of the progress bar."""
        protocols = {
            name: self.protocol.fields(each, self.size, self.images) for name, each in self.extractors.items()
        }
        return extract_features(source, label, self.extractors, protocols, self.streaming)

    def generated(self, subject: Subject) -> GeneratedImages | StoredImages:
        """The images of a subject."""
        protocol = self.protocol
        if subject.generator is None:
            every = replace(self.images, limit=0, keep=1.0)  # both are of the training data
            return StoredImages(self._load(str(subject.path), every), protocol.generated, str(subject.path))
        generator, truncate = subject.generator.to(self.device), protocol.rounding == "truncated"
        return GeneratedImages(generator, protocol.generated, self.size, truncate, protocol.psi, self.seed)

    def real(self) -> RealImages:
        """The real images of the data, or their statistics."""
        data, path = self.data, Path(self.data)
        if (path / "experiment.json").is_file():
            raise BadInput(f"--data {data} is a run: wanted real images, or statistics of some")
        if is_statistics(path):
            return RealImages(statistics=self.load_statistics(path))
        preparation, images, available = self.protocol.real, self.images, 0
        if data != self.training_data:
            images = replace(images, limit=0)
        if data.startswith(SYNTHETIC) and preparation.count:
            images, available = replace(images, limit=preparation.count), images.limit or EMBEDDED
        return RealImages(StoredImages(self._load(data, images), preparation, data, available))

    def real_features(self, real: RealImages) -> Features:
        """The statistics of real images."""
        return real.statistics if real.images is None else self.features(real.images, "real images")

    def evaluated(self, subject: Subject) -> EvaluatedGenerator:
        """A generator for the metrics of its own; BadInput where the subject is images."""
        if subject.generator is None or subject.experiment is None:
            named = ", ".join(generator_metrics(self.metrics))
            raise BadInput(f"{named}: wanted generators, {subject.path} are images")
        generator, experiment, protocol = subject.generator.to(self.device), subject.experiment, self.protocol
        how = (self.data, self.size, protocol.psi, self.seed, protocol.generated.count, self.load_embedding)
        return EvaluatedGenerator(generator, experiment, *how)

    def load_statistics(self, path: Path) -> Features:
        """Statistics that were written before; BadInput where their protocol is not that of this session."""
        found = {}
        for name, extractor in self.extractors.items():
            file = path / f"{name}.safetensors" if path.is_dir() else path
            if not file.is_file():
                raise BadInput(f"{path} holds no statistics of {extractor.name} (no {file.name})")
            found[name] = FeatureStatistics.load(file)
            fields = self.protocol.fields(extractor, self.size, self.images)
            require_same_protocol(found[name].protocol, fields, (str(file), "here"))
            width = len(found[name].running.mean)
            if width != extractor.width:
                raise BadInput(f"{file} holds features of width {width}, wanted {extractor.width}")
            self._require_count(found[name], file)
        return found

    def _require_count(self, statistics: FeatureStatistics, file: Path) -> None:
        """Raise BadInput where statistics are of other numbers of images than this session would use."""
        used = statistics.count // self.protocol.real.copies
        available = max(used, int(statistics.provenance.get("available", used)))
        wanted = self.protocol.real.count
        if used != min(wanted or available, available):
            fix = f"--reals {used if used < available else 0}"
            raise BadInput(
                f"statistics of different protocols cannot be compared: real images ({file}: {used} of {available},"
                f" here: {f'the first {wanted}' if wanted else 'all'}; {fix} uses them)"
            )

    def _load(self, data: str, images: Pictures) -> ImageSet:
        """Load images in the main process first: the others read its cache."""
        group = self.streaming.group
        return group.first_then_others(lambda: load_images(data, images, self.size, not group.first))


def common_size(subjects: Sequence[Subject], protocol: Protocol, data: str) -> Size:
    """Height and width of all images; BadInput where they differ and the protocol specifies none."""
    if protocol.size:
        return protocol.size, protocol.size
    size = subjects[0].size(data)
    for each in subjects[1:]:
        if each.size() != size:
            sizes = f"{subjects[0].name} is {_text(size)}, {each.name} {_text(each.size())}"
            raise BadInput(f"images of different sizes: {sizes}: --size N makes them one size")
    return size


def is_images(path: Path) -> bool:
    """Whether a path is a zip, or a folder that holds neither a run nor statistics."""
    return path.suffix == ".zip" or (path.is_dir() and not any(path.glob("*.safetensors")))


def is_statistics(path: Path) -> bool:
    """Whether a path is a file of statistics, or a folder of such files."""
    return path.suffix == ".safetensors" or (path.is_dir() and any(path.glob("*.safetensors")))


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
