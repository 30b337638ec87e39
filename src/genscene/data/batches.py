"""The batches of a run: images, rays through pixels, or points, as functions of (seed, step) alone."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from genscene.contract import ImageBatch, PosedImageBatch, RayBatch
from genscene.data.images.image_set import ImageSet
from genscene.data.images.shares import ImageShares
from genscene.data.posed.decode import PosedImages
from genscene.experiment.schedules import images_before, stage_at
from genscene.experiment.schema import Experiment, PosedConfig
from genscene.geometry.cameras import Camera, PixelConvention, Rays, as_float64
from genscene.randomness import RandomStreams, derive_seed
from genscene.render.patches import resize_antialiased
from genscene.scenes import PointBatch, PointSource

ORDER, AUGMENTATION, PIXELS = 1, 2, 3  # uses of the experiment's seed
PixelIndices = tuple[np.ndarray, np.ndarray, np.ndarray]  # image, row and column of each of R pixels, [R]


def image_batches(
    experiment: Experiment, images: ImageSet | ImageShares, start: int, rank: int = 0, world: int = 1
) -> Iterator[ImageBatch]:
    """This rank's part of the batches of steps start, start + 1, ... to the end of the run.

    They are of type PosedImageBatch where the system wants posed images.
    """
    posed = experiment.system.batch == "posed_images"
    for step in range(start, experiment.steps):
        stage = stage_at(experiment, step)
        share = stage.batch // world
        joint = images_before(experiment, step) + np.arange(share * world)
        joint_indices = epoch_order(joint, len(images), experiment.seed)
        positions, indices = (x[rank * share : (rank + 1) * share] for x in (joint, joint_indices))
        streams = RandomStreams([derive_seed(experiment.seed, AUGMENTATION, int(p)) for p in positions])
        if isinstance(images, ImageShares):
            batch, masks = images.exchange(joint_indices)
        else:
            batch, masks = images.take(indices), None if images.masks is None else images.masks.take(indices)
        colors = streams.uniform(3)
        if experiment.images.fit != "inside":
            batch = _on_random_colors(batch, colors)
        if masks is not None:
            batch = torch.cat([batch, masks], dim=1)
        mirror = streams.uniform() < (0.5 if experiment.images.flip else 0.0)
        batch = torch.where(mirror[:, None, None, None], batch.flip(-1), batch)
        batch = batch if batch.shape[-2:] == stage.size else resize_antialiased(batch, stage.size)
        if posed:
            assert images.cameras is not None
            cameras = images.cameras[torch.from_numpy(indices)].resized(stage.size)
            yield PosedImageBatch(batch, _mirrored(cameras, mirror))
        else:
            yield ImageBatch(batch)


def epoch_order(positions: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Positions [B] in the sequence of samples -> indices [B] of `count` images, shuffled each epoch."""
    epochs = positions // count
    indices = np.empty_like(positions)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        indices[here] = _shuffled(seed, int(epoch), count)[positions[here] % count]
    return indices


@lru_cache(maxsize=2)
def _shuffled(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order [count] of an epoch; computed once, not at every step."""
    return np.random.default_rng(derive_seed(seed, ORDER, epoch)).permutation(count)


def _on_random_colors(batch: Tensor, colors: Tensor) -> Tensor:
    """Premultiplied RGBA [B, 4, H, W] composited on colours [B, 3] -> RGB [B, 3, H, W]; RGB is unchanged."""
    if batch.shape[1] == 3:
        return batch
    return batch[:, :3] + (1 - batch[:, 3:]) * colors[..., None, None]


def _mirrored(cameras: Camera, mirror: Tensor) -> Camera:
    """B cameras, those mirrored that mirror [B] selects."""
    other, select = cameras.mirrored(), mirror[:, None, None]
    pose = torch.where(select, other.pose, cameras.pose)
    return Camera(pose, torch.where(select, other.intrinsics, cameras.intrinsics), cameras.size)


def ray_batches(
    experiment: Experiment,
    images: PosedImages,
    start: int,
    pixels: PixelConvention = "center",
    rank: int = 0,
    world: int = 1,
) -> Iterator[RayBatch]:
    """This rank's part of the rays of steps start, start + 1, ... to the end of the run.

    pixels: rays go through the centers of pixels, or through their upper left corners (released NeRF).
    """
    config = experiment.posed
    chosen = _chosen_images(len(images), config.limit)
    valid = None if images.masks is None else np.flatnonzero(images.masks[chosen])
    for step in range(start, experiment.steps):
        share = stage_at(experiment, step).batch // world
        rng = np.random.default_rng(derive_seed(experiment.seed, PIXELS, step))
        sampled = _sample_pixels(rng, images.pixels.shape, chosen, valid, config, step, share * world)
        index, rows, columns = (part[rank * share : (rank + 1) * share] for part in sampled)
        colors = torch.from_numpy(images.pixels[index, rows, columns]).float() / 255
        yield RayBatch(_pixel_rays(images.camera, index, rows, columns, pixels), colors[None])


def photograph_batches(
    experiment: Experiment, images: PosedImages, start: int, rank: int = 0, world: int = 1
) -> Iterator[PosedImageBatch]:
    """This rank's part of the photographs of steps start, start + 1, ... to the end, shuffled each epoch.

    Where some of their pixels are masked out or transparent, two more channels of the images are 1 where they
    are valid, and their opacity.
    """
    chosen = _chosen_images(len(images), experiment.posed.limit)
    for step in range(start, experiment.steps):
        share = stage_at(experiment, step).batch // world
        positions = images_before(experiment, step) + rank * share + np.arange(share)
        index = chosen[epoch_order(positions, len(chosen), experiment.seed)]
        pixels, others = images.pixels[index], (images.masks, images.alpha)
        if any(x is not None for x in others):
            all_ones = np.full(pixels.shape[:3], 255, np.uint8)
            more = [all_ones if x is None else x[index] for x in others]
            pixels = np.concatenate([pixels, np.stack(more, axis=-1)], axis=-1)
        batch = torch.from_numpy(pixels).movedim(-1, 1).float() / 255
        yield PosedImageBatch(batch, images.camera[torch.from_numpy(index)])


def point_batches(
    experiment: Experiment, source: PointSource, start: int, rank: int = 0, world: int = 1
) -> Iterator[PointBatch]:
    """This rank's part of the points of steps start, start + 1, ... to the end of the run."""
    for step in range(start, experiment.steps):
        share = stage_at(experiment, step).batch // world
        joint = source.sample(derive_seed(experiment.seed, PIXELS, step), share * world)
        yield joint[rank * share : (rank + 1) * share]


def _chosen_images(count: int, limit: int) -> np.ndarray:
    """At most `limit` of `count` indices, evenly spaced from the first to the last; all of them for 0."""
    if not limit or limit >= count:
        return np.arange(count)
    return np.linspace(0, count - 1, limit).round().astype(int)


def _sample_pixels(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    chosen: np.ndarray,
    valid: np.ndarray | None,
    config: PosedConfig,
    step: int,
    count: int,
) -> PixelIndices:
    """Random pixels of one step: of all chosen images or of one, of all of it, its middle, or its mask.

    valid: indices of unmasked pixels in the flattened chosen images; None: all are valid.
    """
    _, height, width, _ = shape
    if valid is not None:
        index, rows, columns = np.unravel_index(rng.choice(valid, count), (len(chosen), height, width))
        return chosen[index], rows, columns
    share = config.precrop_share if step < config.precrop_steps else 1.0
    index = rng.choice(chosen, count if config.batching == "all" else 1)
    rows, columns = (
        rng.integers(round(side * (1 - share) / 2), max(1, round(side * (1 + share) / 2)), count)
        for side in (height, width)
    )
    return np.broadcast_to(index, (count,)), rows, columns


def _pixel_rays(
    cameras: Camera, index: np.ndarray, rows: np.ndarray, columns: np.ndarray, pixels: PixelConvention
) -> Rays:
    """The rays, with directions of depth 1, through R pixels of the images at index [R] -> [1, R]."""
    height, width = cameras.size
    x, y = _pixel_positions(columns, width, pixels), _pixel_positions(rows, height, pixels)
    points = torch.from_numpy(np.stack([x, y, np.ones(len(rows))], axis=-1))
    which = torch.from_numpy(np.array(index))
    pose, inverse = as_float64(cameras.pose)[:, :3], torch.linalg.inv(as_float64(cameras.intrinsics))
    directions = ((pose[:, :, :3] @ inverse)[which] @ points[..., None])[..., 0]
    origins = pose[which, :, 3]
    return Rays(origins[None].to(cameras.pose), directions[None].to(cameras.pose))


def _pixel_positions(indices: np.ndarray, count: int, pixels: PixelConvention) -> np.ndarray:
    """Indices [R] of pixels in a row of `count` -> positions [R] in image sides."""
    if pixels == "border":  # the outermost pixels lie on the border
        return indices / (count - 1) if count > 1 else indices + 0.5
    return (indices + (0.5 if pixels == "center" else 0.0)) / count
