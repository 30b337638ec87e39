"""Reprojection against scenes that are known: a textured ball, what goes wrong with one, and what is hidden."""

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
from genscene.metrics.consistency import Shot, reprojected
from genscene.randomness import RandomStreams

ORBIT = CameraPrior("uniform", (math.pi / 2, math.pi), (1.2, 0.3), radius=2.6, fov=42.0)
RADIUS = 0.8


def pair(side, turn=15.0, count=3):
    """Cameras around the origin, and the same turned by so many degrees."""
    yaw, pitch = torch.linspace(0, 5, count), torch.full((count,), 1.2)
    return tuple(ORBIT.at(yaw + math.radians(turn) * i, pitch, (side, side)) for i in range(2))


def bands(points):
    return 0.5 + 0.5 * torch.sin(9 * points + torch.tensor([0.0, 1.0, 2.0]))


def ball(camera, texture=bands, rays=None, centre=(0.0, 0.0, 0.0), radius=RADIUS):
    """A textured ball on white, its distance exact."""
    rays = rays or camera.rays().unit()
    origins, directions = as_float64(rays.origins) - torch.tensor(centre).double(), as_float64(rays.directions)
    a, b = directions.square().sum(-1), (origins * directions).sum(-1)
    inside = b.square() - a * (origins.square().sum(-1) - radius**2)
    hit = inside > 0
    t = torch.where(hit, (-b - inside.clamp_min(0).sqrt()) / a, 0.0)[..., None]
    colors = torch.where(hit[..., None], texture(rays.at(t)[:, :, 0]), 1.0)
    maps = (x.mT.unflatten(-1, camera.size).float() for x in (colors, t, hit[..., None]))
    return Shot(*maps, rays, camera.pose)


def worn(camera):
    """A texture that turns with the camera."""

    def texture(points):
        return bands((points - as_float64(camera.pose)[:, None, :3, 3]) @ as_float64(camera.pose)[:, :3, :3])

    return texture


def flattened(shot):
    """The same picture on a billboard through the origin, facing its camera."""
    along = as_float64(shot.rays.directions) @ as_float64(shot.pose)[:, :3, 2:3]
    return replace(shot, depth=(2.6 / along).mT.view_as(shot.depth).float() * shot.alpha)


def test_a_ball_agrees_with_itself_better_with_more_pixels():
    found = [reprojected(*map(ball, pair(side))) for side in (32, 64, 128)]
    assert [r.psnr.min() > least for r, least in zip(found, (34, 40, 44), strict=True)] == [True] * 3
    for coarse, fine in pairwise(found):
        assert (fine.absolute < 0.5 * coarse.absolute).all()
        assert (fine.depth < 0.5 * coarse.depth).all()
        assert (fine.visible > coarse.visible).all()  # the outline is thinner
    assert found[-1].depth.max() < 1e-4


def test_a_picture_beside_itself_has_no_error():
    for side in (20, 32):
        shot = ball(pair(side)[0])
        found = reprojected(shot, shot)
        assert found.absolute.max() < 1e-5
        assert found.psnr.min() > 90
        assert found.depth.max() < 1e-6
        assert_close(found.visible, torch.ones(3), check_dtype=False)


@pytest.mark.parametrize("side", [32, 128])
def test_a_texture_that_turns_with_the_camera_is_found_out(side):
    first, second = pair(side)
    found = reprojected(ball(first, worn(first)), ball(second, worn(second)))
    assert found.psnr.max() < 12
    assert found.depth.max() < 1e-3  # the shape is right


@pytest.mark.parametrize("side", [32, 128])
def test_a_billboard_is_found_out(side):
    first, second = (flattened(ball(camera)) for camera in pair(side))
    found = reprojected(first, second)
    assert found.psnr.max() < 12
    assert found.depth.min() > 0.02
    assert (found.visible < 0.8).all()
    assert reprojected(first, second, tolerance=1.0).psnr.max() < 12  # nor is it saved by comparing all of it


def test_toys_agree_and_their_billboards_do_not():
    scenes = SETS["cars"].scenes(RandomStreams(range(3)))

    def shot(camera):
        seen = trace(scenes, camera, 1)
        image = seen.color * seen.alpha + 1 - seen.alpha
        return Shot(image, seen.depth, seen.alpha, camera.rays().unit(), camera.pose)

    first, second = map(shot, pair(64))
    true, flat = reprojected(first, second), reprojected(flattened(first), flattened(second))
    assert (true.psnr > flat.psnr + 4).all()
    assert (true.absolute < 0.6 * flat.absolute).all()
    assert true.depth.max() < 1e-3 < 0.01 < flat.depth.min()


def test_what_is_hidden_is_not_counted():
    """A black ball in front of the second camera alone: what it covers would count as a large error."""
    first, second = pair(64, 40.0, 1)
    eye = second.pose[0, :3, 3]
    far, near = ball(second), ball(second, torch.zeros_like, centre=tuple((0.6 * eye).tolist()), radius=0.2)
    parts = [torch.where(near.alpha > 0, a, b) for a, b in ((near.image, far.image), (near.depth, far.depth))]
    covered = Shot(*parts, (far.alpha + near.alpha).clamp_max(1), far.rays, far.pose)
    open_, hidden = reprojected(ball(first), far), reprojected(ball(first), covered)
    assert hidden.visible.item() < open_.visible.item() - 0.05
    assert hidden.psnr.item() > 37
    assert reprojected(ball(first), covered, tolerance=10.0).psnr.item() < 25


def test_no_more_is_visible_than_there_is():
    """A point of a ball is seen where it lies above the plane in which lines from the eye touch the ball."""
    missed = []
    for side in (32, 64, 128):
        first, second = pair(side, 60.0)
        shot = ball(first)
        above = (shot.lifted() @ as_float64(second.pose)[:, :3, 3:])[..., 0] > RADIUS**2
        truth = (above & shot.opaque).sum(1) / shot.opaque.sum(1)
        missed.append((truth - reprojected(shot, ball(second)).visible).mean().item())
    assert (
        0 < missed[2] < 0.8 * missed[1] < 0.8**2 * missed[0]
    )  # the outline in the second picture, a pixel as_float64


def test_the_unit_of_depth_and_the_lens_are_those_of_the_rays():
    first, second = pair(32)
    wanted = reprojected(ball(first), ball(second))
    mixed = reprojected(ball(first, rays=first.rays()), ball(second))
    assert_close(mixed.squared, wanted.squared, atol=1e-7, rtol=1e-3)
    corners = [ball(c, rays=c.corner_aligned().rays().unit()) for c in (first, second)]
    blind = [replace(s, rays=c.rays().unit()) for s, c in zip(corners, (first, second), strict=True)]
    assert (reprojected(*corners).absolute < 0.8 * reprojected(*blind).absolute).all()
    assert (reprojected(*corners).depth < 0.5 * reprojected(*blind).depth).all()
    assert reprojected(corners[0], corners[0]).absolute.max() < 1e-5


def test_where_nothing_is_seen_there_is_no_error_to_tell():
    first, second = pair(16)
    shot, away = ball(first), ball(second)
    empty = replace(away, alpha=torch.zeros_like(away.alpha))
    found = reprojected(shot, empty)
    assert found.psnr.isnan().all()
    assert found.depth.isnan().all()
    assert found.visible.tolist() == [0, 0, 0]
    assert reprojected(empty, shot).visible.isnan().all()


def test_what_is_behind_a_camera_is_not_seen_by_it():
    first, second = pair(16)
    pose = second.pose * torch.tensor([-1.0, 1.0, -1.0, 1.0])  # it has turned its back
    back = replace(second, pose=pose)
    solid = Shot(
        torch.zeros(3, 3, 16, 16), torch.ones(3, 1, 16, 16), torch.ones(3, 1, 16, 16), back.rays(), pose
    )
    assert reprojected(ball(first), solid, tolerance=1e9).visible.max() == 0


def test_shapes_that_do_not_fit_are_named():
    shot = ball(pair(16)[0])
    with pytest.raises(BadInput, match=r"wanted \[B, 3, H, W\].* and H \* W rays"):
        replace(shot, depth=shot.depth[:, 0])
    with pytest.raises(BadInput, match="with 8 rays"):
        replace(shot, rays=shot.rays[:8])
