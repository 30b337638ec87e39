"""The data source of a run: images, photographs of one scene with cameras, one picture, or one mesh."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from genscene.contract import ImageBatch, RayBatch
from genscene.data.adaptation import adapted_images, behind_transparency
from genscene.data.batches import image_batches, photograph_batches, point_batches, ray_batches
from genscene.data.images.files import require_folder_or_zip
from genscene.data.images.image_set import ImageSet
from genscene.data.images.load import SYNTHETIC, load_images
from genscene.data.images.shares import ImageShares, load_shares, require_same_images, sample_bytes
from genscene.data.pictures import Picture, load_picture
from genscene.data.posed.decode import PosedImages, decode_posed
from genscene.data.posed.loader import Split, available_splits, load_posed
from genscene.data.surfaces import Surface, load_surface
from genscene.data.synthetic import synthetic_set, views_of_one
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.experiment.schedules import largest_size
from genscene.experiment.schema import Experiment
from genscene.geometry.cameras import Camera
from genscene.geometry.transforms import WorldTransform
from genscene.objectives.adversarial import AdversarialConfig
from genscene.scenes import PointBatch
from genscene.systems.image.system import ImageSystemConfig, bits_per_pixel

SYNTHETIC_VIEWS = {"train": range(100), "val": range(100, 110)}  # of an embedded scene
SYNTHETIC_BOUNDS = (1.0, 4.5)
ONE = ProcessGroup()


@dataclass(frozen=True)
class DataSource:
    """Where the batches of a run come from."""

    experiment: Experiment  # with the values that depend on the data
    train: PosedImages | None = None  # training photographs of a system that is fitted to some; else None
    held_out: PosedImages | None = None  # photographs that are not trained on
    notes: tuple[str, ...] = ()  # how the background and the box were chosen
    quiet: bool = False  # no log lines while images are loaded
    points: Picture | Surface | None = None  # of a system with batch "pixels" or "surface"; else None

    @property
    def cameras(self) -> Camera | None:
        """The cameras of the training photographs."""
        return None if self.train is None else self.train.camera

    @property
    def to_files(self) -> Tensor | None:
        """The transform from the scene's world to that of the files -> [4, 4], float32."""
        if isinstance(self.points, Surface):
            return self.points.to_files
        return None if self.train is None else self.train.to_files()

    def images(self, group: ProcessGroup = ONE, shares: bool = False) -> ImageSet | ImageShares | None:
        """The images of a system that learns image sets, each machine's from its cache; None for others.

        shares: each process decodes and stores a share of them. Raises BadInput, in every process, where they
        are fewer than a batch, or not the same on every machine.
        """
        if self.points is not None or self.train is not None:
            if shares:
                raise BadInput(
                    f"--data-cache share: wanted a folder or zip of images, not {self.experiment.data}"
                )
            return None
        experiment = self.experiment
        posed = experiment.system.batch == "posed_images"
        masks = isinstance(experiment.system, AdversarialConfig) and experiment.system.mask_weight > 0
        data, config, size = experiment.data, experiment.images, largest_size(experiment)
        images: ImageSet | ImageShares
        if shares:
            images = load_shares(data, config, size, group, posed, masks)
        else:
            load = partial(load_images, data, config, size, self.quiet, cameras=posed, masks=masks)
            images = group.node_first(load)
            require_same_images(data, len(images), sample_bytes(images), group)
        (images.own if isinstance(images, ImageShares) else images).expect_random_reads()
        most = max(stage.batch for stage in experiment.stages if stage.start < experiment.steps)
        if len(images) < most:
            few = f"{experiment.data} has {len(images)} images, fewer than a batch of {most}"
            raise BadInput(f"{few}, which would repeat them: add images, or lower --batch")
        return images

    def batches(
        self, start: int, rank: int = 0, world: int = 1, images: ImageSet | ImageShares | None = None
    ) -> Iterator[ImageBatch | RayBatch | PointBatch]:
        """This rank's part of the batches of steps start, start + 1, ... to the end of the run.

        images: what `images` has returned, where it was called.
        """
        experiment = self.experiment
        if self.points is not None:
            yield from point_batches(experiment, self.points, start, rank, world)
        elif self.train is None:
            found = self.images() if images is None else images
            assert found is not None
            yield from image_batches(experiment, found, start, rank, world)
        elif experiment.system.batch == "photographs":
            yield from photograph_batches(experiment, self.train, start, rank, world)
        else:
            yield from ray_batches(experiment, self.train, start, experiment.system.pixels, rank, world)


def data_source(experiment: Experiment, quiet: bool = False) -> DataSource:
    """The data source of an experiment, with the experiment adapted to its data."""
    if experiment.system.batch == "pixels":
        return _of_picture(experiment, quiet)
    if experiment.system.batch == "surface":
        return DataSource(experiment, points=load_surface(experiment.data, experiment.seed), quiet=quiet)
    if not experiment.system.fits_photographs:  # images are loaded with the first batch
        if not experiment.data.startswith(SYNTHETIC):
            require_folder_or_zip(experiment.data)
        return DataSource(experiment, quiet=quiet)
    images = posed_images(experiment, "train")
    images, lines = adapted_images(experiment, images)
    system = experiment.system.adapt(images)
    config = replace(experiment.images, background=images.background or experiment.images.background)
    experiment = replace(experiment, system=system, images=config)
    notes = tuple(f"{experiment.data}: {line}" for line in lines)
    return DataSource(experiment, images, _held_out(experiment), notes, quiet)


def _of_picture(experiment: Experiment, quiet: bool) -> DataSource:
    """The source of a picture's pixels; the stages have its size, and no more pixels a step than it has."""
    assert isinstance(experiment.system, ImageSystemConfig)
    picture = load_picture(experiment, experiment.system.target)
    stages = tuple(
        replace(stage, size=picture.shape, batch=min(stage.batch, picture.size))
        for stage in experiment.stages
    )
    system = experiment.system.adapt(picture.pixels)
    experiment = replace(experiment, system=system, stages=stages)
    height, width = picture.shape
    note = f"{width}x{height} pixels, {bits_per_pixel(system):.3g} bits of weights for each"
    return DataSource(experiment, None, None, (f"{experiment.data}: {note}",), quiet, picture)


def posed_images(experiment: Experiment, split: Split, world: WorldTransform | None = None) -> PosedImages:
    """The photographs of a split; BadInput where the data has no such split.

    world: from that of the files to the scene's, instead of the configured one, which is determined by the
    training photographs.
    """
    config, data = experiment.posed, experiment.data
    if data.startswith(SYNTHETIC):
        return _synthetic_images(experiment, split)
    splits = available_splits(data)
    if split not in splits:
        held_out = [each for each in splits if each != "train"]
        option = f": --split {held_out[0]}" if split != "train" and held_out else ""
        raise BadInput(f"{data} has no photographs for {split}; it has some for {', '.join(splits)}{option}")
    files = load_posed(data, split, config.holdout, world or config.world)
    return decode_posed(files, behind_transparency(experiment), config.downscale, config.side, cached=True)


def _held_out(experiment: Experiment) -> PosedImages | None:
    """The photographs that are not trained on; None where there are none."""
    if experiment.data.startswith(SYNTHETIC):
        return _synthetic_images(experiment, "val")
    splits = [split for split in available_splits(experiment.data) if split != "train"]
    return posed_images(experiment, splits[0]) if splits and experiment.posed.holdout else None


def _synthetic_images(experiment: Experiment, split: Split) -> PosedImages:
    """Views of the embedded scene of the experiment's seed, its y axis turned to z."""
    name = experiment.data.removeprefix(SYNTHETIC)
    synthetic_set(name)
    indices = SYNTHETIC_VIEWS["train" if split == "train" else "val"]
    truth = views_of_one(name, indices, largest_size(experiment), experiment.seed)
    y_to_z = WorldTransform(rotation=torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).double())
    cameras = replace(truth.cameras, pose=y_to_z.poses(truth.cameras.pose))
    bounds = torch.tensor([SYNTHETIC_BOUNDS]).repeat(len(indices), 1)
    return PosedImages(truth.pixels().contiguous().numpy(), cameras, bounds, None, y_to_z)
