"""The thread of one window: it waits for events, renders what the schedule says, and sends it."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from genscene.errors import Cancelled, printable
from genscene.viewer.pictures import Cloud, Picture
from genscene.viewer.schedule import Job, Schedule
from genscene.viewer.session import Session
from genscene.viewer.throttle import Throttle
from genscene.viewer.views import View

LOG = logging.getLogger("genscene.viewer")


class Window(Protocol):
    """What a loop needs of a browser window."""

    def view(self) -> View:
        """Its camera now."""

    def place(self, view: View) -> None:
        """Move its camera."""

    def show(self, picture: Picture, quality: int) -> None:
        """Show a picture; quality: of the JPEG, 1 to 100."""

    def show_cloud(self, cloud: Cloud | None) -> None:
        """Have the browser render Gaussians; None: those of the last call."""

    def notify(self, line: str) -> None:
        """Show a line until it is closed."""

    def report(self, line: str) -> None:
        """Show a line about the last picture."""


class ClientLoop:
    """The loop of one window."""

    def __init__(
        self,
        session: Session,
        window: Window,
        throttle: Throttle,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.session, self.window, self.throttle, self.clock = session, window, throttle, clock
        self.schedule, self.closed = Schedule(), False
        self.rendered: View | None = None  # the last view that was rendered
        self.seconds = 0.0  # that the last picture took, without waiting
        self._event = threading.Condition()
        self._last_error = ""  # the last error that was shown
        self._thread = threading.Thread(target=self.run, name="viewer", daemon=True)

    def start(self) -> None:
        """Render from now on."""
        self._thread.start()

    def close(self, wait: bool = True) -> None:
        """Render no more; what is being rendered is cancelled."""
        with self._event:
            self.closed = True
            self._event.notify_all()
        if wait and self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=10)

    @property
    def ended(self) -> bool:
        """Whether nothing will be rendered any more."""
        return self.closed and not self._thread.is_alive()

    def moved(self) -> None:
        """The camera has moved; messages about a camera that has not are ignored."""
        if self.rendered is not None and self.window.view().resembles(self.rendered):
            return
        self.scene_moved()

    def scene_moved(self) -> None:
        """Something in the scene is being moved."""
        with self._event:
            self.schedule.moved(self.clock())
            self._event.notify_all()

    def changed(self) -> None:
        """Something else is to be shown."""
        with self._event:
            self.schedule.changed()
            self._event.notify_all()

    def stepped(self) -> None:
        """There are new weights."""
        with self._event:
            self.schedule.stepped()
            self._event.notify_all()

    def run(self) -> None:
        """Render until closed."""
        while not self.closed:
            with self._event:
                now = self.clock()
                job = self.schedule.next(now)
                rests = job is None and self.schedule.state == "waiting"
                if job is None and not (rests and self.session.unmeasured):
                    self._event.wait(self.schedule.wait(now))
                    continue
            if job is None:
                self.measure()
            else:
                self.step(job)

    def measure(self) -> None:
        """Measure the empty space of the scene while nothing else is to be done."""
        try:
            self.session.measure(lambda: self.closed or self.schedule.state != "waiting")
        except Exception:
            LOG.debug("empty space could not be measured", exc_info=True)

    def step(self, job: Job) -> None:
        """Render and send one picture; an error is shown, and the loop goes on."""
        try:
            largest = self.render(job)
        except Cancelled:
            return
        except Exception as error:
            LOG.debug("rendering failed", exc_info=True)
            self.report_error(error)
            with self._event:
                self.schedule.failed(job)
            return
        self._last_error = ""
        with self._event:
            self.schedule.done(job, largest)

    def render(self, job: Job) -> bool:
        """Render and send one picture -> whether there is none that is larger."""
        session, window = self.session, self.window
        asked = window.view()
        view = session.shown(asked)
        if job.state == "settled" and not view.resembles(asked):
            window.place(view)
        if session.choices.in_browser:
            if job.state != "moving":
                window.show_cloud(session.cloud(view))
                window.report("rendered by the browser")
            self.rendered = asked
            return True
        size = session.size(view, self.throttle.height(view.aspect) * 2**job.level)
        began = self.clock()
        picture = session.picture(view, size, lambda: self.closed or self.schedule.cancelled(job))
        seconds, self.seconds = self.clock() - began, session.viewed.pace.spent
        if job.level == 0:
            self.throttle.record(size[0] * size[1], seconds)
        if self.closed:
            raise Cancelled("the window is closed")
        self.rendered = asked if job.state == "moving" else view
        largest = size == session.size(view, float(session.choices.most))
        with session.viewed.pace.counted():
            window.show(picture, job.quality)
            window.report(f"{size[0]} x {size[1]} pixels, {1000 * seconds:.0f} ms{'' if largest else ' ...'}")
        return largest

    def report_error(self, error: Exception) -> None:
        """Show the last line of an error, once."""
        line = printable(f"{error}" or type(error).__name__)
        if line != self._last_error and not self.closed:
            self._last_error = line
            self.window.notify(line)
