"""Pictures of clouds of Gaussians: views, similarities of the world, and harmonics that turn with it."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize
from torch.testing import assert_close

from export.test_splats import random_gaussians
from genscene.contract import RenderOptions
from genscene.errors import BadInput, Cancelled
from genscene.geometry.cameras import transform_cameras
from genscene.geometry.priors import CameraPrior
from genscene.geometry.rotations import multiply_quaternions, rotation, rotation_between
from genscene.render import spherical_harmonics
from genscene.render.splatting import render_gaussians, render_views, transform_gaussians

CAMERAS = CameraPrior("uniform", radius=3.0, fov=40.0).sweep(3, (24, 32))


def similarity(scale=1.7):
    """A rotation, a scale and a shift [4, 4]."""
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = scale * rotation(normalize(torch.randn(1, 4, dtype=torch.float64), dim=-1))[0]
    matrix[:3, 3] = torch.tensor([0.3, -2.0, 1.0])
    return matrix


@pytest.mark.parametrize("harmonics", [0, 1, 4, 9, 16])
def test_gaussians_and_cameras_moved_together_give_the_same_picture(harmonics):
    cloud, matrix = random_gaussians(harmonics=harmonics), similarity()
    before = render_views(cloud, CAMERAS, (1.0, 1.0, 1.0))
    after = render_views(
        transform_gaussians(cloud, matrix), transform_cameras(CAMERAS, matrix), (1.0, 1.0, 1.0)
    )
    assert_close(after.image, before.image, atol=1e-3, rtol=0)
    assert_close(after.depth, 1.7 * before.depth, atol=1e-2, rtol=0)
    there_and_back = transform_gaussians(transform_gaussians(cloud, matrix), torch.linalg.inv(matrix))
    assert_close(there_and_back.means, cloud.means, atol=1e-5, rtol=0)
    assert_close(there_and_back.colors, cloud.colors, atol=1e-5, rtol=0)


def test_rotated_harmonics_are_the_rotated_function():
    coefficients, directions = torch.randn(5, 16, 3), normalize(torch.randn(5, 3), dim=-1)
    turn = similarity(1.0)[:3, :3].float()
    before = spherical_harmonics.evaluate(coefficients, directions, 3)
    rotated = spherical_harmonics.rotate(coefficients, turn)
    assert_close(spherical_harmonics.evaluate(rotated, directions @ turn.mT, 3), before, atol=1e-5, rtol=0)


def test_quaternions_multiply_as_rotations():
    a, b = normalize(torch.randn(2, 6, 4, dtype=torch.float64), dim=-1)
    assert_close(rotation(multiply_quaternions(a, b)), rotation(a) @ rotation(b))


@pytest.mark.parametrize("b", [(0.0, 0.0, 1.0), (0.0, 0.0, -1.0), (1.0, 2.0, -3.0)])
def test_a_rotation_takes_one_direction_to_another(b):
    a, b = torch.tensor([0.0, 0.0, 1.0]).double(), normalize(torch.tensor(b).double(), dim=0)
    turn = rotation_between(a, b)
    assert_close(turn @ a, b)
    assert_close(turn @ turn.mT, torch.eye(3).double())


def test_one_cloud_is_seen_from_several_views_and_several_from_as_many():
    cloud = random_gaussians(harmonics=4)
    every = render_views(cloud, CAMERAS, (0.0, 0.0, 0.0))
    for i in range(3):
        one = render_gaussians(cloud, CAMERAS[i : i + 1])
        assert_close(every.image[i : i + 1], one.image)
        assert_close(every.depth[i : i + 1], one.depth)
    names = ("means", "quats", "scales", "opacities", "colors")
    three = replace(cloud, **{name: torch.cat([getattr(cloud, name)] * 3) for name in names})
    assert torch.equal(render_views(three, CAMERAS, (0.0, 0.0, 0.0)).image, every.image)
    assert render_views(cloud, CAMERAS[:0], (0.0, 0.0, 0.0)).image.shape == (0, 3, 24, 32)


def test_colors_may_be_seen_along_one_direction():
    cloud = random_gaussians(harmonics=9)
    colors = spherical_harmonics.evaluate(cloud.colors, torch.tensor([0.0, 0.0, -1.0]), 2)
    options = RenderOptions(fixed_direction=(0.0, 0.0, -1.0))
    wanted = render_views(replace(cloud, colors=colors), CAMERAS, (1.0, 1.0, 1.0))
    assert_close(render_views(cloud, CAMERAS, (1.0, 1.0, 1.0), options).image, wanted.image)


def test_rays_are_refused_progress_is_reported_and_rendering_cancelled():
    cloud, counts = random_gaussians(), []
    with pytest.raises(BadInput, match="wanted a Camera"):
        render_views(cloud, CAMERAS.rays(), (0.0, 0.0, 0.0))
    render_views(cloud, CAMERAS, (0.0, 0.0, 0.0), RenderOptions(progress=counts.append))
    assert counts == [24 * 32] * 3
    with pytest.raises(Cancelled):
        render_views(cloud, CAMERAS, (0.0, 0.0, 0.0), RenderOptions(cancelled=lambda: True))


def test_gradients_by_the_places_on_the_picture_can_be_had():
    cloud, seen = random_gaussians(), []
    means = cloud.means.requires_grad_()
    rendering = render_views(
        replace(cloud, means=means),
        CAMERAS[:1],
        (0.0, 0.0, 0.0),
        report=lambda meta: meta["means2d"].register_hook(seen.append),
    )
    rendering.image.square().sum().backward()
    (gradient,) = seen
    assert gradient.shape == (1, 1, 30, 2)
    assert gradient.abs().max() > 0
    assert means.grad.isfinite().all()
