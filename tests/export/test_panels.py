"""Figures: pictures enlarged or reduced beside one another, and the scale of their colors."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from genscene.export.panels import ACROSS, COLORS, PANEL, Figure, color, fit, save_figure


def test_pictures_of_a_figure_are_whole_and_in_order(tmp_path):
    pictures = torch.zeros(2, 3, 3, 4, 4)
    for i in range(2):
        for j in range(3):
            pictures[i, j] = torch.tensor([51 * i, 51 * j, 255])[:, None, None] / 255
    figure = Figure("title", "note", pictures, ["up", "down"], ["a", "b", "c"], (-90, -1), "dB")
    save_figure(tmp_path / "figure.png", figure)
    with Image.open(tmp_path / "figure.png") as image:
        pixels = np.asarray(image).astype(int)
    corners = []
    for i in range(2):
        for j in range(3):
            rows, columns = np.nonzero((pixels == [51 * i, 51 * j, 255]).all(-1))
            assert len(rows) == PANEL**2
            corners.append((rows.min(), columns.min()))
    assert corners == sorted(corners)
    brightest = (COLORS[-1] * 255).round().tolist()
    assert (pixels == brightest).all(-1).any()  # the scale, to the right of all pictures
    assert np.nonzero((pixels == brightest).all(-1))[1].min() > max(x for _, x in corners) + PANEL


@pytest.mark.parametrize(
    ("side", "columns", "wanted"), [(4, 1, 256), (100, 2, 200), (64, 8, 192), (1, 1, 256)]
)
def test_small_pictures_are_enlarged_as_squares(side, columns, wanted):
    pictures = torch.rand(1, columns, 3, side, side)
    found = fit(pictures)
    assert found.shape == (1, columns, 3, wanted, wanted)
    assert torch.equal(found[..., :: wanted // side, :: wanted // side], pictures)


def test_large_pictures_are_reduced_to_fit_in_a_row():
    found = fit(torch.full((2, 4, 3, 900, 900), 0.25))
    assert found.shape == (2, 4, 3, ACROSS // 4, ACROSS // 4)
    assert_close(found, torch.full_like(found, 0.25))
    assert fit(torch.zeros(1, 3000, 3, 2, 2)).shape[-1] == 1


def test_colors_rise_in_brightness():
    ramp = color(torch.linspace(-0.5, 1.5, 50)[None])
    assert ramp.shape == (3, 1, 50)
    gray = (ramp[:, 0] * torch.tensor([0.299, 0.587, 0.114])[:, None]).sum(0)
    assert (gray.diff() >= 0).all()
    assert (gray[13:-13].diff() > 0).all()
    assert_close(ramp[:, 0, [0, -1]], COLORS[[0, -1]].mT)
