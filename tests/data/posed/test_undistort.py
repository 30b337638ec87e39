"""Distortion of points, its inverse, and an image of a known pattern undistorted."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genscene.data.posed.undistort import distort_points, undistort_image, undistort_map, undistort_points

DISTORTIONS = {
    "opencv": [0.2, -0.1, -0.001, 0.002, 0.01, 0.0],
    "fisheye": [0.03, -0.02, 0.0, 0.0, 0.004, -0.001],
    "pinhole": [0.0] * 6,
}
SIZE = (60, 80)
INTRINSICS = torch.tensor([[0.75, 0, 0.51], [0, 1.0, 0.48], [0, 0, 1]], dtype=torch.float64)


def distortion(model):
    return torch.tensor(DISTORTIONS[model], dtype=torch.float64)


def plane():
    """The pixels of a pinhole image on the plane at depth 1 -> [H * W, 2]."""
    v, u = torch.meshgrid(*((torch.arange(n, dtype=torch.float64) + 0.5) / n for n in SIZE), indexing="ij")
    return ((torch.stack([u, v], -1) - INTRINSICS[:2, 2]) / INTRINSICS[:2, :2].diagonal()).reshape(-1, 2)


def pattern(points):
    """A smooth colour image as a function of points [H * W, 2] -> uint8 [H, W, 3]."""
    x, y = points.unbind(-1)
    colors = torch.stack([(7 * x).sin(), (6 * y + 1).cos(), (4 * x + 5 * y).sin()], dim=-1)
    return (127.5 + 100 * colors).round().byte().view(*SIZE, 3).numpy()


def test_distortion_formulas():
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
    assert_close(distort_points(point, terms, "opencv"), torch.tensor([wanted], dtype=torch.float64))
    angle = math.atan(1.0)  # a point at 45 degrees, equidistant but for k1
    edge = distort_points(
        torch.tensor([[1.0, 0.0]], dtype=torch.float64),
        torch.tensor([0.1, 0, 0, 0, 0, 0]).double(),
        "fisheye",
    )
    assert_close(
        edge, torch.tensor([[angle * (1 + torch.tensor(0.1).double() * angle**2), 0.0]], dtype=torch.float64)
    )


@pytest.mark.parametrize("model", DISTORTIONS)
def test_undistort_points_inverts_distort_points(model):
    points = torch.cat([plane(), torch.zeros(1, 2, dtype=torch.float64)])
    assert_close(
        undistort_points(distort_points(points, distortion(model), model), distortion(model), model),
        points,
        atol=1e-12,
        rtol=0,
    )


@pytest.mark.parametrize("model", DISTORTIONS)
def test_undistort_image_recovers_a_pattern(model):
    distorted = pattern(
        undistort_points(plane(), distortion(model), model)
    )  # the distorted image of the pattern
    undistortion = undistort_map(INTRINSICS, distortion(model), model, SIZE)
    valid = undistortion.valid.numpy()
    off = np.abs(undistort_image(distorted, undistortion).astype(int) - pattern(plane()))[valid]
    assert valid.mean() > 0.8
    assert off.max() <= 4
    if model == "pinhole":
        assert valid.all()
        assert off.max() == 0
    else:
        assert (
            np.abs(distorted.astype(int) - pattern(plane()))[valid].max() > 10
        )  # the distorted image differs


def test_pixels_beyond_the_invertible_radius_are_invalid():
    terms = torch.tensor([-1.0, 0, 0, 0, 0, 0], dtype=torch.float64)  # grows up to a radius of 1 / sqrt(3)
    valid = undistort_map(INTRINSICS, terms, "opencv", SIZE).valid.reshape(-1)
    radius = plane().norm(dim=-1)
    assert not valid[radius > 0.58].any()
    assert valid[radius < 0.57].all()
