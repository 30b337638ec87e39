"""Pictures: bytes, tiles, depth, normals, PNG files."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from genscene.contract import Rendering
from genscene.errors import BadInput
from genscene.export.pictures import depth_picture, normal_picture, save_png, tile, to_bytes, to_picture


def test_bytes_are_rounded_and_clamped():
    image = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0]).view(1, 1, 5).expand(3, 1, 5)
    assert to_bytes(image)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_tiles_are_in_rows_and_columns():
    pictures = torch.arange(6.0).view(2, 3, 1, 1, 1).expand(2, 3, 3, 2, 4) / 6
    whole = tile(pictures)
    assert whole.shape == (3, 4, 12)
    assert_close(whole[0, ::2, ::4], torch.arange(6.0).view(2, 3) / 6)
    assert tile(pictures, gap=1).shape == (3, 5, 14)


def test_png_round_trip(tmp_path):
    image = torch.rand(3, 5, 7)
    save_png(tmp_path / "new" / "a.png", image)
    with Image.open(tmp_path / "new" / "a.png") as stored:
        assert np.array_equal(np.asarray(stored), to_bytes(image).numpy())
    save_png(tmp_path / "b.png", torch.zeros(3, 5, 7))
    with Image.open(tmp_path / "b.png") as stored:
        assert stored.mode == "RGB"  # full color, not a palette, even where one would do


def test_near_depth_is_bright_and_empty_space_is_black():
    depth = torch.tensor([1.0, 2.0, 3.0, 0.0]).view(1, 1, 1, 4)
    alpha = torch.tensor([1.0, 1.0, 1.0, 0.0]).view(1, 1, 1, 4)
    shades = depth_picture(depth, alpha, (1.0, 3.0))[0, 0, 0].tolist()
    assert shades[0] == 1.0
    assert shades[0] > shades[1] > shades[2] > shades[3] == 0.0


def test_normals_of_a_flat_wall_face_the_eye():
    flat = normal_picture(torch.full((1, 1, 6, 6), 2.0), torch.ones(1, 1, 6, 6))
    assert_close(flat[0, :, 3, 3], torch.tensor([0.5, 0.5, 1.0]))


def test_quantities_that_a_renderer_does_not_compute_are_refused():
    with pytest.raises(BadInput, match="no depth"):
        to_picture(Rendering(torch.zeros(1, 3, 2, 2)), "depth", (0, 1))
