"""Extractors that are always at hand: the same features everywhere, and distances that grow with what is wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.metrics import random_features as design
from genscene.metrics.frechet import Moments, frechet
from genscene.metrics.pooled_squeezenet import LEAST, MOST, squeezenet_features
from genscene.metrics.random_features import drawn, fingerprint, random_features
from genscene.metrics.squeezenet import SqueezeNet
from genscene.metrics.weights import sha256

WEIGHTS = Path(__file__).parents[2] / "../shared/data/weights/squeezenet/squeezenet_v1.1_features_oihw.npz"
RING = np.hypot(*np.mgrid[-1:1:32j, -1:1:32j])


def pictures(count, height, width, seed=0):
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


def test_the_weights_are_what_they_were():
    """Whoever changes these numbers changes the protocol: a new name, and no number of before compares."""
    extractor = random_features()
    assert extractor.name == "random-convolutions-1"
    assert extractor.weights == "seed 0, d2b44496e64a"
    assert extractor.width == design.WIDTH == 368
    first, second = drawn(0)
    assert first.flat[0] == 2 * 0.5488135039273248 - 1  # RandomState(0), for ever
    assert (first.shape, second.shape) == ((24, 3, 3, 3), (8, 24, 4, 4))
    seen = extractor(pictures(1, 40, 24))[0]
    wanted = torch.tensor([0.009923, -0.594531, 11.177456, 4.629914, 3.810480, 6.999948, 2.000608, 0.628558])
    assert_close(seen[[0, 20, 50, 80, 100, 150, 250, 367]], wanted, atol=1e-4, rtol=1e-4)


def test_another_seed_or_design_is_another_protocol(monkeypatch):
    images, before = pictures(2, 32, 32), fingerprint(0)
    assert random_features(1).protocol() != random_features(0).protocol()
    assert not torch.allclose(random_features(1)(images), random_features(0)(images), atol=0.1)
    monkeypatch.setattr(design, "NEAR", 0.9)
    assert fingerprint(0) != before


def test_features_do_not_depend_on_company():
    for size in ((16, 16), (33, 64), (128, 128)):
        images = torch.cat([pictures(5, *size), torch.zeros(1, 3, *size, dtype=torch.uint8)])
        together = random_features()(images)
        assert torch.equal(together, random_features()(images))
        assert_close(
            torch.cat([random_features()(one) for one in images.split(1)]), together, atol=1e-5, rtol=1e-5
        )


def test_scales_are_in_units_of_the_field_and_its_spread():
    """The constants are what theory says, and an answer to a field of usual contrast has variance 1."""
    x = np.abs(np.random.RandomState(0).randn(1_000_000))
    answers = np.log1p(design.TAME * x)
    assert pytest.approx((answers.mean(), answers.std()), abs=5e-4) == (design.USUAL, design.SPREAD)
    place = np.indices((3, 3)).reshape(2, -1)
    covariance = design.NEAR ** np.abs(place[:, :, None] - place[:, None]).sum(0)
    filters = design.sharpened(drawn(0)[0]).reshape(-1, 3, 9)
    assert_close(np.einsum("nci,ij,ncj->n", filters, covariance, filters), np.ones(len(filters)))
    assert np.abs(filters.sum(2)).max() < 1e-12
    grey = torch.full((1, 3, 32, 32), 128, dtype=torch.uint8)
    assert random_features()(grey).abs().max() < 2  # flat: as far below what is usual as can be


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (16, 1024), (1024, 1024)])
def test_pictures_of_any_size_have_finite_features(size):
    black = torch.zeros(1, 3, *size, dtype=torch.uint8)
    seen = random_features()(torch.cat([black, black + 255, pictures(1, *size)]))
    assert torch.isfinite(seen).all()
    assert torch.cdist(seen, seen)[~torch.eye(3, dtype=torch.bool)].min() > 1


def test_large_pictures_are_averaged_over_areas():
    small = pictures(2, 128, 128)
    large = small.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    assert_close(random_features()(large), random_features()(small), atol=1e-4, rtol=1e-4)


def test_what_are_no_pictures_is_refused():
    extractor = random_features()
    for wrong in (torch.zeros(1, 3, 32, 32), torch.zeros(3, 32, 32).byte(), torch.zeros(1, 4, 32, 32).byte()):
        with pytest.raises(BadInput, match=r"wanted torch.uint8 \[B, 3, H, W\]"):
            extractor(wrong)
    with pytest.raises(BadInput, match="15x40 pixels, wanted sides of at least 16"):
        extractor(pictures(1, 15, 40))


def test_a_set_is_at_no_distance_from_itself():
    found = moments(discs(120, 0))
    assert abs(frechet(found, found)) < 1e-6 * found.covariance.trace()


def test_distances_grow_with_noise_blur_and_lost_modes():
    real, fake = moments(discs(200, 0)), discs(200, 1)
    chains = [[noisy(fake, amount) for amount in (2, 6, 18)], [smoothed(fake, times) for times in (1, 3, 9)]]
    chains.append([discs(200, 1, kinds) for kinds in (3, 2, 1)])
    for chain in chains:
        apart = torch.tensor([frechet(moments(images), real) for images in (fake, *chain)])
        assert (apart.diff() > 0.2 * apart[0]).all(), apart


@pytest.fixture
def squeezed(tmp_path):
    """SqueezeNet's random weights in a file of Caffe's names."""
    parts = {"squeeze": "squeeze1x1", "expand1": "expand1x1", "expand3": "expand3x3"}
    named = {}
    for name, tensor in SqueezeNet().state_dict().items():
        part, *rest = name.split(".")
        named[name if part == "conv1" else f"fire{rest[0]}/{parts[rest[1]]}.{rest[2]}"] = tensor.numpy()
    np.savez(tmp_path / "squeeze.npz", **named)
    return tmp_path / "squeeze.npz"


def test_squeezenet_averages_its_last_features(squeezed):
    extractor, images = squeezenet_features(squeezed), pictures(3, 80, 96)
    with torch.no_grad():
        wanted = extractor.look.backbone(images / 255)[-1].mean((2, 3))
    assert_close(extractor(images), wanted)
    assert_close(torch.cat([extractor(one) for one in images.split(1)]), wanted, atol=1e-5, rtol=1e-5)
    assert (extractor.width, extractor.weights) == (512, sha256(squeezed))
    assert "Caffe lineage" in extractor.remark


def test_squeezenet_sees_small_and_large_pictures_at_stated_sizes(squeezed):
    extractor = squeezenet_features(squeezed)
    for size, shown in (((16, 30), (LEAST, LEAST)), ((300, 100), (MOST, 100))):
        images = pictures(2, *size)
        bigger = interpolate(images / 255, shown, mode="bilinear", antialias=True)
        with torch.no_grad():
            assert_close(extractor(images), extractor.look.backbone(bigger)[-1].mean((2, 3)))
    with pytest.raises(BadInput, match=r"torch\.float32"):
        extractor(torch.zeros(1, 3, 32, 32))
    with pytest.raises(BadInput, match=r"none\.npz"):
        squeezenet_features("none.npz")


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="no weights of SqueezeNet beside the project")
def test_distances_by_squeezenet_grow_too():
    extractor = squeezenet_features(WEIGHTS)
    real, fake = Moments.of(extractor(discs(60, 0))), discs(60, 1)
    for worse in (noisy, smoothed):
        apart = [
            frechet(Moments.of(extractor(images)), real) for images in (fake, worse(fake, 2), worse(fake, 20))
        ]
        assert apart == sorted(apart)
