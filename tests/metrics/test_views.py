"""Reprojection between views of known scenes: a textured ball, inconsistent versions of it, occlusions."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from genscene.data.synthetic import SETS
from genscene.data.synthetic.raytrace import trace
from genscene.errors import BadInput
from genscene.geometry.cameras import as_float64
from genscene.geometry.priors import CameraPrior
from genscene.metrics.views import RenderedView, mean_resultant_length, project, reproject
from genscene.randomness import RandomStreams

PRIOR = CameraPrior("uniform", (math.pi / 2, math.pi), (1.2, 0.3), radius=2.6, fov=42.0)
RADIUS = 0.8


def camera_pair(side, degrees=15.0, count=3):
    """Cameras around the origin, and the same rotated by so many degrees in yaw."""
    yaw, pitch = torch.linspace(0, 5, count), torch.full((count,), 1.2)
    return tuple(PRIOR.camera_at(yaw + math.radians(degrees) * i, pitch, (side, side)) for i in range(2))


def bands(points):
    """A texture: colors [..., 3] of points [..., 3]."""
    return 0.5 + 0.5 * torch.sin(9 * points + torch.tensor([0.0, 1.0, 2.0]))


def ball(camera, texture=bands, rays=None, center=(0.0, 0.0, 0.0), radius=RADIUS):
    """A view of a textured ball on white, its depth exact."""
    rays = rays or camera.rays()
    unit = rays.unit()
    origins, directions = (
        as_float64(unit.origins) - torch.tensor(center).double(),
        as_float64(unit.directions),
    )
    a, b = directions.square().sum(-1), (origins * directions).sum(-1)
    inside = b.square() - a * (origins.square().sum(-1) - radius**2)
    hit = inside > 0
    t = torch.where(hit, (-b - inside.clamp_min(0).sqrt()) / a, 0.0)[..., None]
    colors = torch.where(hit[..., None], texture(unit.at(t)[:, :, 0]), 1.0)
    maps = (x.mT.unflatten(-1, camera.size).float() for x in (colors, t, hit[..., None]))
    return RenderedView(*maps, rays, camera.pose)


def camera_texture(camera):
    """A texture that rotates with the camera."""

    def texture(points):
        return bands((points - as_float64(camera.pose)[:, None, :3, 3]) @ as_float64(camera.pose)[:, :3, :3])

    return texture


def billboard(view):
    """The same image on a plane through the origin, facing its camera."""
    cosines = as_float64(view.rays.unit().directions) @ as_float64(view.pose)[:, :3, 2:3]
    return replace(view, depth=(2.6 / cosines).mT.view_as(view.depth).float() * view.alpha)


def test_the_error_of_a_consistent_scene_falls_with_resolution():
    found = [reproject(*map(ball, camera_pair(side))) for side in (32, 64, 128)]
    assert [r.psnr.min() > least for r, least in zip(found, (34, 40, 44), strict=True)] == [True] * 3
    for coarse, fine in pairwise(found):
        assert (fine.absolute < 0.5 * coarse.absolute).all()
        assert (fine.depth < 0.5 * coarse.depth).all()
        assert (fine.visible > coarse.visible).all()  # the outline is thinner
    assert found[-1].depth.max() < 1e-4


def test_a_view_agrees_with_itself():
    for side in (20, 32):
        view = ball(camera_pair(side)[0])
        found = reproject(view, view)
        assert found.absolute.max() < 1e-5
        assert found.psnr.min() > 90
        assert found.depth.max() < 1e-6
        assert_close(found.visible, torch.ones(3), check_dtype=False)


@pytest.mark.parametrize("side", [32, 128])
def test_a_texture_that_rotates_with_the_camera_has_a_large_color_error(side):
    first, second = camera_pair(side)
    found = reproject(ball(first, camera_texture(first)), ball(second, camera_texture(second)))
    assert found.psnr.max() < 12
    assert found.depth.max() < 1e-3  # the shape is right


@pytest.mark.parametrize("side", [32, 128])
def test_a_billboard_has_a_large_color_and_depth_error(side):
    first, second = (billboard(ball(camera)) for camera in camera_pair(side))
    found = reproject(first, second)
    assert found.psnr.max() < 12
    assert found.depth.min() > 0.02
    assert (found.visible < 0.8).all()
    assert reproject(first, second, tolerance=1.0).psnr.max() < 12  # comparing all of it does not help


def test_synthetic_scenes_agree_better_than_their_billboards():
    scenes = SETS["cars"].scenes(RandomStreams(range(3)))

    def view(camera):
        traced = trace(scenes, camera, 1)
        image = traced.color * traced.alpha + 1 - traced.alpha
        return RenderedView(image, traced.depth, traced.alpha, camera.rays(), camera.pose)

    first, second = map(view, camera_pair(64))
    true, flat = reproject(first, second), reproject(billboard(first), billboard(second))
    assert (true.psnr > flat.psnr + 4).all()
    assert (true.absolute < 0.6 * flat.absolute).all()
    assert true.depth.max() < 1e-3 < 0.01 < flat.depth.min()


def test_occluded_pixels_are_not_compared():
    """A black ball in front of the second camera only: what it covers would be a large error."""
    first, second = camera_pair(64, 40.0, 1)
    eye = second.pose[0, :3, 3]
    far, near = ball(second), ball(second, torch.zeros_like, center=tuple((0.6 * eye).tolist()), radius=0.2)
    parts = [torch.where(near.alpha > 0, a, b) for a, b in ((near.image, far.image), (near.depth, far.depth))]
    covered = RenderedView(*parts, (far.alpha + near.alpha).clamp_max(1), far.rays, far.pose)
    free, occluded = reproject(ball(first), far), reproject(ball(first), covered)
    assert occluded.visible.item() < free.visible.item() - 0.05
    assert occluded.psnr.item() > 37
    assert reproject(ball(first), covered, tolerance=10.0).psnr.item() < 25


def test_the_visible_fraction_of_a_ball_approaches_its_exact_value():
    """A point of the ball is visible above the plane in which lines from the eye touch the ball."""
    missed = []
    for side in (32, 64, 128):
        first, second = camera_pair(side, 60.0)
        view = ball(first)
        above = (view.points() @ as_float64(second.pose)[:, :3, 3:])[..., 0] > RADIUS**2
        truth = (above & view.opaque).sum(1) / view.opaque.sum(1)
        missed.append((truth - reproject(view, ball(second)).visible).mean().item())
    # what is missed is the silhouette in the second image, a pixel as_float64
    assert 0 < missed[2] < 0.8 * missed[1] < 0.8**2 * missed[0]


def test_depth_is_in_world_units_and_intrinsics_are_those_of_the_rays():
    first, second = camera_pair(32)
    wanted = reproject(ball(first), ball(second))
    mixed = reproject(ball(first, rays=first.rays().unit()), ball(second))
    assert_close(mixed.squared, wanted.squared, atol=1e-7, rtol=1e-3)
    corners = [ball(c, rays=c.rays(pixels="border")) for c in (first, second)]
    wrong = [replace(s, rays=c.rays()) for s, c in zip(corners, (first, second), strict=True)]
    assert (reproject(*corners).absolute < 0.8 * reproject(*wrong).absolute).all()
    assert (reproject(*corners).depth < 0.5 * reproject(*wrong).depth).all()
    assert reproject(corners[0], corners[0]).absolute.max() < 1e-5


def test_the_error_without_visible_pixels_is_nan():
    first, second = camera_pair(16)
    view, away = ball(first), ball(second)
    empty = replace(away, alpha=torch.zeros_like(away.alpha))
    found = reproject(view, empty)
    assert found.psnr.isnan().all()
    assert found.depth.isnan().all()
    assert found.visible.tolist() == [0, 0, 0]
    assert reproject(empty, view).visible.isnan().all()


def test_points_behind_a_camera_are_not_visible():
    first, second = camera_pair(16)
    pose = second.pose * torch.tensor([-1.0, 1.0, -1.0, 1.0])  # rotated by 180 degrees
    back = replace(second, pose=pose)
    solid = RenderedView(
        torch.zeros(3, 3, 16, 16), torch.ones(3, 1, 16, 16), torch.ones(3, 1, 16, 16), back.rays(), pose
    )
    assert reproject(ball(first), solid, tolerance=1e9).visible.max() == 0


def test_wrong_shapes_are_rejected():
    view = ball(camera_pair(16)[0])
    with pytest.raises(BadInput, match=r"wanted \[B, 3, H, W\].* and H \* W rays"):
        replace(view, depth=view.depth[:, 0])
    with pytest.raises(BadInput, match="with 8 rays"):
        replace(view, rays=view.rays[:8])


def test_points_project_to_the_pixels_that_show_them():
    view = ball(camera_pair(12)[0])
    positions, in_front = project(view.points(), view)
    centers = (torch.arange(12) + 0.5) / 6 - 1
    rows, columns = torch.meshgrid(centers, centers, indexing="ij")
    wanted = torch.stack([columns, rows], dim=-1).flatten(0, 1).expand(3, -1, -1).double()
    assert_close(positions[view.opaque], wanted[view.opaque], atol=1e-5, rtol=0)
    assert in_front[view.opaque].all()


def test_the_mean_resultant_length_is_one_for_equal_angles_and_zero_for_opposite_ones():
    assert mean_resultant_length(torch.tensor([0.3, 0.3, 0.3])) == pytest.approx(1.0)
    quarters = torch.tensor([0.0, math.pi / 2, math.pi, -math.pi / 2])
    assert mean_resultant_length(quarters) == pytest.approx(0.0, abs=1e-6)
