"""A window of viser: cameras there and back, late messages, pictures and Gaussians."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genscene.geometry.rotations import quaternion
from genscene.viewer.page.window import SURROUND, ViserWindow
from genscene.viewer.pictures import Cloud, Picture
from genscene.viewer.views import View, facing


def client_at(view):
    """A client that has reported a view and records what it is sent."""
    camera = SimpleNamespace(aspect=view.aspect)
    report(camera, view)
    sent = []
    scene = SimpleNamespace(
        set_background_image=lambda *given, **named: sent.append((given, named)),
        add_gaussian_splats=lambda *given: SimpleNamespace(remove=lambda: sent.append("removed")),
    )
    return SimpleNamespace(camera=camera, atomic=nullcontext, flush=lambda: None, scene=scene, sent=sent)


def report(camera, view):
    """What viser does when a message about the camera arrives."""
    camera.wxyz = np.array(quaternion(view.pose[None, :3, :3])[0].tolist())
    camera.position, camera.fov = np.array(view.eye.tolist()), view.fov


FIRST = facing(0.0, 0.0, 3.0, 0.8, 1.5)


def test_a_view_comes_back_as_it_was_placed():
    window = ViserWindow(client_at(FIRST), FIRST)
    turned = torch.tensor(
        [[0.0, 0, 1, -2], [-1, 0, 0, 0.5], [0, -1, 0, 0.1], [0, 0, 0, 1]], dtype=torch.float64
    )
    view = View(turned, 0.6, 1.5)
    window.place(view)
    assert window.reported().resembles(view)
    assert_close(torch.tensor(window.client.camera.look_at), torch.tensor([0.0, 0.5, 0.1]), check_dtype=False)


def test_a_narrow_view_is_shown_as_a_whole():
    window = ViserWindow(client_at(replace(FIRST, aspect=0.5)), FIRST)
    window.place(replace(FIRST, aspect=1.0))
    assert window.view().framed(1.0).fov == pytest.approx(FIRST.fov)


def test_late_messages_about_the_camera_do_not_count():
    client = client_at(FIRST)
    window, other = ViserWindow(client, FIRST), facing(1.0, 0.0, 2.0, 0.8, 1.5)
    window.place(other)
    report(client.camera, FIRST)  # sent before the page has moved it
    assert not window.heard()
    assert window.view().resembles(other)
    report(client.camera, other)
    assert window.heard()
    report(client.camera, FIRST)  # moved back by hand
    assert window.heard()
    assert window.view().resembles(FIRST)


def test_a_page_that_never_answers_is_believed_in_the_end():
    client = client_at(FIRST)
    window, other = ViserWindow(client, FIRST), facing(1.0, 0.0, 2.0, 0.8, 1.5)
    window.place(other)
    report(client.camera, FIRST)
    window._until = 0.0
    assert window.view().resembles(FIRST)
    assert window.heard()


def test_placing_where_the_camera_is_waits_for_nothing():
    client = client_at(FIRST)
    window = ViserWindow(client, FIRST)
    window.place(FIRST)
    report(client.camera, facing(1.0, 0.0, 2.0, 0.8, 1.5))
    assert window.heard()


def test_depth_is_sent_where_something_may_be_hidden():
    client = client_at(FIRST)
    window = ViserWindow(client, FIRST)
    picture = Picture(np.zeros((64, 64, 3), np.uint8), np.ones((64, 64), np.float32))
    window.show(picture, 50)
    window.with_depth = True
    window.show(picture, 90)
    (first, options), (_, more) = client.sent
    assert first[0].shape == (256, 384, 3)
    assert tuple(first[0][0, 0]) == SURROUND
    assert options["depth"] is None
    assert more["depth"].shape == (256, 384)
    assert (options["jpeg_quality"], more["jpeg_quality"]) == (50, 90)


def test_gaussians_go_when_a_picture_comes():
    client = client_at(FIRST)
    window = ViserWindow(client, FIRST)
    parts = np.zeros((2, 3)), np.zeros((2, 3, 3)), np.zeros((2, 3)), np.zeros((2, 1))
    window.show_cloud(Cloud(*parts, np.zeros((1, 1, 3), np.uint8)))
    window.show_cloud(None)
    assert "removed" not in client.sent
    window.show(Picture(np.zeros((64, 64, 3), np.uint8)), 50)
    assert "removed" in client.sent
