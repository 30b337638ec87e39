"""Canvases: a window is the crop of a larger one, parts are the whole, any size shows the same plane."""

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from conftest import tiny
from genscene.contract import RenderOptions
from genscene.errors import Cancelled
from genscene.geometry.cameras import Grid
from genscene.layers.coordinates import Outside
from genscene.randomness import RandomStreams
from genscene.systems.cips.generator import CIPSGenerator

SIDE = 8  # rows of the whole plane; twice as many columns


def canvas(outside="border"):
    """A generator with new weights, and its first scene."""
    torch.manual_seed(0)
    config = tiny("cips-ffhq-256").system.generator
    generator = CIPSGenerator(config.__class__(**{**vars(config), "outside": outside})).eval()
    return generator, generator.scene(generator.latents(RandomStreams([0])))


@pytest.fixture(scope="module")
def larger():
    """Three times the plane in every direction, for each way to continue it."""
    found = {}
    for outside in get_args(Outside):
        generator, scene = canvas(outside)
        view = Grid(torch.tensor([[3.0, -1.0, -1.0]]), (3 * SIDE, 6 * SIDE))
        with torch.no_grad():
            found[outside] = (generator, scene, generator.render(scene, view).image)
    return found


@settings(max_examples=40)
@given(
    st.sampled_from(get_args(Outside)),
    st.integers(1, 12),
    st.integers(0, 24),
    st.integers(0, 48),
    st.booleans(),
)
@torch.no_grad()
def test_any_window_is_the_crop_of_a_larger_one_at_equal_sampling(
    larger, outside, quarters, row, column, in_parts
):
    generator, scene, whole = larger[outside]
    rows, columns = 2 * quarters, 4 * quarters  # the scale is quarters / 4 of the plane
    row, column = min(row, 3 * SIDE - rows), min(column, 6 * SIDE - columns)
    window = torch.tensor([[quarters / 4, column / (2 * SIDE) - 1, row / SIDE - 1]])
    options = RenderOptions(max_bytes=100 * generator.network.pixel_bytes(False) if in_parts else 1 << 28)
    found = generator.render(scene, Grid(window, (rows, columns)), options).image
    assert_close(found, whole[..., row : row + rows, column : column + columns], atol=1e-4, rtol=0)
    assert whole.std() > 1e-2


@torch.no_grad()
def test_a_larger_picture_has_the_pixels_of_the_smaller_one_between_its_own():
    generator, scene = canvas()
    small = generator.render(scene, Grid.whole(1, (5, 4))).image
    large = generator.render(scene, Grid.whole(1, (15, 12))).image
    assert_close(large[..., 1::3, 1::3], small, atol=1e-5, rtol=0)


@torch.no_grad()
def test_parts_report_their_pixels_and_cancellation_stops_before_the_next():
    generator, scene = canvas()
    view, done = Grid.whole(1, (9, 7)), []
    part = 10 * generator.network.pixel_bytes(False)
    options = RenderOptions(max_bytes=part, progress=done.append, cancelled=lambda: len(done) == 3)
    with pytest.raises(Cancelled):
        generator.render(scene, view, options)
    assert done == [10, 10, 10]
    generator.render(scene, view, RenderOptions(max_bytes=part, progress=done.append))
    assert done[3:] == [10, 10, 10, 10, 10, 10, 3]
