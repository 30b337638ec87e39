"""The batches of a run on posed photographs: pixels and the rays through them, a function of (seed, step) alone."""

from collections.abc import Iterator

import numpy as np
import torch

from genscene.contract import RayBatch
from genscene.data.posed.photographs import PosedImages
from genscene.experiment.schedules import stage_at
from genscene.experiment.schema import Experiment, PosedConfig
from genscene.geometry.cameras import Camera, Rays, as_float64
from genscene.randomness import derive_seed

PIXELS = 3  # use of the seed here
Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]  # photographs, rows, columns


def ray_stream(
    experiment: Experiment,
    album: PosedImages,
    start: int,
    corners: bool = False,
    rank: int = 0,
    world: int = 1,
) -> Iterator[RayBatch]:
    """This process's part of the rays of steps start, start + 1, ... to the end of the run.

    corners: rays go through the pixels' upper left corners (released NeRF), not through their centres.
    """
    chosen = kept(len(album), experiment.posed.limit)
    learnt = None if album.masks is None else np.flatnonzero(album.masks[chosen])
    for step in range(start, experiment.steps):
        share = stage_at(experiment, step).batch // world
        random = np.random.default_rng(derive_seed(experiment.seed, PIXELS, step))
        drawn = draw(random, album.pixels.shape, chosen, learnt, experiment.posed, step, share * world)
        which, rows, columns = (part[rank * share : (rank + 1) * share] for part in drawn)
        colors = torch.from_numpy(album.pixels[which, rows, columns]).float() / 255
        yield RayBatch(
            rays_through(album.camera, which, rows, columns, 0.0 if corners else 0.5), colors[None]
        )


def kept(count: int, limit: int) -> np.ndarray:
    """Numbers of the photographs that are used, evenly chosen."""
    return (
        np.arange(count)
        if not limit or limit >= count
        else np.linspace(0, count - 1, limit).round().astype(int)
    )


def draw(
    random: np.random.Generator,
    shape: tuple[int, ...],
    chosen: np.ndarray,
    learnt: np.ndarray | None,
    how: PosedConfig,
    step: int,
    count: int,
) -> Drawn:
    """Which pixels a step sees: of all photographs or of one, of all of it or of its middle, or where masks allow.

    learnt: places, in the row of all pixels of the chosen photographs, that masks leave; None: all.
    """
    _, height, width, _ = shape
    if learnt is not None:
        which, rows, columns = np.unravel_index(random.choice(learnt, count), (len(chosen), height, width))
        return chosen[which], rows, columns
    share = how.precrop_share if step < how.precrop_steps else 1.0
    which = random.choice(chosen, count if how.batching == "all" else 1)
    rows, columns = (
        random.integers(round(side * (1 - share) / 2), max(1, round(side * (1 + share) / 2)), count)
        for side in (height, width)
    )
    return np.broadcast_to(which, (count,)), rows, columns


def rays_through(
    cameras: Camera, which: np.ndarray, rows: np.ndarray, columns: np.ndarray, centre: float
) -> Rays:
    """The rays of depth 1 through R pixels of photographs -> [1, R]."""
    height, width = cameras.size
    index = torch.from_numpy(np.array(which))
    places = np.stack([(columns + centre) / width, (rows + centre) / height, np.ones(len(rows))], axis=-1)
    pose, inverse = as_float64(cameras.pose)[:, :3], torch.linalg.inv(as_float64(cameras.intrinsics))
    turned = pose[:, :, :3] @ inverse
    directions = (turned[index] @ torch.from_numpy(places)[..., None])[..., 0]
    origins = pose[index, :, 3]
    return Rays(origins[None].to(cameras.pose), directions[None].to(cameras.pose))
