"""Bent lenses: forth and back, and a picture of a known pattern made straight."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genscene.data.posed.undistort import distort, mapping, straighten, undistort

LENSES = {
    "opencv": [0.2, -0.1, -0.001, 0.002, 0.01, 0.0],
    "fisheye": [0.03, -0.02, 0.0, 0.0, 0.004, -0.001],
    "pinhole": [0.0] * 6,
}
SIZE = (60, 80)
INTRINSICS = torch.tensor([[0.75, 0, 0.51], [0, 1.0, 0.48], [0, 0, 1]], dtype=torch.float64)


def lens(model):
    return torch.tensor(LENSES[model], dtype=torch.float64)


def plane():
    """Where the pixels of a pinhole picture are on the plane at depth 1 -> [H * W, 2]."""
    v, u = torch.meshgrid(*((torch.arange(n, dtype=torch.float64) + 0.5) / n for n in SIZE), indexing="ij")
    return ((torch.stack([u, v], -1) - INTRINSICS[:2, 2]) / INTRINSICS[:2, :2].diagonal()).reshape(-1, 2)


def pattern(points):
    """A smooth coloured picture as a function of the plane, 0 to 255 -> uint8 [H, W, 3]."""
    x, y = points.unbind(-1)
    colors = torch.stack([(7 * x).sin(), (6 * y + 1).cos(), (4 * x + 5 * y).sin()], dim=-1)
    return (127.5 + 100 * colors).round().byte().view(*SIZE, 3).numpy()


def test_known_points():
    k1, k2, p1, p2 = 0.1, 0.02, 0.003, 0.004
    x, y = 0.3, -0.2
    s = x * x + y * y
    radial = 1 + k1 * s + k2 * s * s
    wanted = [
        x * radial + 2 * p1 * x * y + p2 * (s + 2 * x * x),
        y * radial + p1 * (s + 2 * y * y) + 2 * p2 * x * y,
    ]
    terms = torch.tensor([k1, k2, p1, p2, 0, 0], dtype=torch.float64)
    point = torch.tensor([[x, y]], dtype=torch.float64)
    assert_close(distort(point, terms, "opencv"), torch.tensor([wanted], dtype=torch.float64))
    angle = math.atan(1.0)  # a point at 45 degrees, equidistant but for k1
    edge = distort(
        torch.tensor([[1.0, 0.0]], dtype=torch.float64),
        torch.tensor([0.1, 0, 0, 0, 0, 0]).double(),
        "fisheye",
    )
    assert_close(
        edge, torch.tensor([[angle * (1 + torch.tensor(0.1).double() * angle**2), 0.0]], dtype=torch.float64)
    )


@pytest.mark.parametrize("model", LENSES)
def test_straightening_undoes_distortion(model):
    points = torch.cat([plane(), torch.zeros(1, 2, dtype=torch.float64)])
    assert_close(
        straighten(distort(points, lens(model), model), lens(model), model), points, atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("model", LENSES)
def test_a_picture_made_straight(model):
    bent = pattern(straighten(plane(), lens(model), model))  # what the lens makes of the pattern
    straight = mapping(INTRINSICS, lens(model), model, SIZE)
    inside = straight.inside.numpy()
    off = np.abs(undistort(bent, straight).astype(int) - pattern(plane()))[inside]
    assert inside.mean() > 0.8
    assert off.max() <= 4
    if model == "pinhole":
        assert inside.all()
        assert off.max() == 0
    else:
        assert np.abs(bent.astype(int) - pattern(plane()))[inside].max() > 10  # it was bent


def test_where_the_polynomial_folds_back_nothing_is_seen():
    terms = torch.tensor([-1.0, 0, 0, 0, 0, 0], dtype=torch.float64)  # grows up to a radius of 1 / sqrt(3)
    inside = mapping(INTRINSICS, terms, "opencv", SIZE).inside.reshape(-1)
    radius = plane().norm(dim=-1)
    assert not inside[radius > 0.58].any()
    assert inside[radius < 0.57].all()
