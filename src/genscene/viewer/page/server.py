"""The server: one port of 127.0.0.1, one loop for each window."""

import asyncio
import contextlib
import io
import socket
import threading
import warnings
from typing import Any
from urllib.parse import urlsplit

from genscene.errors import BadInput
from genscene.viewer.client_loop import ClientLoop
from genscene.viewer.page.camera import add_camera, add_canvas, add_path
from genscene.viewer.page.objects import ObjectPanels
from genscene.viewer.page.panels import Panels
from genscene.viewer.page.scene import add_files, add_picture, add_scene
from genscene.viewer.page.window import ViserWindow
from genscene.viewer.pictures import device_of
from genscene.viewer.session import Session, ViewedGenerator
from genscene.viewer.throttle import Throttle

HOST = "127.0.0.1"
LOCAL = ("127.0.0.1", "localhost", "::1")  # hosts of pages that may connect
FPS, MOST = {"cpu": 7.0}, {"cpu": 512}  # pictures a second, pixels of the longer side; else:
FPS_GPU, MOST_GPU = 30.0, 1024


class Server:
    """A running server."""

    def __init__(self, viewed: ViewedGenerator, port: int = 8080, most: int = 0):
        """Start it; most: pixels of the longer side of pictures at rest, 0: by the device.

        Raises BadInput where viser is missing or the port is in use.
        """
        require_viser()
        require_free(port)
        import viser

        # a picture that is sent while a window closes is lost, which is no error
        warnings.filterwarnings("ignore", "Queued a .* on a closed connection")
        device = device_of(viewed.generator).type
        self.viewed, self.fps = viewed, FPS.get(device, FPS_GPU)
        self.most = most or MOST.get(device, MOST_GPU)
        self.loops: dict[int, ClientLoop] = {}
        self.panels: dict[int, Panels] = {}
        self.ending: list[ClientLoop] = []  # of windows that are closed, while they finish a picture
        self._lock = threading.Lock()
        with contextlib.redirect_stdout(io.StringIO()):  # viser prints more than it is asked to
            self.viser = viser.ViserServer(host=HOST, port=port, label="genscene", verbose=False)
        self.port = int(self.viser.get_port())
        if port not in (0, self.port):  # taken by another process in the meantime
            self.viser.stop()
            require_free(port)
        self.prepare()
        self.viser.on_client_connect(self.connected)
        self.viser.on_client_disconnect(self.disconnected)

    def prepare(self) -> None:
        """What all windows share: the theme, the first camera; no tunnel to the outside."""
        for name in ("request_share_url", "disconnect_share_url"):
            setattr(self.viser, name, lambda *_, **__: None)
        gui, scene, first = self.viser.gui, self.viser.scene, self.viewed.first_view()
        gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False, control_width="medium")
        gui.main_panel.dock_right()
        scene.world_axes.visible = False
        scene.set_up_direction("+z" if getattr(self.viewed.generator.prior, "up", "y") == "z" else "+y")
        camera, distance = self.viser.initial_camera, max(float(first.eye.norm()), 1e-3)
        camera.position = tuple(first.eye.tolist())
        camera.look_at = tuple((first.eye + distance * first.pose[:3, 2]).tolist())
        camera.fov = first.fov

    def connected(self, client: Any) -> None:
        """Start the loop of a new window."""
        if not self.is_local(client):
            return
        first = self.viewed.first_view()
        window, session = ViserWindow(client, first), Session(self.viewed, self.most)
        loop = ClientLoop(session, window, Throttle(self.fps))
        panels = Panels(client, session, window, loop)
        with self._lock:
            self.loops[client.client_id], self.panels[client.client_id] = loop, panels
        window.place(first)
        self.add_controls(panels)

        async def moved(_: Any) -> None:
            if window.heard():
                loop.moved()

        client.camera.on_update(moved)
        loop.start()

    def add_controls(self, panels: Panels) -> None:
        """Add all controls that the generator has a use for."""
        panels.add_status()
        panels.add_training()
        add_scene(panels)
        if self.viewed.has_objects:
            ObjectPanels(panels).build()
        if self.viewed.is_plane:
            add_canvas(panels)
        else:
            add_camera(panels)
            add_path(panels)
        add_picture(panels)
        add_files(panels)

    def is_local(self, client: Any) -> bool:
        """Whether a window's page is of this machine; those of other pages of the browser are closed."""
        sockets: Any = self.viser._websock_server._live_connections
        connection = sockets.get(client.client_id)
        origin = None if connection is None else connection.request.headers.get("Origin")
        if origin is None or urlsplit(origin).hostname in LOCAL:
            return connection is not None
        asyncio.run_coroutine_threadsafe(connection.close(1008), self.viser.get_event_loop())
        return False

    def disconnected(self, client: Any) -> None:
        """End the loop of a window that is closed."""
        with self._lock:
            loop = self.loops.pop(client.client_id, None)
            self.panels.pop(client.client_id, None)
            if loop is not None:
                loop.close(wait=False)
                self.ending = [each for each in [*self.ending, loop] if not each.ended]

    def describe(self) -> str:
        """Where the page is, on this machine and from another one."""
        here = f"http://{HOST}:{self.port}"
        return f"{here} (from another machine: ssh -L {self.port}:{HOST}:{self.port} HOST); Ctrl-C ends it"

    def report_training(self) -> None:
        """Show the line about the last step in all windows."""
        with self._lock:
            panels = list(self.panels.values())
        for each in panels:
            each.report_training()

    def stepped(self) -> None:
        """Tell all windows that there are new weights."""
        for loop in self.all():
            loop.stepped()

    def all(self) -> list[ClientLoop]:
        """The loops of all windows."""
        with self._lock:
            return list(self.loops.values())

    def close(self) -> None:
        """End all loops, then the server."""
        for loop in [*self.all(), *self.ending]:
            loop.close()
        with contextlib.redirect_stdout(io.StringIO()):
            self.viser.stop()


def require_viser() -> None:
    """Raise BadInput where viser is not installed."""
    try:
        import viser  # noqa: F401
    except ImportError:
        raise BadInput("the viewer needs viser: wanted pip install 'genscene[viewer]'") from None


def require_free(port: int) -> None:
    """Raise BadInput where another process listens at a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise BadInput(f"--port {port} cannot be used ({error.strerror}): wanted a free one") from None
