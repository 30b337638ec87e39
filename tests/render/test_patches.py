"""Patches: windows of images and of cameras show the same part."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from genscene.contract import RenderOptions
from genscene.errors import BadInput
from genscene.experiment.validation import validate
from genscene.geometry.cameras import Grid
from genscene.geometry.priors import CameraPrior
from genscene.randomness import RandomStreams
from genscene.render.march import March
from genscene.render.patches import PatchSampler, crop_and_resize, resize_antialiased
from genscene.render.volume import render_view

SEEDS = st.integers(0, 2**31)
SAMPLERS = st.builds(
    PatchSampler,
    size=st.integers(1, 16),
    smallest=st.floats(0.01, 1.0),
    share=st.floats(0.0, 1.0),
    antialias=st.booleans(),
)
law = settings(max_examples=30)


@law
@given(seed=SEEDS, sampler=SAMPLERS)
def test_windows_lie_in_the_unit_square(seed, sampler):
    windows = sampler.sample(RandomStreams(range(seed, seed + 20)), 0)
    scale, x, y = windows.unbind(-1)
    assert ((scale >= sampler.smallest - 1e-6) & (scale <= 1)).all()
    for start in (x, y):
        assert (start >= 0).all()
        assert (start + scale <= 1 + 1e-6).all()


@law
@given(seed=SEEDS, sampler=SAMPLERS)
def test_a_window_does_not_depend_on_its_neighbors(seed, sampler):
    alone, among = (sampler.sample(RandomStreams(s), 0) for s in ([seed], [seed + 1, seed]))
    assert torch.equal(alone[0], among[1])


def test_the_share_of_windows_is_as_configured():
    windows = PatchSampler(size=8, smallest=0.5, share=0.3).sample(RandomStreams(range(4000)), 0)
    assert ((windows[:, 0] < 1).float().mean() - 0.3).abs() < 0.03
    whole = windows[windows[:, 0] == 1]
    assert torch.equal(whole, torch.tensor([1.0, 0.0, 0.0]).expand_as(whole))


def test_patches_that_do_not_fit_the_images_are_refused():
    with pytest.raises(BadInput, match=r"patches.size 9: wanted at most the images' side, 8"):
        PatchSampler(9).check_size((8, 16))
    with pytest.raises(BadInput, match=r"patches.strides: wanted off for images of 8x16, not square"):
        PatchSampler(4, strides=True).check_size((8, 16))
    PatchSampler(4).check_size((8, 16))
    PatchSampler().check_size((2, 4))


def test_there_are_no_windows_without_a_size_or_before_the_start():
    assert PatchSampler().sample(RandomStreams([0]), 0) is None
    later = PatchSampler(size=8, start=5)
    assert later.sample(RandomStreams([0]), 4) is None
    assert later.sample(RandomStreams([0]), 5) is not None


@law
@given(seed=SEEDS, size=st.tuples(st.integers(1, 12), st.integers(1, 12)))
def test_without_windows_images_are_resized(seed, size):
    images = RandomStreams([seed, seed + 1]).uniform(3, 12, 12)
    found = crop_and_resize(images, None, size)
    assert_close(found, resize_antialiased(images, size), atol=1e-6, rtol=0)
    assert found.shape == (2, 3, *size)


@law
@given(seed=SEEDS, size=st.sampled_from([2, 3, 4, 6, 12]), antialias=st.booleans())
def test_the_window_of_the_whole_is_the_resized_image(seed, size, antialias):
    """By averaging whole pixels, or by picking the points in the pixels' centers."""
    images = RandomStreams([seed, seed + 1]).uniform(3, 12, 12)
    whole = torch.tensor([[1.0, 0.0, 0.0]]).repeat(2, 1)
    found = crop_and_resize(images, whole, (size, size), antialias)
    if antialias:
        wanted = torch.nn.functional.interpolate(images, (size, size), mode="area")
    else:
        wanted = torch.nn.functional.interpolate(images, (size, size), mode="bilinear", align_corners=False)
    assert_close(found, wanted, atol=1e-5, rtol=0)


@law
@given(
    seed=SEEDS,
    slopes=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    size=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    antialias=st.booleans(),
)
def test_a_window_of_a_linear_image_is_the_linear_function(seed, slopes, size, antialias):
    def linear(coords):
        return (slopes[0] * coords[:, :1] + slopes[1] * coords[:, 1:] + 0.3).expand(-1, 3, -1, -1)

    scale, x, y = RandomStreams([seed, seed + 1]).uniform(3).double().unbind(-1)
    scale = 0.1 + 0.7 * scale
    margin = 0.05  # beyond the outermost pixel centers an image is constant
    windows = torch.stack([scale, *(margin + z * (1 - scale - 2 * margin) for z in (x, y))], dim=-1)
    images = linear(Grid.whole(2, (16, 16)).coords()).double()
    found = crop_and_resize(images, windows, size, antialias)
    assert_close(found, linear(Grid(windows, size).coords()), atol=1e-6, rtol=0)


def test_windows_of_one_batch_are_averaged_by_their_own_scale():
    images = RandomStreams([0, 1, 2]).uniform(3, 8, 8)
    windows = torch.tensor([[0.5, 0.5, 0.25], [1.0, 0.0, 0.0], [0.5, 0.0, 0.0]])
    found = crop_and_resize(images, windows, (4, 4))
    assert_close(found[0], images[0, :, 2:6, 4:])  # pixels as they are
    assert_close(found[1], torch.nn.functional.avg_pool2d(images[1], 2))
    assert_close(found[2], images[2, :, :4, :4])


@settings(max_examples=15)
@given(seed=SEEDS, sampler=SAMPLERS)
def test_a_patch_of_the_camera_renders_what_the_crop_shows(seed, sampler):
    """Of a smooth scene, up to the interpolation between the pixels of the whole picture."""
    random, march = RandomStreams([seed, seed + 1]), March(1.0, 3.0, 6, last_interval=None)
    camera = CameraPrior("uniform", radius=2.0, fov=30.0).sample(random, (48, 48))

    def field(points, directions):
        return (points @ torch.tensor([[0.2, 0.1, 0.0], [0.0, 0.2, 0.1], [0.1, 0.0, 0.2]]) + 0.5), points.sum(
            -1
        )

    def render(view):
        return render_view(field, view.rays().unit(), view.size, march, RenderOptions(), sample_bytes=4).image

    windows = sampler.sample(random, 0)
    patch = render(camera.crop(windows, (7, 7)))
    crop = crop_and_resize(render(camera), windows, (7, 7), antialias=False)
    assert_close(patch, crop, atol=2e-3, rtol=0)


BAD = {
    "size": ({"size": -1}, "--patches.size -1: wanted 0 or more"),
    "smallest": ({"smallest": 0.0}, "--patches.smallest 0.0: wanted a number above 0, up to 1"),
    "no size": ({"strides": True, "antialias": False}, "--patches.strides: wanted a size of patches with it"),
    "averaged": ({"size": 4, "strides": True}, "--patches.strides: wanted a size of patches with it, and"),
    "share": ({"share": 1.5}, "--patches.share 1.5: wanted a number from 0 to 1"),
}


@pytest.mark.parametrize(("changed", "expected"), BAD.values(), ids=BAD)
def test_windows_that_cannot_be_sampled_are_refused(changed, expected):
    with pytest.raises(BadInput) as error:
        validate(PatchSampler(**changed), "patches")
    assert expected in str(error.value)
