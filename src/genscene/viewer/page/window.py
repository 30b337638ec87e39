"""One browser window of viser as what a loop renders for."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from genscene.geometry.rotations import quaternion, rotation
from genscene.viewer.pictures import Cloud, Picture, fit
from genscene.viewer.views import View

SURROUND = (30, 31, 36)  # of pictures that do not fill the window
PATIENCE = 1.5  # seconds that a page is given to move its camera
CLOUD = "/gaussians"  # its name in viser's tree of the scene


class ViserWindow:
    """A connected client of viser."""

    def __init__(self, client: Any, first: View):
        self.client, self.first = client, first
        self.with_depth = False  # whether something in the scene may be hidden by the picture's
        self.status: Any = None  # the line about the last picture
        self.after: Callable[[], None] = lambda: None  # called after each picture
        self.busy = False  # whether a path is being played
        self._cloud: Any = None
        self._placed: View | None = None  # where the camera was put, until the page says that it is there
        self._until = 0.0  # when that is given up

    def view(self) -> View:
        """The camera of the window, where it has been put if the page has not answered yet."""
        placed = self._placed
        if placed is not None and time.monotonic() < self._until:
            return replace(placed, aspect=float(self.client.camera.aspect))
        return self.reported()

    def heard(self) -> bool:
        """Whether what the page has just said of its camera counts: not before it is where it was put."""
        placed, found = self._placed, self.reported()
        waiting = placed is not None and time.monotonic() < self._until
        if waiting and placed is not None and not found.resembles(replace(placed, aspect=found.aspect)):
            return False
        self._placed = None
        return True

    def reported(self) -> View:
        """The camera that the page has reported."""
        camera = self.client.camera
        pose = torch.eye(4, dtype=torch.float64)
        pose[:3, :3] = rotation(torch.tensor(np.array(camera.wxyz), dtype=torch.float64)[None])[0]
        pose[:3, 3] = torch.tensor(np.array(camera.position), dtype=torch.float64)
        return View(pose, float(camera.fov), float(camera.aspect))

    def place(self, view: View) -> None:
        """Move the camera, so that all of a view is seen; it goes on turning about the origin, or nearly."""
        view = view.around(float(self.client.camera.aspect))
        if not view.resembles(self.reported()):
            self._placed, self._until = view, time.monotonic() + PATIENCE
        wxyz = quaternion(view.pose[None, :3, :3])[0].tolist()
        forward, eye = view.pose[:3, 2], view.eye
        distance = max(float(-(forward @ eye)), 0.1 * float(eye.norm()), 1e-3)
        camera = self.client.camera
        with self.client.atomic():
            camera.wxyz = wxyz
            camera.position = tuple(eye.tolist())
            camera.look_at = tuple((eye + distance * forward).tolist())
            camera.fov = view.fov

    def show(self, picture: Picture, quality: int) -> None:
        """Show a picture behind what viser has in the scene."""
        if self._cloud is not None:
            self._cloud.remove()
            self._cloud = None
        whole = fit(picture, float(self.client.camera.aspect), SURROUND)
        depth = whole.depth if self.with_depth else None
        self.client.scene.set_background_image(whole.rgb, format="jpeg", jpeg_quality=quality, depth=depth)
        self.client.flush()

    def show_cloud(self, cloud: Cloud | None) -> None:
        """Have the browser render Gaussians."""
        if cloud is None:
            return
        arrays = (cloud.means, cloud.covariances, cloud.colors, cloud.opacities)
        with self.client.atomic():
            self.client.scene.set_background_image(cloud.background)
            self._cloud = self.client.scene.add_gaussian_splats(CLOUD, *arrays)
        self.client.flush()

    def notify(self, line: str) -> None:
        """Show a line until it is closed."""
        self.client.add_notification("This could not be shown", line, color="red")

    def report(self, line: str) -> None:
        """Show a line about the last picture."""
        if self.status is not None:
            self.status.content = line
        self.after()
