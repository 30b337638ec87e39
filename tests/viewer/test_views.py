"""Views, sizes of pictures, windows on canvases, and where a camera may be."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from conftest import tiny
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import Grid
from genscene.geometry.priors import CameraPrior
from genscene.viewer.page.overlays import globe, patch_lines
from genscene.viewer.reach import Reach, first_view, reach_of, starts_beyond
from genscene.viewer.throttle import Throttle
from genscene.viewer.views import View, depth_along_axis, facing, picture_size, visible

ASPECTS = st.floats(0.2, 5)
FOVS = st.floats(0.1, 2.5)
PRIORS = {
    "y": CameraPrior("uniform", (math.pi / 2, 0.5), (1.2, 0.3), 2.0, 40.0),
    "z": CameraPrior("gaussian", (0.3, 0.4), (1.0, 0.1), 3.0, 30.0, up="z"),
    "sphere": CameraPrior("sphere", (0.0, 1.0), (0.4 * math.pi, 0.1 * math.pi), 2.7, 20.0, up="z"),
}


def view_of(prior, yaw=None, pitch=None, radius=None, fov=0.7, aspect=1.0):
    """The view of a prior's camera at angles."""
    mean = prior.mean_angles()
    numbers = (mean[0] if yaw is None else yaw, mean[1] if pitch is None else pitch, radius or prior.radius)
    yaw, pitch, radius = (torch.tensor([x], dtype=torch.float64) for x in numbers)
    return View(prior.camera_at(yaw, pitch, (1, 1), radius).pose[0], fov, aspect)


def reach(prior):
    """The reach of a prior for rays of any distance."""
    high = prior.pitch[0] + prior.pitch[1]
    return Reach(prior, prior.yaw, (prior.pitch[0] - prior.pitch[1], high), (0.1, 100.0))


@given(st.floats(1, 3000), ASPECTS, st.integers(64, 2048), st.sampled_from([1, 2, 8]))
def test_sizes_keep_the_aspect_and_the_limits(height, aspect, most, multiple):
    down, across = picture_size(height, aspect, most, multiple)
    assert down % multiple == across % multiple == 0
    assert max(down, across) <= most + multiple
    assert abs(across - down * aspect) <= (1 + aspect) * multiple / 2 + 1e-6 or min(down, across) == multiple
    if aspect <= 1 and most >= 64:
        assert down >= 48 - multiple


def test_a_point_on_the_axis_is_in_the_middle_and_up_is_up():
    for prior in PRIORS.values():
        camera = view_of(prior, fov=0.6, aspect=1.5).camera((40, 60))
        up = torch.tensor([0.0, 1.0, 0.0] if prior.up == "y" else [0.0, 0.0, 1.0])
        points = torch.stack([torch.zeros(3), 0.1 * up])
        inside = torch.linalg.inv(camera.pose[0]) @ torch.cat([points, torch.ones(2, 1)], dim=1).T
        at = camera.intrinsics[0] @ inside[:3]
        at = at[:2] / at[2]
        assert_close(at[:, 0], torch.tensor([0.5, 0.5]), atol=1e-5, rtol=0)
        assert at[1, 1] < 0.49


@given(FOVS, ASPECTS, ASPECTS)
def test_a_frame_is_within_the_view_and_what_is_around_it_shows_it(fov, aspect, other):
    view = View(torch.eye(4, dtype=torch.float64), fov, aspect)
    inner, outer = view.framed(other), view.around(other)
    sides = [(math.tan(v.fov / 2), math.tan(v.fov / 2) * v.aspect) for v in (inner, view, outer)]
    for small, large in pairwise(sides):
        assert all(a <= b * (1 + 1e-9) for a, b in zip(small, large, strict=True))
    assert inner.aspect == outer.aspect == other


def test_views_and_cameras_of_the_library_are_the_same():
    view = view_of(PRIORS["z"], fov=0.5, aspect=1.6)
    again = View.of_camera(view.camera((50, 80)))
    assert again.resembles(view)
    assert not again.resembles(replace(view, fov=0.51))
    prior = PRIORS["y"]
    assert first_view_of(prior).fov == pytest.approx(math.radians(prior.fov))


def first_view_of(prior):
    generator = build_seeded(tiny("pigan-demo")).generator
    generator.prior = prior
    return first_view(generator)


def test_depth_is_along_the_axis():
    view = View(torch.eye(4, dtype=torch.float64), 1.2, 1.4)
    rays = view.camera((10, 14)).rays().directions[0]
    distance = 3 * rays.norm(dim=-1).unflatten(0, (10, 14))
    assert_close(depth_along_axis(distance, view), torch.full((10, 14), 3.0))


def test_the_whole_canvas_is_seen_from_the_right_distance():
    fov, aspect = 0.7, 1.5
    distance = 0.5 / math.tan(fov / 2)
    seen = visible(facing(0.0, 0.0, distance, fov, aspect))
    whole = Grid.whole(1, (8, 12))
    assert_close(seen.grid((8, 12), aspect).coords(), whole.coords(), atol=1e-5, rtol=0)


def test_moving_right_and_up_shows_what_is_right_and_up():
    near = visible(facing(0.25, 0.25, 0.25 / math.tan(0.35), 0.7, 1.0)).grid((4, 4), 1.0)
    assert_close(near.window, torch.tensor([[0.5, 0.5, 0.0]]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", PRIORS)
def test_a_view_within_the_prior_stays_where_it_is(name):
    prior = PRIORS[name]
    view = view_of(prior)
    if name == "sphere":
        generator = build_seeded(tiny("pigan-demo")).generator
        generator.prior = prior
        found = reach_of(generator)
    else:
        found = reach(prior)
    for beyond in (False, True):
        assert found.nearest(view, beyond).resembles(view)


@given(st.floats(-3, 3), st.floats(0.1, 3), st.floats(0.5, 8), FOVS, st.sampled_from(["y", "z"]))
def test_a_view_beyond_the_prior_is_put_onto_its_border(yaw, pitch, radius, fov, name):
    prior = PRIORS[name]
    limits, view = reach(prior), view_of(PRIORS[name], yaw, pitch, radius, fov)
    found = limits.nearest(view, beyond=False)
    at = limits.angles(found.eye)
    assert abs(at[0] - prior.yaw[0]) <= prior.yaw[1] + 1e-6
    assert limits.pitch[0] - 1e-6 <= at[1] <= limits.pitch[1] + 1e-6
    assert float(found.eye.norm()) == pytest.approx(prior.radius)
    assert limits.nearest(found, beyond=False).resembles(found)  # and remains there
    across = math.tan(fov / 2) * radius  # what is seen at the origin has the same size
    if 0.01 < found.fov < 2.6:
        assert math.tan(found.fov / 2) * prior.radius == pytest.approx(across, rel=1e-6)


def test_rays_of_one_distance_are_not_begun_elsewhere():
    generator = build_seeded(tiny("pigan-demo")).generator
    limits = reach_of(generator)
    view = view_of(generator.prior, yaw=0.3, pitch=2.9, radius=9.0)
    found = limits.nearest(view, beyond=True)
    assert float(found.eye.norm()) == pytest.approx(generator.prior.radius)
    assert_close(found.pose[:3, :3], view.pose[:3, :3])
    assert not starts_beyond(limits)


@pytest.mark.parametrize("name", ["nerf-grid-demo", "giraffe-demo", "graf-demo"])
def test_where_there_is_no_room_in_the_prior_the_camera_is_free(name):
    assert starts_beyond(reach_of(build_seeded(tiny(name)).generator)) is (name != "graf-demo")


@pytest.mark.parametrize("name", ["y", "z"])
def test_the_prior_is_drawn_on_the_unit_sphere(name):
    limits = reach(PRIORS[name])
    for line in patch_lines(limits):
        assert_close(torch.tensor(line).norm(dim=1), torch.ones(len(line), dtype=torch.float64))
    rendered = globe(limits, view_of(PRIORS[name]))
    assert rendered.count("<polyline") >= 10
    assert 'fill="#ffb347"' in rendered or name == "z"


def test_the_throttle_follows_the_speed():
    throttle = Throttle(fps=5)
    assert throttle.height(1.0) == pytest.approx(math.sqrt(2000))
    for _ in range(30):
        throttle.record(100_000, 1.0)
    assert throttle.height(1.0) == pytest.approx(math.sqrt(20_000), rel=1e-3)
    assert throttle.height(4.0) == pytest.approx(math.sqrt(5_000), rel=1e-3)
