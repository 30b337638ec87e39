"""Stopping a run between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A run was stopped by a signal; the message says how to resume."""


@contextmanager
def stop_flag() -> Iterator["StopFlag"]:
    """A flag set by the first SIGINT, SIGTERM or SIGHUP; the second one interrupts at once."""
    flag = StopFlag()
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    signals = [getattr(signal, name) for name in names if hasattr(signal, name)]
    try:
        before = {
            kind: signal.signal(kind, flag.handle)
            for kind in signals
            if signal.getsignal(kind) != signal.SIG_IGN  # as nohup leaves it
        }
    except ValueError:  # signals reach the main thread only
        yield flag
        return
    try:
        yield flag
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


class StopFlag:
    """Whether a signal was received."""

    def __init__(self) -> None:
        self.raised = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: set the flag, or interrupt where it is set."""
        if self.raised:
            raise KeyboardInterrupt
        self.raised = True

    def __call__(self) -> bool:
        return self.raised
