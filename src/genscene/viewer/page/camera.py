"""Controls of the camera: where it may be, photographs' cameras, a path of keys; the window on a canvas."""

import math
import time
from functools import partial
from typing import Any

import numpy as np
import torch

from genscene.viewer import downloads
from genscene.viewer.page import overlays
from genscene.viewer.page.panels import Panels
from genscene.viewer.views import View, facing, visible

KEY_SIZE, PHOTOGRAPH_SIZE = 0.06, 0.08  # of frusta, in distances of the camera from the origin
NARROWEST, WIDEST = 2.0, 120.0  # vertical field of view, in degrees
PLANE = 4e3  # half side of the plane that takes drags, in heights of a canvas


def add_camera(panels: Panels) -> None:
    """Where the camera may be, its field of view, the prior, the photographs' cameras."""
    session, gui, reach = panels.session, panels.gui, panels.session.reach
    first = panels.viewed.first_view()
    with gui.add_folder("Camera"):
        if reach is not None:
            globe = gui.add_html(overlays.globe(reach, first))

            def turn_globe() -> None:
                globe.content = overlays.globe(reach, session.shown(panels.window.view()))

            panels.window.after = turn_globe
            hint = "off: the camera stays where those of training were"
            beyond = gui.add_checkbox("beyond the prior", session.choices.beyond, hint=hint)
            panels.bind(beyond, lambda value: panels.choose(beyond=bool(value)))
            patch = gui.add_checkbox("prior in the scene", False, hint="the part of a sphere it stands on")
            add = partial(overlays.add_patch, panels.client, reach)
            panels.bind(patch, lambda wanted: panels.mark("prior", add if wanted else list))
        degrees = min(max(round(2 * math.degrees(first.fov)) / 2, NARROWEST), WIDEST)
        fov = gui.add_slider("field of view", NARROWEST, WIDEST, 0.5, degrees, hint="in degrees, vertical")
        panels.bind(fov, lambda value: choose_fov(panels, float(value)))
        if panels.viewed.content.cameras is not None:
            cameras = gui.add_checkbox("photographs' cameras", False, hint="click one to go there")
            panels.bind(cameras, lambda value: show_photographs(panels, bool(value)))
        panels.button("Reset the view", lambda: panels.go(first), "home")


def choose_fov(panels: Panels, degrees: float) -> None:
    """Change the field of view of the window."""
    panels.client.camera.fov = math.radians(degrees)
    panels.loop.scene_moved()


def show_photographs(panels: Panels, wanted: bool) -> None:
    """Show the cameras of the photographs, or remove them."""
    cameras = panels.viewed.content.cameras
    assert cameras is not None
    views = overlays.views_of(cameras)
    size = PHOTOGRAPH_SIZE * float(torch.stack([view.eye for view in views]).norm(dim=-1).mean())

    def add() -> list[Any]:
        handles = overlays.add_frusta(panels.client, "photographs", views, size, overlays.PHOTOGRAPH)
        overlays.on_click(handles, views, panels.go)
        return handles

    panels.mark("photographs", add if wanted else list)


def add_path(panels: Panels) -> None:
    """Keys of a camera path: recorded, played, saved."""
    session, window = panels.session, panels.window
    with panels.gui.add_folder("Camera path"):
        count = panels.gui.add_markdown("no keys")

        def refresh() -> None:
            keys = session.keys
            count.content = f"{len(keys) or 'no'} key{'s' * (len(keys) != 1)}"
            size = KEY_SIZE * max(1e-3, float(window.view().eye.norm()))
            panels.mark("keys", partial(overlays.add_frusta, panels.client, "keys", keys, size, overlays.KEY))

        def add() -> None:
            session.add_key(window.view())
            refresh()

        def remove() -> None:
            del session.keys[-1:]
            refresh()

        panels.button("Add this view", add, "plus")
        panels.button("Remove the last", remove, "minus")
        panels.button("Play", lambda: play(panels), "player-play")
        hint = "for genscene render --path"
        panels.download("Save as JSON", lambda: downloads.path_file(session), hint)


def play(panels: Panels) -> None:
    """Move the camera along the path, once; what is being played already stops."""
    window = panels.window
    if window.busy:
        window.busy = False
        return
    window.busy = True
    try:
        for view in downloads.path_views(panels.session):
            if panels.loop.closed or not window.busy:
                break
            panels.go(view)
            time.sleep(1 / downloads.PLAYED)
    finally:
        window.busy = False


def add_canvas(panels: Panels) -> None:
    """The window on a canvas, moved by dragging and by the wheel: an invisible plane takes the drags."""
    client, window, loop = panels.client, panels.window, panels.loop
    with panels.gui.add_folder("Window"):
        panels.gui.add_markdown("Drag to move it, turn the wheel to zoom.")
        panels.button("Show the whole picture", lambda: panels.go(panels.viewed.first_view()), "home")
    corners = PLANE * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    # of a wireframe no pixel is shaded, but the pointer meets its faces
    shown: dict[str, Any] = {"opacity": 0.0, "wireframe": True, "side": "double", "cast_shadow": False}
    plane = client.scene.add_mesh_simple("/plane", corners, faces, **shown)
    began: list[tuple[View, tuple[float, float]]] = []

    async def dragged(event: Any) -> None:
        x, y = event.end_screen_pos
        if event.phase == "start" or not began:
            began[:] = [(window.view(), (x, y))]
        view, (u, v) = began[0]
        seen, eye = visible(view), view.eye.tolist()
        left, down = eye[0] - (x - u) * seen.width, eye[1] + (y - v) * seen.height
        window.place(facing(left, down, eye[2], view.fov, view.aspect))
        loop.scene_moved()

    plane.on_drag("left")(dragged)
