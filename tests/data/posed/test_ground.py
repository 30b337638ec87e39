"""The ground of photographs: the color of their borders, and how sure it is."""

import numpy as np
import pytest

from genscene.data.posed.ground import find_ground, shows_object


def photographs(color, other=0.0, noise=0.0):
    """Ten photographs of a color with an object in the middle; a share of the border has another color."""
    random = np.random.default_rng(0)
    pixels = np.full((10, 20, 20, 3), float(color)) + noise * random.standard_normal((10, 20, 20, 3))
    pixels[: round(10 * other)] = 128
    pixels[:, 5:15, 8:12] = (200, 30, 90)
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("color", "wanted"), [(0, "black"), (8, "black"), (30, "black"), (250, "white"), (128, None)]
)
def test_a_ground_near_black_or_white_is_that_background(color, wanted):
    ground = find_ground(photographs(color, noise=2))
    assert ground.background == wanted
    assert ground.share > 0.99
    assert ground.color == pytest.approx((color / 255,) * 3, abs=0.005)


def test_three_border_pixels_in_ten_may_have_another_color():
    assert find_ground(photographs(5, other=0.3)).background == "black"
    ground = find_ground(photographs(5, other=0.4))
    assert ground.background is None
    assert str(ground) == "60 % of the border pixels are within 16 of 5,5,5"


def test_the_object_is_what_is_not_of_the_ground():
    pixels = photographs(8, noise=2)
    found = shows_object(pixels, find_ground(pixels))
    assert found[:, 5:15, 8:12].all()
    assert found.sum() == 10 * 10 * 4


def test_a_nearly_black_cloth_may_have_folds():
    pixels = photographs(20, noise=13)
    ground = find_ground(pixels)
    assert (ground.background, ground.tolerance) == ("black", 40)
    assert not shows_object(pixels, ground)[:, 0].any()
    assert not find_ground(photographs(128, noise=13)).sure
