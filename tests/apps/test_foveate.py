"""Foveated synthesis: only its pixels are evaluated, they are exact, the others are close to them."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from genscene.apps.foveate import Fovea, fill_missing, render_foveated, sample_pixels
from genscene.contract import Rendering, RenderOptions, SingleSceneGenerator
from genscene.errors import BadInput
from genscene.geometry.cameras import Grid
from genscene.metrics.image import psnr
from genscene.randomness import RandomStreams
from genscene.render.canvas import CanvasGenerator


class Waves(SingleSceneGenerator, CanvasGenerator):
    """A smooth picture, of which it counts the pixels that are evaluated."""

    def __init__(self):
        super().__init__()
        self.weight, self.evaluated = torch.nn.Parameter(torch.zeros(1)), 0

    def bind(self, w):
        return self.scene_of

    def scene_of(self, coords):
        self.evaluated += coords[0, 0].numel()
        x, y = coords.unbind(1)
        return torch.stack([(3 * x + y).sin(), (4 * x * y).cos(), (2 * y - x).sin()], dim=1) / 2 + 0.5

    def coords(self, view):
        return view.coords()

    def pixel_bytes(self):
        return 24

    def render(self, scene, view, options=None):
        return Rendering(scene(self.coords(view)))


IN_PARTS = RenderOptions(max_bytes=999)
WINDOW = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.25, -0.5]])


@torch.no_grad()
def foveated(fovea, size=(24, 40), options=IN_PARTS, seeds=(0, 1)):
    """The generator, what it renders of two windows, and their full pictures."""
    generator, view = Waves(), Grid(WINDOW, size)
    scene = generator.scene(generator.latents(RandomStreams([0])))
    found = render_foveated(generator, scene, view, fovea, RandomStreams(seeds), options)
    counted, generator.evaluated = generator.evaluated, 0
    return counted, found, generator.render(scene, view).image


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5])
def test_only_the_share_is_evaluated_and_is_exact(share):
    done = []
    counted, found, full = foveated(Fovea(share), options=replace(IN_PARTS, progress=done.append))
    assert counted == round(share * 24 * 40)
    assert found.evaluated.sum(dim=(1, 2, 3)).tolist() == [counted, counted]
    assert sum(done) == 2 * counted
    assert len(done) > 1
    exact = found.evaluated.expand(-1, 3, -1, -1)
    assert_close(found.image[exact], full[exact])
    assert not torch.equal(found.evaluated[0], found.evaluated[1])


def test_all_pixels_are_the_full_picture():
    _, found, full = foveated(Fovea(1.0))
    assert found.evaluated.all()
    assert_close(found.image, full)


def test_the_same_seed_gives_the_same_picture_whatever_the_others_are():
    _, both, _ = foveated(Fovea())
    _, again, _ = foveated(Fovea(), seeds=(7, 1))
    assert torch.equal(both.image[1], again.image[1])
    assert not torch.equal(both.evaluated[0], again.evaluated[0])


def test_what_is_filled_in_is_close_to_the_picture():
    _, found, full = foveated(Fovea(0.25), (96, 96), RenderOptions())
    middle = (slice(None), slice(None), slice(32, 64), slice(32, 64))
    error = (found.image - full).square()
    assert psnr(error.mean()) > 30
    assert psnr(error[middle].mean()) > 50
    assert psnr((full * ~found.evaluated).square().mean()) < 10


def test_pixels_have_the_density_of_a_gaussian_around_the_center():
    fovea = Fovea(0.02, (0.4, -0.2), 0.2)
    index = sample_pixels(fovea, (150, 200), RandomStreams(range(8)))
    assert index.shape == (8, 600)
    assert all(len(set(row)) == 600 and row == sorted(row) for row in index.tolist())
    places = Grid.whole(1, (150, 200)).coords().flatten(2)[0, :, index.flatten()]
    assert_close(places.mean(dim=1), torch.tensor([0.4, -0.2]), atol=0.01, rtol=0)
    # without replacement they lie a little wider than the Gaussian, which has 0.2
    assert all(0.2 <= float(spread) < 0.23 for spread in places.std(dim=1))


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.001, 1), st.integers(0, 9))
def test_any_size_is_filled_and_what_is_known_remains(height, width, share, seed):
    fovea = Fovea(share)
    index = sample_pixels(fovea, (height, width), RandomStreams([seed]))
    known = torch.zeros(1, 1, height * width).scatter(2, index[None], 1.0).view(1, 1, height, width)
    image = torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(seed))
    filled = fill_missing(image, known)
    assert filled.shape == image.shape
    assert_close(filled * known, image * known)
    assert filled.isfinite().all()
    assert_close(fill_missing(torch.full_like(image, 0.7), known), torch.full_like(image, 0.7))


@pytest.mark.parametrize(
    ("fovea", "message"),
    [
        (Fovea(0.0), "share 0.0: wanted a number above 0, up to 1"),
        (Fovea(1.5), "share 1.5"),
        (replace(Fovea(), deviation=0.0), "deviation 0.0"),
        (replace(Fovea(), center=(math.nan, 0.0)), "center nan"),
    ],
)
def test_numbers_out_of_range_are_refused(fovea, message):
    with pytest.raises(BadInput, match=message):
        foveated(fovea)


def test_as_many_streams_as_views_are_wanted():
    with pytest.raises(BadInput, match="1 random streams for 2 views: wanted as many"):
        foveated(Fovea(), seeds=(0,))
