"""What a run learns from: pictures, or photographs whose cameras are known."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from genscene.contract import Background, ImageBatch, RayBatch
from genscene.data import SYNTHETIC, load_images, say
from genscene.data.posed.folder import Split, look, splits
from genscene.data.posed.photographs import PosedImages, photographs, surroundings
from genscene.data.rays import ray_stream
from genscene.data.stream import stream
from genscene.data.synthetic import SETS, views_of_one
from genscene.errors import BadInput, suggest
from genscene.experiment.schedules import largest_size
from genscene.experiment.schema import Experiment
from genscene.geometry.cameras import Camera
from genscene.geometry.transforms import WorldTransform

VIEWS = 100  # of an embedded scene


class DataSource(Protocol):
    """Where batches come from."""

    experiment: Experiment  # with what only the data could tell
    held_out: PosedImages | None  # photographs that are not learnt
    cameras: Camera | None
    to_files: Tensor | None

    def batches(self, start: int, rank: int, world: int) -> Iterator[ImageBatch | RayBatch]:
        """This process's part of the batches of steps start, start + 1, ... to the end of the run."""
        ...


@dataclass
class PictureSource:
    """Pictures of many things, for a discriminator."""

    experiment: Experiment
    quiet: bool = False
    held_out: PosedImages | None = None
    cameras: Camera | None = None
    to_files: Tensor | None = None

    def batches(self, start: int, rank: int = 0, world: int = 1) -> Iterator[ImageBatch | RayBatch]:
        """Batches of pictures."""
        experiment = self.experiment
        pictures = load_images(experiment.data, experiment.images, largest_size(experiment), self.quiet)
        yield from stream(experiment, pictures, start, rank, world)


@dataclass
class AlbumSource:
    """Photographs of one scene, and their cameras."""

    experiment: Experiment
    album: PosedImages
    held_out: PosedImages | None = None

    @property
    def cameras(self) -> Camera | None:
        """The cameras."""
        return self.album.camera

    @property
    def to_files(self) -> Tensor | None:
        """The way back."""
        return self.album.normal.inverse().matrix().float()

    def batches(self, start: int, rank: int = 0, world: int = 1) -> Iterator[ImageBatch | RayBatch]:
        """Batches of rays."""
        corners = self.experiment.system.pixels == "corner"
        yield from ray_stream(self.experiment, self.album, start, corners, rank, world)


def data_source(experiment: Experiment, quiet: bool = False) -> DataSource:
    """The source that an experiment names, and the experiment with what only the data could tell."""
    if experiment.system.batch != "rays":
        return PictureSource(experiment, quiet)
    album = album_of(experiment, "train")
    assert album.bounds is not None
    behind = backdrop(experiment, album)
    system = experiment.system.adapt(replace(album, background=behind))
    if not quiet and system != experiment.system.adapt(album):
        say(
            f"{experiment.data}: what the photographs show stands before {behind}, and so will what is rendered"
        )
    pictures = replace(experiment.images, background=behind or experiment.images.background)
    experiment = replace(experiment, system=system, images=pictures)
    return AlbumSource(experiment, album, held_out(experiment))


def backdrop(experiment: Experiment, album: PosedImages) -> Background | None:
    """The colour behind what photographs show: what transparency was put on, else that of their borders, if it is one.

    Raises BadInput where transparency was put on a colour that nothing can be rendered before.
    """
    name = experiment.images.background
    if not album.clear:
        return surroundings(album.pixels)
    if name not in ("black", "white"):
        raise BadInput(
            f"{experiment.data}: --images.background {name!r}: scenes are rendered before white or black,"
            " so transparent photographs are wanted on one of them"
        )
    return cast(Background, name)


def held_out(experiment: Experiment) -> PosedImages | None:
    """The photographs that are kept from training; None where there are none."""
    if experiment.data.startswith(SYNTHETIC):
        return embedded_album(experiment, "val")
    there = [split for split in splits(experiment.data) if split != "train"]
    return album_of(experiment, there[0]) if there and experiment.posed.holdout else None


def album_of(experiment: Experiment, split: Split) -> PosedImages:
    """The photographs of a split; BadInput where there is none of that name."""
    how, behind = experiment.posed, experiment.images.background
    if experiment.data.startswith(SYNTHETIC):
        return embedded_album(experiment, split)
    there = splits(experiment.data)
    if split not in there:
        raise BadInput(
            f"{experiment.data} has no photographs for {split}; there are some for {', '.join(there)}"
        )
    return photographs(look(experiment.data, split, how.holdout, how.world), behind, how.downscale, how.side)


def embedded_album(experiment: Experiment, split: str) -> PosedImages:
    """One embedded scene from many sides, in the middle, y upwards."""
    name = experiment.data.removeprefix(SYNTHETIC)
    if name not in SETS:
        raise BadInput(f"no embedded set {name!r}; {suggest(name, SETS)}")
    size = largest_size(experiment)
    numbers = range(VIEWS) if split == "train" else range(VIEWS, VIEWS + 10)
    truth = views_of_one(name, numbers, size, experiment.seed)
    pixels = (truth.on_white() * 255).round().byte().movedim(1, -1).numpy()
    turned = WorldTransform(
        rotation=torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).double()
    )  # y up -> z up
    camera = replace(truth.camera, pose=turned.poses(truth.camera.pose))
    bounds = torch.tensor([[1.0, 4.5]]).repeat(len(numbers), 1)
    return PosedImages(np.ascontiguousarray(pixels), camera, bounds, None, turned)
