"""Derivatives of functions of points against their formulas."""

import torch
from torch.testing import assert_close

from genscene.render.derivatives import gradient, laplacian


def test_gradient_and_laplacian_of_a_polynomial():
    points = torch.randn(2, 7, 2, dtype=torch.float64, requires_grad=True)
    x, y = points.unbind(-1)
    first = gradient(torch.stack([x**3 * y, x**2 - 3 * y**2], dim=-1), points)
    assert first.shape == (2, 7, 2, 2)
    assert_close(first[..., 0, :], torch.stack([3 * x**2 * y, x**3], dim=-1))
    assert_close(first[..., 1, :], torch.stack([2 * x, -6 * y], dim=-1))
    assert_close(laplacian(first, points), torch.stack([6 * x * y, torch.full_like(x, -4.0)], dim=-1))
    scaled = laplacian(first * points.new_tensor([2.0, 1.0]), points, points.new_tensor([2.0, 1.0]))
    assert_close(scaled[..., 1], torch.full_like(x, 4 * 2.0 - 6.0))


def test_what_does_not_depend_on_the_points_has_no_slope():
    points = torch.randn(1, 3, 2, requires_grad=True)
    weight = torch.ones(1, 3, 1, requires_grad=True)
    assert not gradient(weight * 2, points).any()
    assert not gradient(torch.ones(1, 3, 1), points).any()
    straight = gradient(points[..., :1] * weight, points)
    assert not laplacian(straight, points).any()
