"""Batches of images and rays: their order, ranks, mirrored cameras, positions in pixels."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genscene.contract import ImageBatch, PosedImageBatch
from genscene.data.batches import epoch_order, image_batches, ray_batches
from genscene.data.images import ImageSet
from genscene.data.posed import PosedImages
from genscene.experiment.schema import ImageConfig, PosedConfig, Stage
from genscene.geometry.priors import CameraPrior
from genscene.geometry.transforms import WorldTransform
from genscene.randomness import RandomStreams
from genscene.systems.pigan.system import PiGANConfig

SIZE = (4, 6)


@dataclass(frozen=True)
class PosedPiGANConfig(PiGANConfig):
    """A GAN that is trained on posed images."""

    batch = "posed_images"


def posed_experiment(experiment, **changes):
    return replace(experiment, system=PosedPiGANConfig(**vars(experiment.system)), **changes)


def posed_images(count=5, masks=None):
    pixels = np.random.default_rng(0).integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)
    cameras = CameraPrior().sample(RandomStreams(range(count)), SIZE)
    return PosedImages(pixels, cameras, None, masks, WorldTransform())


def test_every_epoch_is_a_shuffle_of_all_images():
    first, second = epoch_order(np.arange(50), 50, 3), epoch_order(np.arange(50, 100), 50, 3)
    assert sorted(first) == sorted(second) == list(range(50))
    assert not np.array_equal(first, second)
    assert np.array_equal(epoch_order(np.arange(20, 70), 50, 3), np.concatenate([first[20:], second[:20]]))


def test_ranks_get_the_parts_of_one_image_batch(experiment):
    images = ImageSet(np.arange(40 * 48, dtype=np.uint32).astype(np.uint8).reshape(40, 4, 4, 3))
    run = replace(experiment, stages=(Stage(0, (4, 4), 8),), images=ImageConfig(flip=True), steps=3)
    whole = [batch.images for batch in image_batches(run, images, 0)]
    parts = [[b.images for b in image_batches(run, images, 0, rank, 2)] for rank in range(2)]
    for step in range(3):
        assert torch.equal(whole[step], torch.cat([parts[0][step], parts[1][step]]))
    assert torch.equal(next(image_batches(run, images, 2)).images, whole[2])


def test_cameras_are_mirrored_with_their_images(experiment):
    cameras = CameraPrior().sample(RandomStreams(range(40)), (4, 4))
    images = ImageSet(np.random.default_rng(0).integers(0, 255, (40, 4, 4, 3), dtype=np.uint8), cameras)
    stages = (Stage(0, (4, 4), 40),)
    run = posed_experiment(experiment, stages=stages, images=ImageConfig(flip=True), steps=1)
    batch = next(image_batches(run, images, 0))
    indices = epoch_order(np.arange(40), 40, run.seed)
    flipped = ~torch.isclose(batch.images, images.take(indices)).flatten(1).all(1)
    assert 8 < flipped.sum() < 32
    original = cameras[torch.from_numpy(indices)]
    moved = (batch.cameras.pose - original.pose).abs().amax((1, 2)) > 1e-6
    assert torch.equal(moved, flipped)
    assert_close(batch.cameras.pose[flipped], original.mirrored().pose[flipped])


def test_batches_have_cameras_where_the_system_wants_posed_images(experiment):
    cameras = CameraPrior().sample(RandomStreams(range(8)), (8, 8))
    images = ImageSet(np.zeros((8, 8, 8, 3), np.uint8), cameras)
    run = replace(experiment, stages=(Stage(0, (4, 4), 4),), images=ImageConfig(), steps=1)
    assert type(next(image_batches(run, images, 0))) is ImageBatch
    batch = next(image_batches(posed_experiment(run), images, 0))
    assert type(batch) is PosedImageBatch
    assert batch.cameras.size == (4, 4)
    part = batch[1:3].to(torch.device("cpu"))
    assert len(part) == len(part.cameras) == 2
    assert torch.equal(part.cameras.pose, batch.cameras.pose[1:3])


@pytest.mark.parametrize(
    ("pixels", "first", "last"),
    [
        ("center", 0.5, lambda n: (n - 0.5) / n),
        ("corner", 0.0, lambda n: (n - 1) / n),
        ("border", 0.0, lambda n: 1.0),
    ],
)
def test_rays_go_through_the_positions_of_a_pixel_convention(experiment, pixels, first, last):
    images = posed_images()
    run = replace(experiment, stages=(Stage(0, SIZE, 4000),), steps=1)
    rays = next(ray_batches(run, images, 0, pixels)).rays
    inverse = torch.linalg.inv(images.camera.pose.double())
    matches = (rays.origins[0, :, None] - images.camera.pose[:, :3, 3]).norm(dim=-1).argmin(dim=1)
    local = (inverse[matches, :3, :3] @ rays.directions[0, :, :, None].double())[..., 0]
    sides = (images.camera.intrinsics.double()[matches] @ local[..., None])[..., 0]
    assert_close(sides[:, 2], torch.ones(len(sides), dtype=torch.float64), atol=1e-5, rtol=0)
    for axis, count in enumerate(reversed(SIZE)):
        low, high = float(sides[:, axis].min()), float(sides[:, axis].max())
        assert low == pytest.approx(first / count, abs=1e-4)
        assert high == pytest.approx(last(count), abs=1e-4)


def test_ranks_get_the_parts_of_one_ray_batch(experiment):
    images = posed_images()
    run = replace(experiment, stages=(Stage(0, SIZE, 10),), steps=2)
    whole = list(ray_batches(run, images, 0))
    parts = [list(ray_batches(run, images, 0, rank=rank, world=2)) for rank in range(2)]
    for step in range(2):
        assert torch.equal(whole[step].colors, torch.cat([part[step].colors for part in parts], dim=1))
        directions = torch.cat([part[step].rays.directions for part in parts], dim=1)
        assert torch.equal(whole[step].rays.directions, directions)
    assert torch.equal(next(ray_batches(run, images, 1)).colors, whole[1].colors)


def test_rays_are_sampled_where_masks_are_valid_and_from_one_image(experiment):
    masks = np.zeros((5, *SIZE), np.uint8)
    masks[3, 1, 2] = 255
    run = replace(experiment, stages=(Stage(0, SIZE, 10),), steps=1)
    images = posed_images(masks=masks)
    colors = next(ray_batches(run, images, 0)).colors
    assert torch.equal(colors, torch.from_numpy(images.pixels[3, 1, 2]).float().expand(1, 10, 3) / 255)
    single = replace(run, posed=PosedConfig(batching="image"))
    origins = next(ray_batches(single, posed_images(), 0)).rays.origins
    assert torch.equal(origins, origins[:, :1].expand_as(origins))
