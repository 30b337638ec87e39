"""The controls of a window: scene, camera, path, picture, files; which there are depends on the generator."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from secrets import randbelow
from typing import Any

import torch

from genscene.apps.scene_mesh import has_surface
from genscene.errors import printable
from genscene.geometry.cameras import named_tensors
from genscene.render.canvas import CanvasGenerator
from genscene.scenes import Gaussians
from genscene.viewer import downloads
from genscene.viewer.client_loop import ClientLoop
from genscene.viewer.page import overlays
from genscene.viewer.page.window import ViserWindow
from genscene.viewer.session import Session
from genscene.viewer.views import View

LARGEST_SEED, RANDOM_SEEDS = 2**31 - 1, 10_000
BUTTON = (62, 68, 82)  # color of buttons
SHOWN = ("image", "depth", "opacity", "normals")  # of scenes with cameras
SHOWN_FLAT = ("image", "gradient", "laplacian")  # of functions of the plane
KEY_SIZE, PHOTOGRAPH_SIZE = 0.06, 0.08  # of frusta, in distances of the camera from the origin


class Panels:
    """What the panels of one window share."""

    def __init__(self, client: Any, session: Session, window: ViserWindow, loop: ClientLoop):
        self.client, self.session, self.window, self.loop = client, session, window, loop
        self.gui, self.subject = client.gui, session.subject
        self.overlays: dict[str, list[Any]] = {}  # what is in the scene beside pictures, by kind
        self.globe: Any = None
        self.training: Any = None  # the line about the last step
        self.seed_changed: Callable[[], None] = lambda: None  # of scenes of objects

    def build(self) -> None:
        """Add all controls that the generator has a use for."""
        self.add_status()
        if self.subject.training is not None:
            self.add_training()
        if self.subject.generator.latent_dim:
            self.add_scene()
        if self.subject.is_plane:
            self.add_canvas()
        else:
            self.add_camera()
            self.add_path()
        self.add_picture()
        self.add_files()

    def choose(self, **changes: Any) -> None:
        """Change choices, and draw."""
        self.session.choose(**changes)
        self.loop.changed()

    def bind(self, handle: Any, change: Callable[[Any], None]) -> Any:
        """Call a function with the value of a control whenever it changes; errors are shown."""
        handle.on_update(self.guarded(lambda: change(handle.value)))
        return handle

    def guarded(self, action: Callable[[], None]) -> Callable[[Any], None]:
        """A callback of viser whose errors are shown in the window."""

        def call(_: Any) -> None:
            try:
                action()
            except Exception as error:
                if not self.loop.closed:
                    self.window.notify(printable(f"{error}" or type(error).__name__))

        return call

    def button(self, label: str, action: Callable[[], None], icon: str = "", hint: str = "") -> Any:
        """A button that calls a function."""
        handle = self.gui.add_button(label, icon=icon or None, hint=hint or None, color=BUTTON)
        handle.on_click(self.guarded(action))
        return handle

    def download(self, label: str, make: Callable[[], downloads.File], hint: str) -> None:
        """A button that makes a file and gives it to the browser."""

        def action() -> None:
            note = self.client.add_notification("One moment", f"{label} ...", loading=True)
            try:
                name, content = make()
                self.client.send_file_download(name, content, save_immediately=True)
            finally:
                note.remove()

        self.button(label, action, "download", hint)

    def mark(self, kind: str, handles: list[Any]) -> None:
        """Replace what is in the scene of a kind; pictures get a depth where there is something."""
        for handle in self.overlays.pop(kind, []):
            handle.remove()
        if handles:
            self.overlays[kind] = handles
        self.window.with_depth = bool(self.overlays)
        self.loop.changed()

    def go(self, view: View) -> None:
        """Move the camera to a view."""
        self.window.place(view)
        self.loop.stirred()

    def add_status(self) -> None:
        """The name, and a line about the last picture."""
        self.gui.add_markdown(f"**{printable(self.subject.name, 60)}**")
        self.window.status = self.gui.add_markdown("")

    def add_training(self) -> None:
        """The last step, the share of the time that training is left, a pause."""
        training, pace = self.subject.training, self.subject.pace
        assert training is not None

        def pause(value: bool) -> None:
            training.paused = pace.free = bool(value)

        def leave(value: float) -> None:
            pace.training = float(value)

        with self.gui.add_folder("Training"):
            self.training = self.gui.add_markdown("")
            hint = "of the time that training is left while somebody looks"
            self.bind(self.gui.add_slider("share", 0.0, 0.99, 0.01, pace.training, hint=hint), leave)
            self.bind(self.gui.add_checkbox("paused", training.paused), pause)

    def report_training(self) -> None:
        """Show the line about the last step."""
        if self.training is not None and self.subject.training is not None and not self.loop.closed:
            self.training.content = self.subject.training.line

    def add_scene(self) -> None:
        """Seed, truncation, and a second scene that is mixed in."""
        choices = self.session.choices
        with self.gui.add_folder("Scene"):
            seed = self.gui.add_number("seed", choices.seed, min=0, max=LARGEST_SEED, step=1)
            steps = self.gui.add_button_group("", ("previous", "random", "next"))
            psi = self.gui.add_slider(
                "truncation", 0.0, 1.0, 0.01, choices.psi, hint="1: as trained, 0: the average scene"
            )
            if not self.subject.has_objects:
                self.add_mixing()

        def choose_seed(value: int) -> None:
            self.session.choose(seed=int(value))
            self.seed_changed()
            self.loop.changed()

        def step() -> None:
            near = {"previous": max(0, seed.value - 1), "next": seed.value + 1}
            seed.value = near.get(steps.value, randbelow(RANDOM_SEEDS))

        def choose_psi(value: float) -> None:
            self.session.choose(psi=float(value))
            if self.session.choices.objects is not None:
                self.session.edit(lambda scene: replace(scene, psi=float(value)))
            self.loop.changed()

        self.bind(seed, choose_seed)
        self.bind(psi, choose_psi)
        steps.on_click(self.guarded(step))

    def add_mixing(self) -> None:
        """A second seed, its share, and from which layer on."""
        choices, generator = self.session.choices, self.subject.generator
        other = self.gui.add_number("second seed", choices.other, min=0, max=LARGEST_SEED, step=1)
        mix = self.gui.add_slider("mix", 0.0, 1.0, 0.01, choices.mix, hint="share of the second scene")
        self.bind(other, lambda value: self.choose(other=int(value)))
        self.bind(mix, lambda value: self.choose(mix=float(value)))
        if (layers := layer_count(generator)) > 1:
            hint = "earlier layers are those of the first scene: shape remains, appearance changes"
            first = self.gui.add_slider("from layer", 0, layers - 1, 1, 0, hint=hint)
            self.bind(first, lambda value: self.choose(first_layer=int(value)))

    def add_camera(self) -> None:
        """Where the camera may be, its field of view, the prior, the photographs' cameras."""
        session, reach = self.session, self.session.reach
        with self.gui.add_folder("Camera"):
            if reach is not None:
                self.globe = self.gui.add_html(overlays.globe(reach, self.subject.first_view()))
                hint = "off: the camera stays where those of training were"
                beyond = self.gui.add_checkbox("beyond the prior", session.choices.beyond, hint=hint)
                self.bind(beyond, lambda value: self.choose(beyond=bool(value)))
                patch = self.gui.add_checkbox("show the prior in the scene", False)
                self.bind(
                    patch,
                    lambda value: self.mark("prior", [overlays.add_patch(self.client, reach)] * value),
                )
            fov = self.gui.add_slider("field of view", 2.0, 120.0, 0.5, self.first_fov())
            self.bind(fov, self.choose_fov)
            if self.subject.content.cameras is not None:
                cameras = self.gui.add_checkbox(
                    "cameras of the photographs", False, hint="click one to go there"
                )
                self.bind(cameras, self.show_photographs)
            self.button("Reset the view", lambda: self.go(self.subject.first_view()), "home")

    def first_fov(self) -> float:
        """The vertical field of view that a window begins with, in degrees."""
        return min(max(round(2 * math.degrees(self.subject.first_view().fov)) / 2, 2.0), 120.0)

    def choose_fov(self, degrees: float) -> None:
        """Change the field of view of the window."""
        self.client.camera.fov = math.radians(float(degrees))
        self.loop.stirred()

    def show_photographs(self, wanted: bool) -> None:
        """Show the cameras of the photographs, or remove them."""
        handles: list[Any] = []
        if wanted:
            assert self.subject.content.cameras is not None
            views = overlays.views_of(self.subject.content.cameras)
            size = PHOTOGRAPH_SIZE * float(torch.stack([view.eye for view in views]).norm(dim=-1).mean())
            handles = overlays.add_frusta(self.client, "photographs", views, size, overlays.PHOTOGRAPH)
            overlays.on_click(handles, views, self.go)
        self.mark("photographs", handles)

    def add_path(self) -> None:
        """Keys of a camera path: recorded, played, saved."""
        with self.gui.add_folder("Camera path", expand_by_default=False):
            count = self.gui.add_markdown("no keys")

            def refresh() -> None:
                keys = self.session.keys
                count.content = f"{len(keys) or 'no'} key{'s' * (len(keys) != 1)}"
                size = KEY_SIZE * max(1e-3, float(self.window.view().eye.norm()))
                self.mark("keys", overlays.add_frusta(self.client, "keys", keys, size, overlays.KEY))

            def add() -> None:
                self.session.add_key(self.window.view())
                refresh()

            def remove() -> None:
                del self.session.keys[-1:]
                refresh()

            self.button("Add this view", add, "plus")
            self.button("Remove the last", remove, "minus")
            self.button("Play", self.play, "player-play")
            hint = "for genscene render --path"
            self.download("Save as JSON", lambda: downloads.path_file(self.session), hint)

    def play(self) -> None:
        """Move the camera along the path, once; what is being played stops."""
        if self.window.busy:
            self.window.busy = False
            return
        self.window.busy = True
        try:
            for view in downloads.path_views(self.session):
                if self.loop.closed or not self.window.busy:
                    break
                self.go(view)
                time.sleep(1 / downloads.PLAYED)
        finally:
            self.window.busy = False

    def add_canvas(self) -> None:
        """The window on a picture is moved by dragging and by the wheel."""
        with self.gui.add_folder("Window"):
            self.gui.add_markdown("Drag to move the window, use the wheel to zoom.")
            self.button("Show the whole picture", lambda: self.go(self.subject.first_view()), "home")

    def add_picture(self) -> None:
        """What is shown, how large pictures at rest are, and a picture as a file."""
        choices, generator = self.session.choices, self.subject.generator
        flat = self.subject.is_plane
        with self.gui.add_folder("Picture", expand_by_default=False):
            shown = SHOWN_FLAT if isinstance(generator, CanvasGenerator) else SHOWN
            show = self.gui.add_dropdown("show", shown, initial_value="image")
            self.bind(show, lambda value: self.choose(look=replace(self.session.choices.look, show=value)))
            if not flat:
                behind = self.gui.add_dropdown("background", ("own", "white", "black"), initial_value="own")
                self.bind(behind, self.choose_background)
            most = self.gui.add_slider("largest side", 64, 1024, 32, choices.most, hint="pixels, at rest")
            self.bind(most, lambda value: self.choose(most=int(value)))
            make: Callable[[], downloads.File] = lambda: downloads.picture_file(  # noqa: E731
                self.session, self.window.view()
            )
            self.download("Save the picture", make, "as PNG, of the largest side")

    def choose_background(self, name: str) -> None:
        """Change what is behind the scene."""
        background: Any = None if name == "own" else name
        self.session.forget()
        self.choose(look=replace(self.session.choices.look, background=background))

    def add_files(self) -> None:
        """Meshes and Gaussians as files, and who renders Gaussians."""
        session, gaussians = self.session, self.is_gaussians()
        if not gaussians and not has_surface(self.subject.content):
            return
        with self.gui.add_folder("Take it along", expand_by_default=False):
            if gaussians:
                hint = "the browser renders the Gaussians themselves: quick, with colors of one direction"
                own = self.gui.add_checkbox("rendered by the browser", session.choices.in_browser, hint=hint)
                self.bind(own, self.choose_renderer)
                self.download("Gaussians (.ply)", lambda: downloads.splats_file(session), "for other viewers")
            else:
                self.download("Mesh (.glb)", lambda: downloads.mesh_file(session), "the surface of the scene")

    def choose_renderer(self, in_browser: bool) -> None:
        """Have Gaussians rendered by the browser, or here."""
        self.session.forget()
        self.choose(in_browser=bool(in_browser))

    def is_gaussians(self) -> bool:
        """Whether the scenes are Gaussians."""
        with self.subject.pace.turn():
            return isinstance(self.session.scene()[1], Gaussians)


def layer_count(generator: Any) -> int:
    """The number of layers that styles are of; 0: they are not by layers."""
    if generator.layer_dim is None:
        return 0
    w = generator.style(next(generator.parameters()).new_zeros(1, generator.latent_dim))
    return min(int(x.shape[generator.layer_dim]) for x in named_tensors(w).values())
