"""The batches of a run: which pictures at which step, a function of (seed, step) alone."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from genscene.contract import ImageBatch, PosedImageBatch
from genscene.data.pictures import ImageSet
from genscene.experiment.schedules import images_before, stage_at
from genscene.experiment.schema import Experiment
from genscene.geometry.cameras import Camera
from genscene.randomness import RandomStreams, derive_seed
from genscene.render.patches import resize_antialiased

ORDER, TREATMENT = 1, 2  # uses of the seed here


def stream(
    experiment: Experiment, pictures: ImageSet, start: int, rank: int = 0, world: int = 1
) -> Iterator[ImageBatch]:
    """This process's part of the batches of steps start, start + 1, ... to the end of the run."""
    for step in range(start, experiment.steps):
        stage = stage_at(experiment, step)
        share = stage.batch // world
        places = images_before(experiment, step) + rank * share + np.arange(share)
        indices = order(places, len(pictures), experiment.seed)
        draws = RandomStreams([derive_seed(experiment.seed, TREATMENT, int(place)) for place in places])
        yield treated(experiment, pictures, indices, draws, stage.size)


def order(places: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Places in the endless sequence of pictures -> numbers of pictures: each epoch a new shuffle of all."""
    epochs = places // count
    shuffles = {
        e: np.random.default_rng(derive_seed(seed, ORDER, int(e))).permutation(count)
        for e in np.unique(epochs)
    }
    return np.array([shuffles[e][p % count] for e, p in zip(epochs, places, strict=True)])


def treated(
    experiment: Experiment,
    pictures: ImageSet,
    indices: np.ndarray,
    draws: RandomStreams,
    size: tuple[int, int],
) -> ImageBatch:
    """Pictures composited, mirrored and made smaller as the run wants them."""
    images = on_background(pictures.take(indices), draws.uniform(3))
    cameras = None if pictures.cameras is None else pictures.cameras[torch.from_numpy(indices)].resized(size)
    if experiment.images.flip:
        images, cameras = flipped(images, cameras, draws.uniform() < 0.5)
    images = images if images.shape[-2:] == size else resize_antialiased(images, size)
    return ImageBatch(images) if cameras is None else PosedImageBatch(images, cameras)


def on_background(images: Tensor, color: Tensor) -> Tensor:
    """Premultiplied RGBA [B, 4, H, W] on colours [B, 3] -> RGB; RGB stays as it is."""
    if images.shape[1] == 3:
        return images
    return images[:, :3] + (1 - images[:, 3:]) * color[..., None, None]


def flipped(images: Tensor, cameras: Camera | None, which: Tensor) -> tuple[Tensor, Camera | None]:
    """Mirror some pictures [B], and their cameras with them."""
    images = torch.where(which[:, None, None, None], images.flip(-1), images)
    if cameras is None:
        return images, None
    other = cameras.mirrored()
    pose = torch.where(which[:, None, None], other.pose, cameras.pose)
    return images, Camera(
        pose, torch.where(which[:, None, None], other.intrinsics, cameras.intrinsics), cameras.size
    )
