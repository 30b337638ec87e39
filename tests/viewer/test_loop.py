"""The loop of a window, without a browser: what it renders, how it recovers, and that it ends."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genscene.contract import RenderOptions
from genscene.errors import Cancelled
from genscene.geometry.priors import CameraPrior
from genscene.render.fields.sparse import SparseField
from genscene.viewer.client_loop import ClientLoop
from genscene.viewer.pictures import FAR, Picture, bake, fit
from genscene.viewer.session import Training
from genscene.viewer.views import visible
from viewer.fakes import KINDS, session_of, slow


def run_until(loop, condition, seconds=60):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def settled(session, window):
    """The pictures that a loop renders until nothing is left to render."""
    loop = ClientLoop(session, window, slow())
    while (job := loop.schedule.next(loop.clock())) is not None:
        loop.step(job)
    return loop


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_small_then_large(kind):
    session, window = session_of(kind)
    settled(session, window)
    assert not window.lines
    heights = [picture.rgb.shape[0] for picture, _ in window.pictures]
    assert heights[-1] >= heights[0] >= 16
    assert max(window.pictures[-1][0].rgb.shape) == 64
    assert [quality for _, quality in window.pictures] == sorted(q for _, q in window.pictures)
    assert window.reports[-1].endswith("ms")


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_those_of_the_library(kind):
    session, window = session_of(kind)
    view = session.shown(window.view())
    picture = session.picture(view, session.size(view, 48.0), lambda: False)
    generator, (_, scene) = session.viewed.generator, session.scene()
    size = picture.rgb.shape[:2]
    if isinstance(generator.prior, CameraPrior):
        found = generator.render(scene, session.frame(view).camera(size))
        assert picture.depth.shape == size
        seen = found.alpha[0, 0] >= 0.5
        z = torch.from_numpy(picture.depth)
        assert (z[~seen] == FAR).all()
        points = found.rays.unit().at(found.depth.flatten(2).mT)[0, :, 0]
        pose, seen = session.frame(view).pose, seen.flatten()
        along = (points.double() - pose[:3, 3]) @ pose[:3, 2]
        assert_close(z.flatten()[seen], along.float()[seen], atol=1e-3, rtol=1e-3)
    else:
        found = generator.render(scene, visible(view).grid(size, session.viewed.aspect), RenderOptions())
    expected = (found.image[0].clamp(0, 1) * 255).round().byte().movedim(0, -1).numpy()
    assert np.abs(picture.rgb.astype(int) - expected).max() <= 1


def test_seeds_mixing_and_truncation_change_the_scene_and_nothing_else_does():
    session, _ = session_of("pigan-demo")
    w, scene = session.scene()
    session.choose(most=32, beyond=True)
    assert session.scene()[1] is scene
    session.choose(seed=3)
    other = session.scene()[0]
    assert not torch.equal(w, other)
    session.choose(seed=0, other=3, mix=1.0)
    assert_close(session.scene()[0], other)
    session.choose(first_layer=1)
    mixed = session.scene()[0]
    assert_close(mixed[:, :, :1], w[:, :, :1])
    assert_close(mixed[:, :, 1:], other[:, :, 1:])
    session.choose(mix=0.0, psi=0.0)
    assert_close(session.scene()[0], session.viewed.generator.mapping.w_avg[None])


def test_objects_are_those_of_the_seed_until_they_are_moved():
    session, window = session_of("giraffe-demo")
    view = session.shown(window.view())
    before = session.picture(view, (48, 48), lambda: False)
    session.open_objects()
    same = session.picture(view, (48, 48), lambda: False)
    assert np.array_equal(before.rgb, same.rgb)
    session.edit(lambda scene: replace(scene, objects=scene.objects[:1]))
    assert session.scene()[0].present.shape == (1, 1)


def test_moves_are_answered_and_the_camera_returns_into_the_prior():
    session, window = session_of("graf-demo")
    loop = ClientLoop(session, window, slow())
    loop.start()
    try:
        run_until(loop, lambda: loop.schedule.state == "waiting")
        count = len(window.pictures)
        loop.moved()  # the same camera: nothing is rendered
        time.sleep(0.3)
        assert len(window.pictures) == count
        outside = window.camera.pose.clone()
        outside[:3, 3] *= 3
        window.camera = replace(window.camera, pose=outside)
        loop.moved()
        run_until(loop, lambda: loop.schedule.state == "waiting")
        assert [quality for _, quality in window.pictures[count:]][:2] == [50, 75]
        radius = session.viewed.generator.prior.radius
        assert float(window.camera.eye.norm()) == pytest.approx(radius, rel=1e-5)
    finally:
        loop.close()
    assert not loop._thread.is_alive()


def test_a_failing_renderer_is_told_once_and_does_not_end_the_loop(monkeypatch):
    session, window = session_of("pigan-demo")
    generator = session.viewed.generator

    def fail(*_):
        raise ValueError("no such\nluck")

    with monkeypatch.context() as patch:
        patch.setattr(type(generator), "render", fail)
        loop = settled(session, window)
        loop.changed()
        loop.step(loop.schedule.next(loop.clock()))
    assert window.lines == ["no such luck"]
    assert not window.pictures
    loop.changed()
    loop.step(loop.schedule.next(loop.clock()))
    assert window.pictures


def test_drawing_is_cancelled_between_two_parts():
    session, window = session_of("pigan-demo", most=512)
    loop = ClientLoop(session, window, slow())
    parts, job = [], loop.schedule.next(0.0)
    loop.step(job)
    refine = loop.schedule.next(0.0)
    assert refine.state == "sharp"
    inner, shown = session.viewed.pace._between, len(window.pictures)

    def between(useless):
        parts.append(1)
        if len(parts) == 2:
            loop.scene_moved()
        return inner(useless)

    session.viewed.pace._between = between
    refine = replace(refine, level=4)
    loop.step(refine)
    assert len(parts) == 2
    assert len(window.pictures) == shown


def test_empty_space_is_measured_at_rest_and_again_for_another_scene():
    session, window = session_of("pigan-demo")
    loop = ClientLoop(session, window, slow())
    loop.start()
    try:
        for seed in (0, 4):
            session.choose(seed=seed)
            loop.changed()
            run_until(loop, lambda: loop.schedule.state == "waiting" and not session.unmeasured)
            assert isinstance(session._sparse, SparseField)
            assert session._sparse.field is session.scene()[1]
    finally:
        loop.close()
    exact, _ = session_of("pigan-demo")
    exact.choose(seed=4)
    view = session.shown(window.view())
    pictures = [each.picture(view, (48, 48), lambda: False) for each in (session, exact)]
    assert exact.unmeasured
    assert np.abs(pictures[0].rgb.astype(int) - pictures[1].rgb).max() <= 1


def test_measuring_gives_way_goes_on_and_starts_anew_with_other_weights():
    session, window = session_of("pigan-demo")
    settled(session, window)
    calls = []

    def moving():
        calls.append(1)
        return len(calls) % 3 == 0

    session.max_bytes = 1 << 20
    session.measure(moving)
    assert len(calls) == 3
    parts = session._parts
    assert parts is not None
    session.measure(moving)
    assert session._parts is parts
    assert session.unmeasured
    session.viewed.version += 1
    session.measure(moving)
    assert session._parts is not parts
    session.max_bytes = 1 << 27
    session.measure(lambda: False)
    assert not session.unmeasured


def test_weights_that_are_being_trained_are_not_measured():
    session, window = session_of("pigan-demo")
    settled(session, window)
    session.viewed.training = Training()
    assert not session.unmeasured
    session.viewed.training.paused = True
    assert session.unmeasured
    plane, window = session_of("cips-demo")
    settled(plane, window)
    assert not plane.unmeasured


def test_a_scene_that_cannot_be_measured_is_rendered_as_it_is(monkeypatch):
    session, window = session_of("pigan-demo")
    settled(session, window)

    def fail(*_):
        raise MemoryError
        yield

    monkeypatch.setattr(type(session.viewed.generator), "measure_empty", fail)
    loop = ClientLoop(session, window, slow())
    loop.schedule.state = "waiting"
    loop.measure()
    assert not session.unmeasured
    assert session.picture(session.shown(window.view()), (48, 48), lambda: False).rgb.shape == (48, 48, 3)


def test_closing_cancels_what_is_being_drawn():
    session, window = session_of("pigan-demo", most=512)
    loop = ClientLoop(session, window, slow())
    loop.closed = True
    with pytest.raises(Cancelled):
        loop.render(loop.schedule.next(0.0))
    assert not window.pictures


def test_drawing_leaves_the_random_state_alone():
    for kind in KINDS:
        session, window = session_of(kind)
        before = torch.get_rng_state()
        settled(session, window)
        assert torch.equal(torch.get_rng_state(), before), kind


def test_gaussians_are_sent_to_the_browser_once():
    session, window = session_of("cgsgan-demo")
    session.choose(in_browser=True)
    loop = settled(session, window)
    cloud = window.clouds[0]
    _, scene = session.scene()
    assert cloud.means.shape == (scene.means.shape[1], 3)
    values = np.linalg.eigvalsh(cloud.covariances[0].astype(np.float64))
    assert np.allclose(np.sqrt(values), np.sort(scene.scales[0, 0].detach().numpy()), rtol=1e-3)
    loop.changed()
    loop.step(loop.schedule.next(loop.clock()))
    assert window.clouds[1] is None
    session.choose(seed=5)
    loop.changed()
    loop.step(loop.schedule.next(loop.clock()))
    assert window.clouds[2] is not None
    assert not window.pictures


def test_colors_of_harmonics_are_those_seen_from_the_eye():
    session, _ = session_of("splats")
    _, scene = session.scene()
    coefficients = torch.cat([scene.colors, torch.zeros(1, scene.means.shape[1], 3, 3)], dim=2)
    coefficients[:, :, 2] = 0.3  # grows with z
    scene = replace(scene, colors=coefficients)
    above, below = (bake(scene, torch.tensor([0.0, 0.0, z]), "white").colors for z in (-50.0, 50.0))
    assert above.mean() > below.mean()


def test_a_picture_is_in_the_middle_of_the_window():
    rgb = np.full((48, 48, 3), 200, np.uint8)
    picture = Picture(rgb, np.full((48, 48), 2.0, np.float32))
    wide, high = fit(picture, 2.0, (1, 2, 3)), fit(picture, 0.5, (1, 2, 3))
    assert wide.rgb.shape == (256, 512, 3)
    assert high.rgb.shape == (512, 256, 3)
    assert wide.rgb[0, 0].tolist() == [1, 2, 3]
    assert wide.rgb[128, 256].tolist() == [200, 200, 200]
    assert wide.depth[0, 0] == FAR
    assert wide.depth[128, 256] == 2
    large = fit(Picture(np.zeros((300, 300, 3), np.uint8)), 1.0, (0, 0, 0))
    assert large.rgb.shape == (300, 300, 3)
    assert large.depth is None


def test_two_windows_draw_in_turns():
    session, window = session_of("pigan-demo", most=128)
    other, second = session_of("pigan-demo", most=128)
    other.viewed = session.viewed
    loops = [ClientLoop(session, window, slow()), ClientLoop(other, second, slow())]
    for loop in loops:
        loop.start()
    try:
        for loop in loops:
            run_until(loop, lambda loop=loop: loop.schedule.state == "waiting")
    finally:
        for loop in loops:
            loop.close()
    assert np.array_equal(window.pictures[-1][0].rgb, second.pictures[-1][0].rgb)
    assert threading.active_count() < 50
