"""What the controls of a window share: buttons, downloads, errors, overlays; status and training."""

from collections.abc import Callable
from typing import Any

from genscene.errors import printable
from genscene.viewer.client_loop import ClientLoop
from genscene.viewer.downloads import File
from genscene.viewer.page.window import ViserWindow
from genscene.viewer.session import Session
from genscene.viewer.views import View

BUTTON = (62, 68, 82)  # color of buttons
LARGEST_SEED = 2**31 - 1


class Panels:
    """The controls of one window."""

    def __init__(self, client: Any, session: Session, window: ViserWindow, loop: ClientLoop):
        self.client, self.session, self.window, self.loop = client, session, window, loop
        self.gui, self.viewed = client.gui, session.viewed
        self.overlays: dict[str, list[Any]] = {}  # what is in the scene beside pictures, by kind
        self.training: Any = None  # the line about the last step
        self.seed_changed: Callable[[], None] = lambda: None  # of scenes of objects

    def choose(self, **changes: Any) -> None:
        """Change choices, and render."""
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

    def download(self, label: str, make: Callable[[], File], hint: str) -> None:
        """A button that makes a file and gives it to the browser."""

        def action() -> None:
            note = self.client.add_notification("One moment", f"{label} ...", loading=True)
            try:
                name, content = make()
                self.client.send_file_download(name, content, save_immediately=True)
            finally:
                note.remove()

        self.button(label, action, "download", hint)

    def mark(self, kind: str, make: Callable[[], list[Any]] = list) -> None:
        """Replace what is in the scene of a kind; pictures get a depth where there is something."""
        with self.client.atomic():
            for handle in self.overlays.pop(kind, []):
                handle.remove()
            if handles := make():
                self.overlays[kind] = handles
        self.window.with_depth = bool(self.overlays)
        self.loop.changed()

    def go(self, view: View) -> None:
        """Move the camera to a view."""
        self.window.place(view)
        self.loop.scene_moved()

    def add_status(self) -> None:
        """The name, and a line about the last picture."""
        self.gui.add_markdown(f"**{printable(self.viewed.name, 60)}**")
        self.window.status = self.gui.add_markdown("")

    def add_training(self) -> None:
        """The last step, the share of the time that training is left, a pause."""
        training, pace = self.viewed.training, self.viewed.pace
        if training is None:
            return

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
        if self.training is not None and self.viewed.training is not None and not self.loop.closed:
            self.training.content = self.viewed.training.line
