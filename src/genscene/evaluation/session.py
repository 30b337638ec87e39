"""An evaluation session: what is computed, of which images, how they are prepared, and by which networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from genscene.contract import Generator
from genscene.data.images import EMBEDDED, SYNTHETIC, ImageSet, common_size, load_images
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.evaluation.image_sources import GeneratedImages, ImageSource, StoredImages
from genscene.evaluation.protocol import Protocol, require_same_protocol
from genscene.evaluation.statistics import FeatureStatistics
from genscene.experiment.schedules import largest_size
from genscene.experiment.schema import Experiment, ImageConfig
from genscene.geometry.cameras import Camera, Size
from genscene.geometry.priors import CameraPrior
from genscene.metrics.networks.extractor import Extractor
from genscene.objectives.adversarial import AdversarialConfig

Features = dict[str, FeatureStatistics]  # by the names of the extractors; empty in all but the main process


@dataclass(frozen=True)
class EvaluatedModel:
    """What is evaluated: a generator, or a folder or zip of generated images."""

    name: str
    path: Path
    generator: Generator | None = None
    experiment: Experiment | None = None
    cameras: Camera | None = None  # of the photographs that a scene was fitted to
    to_files: Tensor | None = None  # [4, 4], from the world of such a scene to that of the files

    @property
    def description(self) -> str:
        """Its system and number of parameters."""
        if self.generator is None or self.experiment is None:
            return "images"
        parameters = sum(parameter.numel() for parameter in self.generator.parameters())
        return f"{type(self.experiment.system).__name__.removesuffix('Config')}, {parameters:,} parameters"

    @property
    def is_fitted(self) -> bool:
        """Whether it is a scene fitted to photographs, to one picture or to a mesh."""
        return self.fits_photographs or self.batch in ("pixels", "surface")

    @property
    def fits_photographs(self) -> bool:
        """Whether it was fitted to photographs with known cameras."""
        return self.experiment is not None and self.experiment.system.fits_photographs

    @property
    def batch(self) -> str:
        """What a batch of its training holds."""
        return "" if self.experiment is None else self.experiment.system.batch

    @property
    def size(self) -> Size:
        """Height and width of its images; BadInput where a folder holds images of several sizes."""
        return largest_size(self.experiment) if self.experiment is not None else common_size(str(self.path))


@dataclass(frozen=True)
class EvaluationSession:
    """What is computed, how all images are prepared, and the extractors of their features."""

    protocol: Protocol
    size: Size
    images: ImageConfig  # how files become images of that size
    extractors: Mapping[str, Extractor]  # by the names that metrics use
    data: str = ""  # of the real images
    metrics: Sequence[str] = ()
    explicit: bool = False  # metrics were named by the user: what cannot be computed is refused, not skipped
    extractor: str = "random"  # name of the one for metrics that leave it open
    face_embedding: Extractor | None = None  # for identity
    seed: int = 0  # of latent codes and cameras
    own_camera: bool = False  # styles of generated images are conditioned on the cameras of these
    data_cameras: bool = False  # generated images have cameras of the real ones; off: of the prior
    training_noise: bool = False  # generated images have it; metrics of a generator itself do not
    least: int = 2  # images of either side that are needed
    device: torch.device = torch.device("cpu")  # of generators and extractors
    # none of the following changes a score
    batch: int = 32  # images at once
    max_features: int = 50_000  # images whose features are stored for kernel and nearest-neighbor metrics
    cache: bool = True  # save statistics by content, and resume what an earlier process left
    group: ProcessGroup = ProcessGroup()
    quiet: bool = False

    def fields(self, extractor: Extractor) -> dict[str, str]:
        """The protocol of the statistics of an extractor."""
        return self.protocol.fields(extractor, self.size, self.images)

    def generator(self, model: EvaluatedModel) -> Generator:
        """The generator of a model; BadInput where the model is images."""
        if model.generator is None:
            raise BadInput(f"{', '.join(self.metrics)}: wanted generators, {model.path} are images")
        return model.generator

    def generated(self, model: EvaluatedModel) -> ImageSource:
        """The images of a model."""
        protocol = self.protocol
        if model.generator is None:
            self.noise(model)  # BadInput where it is asked for
            # these are of the real images
            every = replace(self.images, limit=0, center_crop=1.0, masks=False, index="")
            return StoredImages(self._load(str(model.path), every), protocol.generated, str(model.path))
        how = (protocol.generated, self.size, protocol.rounding == "truncated", protocol.psi, self.seed)
        if self.own_camera and not model.generator.conditioned:
            raise BadInput(f"{model.path}: --own-camera: wanted a generator that is conditioned on cameras")
        found = GeneratedImages(model.generator, *how, self.noise(model), self.own_camera)
        return replace(found, cameras=self.real_cameras(model)) if self.data_cameras else found

    def real_cameras(self, model: EvaluatedModel) -> Camera:
        """The cameras of the real images; BadInput where the model's views are windows on the plane."""
        camera_prior(self.generator(model))
        found = load_images(self.data, self.images, self.size, not self.group.is_main, cameras=True).cameras
        assert found is not None  # BadInput before
        return found

    def noise(self, model: EvaluatedModel) -> float | None:
        """The noise on densities at the end of a model's training, where it is asked for."""
        if not self.training_noise:
            return None
        system = None if model.experiment is None else model.experiment.system
        if model.experiment is None or not isinstance(system, AdversarialConfig):
            raise BadInput(f"{model.path}: --training-noise: wanted a generator that was trained against one")
        return system.density_noise_at(model.experiment.steps)

    def real(self) -> StoredImages | Features:
        """The real images, or their statistics that were written before."""
        path, preparation, images, available = Path(self.data), self.protocol.real, self.images, 0
        if (path / "experiment.json").is_file():
            raise BadInput(f"--data {path} is a run: wanted real images, or statistics of some")
        if is_statistics(path):
            return self.load_statistics(path)
        if self.data.startswith(SYNTHETIC) and preparation.count:
            images, available = replace(images, limit=preparation.count), images.limit or EMBEDDED
        return StoredImages(self._load(self.data, images), preparation, self.data, available)

    def load_statistics(self, path: Path) -> Features:
        """Statistics that were written before; BadInput where their protocol is not that of this session."""
        found = {}
        for name, extractor in self.extractors.items():
            file = path / f"{name}.safetensors" if path.is_dir() else path
            if not file.is_file():
                raise BadInput(f"{path} holds no statistics of {extractor.name} (no {file.name})")
            found[name] = statistics = FeatureStatistics.load(file)
            available = max(statistics.count, int(statistics.provenance.get("available", 0)))
            count = min(self.protocol.real.count or available, available)
            used = {"--reals": str(statistics.count), "width": str(len(statistics.running.mean))}
            wanted = self.fields(extractor) | {"--reals": str(count), "width": str(extractor.width)}
            require_same_protocol({**statistics.protocol, **used}, wanted, (str(file), "here"))
        return found

    def _load(self, data: str, images: ImageConfig) -> ImageSet:
        """Load images in the main process first: the others read its cache."""
        return self.group.node_first(lambda: load_images(data, images, self.size, not self.group.is_main))


def camera_prior(generator: Generator) -> CameraPrior:
    """The prior of a generator's cameras; BadInput where it has none."""
    if not isinstance(generator.prior, CameraPrior):
        raise BadInput("this generator has no cameras (its views are windows on the plane)")
    return generator.prior


def evaluation_size(models: Sequence[EvaluatedModel], data: str) -> Size:
    """Height and width of all images; BadInput where they differ."""
    sizes, first = [(model.name, model.size) for model in models], models[0].experiment
    if is_images(Path(data)) and (first is None or data != first.data):
        real = common_size(data)  # BadInput for mixed sizes
        sizes += [(data, real)] if first is None else []  # else they are resized to the generator's size
    (name, size), *others = sizes
    for other_name, other in others:
        if other != size:
            images = f"{name} holds images of {size[0]}x{size[1]}, {other_name} of {other[0]}x{other[1]}"
            raise BadInput(f"{images}: --size N resizes them to one")
    return size


def is_statistics(path: Path) -> bool:
    """Whether a path is a .safetensors file, or a folder of such."""
    return path.suffix == ".safetensors" or (path.is_dir() and not is_images(path))


def is_images(path: Path) -> bool:
    """Whether a path is a zip, or a folder without files of statistics or generators."""
    return path.suffix == ".zip" or (path.is_dir() and not any(path.glob("*.safetensors")))
