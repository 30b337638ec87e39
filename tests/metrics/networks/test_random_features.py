"""Random features: the same on all machines, and Frechet distances that grow with degradations."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.metrics.frechet import Moments, frechet_distance
from genscene.metrics.networks import random_features as module
from genscene.metrics.networks.backbones import squeezenet_features
from genscene.metrics.networks.random_features import (
    fingerprint,
    random_features,
    sample_filters,
    whiten_filters,
)

WEIGHTS = Path(__file__).parents[3] / "../shared/data/weights/squeezenet/squeezenet_v1.1_features_oihw.npz"
RING = np.hypot(*np.mgrid[-1:1:32j, -1:1:32j])


def random_images(count, height, width, seed=0):
    """Noise of bytes, by a stream that never changes."""
    shape = (count, 3, height, width)
    return torch.from_numpy(np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8))


def discs(count, seed, kinds=4):
    """32 x 32: a striped disc, of one of some kinds of colour and size, on grey."""
    stream = np.random.RandomState(seed)
    colors = np.array([(220, 40, 40), (40, 180, 60), (50, 70, 220), (230, 200, 40)])
    made = []
    for _ in range(count):
        kind, x, y = stream.randint(kinds), stream.randint(-6, 7), stream.randint(-6, 7)
        inside = np.roll(RING, (y, x), (0, 1))[None] < 0.3 + 0.1 * kind
        stripes = 1 - 0.5 * (np.arange(32) // 2 % 2)[None, :, None]
        made.append(np.where(inside, colors[kind][:, None, None] * stripes, 128 + stream.randint(-20, 21)))
    return torch.from_numpy(np.stack(made)).round().byte()


def noisy(images, deviation):
    noise = torch.from_numpy(np.random.RandomState(9).randn(*images.shape)).float()
    return (images + deviation * noise).round().clamp(0, 255).byte()


def smoothed(images, times):
    x = images.float()
    for _ in range(times):
        x = avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    return x.round().byte()


def moments(images):
    return Moments.of(random_features()(images))


def test_features_of_the_first_seed_do_not_change():
    """Other numbers would be another protocol: they need a new name, and compare with none of before."""
    extractor = random_features()
    assert extractor.name == "random-convolutions-1"
    assert extractor.weights == "seed 0, d2b44496e64a"
    assert extractor.width == module.WIDTH == 368
    first, second = sample_filters(0)
    assert first.flat[0] == 2 * 0.5488135039273248 - 1  # RandomState(0), which is frozen
    assert (first.shape, second.shape) == ((24, 3, 3, 3), (8, 24, 4, 4))
    features = extractor(random_images(1, 40, 24))[0]
    wanted = torch.tensor([0.009923, -0.594531, 11.177456, 4.629914, 3.810480, 6.999948, 2.000608, 0.628558])
    assert_close(features[[0, 20, 50, 80, 100, 150, 250, 367]], wanted, atol=1e-4, rtol=1e-4)


def test_other_seeds_and_constants_are_other_protocols(monkeypatch):
    images, before = random_images(2, 32, 32), fingerprint(0)
    assert random_features(1).protocol() != random_features(0).protocol()
    assert not torch.allclose(random_features(1)(images), random_features(0)(images), atol=0.1)
    monkeypatch.setattr(module, "NEAR", 0.9)
    assert fingerprint(0) != before


def test_features_do_not_depend_on_the_batch():
    for size in ((16, 16), (33, 64), (128, 128)):
        images = torch.cat([random_images(5, *size), torch.zeros(1, 3, *size, dtype=torch.uint8)])
        together = random_features()(images)
        assert torch.equal(together, random_features()(images))
        assert_close(
            torch.cat([random_features()(one) for one in images.split(1)]), together, atol=1e-5, rtol=1e-5
        )


def test_constants_are_those_of_the_model():
    """Mean and deviation of compressed responses; filters respond to the model with variance 1."""
    x = np.abs(np.random.RandomState(0).randn(1_000_000))
    responses = np.log1p(module.TAME * x)
    assert pytest.approx((responses.mean(), responses.std()), abs=5e-4) == (module.USUAL, module.SPREAD)
    place = np.indices((3, 3)).reshape(2, -1)
    covariance = module.NEAR ** np.abs(place[:, :, None] - place[:, None]).sum(0)
    filters = whiten_filters(sample_filters(0)[0]).reshape(-1, 3, 9)
    assert_close(np.einsum("nci,ij,ncj->n", filters, covariance, filters), np.ones(len(filters)))
    assert np.abs(filters.sum(2)).max() < 1e-12
    grey = torch.full((1, 3, 32, 32), 128, dtype=torch.uint8)
    assert random_features()(grey).abs().max() < 2  # no response


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (16, 1024), (1024, 1024)])
def test_images_of_any_size_have_finite_features(size):
    black = torch.zeros(1, 3, *size, dtype=torch.uint8)
    features = random_features()(torch.cat([black, black + 255, random_images(1, *size)]))
    assert torch.isfinite(features).all()
    assert torch.cdist(features, features)[~torch.eye(3, dtype=torch.bool)].min() > 1


def test_large_images_are_averaged_over_areas():
    small = random_images(2, 128, 128)
    large = small.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    assert_close(random_features()(large), random_features()(small), atol=1e-4, rtol=1e-4)


def test_bad_images_are_rejected():
    extractor = random_features()
    for wrong in (torch.zeros(1, 3, 32, 32), torch.zeros(3, 32, 32).byte(), torch.zeros(1, 4, 32, 32).byte()):
        with pytest.raises(BadInput, match=r"wanted torch.uint8 \[B, 3, H, W\]"):
            extractor(wrong)
    with pytest.raises(BadInput, match="15x40 pixels, wanted sides of at least 16"):
        extractor(random_images(1, 15, 40))


def test_frechet_distance_of_equal_sets_is_zero():
    found = moments(discs(120, 0))
    assert abs(frechet_distance(found, found)) < 1e-6 * found.covariance.trace()


def test_distances_grow_with_noise_blur_and_lost_modes():
    real, fake = moments(discs(200, 0)), discs(200, 1)
    chains = [[noisy(fake, amount) for amount in (2, 6, 18)], [smoothed(fake, times) for times in (1, 3, 9)]]
    chains.append([discs(200, 1, kinds) for kinds in (3, 2, 1)])
    for chain in chains:
        apart = torch.tensor([frechet_distance(moments(images), real) for images in (fake, *chain)])
        assert (apart.diff() > 0.2 * apart[0]).all(), apart


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="no weights of SqueezeNet beside the project")
def test_distances_by_squeezenet_grow_with_degradations():
    extractor = squeezenet_features(WEIGHTS)
    real, fake = Moments.of(extractor(discs(60, 0))), discs(60, 1)
    for worse in (noisy, smoothed):
        apart = [
            frechet_distance(Moments.of(extractor(images)), real)
            for images in (fake, worse(fake, 2), worse(fake, 20))
        ]
        assert apart == sorted(apart)
